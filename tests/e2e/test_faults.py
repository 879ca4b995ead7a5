"""Sixteen provider faults (Failover Bench, methodology v0.1): the caller gets the whole answer
or a clean error; never a hang, never a truncated answer that looks complete.

All calls are streamed, with a primary (``main``) and a fallback (``spare``); 60 tokens.
"""

import json
import time
from collections.abc import Iterator

import pytest

from e2e.client import Client
from e2e.conftest import models, providers
from e2e.outcome import chat
from patience import LONG
from serving import Server
from upstream.plan import CONTENT_FILTERED, CONTEXT_TOO_LONG, Plan
from upstream.server import Upstream

TOKENS = 60
GOOD = Plan(tokens=TOKENS)
PACE = 0.003  # seconds between events, so that the first ones are sent before the fault
QUICK = "connect_timeout = 1.0\nfirst_byte_timeout = 2.0\nidle_timeout = 2.0\nretries = 1"
# No machine is too slow for it: whoever is to answer does.
PATIENT = "connect_timeout = 60.0\nfirst_byte_timeout = 60.0\nidle_timeout = 60.0\nretries = 1"
CIRCUIT = "[gateway]\ntimeout = 90.0\ncircuit_failures = 3\ncircuit_seconds = 3.0\n"


@pytest.fixture(scope="module")
def api(upstream: Upstream, spare: Upstream) -> Iterator[Client]:
    with Server(CIRCUIT + providers(upstream, spare, PATIENT) + models()) as server:
        yield Client(server.url, server.key)


@pytest.fixture(scope="module")
def hasty(upstream: Upstream, spare: Upstream) -> Iterator[Client]:
    """A server that gives up its first provider soon."""
    both = providers(upstream, spare, PATIENT).replace(PATIENT, QUICK, 1)
    with Server(CIRCUIT + both + models()) as server:
        yield Client(server.url, server.key)


@pytest.fixture(autouse=True)
def good_fallback(spare: Upstream, chain: str) -> None:
    spare.on(chain, GOOD)


def in_first(seconds: float, *upstreams: Upstream, model: str) -> int:
    """How many attempts came within ``seconds`` of the first."""
    times = sorted(call.at for server in upstreams for call in server.calls(model))
    return sum(at - times[0] <= seconds for at in times)


def healthy_afterwards(api: Client, upstream: Upstream, model: str) -> bool:
    """Whether the next call of the same model is answered in full."""
    upstream.on(model, GOOD)
    return chat(api, model, "afterwards").whole(TOKENS)


