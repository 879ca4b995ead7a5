"""The poller: the relay's work in a thread without Python, and what it gives back."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moulded import HEAD, MOULD, TAIL, Stream, chunk, pieces

from modelyard.inference.framing import unframe
from patience import ready
from relaying import polling

PATIENCE = 30.0  # seconds until a test gives up; nothing waits that long


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return polling(tmp_path_factory.mktemp("relay"))


@pytest.fixture(scope="module")
def poller(module: Any) -> Iterator[Any]:
    one = module.Poller()
    yield one
    one.close()


class Served(Stream):
    """A stream whose upstream is read by a poller."""

    def __init__(self, module: Any, poller: Any) -> None:
        super().__init__(module)
        self.client.settimeout(PATIENCE)
        self.upstream, self.source = socket.socketpair()
        self.source.setblocking(False)
        self.poller = poller
        self.given: list[bytes] = []

    def take(self) -> bool:
        taken: bool = self.poller.take(self.relay, self.source.fileno(), self.given.append)
        return taken

    def begin(self) -> "Served":
        self.set()
        assert self.take()
        return self

    def receive(self, size: int) -> bytes:
        """So many bytes, at the client."""
        got = b""
        while len(got) < size:
            part = self.client.recv(size - len(got))
            assert part, "closed too soon"
            got += part
        return got

    def over(self) -> bytes:
        """Wait until the poller is done; what it read last and did not take."""
        while not self.given:
            assert ready(PATIENCE, self.poller) is not None, "no end"
            for back, left in self.poller.collect():
                back(left)
        (left,) = self.given
        return left

    def send_until_it_is_over(self, piece: bytes) -> int:
        """``piece`` again and again, until the poller reads no more; how many bytes went out.

        It waits for either: a socket that is full stays so once nobody reads it.
        """
        self.upstream.setblocking(False)
        sent = 0
        while True:
            one = ready(PATIENCE, self.poller, self.upstream)
            assert one is not None, "no end"
            if one is self.poller:
                return sent
            sent += self.upstream.send(piece[sent % len(piece) :])

    def unread(self) -> bytes:
        """What is still in the upstream's socket."""
        try:
            return self.source.recv(1_000_000)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.relay.halt()
        self.over()
        super().close()
        self.upstream.close()
        self.source.close()


@pytest.fixture
def stream(module: Any, poller: Any) -> Iterator[Served]:
    with closing(Served(module, poller).begin()) as one:
        yield one


def test_chunks_go_on_and_are_kept(stream: Served) -> None:
    sent = [chunk(text) for text in ("one", "zwölf", "字")]
    stream.upstream.sendall(b"".join(sent))  # some at once, as the system has it
    assert stream.receive(len(b"".join(sent))) == b"".join(sent)
    assert not stream.events
    stream.relay.halt()
    assert stream.texts == ["one", "zwölf", "字"]
    assert stream.events == [unframe(one) for one in sent]
    assert stream.told == [(3, sum(map(len, stream.events)), len("onezwölf字"))]
    assert stream.over() == b""


def test_what_does_not_fit_is_given_back(stream: Served) -> None:
    last = b"0\r\n\r\n"
    stream.upstream.sendall(chunk("one") + chunk('"') + last)
    assert stream.over() + stream.unread() == chunk('"') + last
    assert stream.texts == ["one"]
    assert stream.receive(len(chunk("one"))) == chunk("one")


def test_after_a_halt_nothing_is_read(stream: Served) -> None:
    stream.upstream.sendall(chunk("one"))
    stream.receive(len(chunk("one")))
    stream.relay.halt()
    stream.upstream.sendall(chunk("two"))
    assert stream.over() == b""
    assert stream.unread() == chunk("two")
    assert stream.texts == ["one"]


def test_it_can_be_taken_again(stream: Served) -> None:
    stream.relay.halt()
    assert stream.over() == b""
    stream.given.clear()
    stream.begin()
    stream.upstream.sendall(chunk("one"))
    assert stream.receive(len(chunk("one"))) == chunk("one")


