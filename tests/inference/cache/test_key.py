"""The cache key: what changes an answer changes it, and nothing else does."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelyard.inference.cache.key import IGNORED, as_keyed, cache_key

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
BODIES = st.dictionaries(st.text(max_size=12).filter(lambda n: n not in IGNORED), JSON, max_size=5)
NAMES = st.text(max_size=10)
ASKED = st.tuples(NAMES, NAMES, st.binary(max_size=10), st.booleans(), BODIES)


def shuffled(value: Any, turn: int) -> Any:
    """The same value with the members of its objects in another order."""
    if isinstance(value, dict):
        items = [(name, shuffled(one, turn)) for name, one in value.items()]
        cut = turn % (len(items) or 1)
        return dict(reversed(items[cut:] + items[:cut]))
    if isinstance(value, list):
        return [shuffled(one, turn) for one in value]
    return value


def canonical(asked: tuple[str, str, bytes, bool, dict[str, Any]]) -> str:
    """An independent reading of "the same question"."""
    workspace, kind, fingerprint, stream, body = asked
    return repr((workspace, kind, fingerprint, stream, json.dumps(body, sort_keys=True)))


@given(ASKED, ASKED)
def test_different_questions_have_different_keys(one: Any, two: Any) -> None:
    assert (cache_key(*one) == cache_key(*two)) == (canonical(one) == canonical(two))


@given(ASKED, st.integers(0, 4), NAMES, st.binary(max_size=10))
def test_each_part_counts(asked: Any, part: int, text: str, data: bytes) -> None:
    other = list(asked)
    other[part] = {0: text, 1: text, 2: data, 3: not asked[3], 4: {**asked[4], "n": text}}[part]
    assume(other[part] != asked[part])
    assert cache_key(*asked) != cache_key(*other)


@given(NAMES, NAMES, st.binary(max_size=10), BODIES, st.integers(1, 9))
def test_nothing_moves_from_one_part_to_the_next(
    workspace: str, kind: str, fingerprint: bytes, body: dict[str, Any], cut: int
) -> None:
    """Parts that give the same text when they are joined are still different."""
    joined = workspace + kind
    assume(len(workspace) != cut <= len(joined))
    moved = (joined[:cut], joined[cut:])
    key = cache_key(workspace, kind, fingerprint, False, body)
    assert key != cache_key(*moved, fingerprint, False, body)


@given(ASKED, st.integers(0, 5))
def test_the_order_of_members_does_not_matter(asked: Any, turn: int) -> None:
    body = json.loads(json.dumps(shuffled(asked[4], turn), indent=3))
    assert cache_key(*asked) == cache_key(*asked[:4], body)


def test_the_order_of_elements_does() -> None:
    one = cache_key("w", "chat", b"", False, {"messages": [1, 2]})
    assert one != cache_key("w", "chat", b"", False, {"messages": [2, 1]})


@given(ASKED, st.sampled_from(sorted(IGNORED)), JSON)
def test_what_changes_no_answer_does_not_matter(asked: Any, field: str, value: Any) -> None:
    assert cache_key(*asked) == cache_key(*asked[:4], {**asked[4], field: value})


@pytest.mark.parametrize(
    "field",
    ["messages", "temperature", "top_p", "seed", "max_tokens", "max_completion_tokens", "stop",
     "n", "tools", "tool_choice", "response_format", "logprobs", "logit_bias", "prompt", "input",
     "dimensions", "encoding_format", "reasoning_effort", "modalities", "audio", "top_k",
     "presence_penalty", "frequency_penalty", "guided_json", "anything_new"],
)  # fmt: skip
def test_what_changes_an_answer_does(field: str) -> None:
    bodies: list[dict[str, Any]] = [{}, {field: None}, {field: 1}, {field: "1"}, {field: [1]}]
    assert len({cache_key("w", "chat", b"m", False, body) for body in bodies}) == 5


def test_a_name_inside_is_no_field_of_the_request() -> None:
    """Only top-level members are ignored."""
    one = cache_key("w", "chat", b"", False, {"messages": [{"role": "user", "user": "a"}]})
    assert one != cache_key("w", "chat", b"", False, {"messages": [{"role": "user", "user": "b"}]})


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object each of whose members is there once."""
    made = dict(pairs)
    assert len(made) == len(pairs)
    return made


@given(BODIES, st.booleans(), st.booleans())
def test_a_request_is_sent_as_it_came(body: dict[str, Any], spaced: bool, escaped: bool) -> None:
    raw = json.dumps(body, indent=2 if spaced else None, ensure_ascii=escaped).encode()
    sent = as_keyed(raw, body)
    assert sent == raw or b"\\u" in raw
    assert msgspec.json.decode(sent) == body


@given(JSON, JSON, st.booleans())
def test_of_a_member_that_is_there_twice_what_has_the_key_is_sent(
    first: Any, last: Any, nested: bool
) -> None:
    twice = f'{{"a":{json.dumps(first)},"b":1,"a":{json.dumps(last)}}}'
    raw = (f'{{"c":[{twice}]}}' if nested else twice).encode()
    body = msgspec.json.decode(raw)
    assert json.loads(as_keyed(raw, body), object_pairs_hook=once) == body


def test_escapes_do_not_hide_a_member_that_is_there_twice() -> None:
    raw = rb'{"a":"evil","a":"\u0022\u0022\u0022\u0022"}'
    assert as_keyed(raw, msgspec.json.decode(raw)) == rb'{"a":"\"\"\"\""}'
