"""Chunks that are not parsed again: the stream is the same as if each were."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from streams import DONE, Fed, attached

from modelyard.inference.eventlog import EventLog

PLAIN = st.text(
    st.characters(min_codepoint=32, exclude_categories=("Cs",), exclude_characters='"\\'),
    min_size=1,
    max_size=6,
)
ANY = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
TEXT = st.one_of(PLAIN, PLAIN, ANY, st.sampled_from(["content", "text", ".", '"', "\\", "a\nb"]))

SHAPES: list[dict[str, Any]] = [
    {"id": "c-1", "model": "m-1", "choices": [{"index": 0, "delta": {"content": "@"}}]},
    {"model": "m-1", "choices": [{"delta": {"role": "assistant", "content": "@"}, "index": 0}]},
    {"model": "m-2", "choices": [{"index": 0, "delta": {"content": "@"}, "finish_reason": None}]},
    {"choices": [{"index": 1, "delta": {"content": "@", "reasoning": "content"}}], "usage": None},
    {"choices": [{"index": 0, "text": "@"}], "content": "@"},
    {"content": "@", "choices": [{"index": 0, "delta": {"content": "@"}}]},
    {"choices": [{"delta": {"content": "a"}, "text": "@"}]},
    {"choices": [{"delta": {"reasoning_content": "@"}}]},
    {"choices": [{"delta": {"content": "@"}}, {"index": 1, "delta": {"content": "@"}}]},
    {"choices": [{"delta": {"content": "@"}}], "usage": {"prompt_tokens": 3}},
    {"choices": [{"delta": {"content": "@"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
    {"error": {"message": "@"}},
    {"choices": [{"delta": {"content": 5}}]},
]
# Most streams repeat one shape.
NUMBERS = st.lists(st.integers(0, len(SHAPES) - 1), max_size=4)
WRITTEN = [
    {"ensure_ascii": True},
    {"ensure_ascii": False},
    {"ensure_ascii": False, "separators": (",", ":")},
    {"ensure_ascii": False, "indent": 1},
]


def filled(value: Any, text: str) -> Any:
    """The shape with ``text`` in the places that are marked."""
    if isinstance(value, dict):
        return {key: filled(one, text) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, text) for one in value]
    return text if value == "@" else value


@st.composite
def events(draw: st.DrawFn) -> list[bytes]:
    """Events in one way of writing, some of them damaged."""
    how = draw(st.sampled_from(WRITTEN))
    most = draw(st.integers(0, 4))
    numbers = [most] * draw(st.integers(2, 8)) + draw(NUMBERS) + [most] * draw(st.integers(0, 4))
    out = []
    for number in numbers:
        payload = json.dumps(filled(SHAPES[number], draw(TEXT)), **how).encode()
        lines = b"".join(b"data: %b\n" % line for line in payload.split(b"\n"))
        out.append(lines + b"\n")
    if draw(st.booleans()):
        place = draw(st.integers(0, len(out) - 1))
        event, at = out[place], draw(st.integers(0, len(out[place]) - 1))
        byte = draw(
            st.sampled_from([b"", b'"', b"\\", b"\x00", b"\t", b"\n", b"\r", b"\xff", b"}"])
        )
        out[place] = event[:at] + byte + event[at + draw(st.integers(0, 1)) :]
    return out


def said(log: EventLog, fed: Fed) -> tuple[Any, ...]:
    """Everything that a log tells."""
    error = log.error and (log.error.reason, log.error.message, log.error.code)
    told = (log.events, log.texts, log.usage_at, log.size, log.text_bytes, log.done, error)
    return (*told, log.usage, log.model, log.finish_reason, log.first_token is None, fed.closed)


@settings(max_examples=500)
@given(events(), st.booleans(), st.integers(1, 3), st.booleans())
async def test_it_is_the_same_as_parsing_each(
    sent: list[bytes], ended: bool, samples: int, small: bool
) -> None:
    limit = 700 if small else 1 << 20
    (log, fed), (other, plain) = attached(600, limit, samples), attached(600, limit, samples)
    other._moulds = 0
    for event in [*sent, DONE] if ended else sent:
        if not log.take(event):  # the short way, as far as it goes
            fed.piece(event)
        plain.piece(event)
        assert said(log, fed) == said(other, plain)
    fed.end(None)
    plain.end(None)
    assert said(log, fed) == said(other, plain)


@settings(max_examples=200)
@given(events(), st.sets(st.integers(0, 3000), max_size=9))
async def test_it_is_the_same_however_it_is_cut(sent: list[bytes], cuts: set[int]) -> None:
    (log, fed), (other, plain) = attached(), attached()
    other._moulds = 0
    data = b"".join(sent) + DONE
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, stop in pairwise(edges):
        fed.piece(data[start:stop])
    for at in range(len(data)):
        plain.piece(data[at : at + 1])
    assert said(log, fed) == said(other, plain)


async def test_most_chunks_of_a_stream_are_not_parsed() -> None:
    log, fed = attached()
    shape = {"model": "m", "choices": [{"index": 0, "delta": {"content": "@"}}]}
    taken = 0
    for number in range(50):
        event = b"data: %b\n\n" % json.dumps(filled(shape, f"wörd {number}")).encode()
        if log.take(event):
            taken += 1
        else:
            fed.piece(event)
    assert taken == 0, "escaped letters are parsed"
    for number in range(50):
        text = json.dumps(filled(shape, f"wörd {number}"), ensure_ascii=False)
        event = b"data: %b\n\n" % text.encode()
        if log.take(event):
            taken += 1
        else:
            fed.piece(event)
    assert taken == 49
    assert log.text().endswith("wörd 48wörd 49") and len(log.events) == 100


async def test_a_stream_whose_chunks_all_differ_is_not_tried_for_ever() -> None:
    log, fed = attached()
    for number in range(20):
        shape = {"id": number, "choices": [{"index": 0, "delta": {"content": "a"}}]}
        fed.piece(b"data: %b\n\n" % json.dumps(shape).encode())
    assert log._moulds == 0 and log.text() == "a" * 20