def test_it_tells_on_the_way_what_went_through(stream: Served) -> None:
    assert not stream.relay.moved()
    for text in ("one", "two"):
        stream.upstream.sendall(chunk(text))
        stream.receive(len(chunk(text)))
        stream.relay.catch_up()
        assert stream.texts[-1] == text
        assert stream.relay.moved()
    assert stream.told == [(1, len(HEAD + TAIL) + 3, 3)] * 2
    assert not stream.relay.moved()


def test_the_end_is_left_to_the_event_loop(stream: Served) -> None:
    stream.upstream.sendall(chunk("one"))
    stream.upstream.close()
    assert stream.over() == b""
    assert stream.texts == ["one"]
    assert stream.source.recv(10) == b""


def test_a_client_that_does_not_read_leaves_the_rest_to_the_transport(stream: Served) -> None:
    piece = chunk("a" * (8184 - len(HEAD + TAIL)))  # as much as is read at once: none is cut
    assert len(piece) == 8192
    sent = stream.send_until_it_is_over(piece)
    left = stream.over() + stream.unread()
    rest = b"".join(stream.left)
    assert rest
    through = sent - len(rest) - len(left)
    assert stream.receive(through) + rest + left == (piece * (sent // len(piece) + 1))[:sent]
    assert len(stream.events) * len(piece) == through + len(rest)


def test_no_more_than_there_is_room_for(module: Any, poller: Any) -> None:
    with closing(Served(module, poller)) as stream:
        stream.set(room=2 * (len(HEAD + TAIL) + 3) + 1)
        assert stream.take()
        stream.upstream.sendall(chunk("one") * 3)
        assert stream.over() + stream.unread() == chunk("one")
        assert stream.texts == ["one"] * 2


def test_only_for_a_relay_that_takes_chunks(module: Any, poller: Any) -> None:
    with closing(Served(module, poller).begin()) as stream:
        assert not stream.take()  # it is there already
        assert not poller.take(print, stream.source.fileno(), print)
        stream.relay.halt()
        assert not stream.take()  # it has no mould
        stream.set()
        assert not poller.take(stream.relay, 1_000_000, print)


@given(st.lists(pieces(), max_size=6), st.lists(st.integers(1, 2_000), min_size=1, max_size=20))
def test_nothing_is_lost_nor_changed(
    module: Any, poller: Any, parts: list[bytes], sizes: list[int]
) -> None:
    """However the bytes come, they are sent on, or given back, in their order."""
    whole = b"".join(parts)[:100_000]
    with closing(Served(module, poller).begin()) as stream:
        at = 0
        stream.source.setblocking(False)
        stream.upstream.setblocking(False)
        for size in sizes * 100:
            try:
                at += stream.upstream.send(whole[at : at + size])
            except BlockingIOError:
                break
        stream.upstream.shutdown(socket.SHUT_WR)
        left = stream.over() + stream.unread()
        through = at - len(left) - sum(map(len, stream.left))
        got = stream.receive(through) if through else b""
        assert got + b"".join(stream.left) + left == whole[:at]
        assert stream.texts == [MOULD.text(event) for event in stream.events]
        assert sum(count for count, _, _ in stream.told) == len(stream.events)


def test_closing_ends_the_thread(module: Any) -> None:
    tasks = Path("/proc/self/task")
    before = {task.name for task in tasks.iterdir()}
    one = module.Poller()
    (added,) = {task.name for task in tasks.iterdir()} - before
    one.close()
    one.close()
    with closing(Served(module, one)) as stream:
        stream.set()
        assert not stream.take()
        stream.given.append(b"")
    # The system may show a thread that was joined for a moment longer.
    due = time.monotonic() + PATIENCE
    while (tasks / added).exists() and time.monotonic() < due:
        time.sleep(0.01)
    assert not (tasks / added).exists()
