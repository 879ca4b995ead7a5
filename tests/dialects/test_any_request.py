"""Whatever a client sends, it is translated or refused by name: nothing else ever happens."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.clients import CLIENTS
from modelyard.auth.keys import UNLIMITED, Key
from modelyard.inference.call import CHAT, COUNT, EMBEDDING, Call
from modelyard.inference.providers.anthropic import Anthropic
from modelyard.inference.providers.bedrock import Bedrock
from modelyard.inference.providers.conform import conform
from modelyard.inference.providers.gemini import Gemini
from modelyard.inference.providers.provider import AttemptFailed
from modelyard.inference.providers.remote import Dialect, Remote
from modelyard.inference.surfaces import gemini_request, messages_request
from modelyard.inference.surfaces.translating import translated
from modelyard.inference.transport.client import Client
from modelyard.protocol.errors import Failure
from modelyard.settings import ProviderSettings

SETTINGS = ProviderSettings(base_url="http://h/v1", api_key="k", dialect="bedrock")
DIALECTS: list[Dialect] = [Anthropic("a"), Gemini("g"), Bedrock("b", SETTINGS)]
MAKERS = {"anthropic": messages_request.canonical, "gemini": gemini_request.canonical}
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "source", "function", "x"]), inner)
    ),
    max_leaves=6,
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every member."""
    found = [at] if at else []
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found += paths(inner, (*at, key))
    return found


def changed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """A copy with one member replaced."""
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = changed(value[at[0]], at[1:], new)
    return copy


def call(body: dict[str, Any], dialect: str) -> Call:
    key = Key(id="k", name="k", workspace="w", scopes=(), limits=UNLIMITED)
    return Call(
        id="r", record_id="r", key=key, surface=dialect, kind=CHAT, model="m", body=body,
        dialect=dialect, started=0.0, at=0.0,
    )  # fmt: skip


@pytest.mark.parametrize("surface", ["anthropic", "gemini"])
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_request(surface: str, data: st.DataObject) -> None:
    cases = [one for one in CLIENTS[surface].values() if "messages" in one[1] or
             "contents" in one[1]]  # fmt: skip
    _, asked = data.draw(st.sampled_from(cases))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(paths(asked)))
        asked = changed(asked, at, data.draw(VALUES))
    try:
        body = translated(MAKERS[surface], asked)
    except Failure as failure:
        assert failure.code.symbol == "INVALID_REQUEST"
        return
    one = call(body, surface)
    for dialect in DIALECTS:
        remote = Remote("p", SETTINGS, dialect, Client.__new__(Client), 1)
        try:
            sent = remote._write(one, "m", [])
        except AttemptFailed as failure:
            assert failure.code in ("MODEL_NOT_SUPPORTED", "INVALID_REQUEST")
            assert failure.field
        else:
            assert isinstance(msgspec.json.decode(sent), dict)
    try:
        made, _ = conform(one, "p", "m")
        msgspec.json.encode(made.body)
    except AttemptFailed as failure:
        assert failure.code in ("MODEL_NOT_SUPPORTED", "INVALID_REQUEST")


def test_the_kinds_that_a_dialect_has() -> None:
    assert [dialect.kinds for dialect in DIALECTS] == [
        {CHAT, COUNT},
        {CHAT, COUNT, EMBEDDING},
        {CHAT, EMBEDDING},
    ]
