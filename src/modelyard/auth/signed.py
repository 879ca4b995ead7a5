"""A signed request, and what its signature says (RFC 9421)."""

from collections.abc import Sequence

from msgspec import Struct


class Request(Struct, frozen=True):
    """What was signed. ``target_uri`` is the whole address that the client asked for.

    ``headers`` are the fields as they came, names in any case; ``body`` is as it was sent, None
    where it is still to come: its digest has to be signed, and who reads it checks that.
    """

    method: str
    target_uri: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes | None = b""

    def field(self, name: bytes) -> str | None:
        """A field by its name in lower case, all its lines together; None where there is none."""
        lines = [value.decode("latin-1") for key, value in self.headers if key.lower() == name]
        return ", ".join(line.strip(" \t") for line in lines) if lines else None

    @property
    def digested(self) -> bool:
        """Whether ``Content-Digest`` has to be signed: there is a body, or the field itself."""
        return self.body != b"" or self.field(b"content-digest") is not None


class Unsigned(Exception):
    """Why a request is not signed as it must be."""

    def __init__(self, reason: str, message: str, missing: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.missing = missing


class Stated(Struct, frozen=True):
    """What a signature says of itself (section 2.3), before it is verified.

    ``covered`` are the plain components: whole fields of this request, and no parts of them.
    """

    covered: set[str]
    created: int = 0
    expires: int = 0
    keyid: str = ""
    nonce: str = ""
    alg: str = ""
    tag: str = ""
