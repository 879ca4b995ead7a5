"""Which part of a document a request asks for (RFC 9110, section 14)."""

from __future__ import annotations

import re

from modelyard.protocol.errors import Failure

_ONE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.IGNORECASE)


def wanted(header: str, if_range: str, etag: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one behind the last; None where the whole is to be sent.

    What is no single range is answered with the whole, as is a range that was asked ``If-Range``
    of other content. ``etag`` comes with its quotes. Raises ``RANGE_NOT_SATISFIABLE``.
    """
    found = _ONE.fullmatch(header)
    if found is None or found.group(1) == found.group(2) == "":
        return None
    if if_range and if_range.strip() != etag:
        return None
    first, last = (int(text[:20]) if text else None for text in found.groups())
    if first is None:
        first, end = max(0, size - (last or 0)), size
    else:
        if last is not None and last < first:
            return None
        end = size if last is None else min(size, last + 1)
    if first >= end:
        raise Failure(
            "RANGE_NOT_SATISFIABLE",
            f"There are {size} bytes; the range begins behind them.",
            details={"size": size},
        )
    return first, end
