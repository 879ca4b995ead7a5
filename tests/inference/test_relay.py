"""The relay in C takes what the way in Python would take, and says the same of it."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from moulded import HEAD, MOULD, ROOM, TAIL, Stream, chunk, pieces

from modelyard.inference.framing import unframe
from relaying import built, loaded


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = built(tmp_path_factory.mktemp("relay"))
    if made is None:
        pytest.skip("no C compiler, or no headers of Python")
    return loaded(made)


@pytest.fixture
def stream(module: Any) -> Iterator[Stream]:
    one = Stream(module)
    yield one
    one.close()


@given(piece=pieces())
def test_it_takes_what_the_long_way_takes(module: Any, piece: bytes) -> None:
    stream = Stream(module)
    try:
        stream.set()
        taken = stream.relay(piece)
        body = unframe(piece)
        text = MOULD.text(body) if body is not None else None
        if taken:
            size, _, rest = piece.partition(b"\r\n")
            assert stream.events == [rest[: int(size, 16)]]
            assert rest == stream.events[0] + b"\r\n"
            assert stream.texts == [MOULD.text(stream.events[0])]
            sent = b"".join(stream.left)
            stream.server.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: stream.client.recv(65536), b""))
            assert received + sent == piece
        else:
            assert text is None
            assert not (stream.events or stream.texts or stream.left or stream.told)
    finally:
        stream.close()


def test_what_does_not_fit_ends_it_until_it_is_set_again(stream: Stream) -> None:
    stream.set()
    assert stream.relay(chunk("one"))
    assert stream.relay(chunk("zwölf"))
    assert not stream.relay(chunk('"'))
    assert not stream.relay(chunk("two"))
    size = len(HEAD + TAIL) * 2 + len("onezwölf".encode())
    assert stream.told == [(2, size, len("onezwölf"))]
    stream.set()
    assert stream.relay(chunk("three"))
    stream.relay.halt()
    stream.relay.halt()
    assert stream.told[1:] == [(1, len(HEAD + TAIL) + 5, 5)]
    assert stream.texts == ["one", "zwölf", "three"]


def test_it_stops_where_something_must_be_dropped_first(stream: Stream) -> None:
    size = len(HEAD + TAIL) + 3
    stream.set(room=2 * size + 1)
    assert [stream.relay(chunk("one")) for _ in range(3)] == [True, True, False]
    assert stream.told == [(2, 2 * size, 6)]


@pytest.mark.parametrize("readers", [0, 2])
def test_it_is_for_one_reader(stream: Stream, readers: int) -> None:
    stream.set()
    stream.readers[:] = stream.readers * readers
    assert not stream.relay(chunk("one"))
    assert not stream.events


def test_a_client_that_does_not_read_leaves_the_rest_to_the_transport(stream: Stream) -> None:
    piece = chunk("a" * 5_000)
    stream.set()
    taken = 0
    while not stream.left:
        assert stream.relay(piece)
        taken += 1
    assert not stream.relay(piece)
    stream.server.shutdown(socket.SHUT_WR)
    received = b"".join(iter(lambda: stream.client.recv(65536), b""))
    assert received + stream.left[0] == piece * taken
    assert [count for count, _, _ in stream.told] == [taken]


def test_a_client_that_has_gone_is_the_transports_matter(stream: Stream) -> None:
    stream.client.close()
    stream.set()
    assert stream.relay(chunk("one"))
    assert stream.left == [chunk("one")]
    assert not stream.relay(chunk("two"))


def test_a_mistake_of_the_listener_is_not_swallowed(module: Any, stream: Stream) -> None:
    def fail(*counts: int) -> None:
        raise LookupError

    relay = module.Relay(stream.server.fileno(), [], [], stream.readers, print, fail)
    relay.set(HEAD, TAIL, ROOM)
    assert relay(chunk("one"))
    with pytest.raises(LookupError):
        relay.halt()
    with pytest.raises(TypeError):
        relay("text")
    with pytest.raises(TypeError):
        module.Relay(0, (), [], [], print, print)
