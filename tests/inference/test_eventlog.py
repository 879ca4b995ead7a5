"""A stream's events: the same however they are cut, and complete only if they are."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import DONE, attached, chunk, event, usage

from modelyard.inference import eventlog
from modelyard.inference.eventlog import EventLog
from patience import LONG

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
NEWLINE = st.sampled_from([b"\n", b"\r\n", b"\r"])
EITHER = st.sampled_from([b"\n", b"\r\n"])  # CR and LF of two lines would be one CRLF


@st.composite
def written(draw: st.DrawFn) -> tuple[list[dict[str, Any]], bytes]:
    """A stream's chunks, and one of the ways to write them."""
    texts = draw(st.lists(TEXT, min_size=1, max_size=5))
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": len(texts)}})
    out = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    mixed = draw(st.booleans())
    newline = draw(NEWLINE)
    for one in [*chunks, None]:
        lines = draw(st.lists(st.sampled_from([b": hi", b"event: x", b"id: 1", b":"]), max_size=2))
        if one is None:
            lines.append(b"data: [DONE]")
        else:
            indent = draw(st.sampled_from([None, 1]))
            payload = json.dumps(one, ensure_ascii=False, indent=indent).encode()
            blank = draw(st.sampled_from([b"data:", b"data: "]))
            # A text may hold line ends of other kinds only where JSON escapes them.
            lines += [blank + line for line in payload.split(b"\n")]
        if draw(st.booleans()):
            lines = [b": comment", b"", *lines]
        for line in [*lines, b""]:
            out += line + (draw(EITHER) if mixed else newline)
    return chunks, out


