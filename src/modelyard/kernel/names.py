"""Names and ids of resources (AIP-122), and where they lead."""

import os
import re
import time
from collections.abc import Iterator, Mapping

from modelyard.kernel.ports import Address, Row
from modelyard.protocol.errors import Failure

CHOSEN = r"^[a-z0-9][a-z0-9._-]{0,62}\Z"  # ids that a client may choose
_PARAMETER = re.compile(r"/{[^}]+}")


def kind(path: str) -> str:
    """``/catalog/datasets/{dataset_id}/versions`` -> ``catalog/datasets/versions``."""
    return _PARAMETER.sub("", path).strip("/")


def new_id(prefix: str) -> str:
    """A fresh id: 64 bits of chance after the prefix."""
    return f"{prefix}_{os.urandom(8).hex()}"


def new_uid() -> str:
    """Never used again; sorts by time: milliseconds first, then chance."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(6).hex()}"


def above(template: str, values: Mapping[str, str], workspace: str) -> Iterator[Address]:
    """The addresses of the resources that a parent's template names, the outermost first."""
    parent, segments, collection = "", template.split("/") if template else [], ""
    for segment in segments:
        if not segment.startswith("{"):
            collection = f"{collection}/{segment}" if collection else segment
            continue
        address = Address(collection, workspace, parent, values[segment.strip("{}")])
        yield address
        parent = address.name


def resolve(kind: str, workspace: str, value: str) -> Address:
    """What a reference means: the id of a top-level resource, or the name of a nested one."""
    depth = kind.count("/")
    if "/" not in value or not value.startswith(kind.split("/")[0] + "/"):
        return Address(kind, workspace, "", value)
    parts = value.split("/")
    if len(parts) <= depth + 1:
        return Address(kind, workspace, "", parts[-1])
    return Address(kind, workspace, "/".join(parts[:-2]), parts[-1])


def missing(address: Address) -> Failure:
    """``NOT_FOUND``, the same whether it never was, is gone or is another workspace's."""
    collection = address.name.removesuffix(f"/{address.id}")
    return Failure(
        "NOT_FOUND",
        f"There is no {address.name} in this workspace. GET /v1/{collection} lists what there is.",
        details={"field": "id", "resource": address.name},
    )


def listed(sent: str, tag: str) -> bool:
    """Whether a list of etags, as If-Match has it, holds this one; ``*`` holds any but ""."""
    tags = [one.strip().removeprefix("W/").strip('"') for one in sent.split(",")]
    return bool(tag) and ("*" in tags or tag in tags)


def match(row: Row | None, name: str, expected: str, unwanted: str) -> None:
    """Raise ``ETAG_MISMATCH`` unless what is there has an expected etag, and no unwanted one."""
    tag = "" if row is None else etag(row)
    if (expected and not listed(expected, tag)) or (unwanted and listed(unwanted, tag)):
        raise Failure(
            "ETAG_MISMATCH",
            f"{name} is not as this request expects it to be. Read it again, then decide.",
            details={"field": "etag", "resource": name, "etag": tag or None},
        )


def etag(row: Row) -> str:
    """Changes with every change of what is shown, and is never the same for another."""
    own = f"{row.uid[-8:]}-{row.revision}"
    return own if row.newest is None else f"{own}-{etag(row.newest)}"
