"""What the workers and the process with the index tell each other, over a Unix socket.

A frame is four bytes of length (big endian) and so many of MessagePack. ``id`` is the worker's
number of a request; what the process tells of it has the same. Times are Unix seconds.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct


class Setup(Struct):
    """How the process is to work; its first line of input, as JSON."""

    home: str
    verifier: str
    error: float
    least_similarity: float
    candidates: int
    entries: int
    workspace_entries: int
    sample: float
    budget: int  # nano-dollars a day, all workspaces together
    secret: bytes | None = None  # what prompts are sealed with


class Find(Struct, tag="find", array_like=True):
    """Is there an answer for this text? The asker is remembered until ``Keep`` or ``Drop``."""

    id: int
    workspace: str
    scope: bytes
    key: bytes  # under which the exact cache keeps its own answer
    text: str


class Keep(Struct, tag="keep", array_like=True):
    """What ``id`` asked was answered, and the answer is in the exact cache."""

    id: int
    expires: float


class Drop(Struct, tag="drop", array_like=True):
    """What ``id`` asked has no answer that is kept, or nobody wants it any more."""

    id: int


class Gone(Struct, tag="gone", array_like=True):
    """The exact cache no longer has what was found."""

    scope: bytes
    key: bytes


class Learn(Struct, tag="learn", array_like=True):
    """A level below the workers' memory has an answer to this text: its entry may have been lost.

    ``kept_at``: when that answer was new. Nothing is told.
    """

    workspace: str
    scope: bytes
    key: bytes
    text: str
    kept_at: float
    expires: float


class Clear(Struct, tag="clear", array_like=True):
    """Forget a workspace's entries."""

    workspace: str


class Check(Struct, tag="check", array_like=True):
    """A kept answer, and a fresh one to what was asked: are they the same?

    ``paid``: nano-dollars that the fresh one cost for this alone.
    """

    id: int
    workspace: str
    confidence: float
    kept: str
    fresh: str
    paid: int = 0


class State(Struct, tag="state", array_like=True):
    """How is the cache doing for a workspace?"""

    id: int
    workspace: str


Ask = Find | Keep | Drop | Gone | Learn | Clear | Check | State


class Greeting(Struct, tag="hello", array_like=True):
    """The process is ready: the first frame of a connection."""

    verifier: str


class Found(Struct, tag="found", array_like=True):
    """A kept answer that answers it, as far as the verifier can tell.

    ``awaited``: it is being asked just now; another frame of the same id follows when it is there
    or will not be. ``check``: ask again in the background, and tell both answers.
    """

    id: int
    key: bytes
    similarity: float
    confidence: float
    kept_at: float
    asked_at: float
    awaited: bool = False
    check: bool = False


class Missed(Struct, tag="missed", array_like=True):
    """There is none.

    ``watch``: the key of an answer that would do if more were known of the verifier's errors; the
    fresh one is to be compared with it.
    """

    id: int
    watch: bytes = b""
    confidence: float = 0.0


class Checked(Struct, tag="checked", array_like=True):
    """Whether the two answers are the same, and how similar they are."""

    id: int
    right: bool
    similarity: float


class Stated(Struct, tag="stated", array_like=True):
    """How the cache is doing for a workspace.

    ``threshold`` is the least confidence of a hit; None: no threshold is shown to hold the bound.
    ``upper`` is the bound of the share of wrong hits at it (at the strictest where there is none).
    """

    id: int
    entries: int
    bytes: int
    threshold: float | None
    checks: int
    wrong: int
    upper: float | None
    spent: int  # nano-dollars today, all workspaces together


Told = Greeting | Found | Missed | Checked | Stated

_encode = msgspec.msgpack.Encoder().encode
decode_ask = msgspec.msgpack.Decoder(Ask).decode
decode_told = msgspec.msgpack.Decoder(Told).decode


def frame(message: Ask | Told) -> bytes:
    """A message as it goes over the socket."""
    body = _encode(message)
    return len(body).to_bytes(4, "big") + body