def split(data: bytes, cuts: set[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def payloads(log: EventLog) -> list[Any]:
    """What the log's events say to a reader of server-sent events."""
    found = []
    for one in log.events:
        assert one.endswith(b"\n\n") and b"\r" not in one
        lines = one.decode().split("\n")
        data = [line[5:].removeprefix(" ") for line in lines if line.startswith("data:")]
        found.append(json.loads("\n".join(data)))
    return found


@settings(max_examples=200)
@given(written(), st.sets(st.integers(0, 5000), max_size=20))
async def test_any_split_gives_the_same_events(stream: Any, cuts: set[int]) -> None:
    chunks, data = stream
    log, fed = attached()
    for piece in split(data, cuts):
        fed.piece(piece)
    assert log.done and log.error is None
    assert payloads(log) == chunks
    assert log.text() == "".join(
        one["choices"][0]["delta"].get("content", "") for one in chunks if one["choices"]
    )
    assert log.finish_reason == "stop"
    assert log.usage is not None and log.usage.input_tokens == 3
    assert log.usage_at == len(chunks) - 1
    assert log.size == sum(map(len, log.events))
    fed.end(None)


@settings(max_examples=50)
@given(written())
async def test_every_byte_for_itself(stream: Any) -> None:
    chunks, data = stream
    log, fed = attached()
    for at in range(len(data)):
        fed.piece(data[at : at + 1])
    assert log.done and log.error is None and payloads(log) == chunks


@settings(max_examples=150)
@given(written(), st.integers(0, 10_000), st.booleans())
async def test_cut_before_its_end_it_is_never_complete(stream: Any, at: int, reset: bool) -> None:
    _, data = stream
    finish = data.index(b"finish_reason")
    log, fed = attached()
    fed.piece(data[: at % finish])
    fed.end(ConnectionResetError() if reset else None)
    assert log.done and log.error is not None
    assert log.finish_reason is None
    with pytest.raises(eventlog.AttemptFailed):
        await log.started()


async def test_the_end_of_the_body_after_the_finish_is_enough() -> None:
    log, fed = attached()
    fed.piece(chunk("a") + chunk("", "stop"))
    assert not log.done
    fed.end(None)
    assert log.done and log.error is None and log.finish_reason == "stop"


async def test_a_last_event_without_its_blank_line() -> None:
    log, fed = attached()
    fed.piece(chunk("a") + chunk("", "length").rstrip(b"\n"))
    fed.end(None)
    assert log.done and log.error is None and log.finish_reason == "length"
    assert log.events[-1] == chunk("", "length")


async def test_finish_without_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "_GRACE", 0.05)
    log, fed = attached()
    fed.piece(chunk("a") + chunk("", "stop"))
    assert not log.done, "usage may still come"
    fed.piece(usage(1, 2))
    await asyncio.wait_for(log.over(), LONG)
    assert log.done and log.error is None
    assert log.usage is not None and log.usage.output_tokens == 2


async def test_done_ends_an_answer_without_a_finish() -> None:
    log, fed = attached()
    fed.piece(chunk("a") + DONE)
    assert log.done and log.error is None and log.finish_reason is None


async def test_done_alone_is_no_answer() -> None:
    log, fed = attached()
    fed.piece(b": hello\n\n" + DONE)
    assert log.error is not None and log.error.reason == "empty"
    with pytest.raises(eventlog.AttemptFailed):
        await log.started()


async def test_nothing_at_all() -> None:
    log, fed = attached()
    fed.end(None)
    assert log.error is not None


async def test_what_follows_done_is_ignored() -> None:
    log, fed = attached()
    fed.piece(chunk("a") + chunk("", "stop") + DONE + chunk("b"))
    fed.piece(chunk("c"))
    assert log.text() == "a" and len(log.events) == 2


async def test_an_upstream_that_stays_open_after_done_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(eventlog, "_LINGER", 0.05)
    log, fed = attached()
    fed.piece(chunk("a", "stop") + DONE)
    assert log.done and not fed.closed
    for _ in range(200):
        if fed.closed:
            break
        await asyncio.sleep(0.02)
    assert fed.closed == 1


async def test_an_upstream_that_ends_after_done_is_not_closed_by_us() -> None:
    log, fed = attached()
    fed.piece(chunk("a", "stop") + DONE)
    fed.end(None)
    assert log.done and fed.closed == 0 and log._timer is None


ERRORS = [
    {"error": {"message": "boom", "type": "server_error"}},
    {"error": "boom"},
    {"error": {"message": "boom"}, "choices": []},
]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("before", [0, 1])
async def test_an_error_event(error: Any, before: int) -> None:
    log, fed = attached()
    fed.piece(chunk("a") * before + event(error) + DONE)
    assert log.done and log.error is not None
    assert (log.error.reason, fed.closed) == ("error_event", 1)
    assert "boom" in log.error.message


@pytest.mark.parametrize(
    "bad",
    [b"data: {\n\n", b"data: 1\n\n", b"data: []\n\n", b"data: \xff\n\n", b"data: nonsense\n\n",
     b'data: {"choices": 1}\n\n', b'data: {"choices": [{"delta": {"content": 5}}]}\n\n',
     b"data: " + b"[" * 20_000 + b"\n\n", b'data: {"choices": [{"index": 0, "delta"\n\n'],
)  # fmt: skip
async def test_an_event_that_is_no_chunk(bad: bytes) -> None:
    log, fed = attached()
    fed.piece(chunk("a"))
    fed.piece(bad + DONE)
    assert log.error is not None and log.error.reason == "malformed"
    assert fed.closed == 1 and log.text() == "a"


async def test_an_event_that_never_ends() -> None:
    log, fed = attached(limit=10_000)
    for _ in range(20):
        fed.piece(b"data: " + b"x" * 1000)
    assert log.error is not None and fed.closed == 1


async def test_a_stream_that_is_too_large() -> None:
    log, fed = attached(limit=10_000)
    for _ in range(200):
        fed.piece(chunk("x" * 100))
    assert log.error is not None and log.error.reason == "body_too_large"
    assert log.size < 11_000 and fed.closed == 1


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
async def test_every_sample_must_finish(order: list[int]) -> None:
    for finished in range(4):
        log, fed = attached(samples=3)
        fed.piece(b"".join(chunk("t", index=index) for index in range(3)))
        fed.piece(b"".join(chunk("", "stop", index=index) for index in order[:finished]))
        fed.end(None)
        assert (log.error is None) == (finished == 3)


async def test_a_sample_that_ends_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "_GRACE", 0.01)
    log, fed = attached(samples=2)
    fed.piece(chunk("a", index=0) + chunk("", "stop", 0) + chunk("", "stop", 0))
    await asyncio.sleep(0.05)
    assert not log.done, "the other sample is still to come"
    fed.end(None)
    assert log.error is not None


async def test_the_first_token_decides() -> None:
    log, fed = attached()
    waiting = asyncio.ensure_future(log.started())
    fed.piece(event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}))
    await asyncio.sleep(0)
    assert not waiting.done() and log.first_token is None
    fed.piece(chunk("a"))
    await asyncio.wait_for(waiting, 60)
    assert log.first_token is not None
    assert len(log.events) == 2


