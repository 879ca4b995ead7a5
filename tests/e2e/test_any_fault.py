"""Any two providers, faulty in any way: what looks complete is complete, and it ends in time."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from e2e.client import Client
from e2e.conftest import models, providers
from e2e.outcome import chat
from patience import LONG, until
from serving import Server
from upstream.plan import CONTENT_FILTERED, CONTEXT_TOO_LONG, Plan
from upstream.server import Upstream

TOKENS = 20
WHOLE = "".join(f"w{n} " for n in range(TOKENS))
QUICK = "connect_timeout = 1.0\nfirst_byte_timeout = 0.4\nidle_timeout = 0.4\nretries = 1"
_numbers = itertools.count()

events = st.integers(0, TOKENS + 3)
framing: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "gzip": st.booleans(),
        "close": st.booleans(),
        "split": st.sampled_from([None, None, 5, 64]),
        "newline": st.sampled_from([b"\n", b"\r\n", b"\r"]),
        "between": st.sampled_from([0.0, 0.0, 0.002]),
        "done": st.booleans(),
        "usage": st.sampled_from([None, {}]),
    }
)
faults = st.one_of(
    st.just({}),
    st.builds(lambda n, rst, clean: {"cut_after": n, "cut_reset": rst, "cut_clean": clean},
              events, st.booleans(), st.booleans()),
    st.builds(lambda n: {"stall_after": n}, events),
    st.builds(lambda n: {"malformed_at": n}, events),
    st.builds(lambda n: {"error_at": n}, events),
    st.builds(lambda s: {"status": s}, st.sampled_from([400, 401, 404, 429, 500, 503])),
    st.sampled_from(
        [
            {"silent": True},
            {"reset": True},
            {"hang_up": True},
            {"empty": True},
            {"content_type": "text/html"},
            {"big_headers": 100_000},
            {"raw": b"\x16\x03\x01garbage"},
            {"first_after": 2.0},
        ]
    ),
)  # fmt: skip
plans = st.one_of(
    st.builds(lambda how, fault: Plan(tokens=TOKENS, **(how | fault)), framing, faults),
    st.sampled_from([CONTENT_FILTERED, CONTEXT_TOO_LONG]),
)


@pytest.fixture(scope="module")
def api(upstream: Upstream, spare: Upstream) -> Iterator[Client]:
    gateway = "[gateway]\ntimeout = 10.0\ncircuit_failures = 100\n"
    with Server(gateway + providers(upstream, spare, QUICK) + models(1)) as server:
        yield Client(server.url, server.key)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=plans, second=plans, stream=st.booleans())
def test_what_looks_complete_is_complete(
    api: Client, upstream: Upstream, spare: Upstream, first: Plan, second: Plan, stream: bool
) -> None:
    upstream.on("c0", first)
    spare.on("c0", second)
    before = len(upstream.calls("c0")) + len(spare.calls("c0"))
    text = f"any {next(_numbers)}"
    if stream:
        outcome = chat(api, "c0", text)
        assert outcome.seconds < LONG
        assert not outcome.cut, "a stream ends as HTTP says"
        assert outcome.status != 500
        assert outcome.done != (outcome.error is not None), "complete, or an error"
        assert WHOLE.startswith(outcome.text)
        assert not outcome.done or outcome.text == WHOLE
    else:
        reply = api.chat("c0", text)
        assert reply.status != 500, reply.body
        assert (reply.status == 200) == (b'"error"' not in reply.body)
        if reply.status == 200:
            assert reply.json["choices"][0]["message"]["content"] == WHOLE
    assert len(upstream.calls("c0")) + len(spare.calls("c0")) - before <= 6


def test_a_good_pair_is_among_them(api: Client, upstream: Upstream) -> None:
    """Of the test itself: a plan without a fault is answered in full."""
    upstream.on("c0", replace(Plan(tokens=TOKENS), gzip=True))
    until(lambda: chat(api, "c0", "good").whole(TOKENS))  # within 0.4 s, which is short
