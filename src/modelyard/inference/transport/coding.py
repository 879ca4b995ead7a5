"""Content codings of responses: gzip and deflate (RFC 9110, section 8.4.1; RFC 1950 to 1952)."""

import zlib

from modelyard.inference.transport.wire import MalformedResponse

PIECE = 65536  # bytes a decoder gives at a time, so that a bomb never unfolds at once
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_NAMES = (b"gzip", b"x-gzip")


class Decoder:
    """Decodes one body incrementally, in pieces of at most ``PIECE`` bytes."""

    def __init__(self, coding: bytes) -> None:
        self._gzip = coding in _GZIP_NAMES
        self._stream: zlib._Decompress | None = None
        self._pending = b""
        self._more = False  # the last piece was full: zlib may hold output back

    def push(self, data: bytes) -> None:
        """Take in more of the encoded body."""
        self._pending += data

    def pull(self) -> bytes:
        """The next decoded piece, or b"" when more input is needed.

        Raises ``MalformedResponse``.
        """
        while self._ready():
            assert self._stream is not None
            try:
                piece = self._stream.decompress(self._pending, PIECE)
            except zlib.error as error:
                raise MalformedResponse(f"the body cannot be decompressed: {error}") from error
            self._pending = self._stream.unconsumed_tail or self._stream.unused_data
            self._more = len(piece) == PIECE and not self._stream.eof
            if piece:
                return piece
        return b""

    @property
    def finished(self) -> bool:
        """Whether the coding ended where the body did. An empty body did."""
        if self._stream is None:
            return not self._pending
        return self._stream.eof and not self._pending

    def _ready(self) -> bool:
        """Whether there is something to do, with a stream begun to do it."""
        if not (self._pending or self._more):
            return False
        if self._stream is None:
            return self._begin()
        return not self._stream.eof or self._next_member()

    def _begin(self) -> bool:
        if self._gzip:
            self._stream = zlib.decompressobj(_GZIP)
            return True
        if len(self._pending) < 2:
            return False
        self._stream = zlib.decompressobj(_deflate_bits(self._pending))
        return True

    def _next_member(self) -> bool:
        """After the end of a gzip member another may follow, or padding with zeros."""
        if not self._gzip:
            raise MalformedResponse("data follows the compressed body")
        self._pending = self._pending.lstrip(b"\0")
        self._stream = zlib.decompressobj(_GZIP) if self._pending else self._stream
        return bool(self._pending)


def _deflate_bits(start: bytes) -> int:
    """zlib's ``wbits``: deflate means zlib's format (RFC 1950), but many send it raw (RFC 1951)."""
    in_zlib = start[0] & 15 == 8 and int.from_bytes(start[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if in_zlib else -zlib.MAX_WBITS


def decoder(field: bytes) -> Decoder | None:
    """The decoder for a Content-Encoding field, None for identity.

    Raises ``MalformedResponse`` for a coding that was not asked for, or several at once.
    """
    codings = [name.strip().lower() for name in field.split(b",")]
    codings = [name for name in codings if name not in (b"", b"identity")]
    if not codings:
        return None
    if len(codings) == 1 and codings[0] in (*_GZIP_NAMES, b"deflate"):
        return Decoder(codings[0])
    named = field.decode("latin-1")[:100]
    raise MalformedResponse(f"the content coding {named!r} is not one of gzip and deflate")
