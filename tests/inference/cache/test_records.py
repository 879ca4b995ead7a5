"""Answers as bytes: what goes in comes out, and nothing else is taken for one."""

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.inference.answer import Answer
from modelyard.inference.cache import records
from modelyard.inference.cache.sealing import Sealer, Unreadable
from modelyard.inference.call import Price, Usage
from modelyard.inference.eventlog import EventLog

TEXT = st.text(max_size=20)
COUNT = st.integers(0, 2**40)
USAGES = st.builds(Usage, COUNT, COUNT, COUNT, COUNT, COUNT, st.booleans())
MONEY = st.floats(0, 1e9)
PRICES = st.builds(
    Price,
    MONEY,
    MONEY,
    st.none() | MONEY,
    st.none() | MONEY,
    TEXT,
    st.none() | TEXT,
    st.just(()) | st.tuples(st.tuples(COUNT, st.builds(Price, MONEY, MONEY))),
)
EVENTS = st.lists(st.tuples(st.binary(min_size=1, max_size=30), TEXT), max_size=6)
KEY = b"k" * 32 + b"workspace"


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "body": draw(st.binary(max_size=50)),
        "target": draw(TEXT),
        "provider": draw(TEXT),
        "price": draw(st.none() | PRICES),
        "usage": draw(st.none() | USAGES),
        "model": draw(st.none() | TEXT),
        "finish_reason": draw(st.none() | TEXT),
        "native": draw(st.none() | st.binary(max_size=50)),
        "warnings": tuple(draw(st.lists(TEXT, max_size=2))),
    }


@settings(max_examples=40, deadline=None)
@given(
    answers(), st.none() | EVENTS, st.integers(-1, 5), st.booleans(), st.sampled_from([0, 10**6])
)
def test_what_is_kept_comes_back(
    fields: dict[str, Any],
    events: list[tuple[bytes, str]] | None,
    usage_at: int,
    encrypt: bool,
    above: int,
) -> None:
    async def trip() -> None:
        log = None
        if events is not None:
            log = EventLog.replay(
                [one for one, _ in events], [text for _, text in events], usage_at
            )
        answer = Answer(**fields, log=log)
        sealer = Sealer(above, 10**7, b"pepper", encrypt)
        sealed = sealer.seal(KEY, records.encode(answer, 123.5))
        record = records.decode(Sealer(0, 10**7, b"pepper", encrypt).open(KEY, sealed))
        found = records.revive(record, "l2", 7.0)
        assert record.created == 123.5 and (found.cache, found.stored) == ("l2", 7.0)
        assert {name: getattr(found, name) for name in fields} == fields
        assert found.cost() == answer.cost()
        if log is None:
            assert found.log is None
            return
        again = found.log
        assert again is not None and again.done and again.error is None and again.joinable
        assert (again.events, again.texts, again.usage_at) == (log.events, log.texts, usage_at)
        assert (again.size, again.text_bytes) == (log.size, log.text_bytes)
        assert (again.usage, again.finish_reason) == (fields["usage"], fields["finish_reason"])

    asyncio.run(trip())


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 7))
def test_encrypted_bytes_that_changed_are_no_answer(record: bytes, at: int, bit: int) -> None:
    sealer = Sealer(20, 10**6, b"pepper", True)
    sealed = bytearray(sealer.seal(KEY, record))
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(Unreadable):
        sealer.open(KEY, bytes(sealed))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    sealer = Sealer(20, 10**6, b"pepper", False)
    for sealed in (data, b"\x01\x00" + data, b"\x01\x01" + data, b"\x01\x02" + data):
        with contextlib.suppress(Unreadable, records.DecodeError):
            records.decode(sealer.open(KEY, sealed))


def test_who_may_open_what() -> None:
    record = b"an answer " * 100
    plain = Sealer(20, 10**6, b"pepper", False)
    closed = Sealer(20, 10**6, b"pepper", True)
    again = Sealer(20, 10**6, b"pepper", True)
    sealed = closed.seal(KEY, record)
    assert record[:10] not in sealed and sealed != closed.seal(KEY, record)
    assert again.open(KEY, sealed) == record == plain.open(KEY, sealed)
    for other, key in ((again, b"other" + KEY), (Sealer(0, 10**6, b"salt", True), KEY)):
        with pytest.raises(Unreadable):
            other.open(key, sealed)
    with pytest.raises(Unreadable, match="not encrypted"):
        closed.open(KEY, plain.seal(KEY, record))
    with pytest.raises(Unreadable, match="version"):
        plain.open(KEY, b"\x02" + sealed[1:])
    with pytest.raises(Unreadable, match="large"):
        Sealer(20, 500, b"pepper", False).open(KEY, plain.seal(KEY, record))


def test_what_does_not_get_smaller_is_kept_as_it_is() -> None:
    sealer = Sealer(0, 10**6, b"pepper", False)
    assert sealer.seal(KEY, b"\x00\xff")[1] == 0
    assert sealer.seal(KEY, b"a" * 100)[1] == 1