def test_s01_429_with_retry_after(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    upstream.on(chain, Plan(status=429, retry_after="2"), GOOD)
    assert chat(api, chain).whole(TOKENS)
    assert in_first(1.5, upstream, spare, model=chain) <= 2
    calls = upstream.calls(chain)
    assert len(calls) == 1 or calls[1].at - calls[0].at >= 1.8


def test_s01_without_a_fallback(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(status=429, retry_after="1"), GOOD)
    assert chat(api, model).whole(TOKENS)
    first, second = upstream.calls(model)
    assert 0.9 < second.at - first.at < 30


def test_s01_a_wait_too_long_is_the_client_s(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(status=429, retry_after="3600"))
    outcome = chat(api, model)
    assert outcome.status == 429 and outcome.seconds < LONG
    assert outcome.headers["retry-after"] == "3600"
    assert len(upstream.calls(model)) == 1


def test_s02_429_without_retry_after(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    upstream.on(chain, Plan(status=429))
    assert chat(api, chain).whole(TOKENS)
    assert in_first(3.0, upstream, spare, model=chain) <= 4
    assert len(upstream.calls(chain)) + len(spare.calls(chain)) <= 6


def test_s03_one_500(api: Client, upstream: Upstream, spare: Upstream, chain: str) -> None:
    upstream.on(chain, Plan(status=500), GOOD)
    assert chat(api, chain).whole(TOKENS)
    assert len(upstream.calls(chain)) == 2
    assert spare.calls(chain) == []


def test_s04_every_attempt_503(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    upstream.on(chain, Plan(status=503))
    assert chat(api, chain).whole(TOKENS)
    assert (len(upstream.calls(chain)), len(spare.calls(chain))) == (2, 1)


def test_s05_reset_before_headers(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    upstream.on(chain, Plan(reset=True), GOOD)
    outcome = chat(api, chain)
    assert outcome.whole(TOKENS)
    assert outcome.seconds < LONG
    assert len(upstream.calls(chain)) + len(spare.calls(chain)) == 2


def test_s06_never_answered(hasty: Client, upstream: Upstream, spare: Upstream, chain: str) -> None:
    upstream.on(chain, Plan(silent=True))
    outcome = chat(hasty, chain)
    assert outcome.whole(TOKENS)
    assert 0.9 < outcome.seconds < LONG
    assert len(upstream.calls(chain)) == 1, "a silent route is not tried again"
    assert len(spare.calls(chain)) == 1
    upstream.wait_for(lambda: upstream.calls(chain)[0].closed_at is not None)


def test_s07_first_token_late(
    hasty: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    upstream.on(chain, Plan(tokens=TOKENS, first_after=600))
    outcome = chat(hasty, chain)
    assert outcome.whole(TOKENS)
    assert outcome.seconds < LONG
    assert (len(upstream.calls(chain)), len(spare.calls(chain))) == (1, 1)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_s08_dies_after_40_tokens(
    api: Client, upstream: Upstream, spare: Upstream, chain: str, reset: bool
) -> None:
    upstream.on(chain, Plan(tokens=TOKENS, cut_after=40, cut_reset=reset, between=PACE))
    outcome = chat(api, chain)
    assert outcome.whole(TOKENS) or outcome.clean_error()
    assert len(upstream.calls(chain)) == 1


def test_s08_ends_early_without_any_error_below(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    """A well-formed body with neither finish_reason nor [DONE] is as truncated as a reset."""
    upstream.on(chain, Plan(tokens=TOKENS, cut_after=40, cut_clean=True, between=PACE))
    outcome = chat(api, chain)
    assert outcome.whole(TOKENS) or outcome.clean_error()


def test_s08_one_of_two_choices_is_unfinished(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    """Two roles, six tokens, the first choice's end; the second choice's end is missing."""
    upstream.on(chain, Plan(tokens=3, cut_after=9, cut_clean=True, between=PACE))
    outcome = chat(api, chain, n=2)
    assert not outcome.done and outcome.error is not None


def test_s08_cut_after_the_answer_s_own_end(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    """Role, tokens and finish_reason came; usage and [DONE] did not: the answer is whole."""
    upstream.on(chain, Plan(tokens=TOKENS, cut_after=TOKENS + 2))
    outcome = chat(api, chain, headers={"X-Request-ID": f"s08-{chain}"})
    assert outcome.whole(TOKENS)
    record = api.trace(f"s08-{chain}")
    assert record["usage_estimated"] is True and record["output_tokens"] > TOKENS / 2


def test_s09_the_role_and_then_silence(
    hasty: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    """Nothing of the answer was said yet: another target may still say it."""
    upstream.on(chain, Plan(tokens=TOKENS, stall_after=1, stall_for=600))
    outcome = chat(hasty, chain)
    assert outcome.whole(TOKENS)
    assert outcome.seconds < LONG
    assert len(spare.calls(chain)) == 1


def test_s09_stalls_after_20_tokens(
    hasty: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    upstream.on(chain, Plan(tokens=TOKENS, stall_after=20, stall_for=600))
    outcome = chat(hasty, chain)
    assert outcome.whole(TOKENS) or outcome.clean_error()
    assert outcome.seconds < LONG
    upstream.wait_for(lambda: upstream.calls(chain)[0].closed_at is not None)
    assert healthy_afterwards(hasty, upstream, chain)


def test_s10_malformed_event(api: Client, upstream: Upstream, spare: Upstream, chain: str) -> None:
    upstream.on(chain, Plan(tokens=TOKENS, malformed_at=9, between=PACE))
    outcome = chat(api, chain)
    expected = "".join(f"w{n} " for n in range(TOKENS) if n != 8)
    skipped = outcome.done and outcome.text == expected
    assert skipped or outcome.whole(TOKENS) or outcome.clean_error()
    assert healthy_afterwards(api, upstream, chain)


def test_s11_complete_without_done(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    upstream.on(chain, Plan(tokens=TOKENS, done=False))
    outcome = chat(api, chain, stream_options={"include_usage": True})
    assert outcome.whole(TOKENS)
    assert outcome.seconds < LONG
    assert json.loads(outcome.events[-2])["usage"]["completion_tokens"] == TOKENS
    assert (len(upstream.calls(chain)), len(spare.calls(chain))) == (1, 0)


def test_s12_context_too_long(api: Client, upstream: Upstream, spare: Upstream, chain: str) -> None:
    upstream.on(chain, CONTEXT_TOO_LONG)
    assert chat(api, chain).whole(TOKENS)
    assert (len(upstream.calls(chain)), len(spare.calls(chain))) == (1, 1)


def test_s13_content_policy(api: Client, upstream: Upstream, spare: Upstream, chain: str) -> None:
    upstream.on(chain, CONTENT_FILTERED)
    outcome = chat(api, chain)
    assert outcome.status == 400
    assert outcome.error is not None
    assert outcome.error["code"] == "CONTENT_FILTERED"
    assert "safety system" in outcome.error["message"]
    assert len(upstream.calls(chain)) + len(spare.calls(chain)) == 1


def test_s14_the_fallback_refuses_a_prefill(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    prefill = "Prefilling assistant messages is not supported for this model."
    upstream.on(chain, Plan(tokens=TOKENS, cut_after=40, between=PACE))
    spare.on(chain, Plan(status=400, error={"message": prefill, "type": "invalid_request_error"}))
    outcome = chat(api, chain)
    assert outcome.clean_error()
    assert "refill" not in json.dumps(outcome.error)


def test_s15_an_outage_of_a_while(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    """503 for a while: served throughout, few calls into the outage, back afterwards."""
    upstream.on(chain, Plan(status=503))
    served = [chat(api, chain, f"during {number}").whole(TOKENS) for number in range(60)]
    wasted = len(upstream.calls(chain))
    assert all(served)
    assert wasted < len(served), "the circuit never opened"
    upstream.on(chain, GOOD)
    recovered = time.monotonic()
    while len([call for call in upstream.calls(chain) if call.at > recovered]) < 3:
        assert chat(api, chain, f"after {time.monotonic()}").whole(TOKENS)
        assert time.monotonic() - recovered < 60, "never back on the primary"
        time.sleep(0.05)


def test_s16_the_fallback_s_name_and_usage(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    upstream.on(chain, Plan(status=503))
    usage = {"prompt_tokens": 33, "completion_tokens": 60, "total_tokens": 93}
    spare.on(chain, Plan(tokens=TOKENS, model="the-other-model", usage=usage))
    outcome = chat(api, chain, headers={"X-Request-ID": f"s16-{chain}"})
    assert outcome.whole(TOKENS)
    assert outcome.model == "the-other-model"
    assert outcome.headers["x-modelyard-target"] == f"spare/{chain}"
    record = api.trace(f"s16-{chain}")
    assert record["model_version"] == "the-other-model"
    assert (record["input_tokens"], record["output_tokens"]) == (33, 60)
    assert record["actual_cost"] == pytest.approx((33 * 2 + 60 * 10) / 1e6)
    outcomes = [attempt["outcome"] for attempt in record["attempts"]]
    assert outcomes == ["http_503", "http_503", "ok"]


def test_a_stall_in_mid_stream_is_told_as_a_timeout(
    hasty: Client, upstream: Upstream, model: str
) -> None:
    upstream.on(model, Plan(tokens=TOKENS, stall_after=20, stall_for=600))
    outcome = chat(hasty, model)
    assert outcome.clean_error() and outcome.error is not None
    assert outcome.error["code"] == "INFERENCE_TIMEOUT"
