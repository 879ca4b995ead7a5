"""Chunks of a stream that differ in their text only are read without parsing each again."""

from __future__ import annotations

from typing import Final

from modelyard.inference.shapes import Chunk, decode_chunk

_KEYS: Final = (b'"content":', b'"text":')


class Mould:
    """What a stream's chunk looks like around its text: ``head``, the text, ``tail``.

    An event that is the same around another plain text says the same, but for that text.
    """

    __slots__ = ("_start", "_stop", "head", "tail")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self.head = head
        self.tail = tail
        self._start = len(head)
        self._stop = len(tail)

    def text(self, event: bytes) -> str | None:
        """The text of one whole event of this mould; None for any other bytes.

        None, too, where the text is empty or holds what JSON escapes: those are parsed.
        """
        if not (event.startswith(self.head) and event.endswith(self.tail)):
            return None
        inner = event[self._start : max(0, len(event) - self._stop)]  # b"" where both overlap
        for at in range(len(inner)):
            byte = inner[at]
            if byte < 32 or byte == 34 or byte == 92:  # a control character, '"' or a backslash
                return None
        try:
            return inner.decode() or None
        except UnicodeDecodeError:
            return None


def cast(event: bytes, chunk: Chunk, text: str) -> Mould | None:
    """The mould of an event that holds ``text`` and was decoded to ``chunk``, if it has one.

    It is proved by decoding: with another text in that place only the text may change.
    """
    choices = chunk.choices
    if not choices or len(choices) != 1 or chunk.usage is not None:
        return None
    if not event.startswith(b"data: ") or event.find(b"\n") != len(event) - 2:
        return None
    raw = text.encode()
    if raw.find(b'"') >= 0 or raw.find(b"\\") >= 0:
        return None
    for key in _KEYS:
        start = event.find(key) + len(key)
        if start < len(key):
            continue
        start += 2 if event[start : start + 2] == b' "' else 1
        if event[start - 1 : start + len(raw) + 1] != b'"%b"' % raw:
            continue
        head, tail = event[:start], event[start + len(raw) :]
        again = decode_chunk(b"%b%b.%b" % (head[6:], raw, tail[:-2]))
        return Mould(head, tail) if _differs_by_a_dot(chunk, again, text) else None
    return None


def _differs_by_a_dot(chunk: Chunk, again: Chunk, text: str) -> bool:
    for choice in again.choices or ():
        delta = choice.delta
        if delta is not None and delta.content:
            if delta.content != text + ".":
                return False
            delta.content = text
        elif choice.text == text + ".":
            choice.text = text
        else:
            return False
    return again == chunk
