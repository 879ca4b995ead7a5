"""Page tokens (AIP-158): opaque, and bound to the query they continue."""

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from modelyard.protocol.errors import Failure

T = TypeVar("T")

DEFAULT_SIZE = 50
MAX_SIZE = 1000
_CHECKSUM = 8  # bytes


Size = Annotated[
    int,
    Meta(ge=0, description="Most items of one page; 0 means 50, more than 1,000 means 1,000."),
]
Token = Annotated[
    str,
    Meta(
        max_length=1024,
        description="`next_page_token` of the page before; the other parameters stay the same.",
    ),
]


class Paging(Struct, frozen=True, kw_only=True):
    """The query parameters of every list."""

    page_size: Size = 0
    page_token: Token = ""

    @property
    def size(self) -> int:
        """The size to serve: 50 when none was asked for, at most 1,000."""
        return min(self.page_size or DEFAULT_SIZE, MAX_SIZE)


def token(position: Any, query: str) -> str:
    """A token that continues after ``position`` (any JSON value) in ``query``.

    ``query`` names all that decides what the list holds: path, workspace, filter, order.
    """
    data = msgspec.json.encode(position)
    return urlsafe_b64encode(_checksum(data, query) + data).rstrip(b"=").decode()


def position(sent: str, query: str, type_: type[T]) -> T | None:
    """The position in a token; None for the first page.

    Raises ``INVALID_REQUEST`` for a token of another query, or none of ours.
    """
    if not sent:
        return None
    try:
        raw = urlsafe_b64decode(sent + "=" * (-len(sent) % 4))
        data = raw[_CHECKSUM:]
        if raw[:_CHECKSUM] == _checksum(data, query):
            return msgspec.json.decode(data, type=type_)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        pass
    raise Failure(
        "INVALID_REQUEST",
        "'page_token' does not continue this list. Send the 'next_page_token' of the page before "
        "with the same other parameters, or leave it out to start again.",
        details={"field": "page_token", "rule": "page_token"},
    )


def _checksum(data: bytes, query: str) -> bytes:
    return hashlib.blake2b(data + b"\0" + query.encode(), digest_size=_CHECKSUM).digest()
