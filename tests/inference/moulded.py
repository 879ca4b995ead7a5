"""Chunks of one mould, and a relay that takes them."""

import socket
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from modelyard.inference.framing import frame
from modelyard.inference.mould import Mould

HEAD = b'data: {"choices":[{"delta":{"content":"'
TAIL = b'"}}]}\n\n'
MOULD = Mould(HEAD, TAIL)
ROOM = 1_000_000


class Stream:
    """A relay between a test and a socket."""

    def __init__(self, module: Any) -> None:
        self.client, self.server = socket.socketpair()
        self.server.setblocking(False)
        self.events: list[bytes] = []
        self.texts: list[str] = []
        self.readers: list[Callable[[], None]] = [lambda: None]
        self.left: list[bytes] = []
        self.told: list[tuple[int, int, int]] = []
        self.relay = module.Relay(
            self.server.fileno(),
            self.events,
            self.texts,
            self.readers,
            self.left.append,
            lambda *counts: self.told.append(counts),
        )

    def set(self, room: int = ROOM) -> None:
        self.relay.set(HEAD, TAIL, room)

    def close(self) -> None:
        self.client.close()
        self.server.close()


def chunk(text: str) -> bytes:
    return frame(HEAD + text.encode() + TAIL)


texts = st.one_of(
    st.text(st.characters(min_codepoint=32, codec="utf-8"), max_size=300).map(str.encode),
    st.binary(max_size=40),
    st.sampled_from(
        [b"", b'"', b"\\n", b"\n", b"\x7f", b"\xff", b"\xc3", TAIL, HEAD, b"a" * 70_000]
    ),
)


@st.composite
def pieces(draw: st.DrawFn) -> bytes:
    """A chunk of the mould, as a rule; then perhaps damaged."""
    event = HEAD + draw(texts) + TAIL
    line = draw(st.sampled_from([b"%x\r\n", b"%x\r\n", b"%X\r\n", b"0%x\r\n", b"%x;a=b\r\n"]))
    piece = line % len(event) + event + b"\r\n"
    how = draw(st.sampled_from(["whole", "whole", "whole", "cut", "more", "changed"]))
    if how == "cut":
        return piece[: draw(st.integers(0, len(piece)))]
    if how == "more":
        return piece + draw(st.sampled_from([b"0\r\n\r\n", b"\r\n", b"x", piece]))
    if how == "changed":
        at = draw(st.integers(0, len(piece) - 1))
        return piece[:at] + draw(st.binary(min_size=1, max_size=1)) + piece[at + 1 :]
    return piece