TOKENS: list[dict[str, Any]] = [
    {"delta": {"content": "x"}},
    {"delta": {"reasoning_content": "x"}},
    {"delta": {"reasoning": "x"}},
    {"delta": {"refusal": "x"}},
    {"delta": {"tool_calls": [{"index": 0}]}},
    {"delta": {"audio": {"id": "a"}}},
    {"text": "x"},
    {"delta": {}, "finish_reason": "stop"},
]


@pytest.mark.parametrize("choice", TOKENS)
async def test_what_a_first_token_may_be(choice: dict[str, Any]) -> None:
    log, fed = attached()
    fed.piece(event({"choices": [{"index": 0, **choice}]}))
    await asyncio.wait_for(log.started(), LONG)
    assert log.first_token is not None and not log.done


async def test_readers_are_told_and_the_end_once() -> None:
    log, fed = attached()
    told: list[int] = []
    ends: list[bool] = []
    log.readers.append(lambda: told.append(len(log.events)))
    log.endings.append(lambda: ends.append(log.done))
    over = log.over()
    fed.piece(chunk("a") + chunk("b"))
    assert told == [2] and not ends and not over.done()
    fed.piece(chunk("", "stop")[:10])
    fed.piece(chunk("", "stop")[10:] + DONE)
    assert told[-1] == 3 and ends == [True]
    await asyncio.wait_for(over, 60)
    await asyncio.wait_for(log.over(), LONG)
    log.close()
    fed.end(None)
    assert ends == [True] and log.error is None


async def test_closing_ends_the_upstream_call_and_is_no_fault_of_the_provider() -> None:
    log, fed = attached()
    fed.piece(chunk("a"))
    log.close()
    log.close()
    assert fed.closed == 1
    assert log.error is not None and log.error.healthy and log.error.reason == "closed"
    fed.piece(chunk("b"))
    assert log.text() == "a"


async def test_the_log_is_trimmed_behind_its_only_reader() -> None:
    log, fed = attached(bound=10_000)
    log.readers.append(lambda: None)
    index = 0
    for number in range(1000):
        fed.piece(chunk(f"{number:05d}" + "x" * 20))
        assert log.base <= index
        assert log.events[index - log.base] == chunk(f"{number:05d}" + "x" * 20)
        index = log.trim(index + 1)
        assert sum(map(len, log.events)) <= 10_200
        assert len(log.events) == len(log.texts)
    assert index == 1000 and log.base > 0 and not log.joinable
    fed.piece(usage(1, 1))
    assert log.usage_at == 1000


async def test_nothing_is_trimmed_while_two_read() -> None:
    log, fed = attached(bound=1000)
    log.readers += [lambda: None, lambda: None]
    for _ in range(100):
        fed.piece(chunk("x" * 50))
        log.trim(len(log.events))
    assert log.base == 0 and len(log.events) == 100


async def test_upstream_waits_for_the_fastest_reader() -> None:
    log, fed = attached(limit=1 << 30)
    one = chunk("x" * 10_000)
    while not fed.paused:
        fed.piece(one)
        assert log.size < 2 << 20, "the reader lags, and upstream is still read"
    for _ in range(10):
        fed.piece(one)
    assert (fed.paused, fed.resumed) == (1, 0)
    log.taken(log.size // 4)
    assert fed.resumed == 0
    log.taken(log.size)
    assert fed.resumed == 1
    log.taken(10)
    fed.piece(one)
    assert (fed.paused, fed.resumed) == (1, 1)
    log.close()


async def test_an_empty_finish_reason_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "_GRACE", 0.01)
    log, fed = attached()
    fed.piece(chunk("a", "") + chunk("b", ""))
    await asyncio.sleep(0.05)
    assert not log.done and log.finish_reason is None
    fed.end(None)
    assert log.error is not None and log.error.reason == "cut_short"


async def test_text_after_the_finish_is_waited_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "_GRACE", 1.0)
    log, fed = attached()
    fed.piece(chunk("a", "stop"))
    first = log._timer
    assert first is not None
    fed.piece(usage(1, 1))
    assert log._timer is first, "usage is no reason to wait longer"
    fed.piece(chunk("b"))
    assert first.cancelled() and log._timer is not None and not log.done
    assert log._timer.when() > first.when()
    fed.piece(DONE)
    assert log.done and log.error is None and log.text() == "ab"


async def test_a_stream_that_was_read_and_dropped_is_not_empty() -> None:
    log, fed = attached(bound=10)
    log.readers.append(lambda: None)
    fed.piece(chunk("a") + chunk("", "stop"))
    assert log.trim(2) == log.base == 2 and not log.events
    fed.piece(DONE)
    assert log.done and log.error is None
