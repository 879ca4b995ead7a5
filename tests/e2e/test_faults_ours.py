"""Faults beyond the sixteen, streamed and in one piece."""

import gzip
import json
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from e2e.client import Client
from e2e.conftest import models, providers
from e2e.outcome import chat
from e2e.test_faults import CIRCUIT, GOOD, PACE, PATIENT, QUICK, TOKENS
from serving import Server
from upstream.plan import Plan
from upstream.server import Upstream, closed_port

LIMITS = "max_response_bytes = 2000000\n"


@pytest.fixture(scope="module")
def api(upstream: Upstream, spare: Upstream) -> Iterator[Client]:
    config = CIRCUIT + LIMITS + providers(upstream, spare, PATIENT) + models()
    with Server(config) as server:
        yield Client(server.url, server.key)


@pytest.fixture(scope="module")
def hasty(upstream: Upstream, spare: Upstream) -> Iterator[Client]:
    """A server that gives up its first provider soon."""
    both = providers(upstream, spare, PATIENT).replace(PATIENT, QUICK, 1)
    with Server(CIRCUIT + LIMITS + both + models()) as server:
        yield Client(server.url, server.key)


@pytest.fixture(scope="module")
def hastier(upstream: Upstream, spare: Upstream) -> Iterator[Client]:
    """A server that gives up either soon."""
    with Server(CIRCUIT + LIMITS + providers(upstream, spare, QUICK) + models()) as server:
        yield Client(server.url, server.key)


BEFORE_THE_FIRST_TOKEN = {
    "wrong content type": Plan(content_type="text/html"),
    "empty 200": Plan(empty=True),
    "not HTTP": Plan(raw=b"SSH-2.0-OpenSSH_9.2\r\n"),
    "hangs up": Plan(hang_up=True),
    "100 kB of headers": Plan(tokens=TOKENS, big_headers=100_000),
    "403": Plan(status=403),
    "redirect": Plan(status=302, headers={"location": "http://127.0.0.1:1/elsewhere"}),
}


@pytest.mark.parametrize("plan", BEFORE_THE_FIRST_TOKEN.values(), ids=BEFORE_THE_FIRST_TOKEN)
def test_the_fallback_answers_a_stream(
    api: Client, upstream: Upstream, spare: Upstream, chain: str, plan: Plan
) -> None:
    upstream.on(chain, plan)
    spare.on(chain, GOOD)
    outcome = chat(api, chain)
    assert outcome.whole(TOKENS)
    assert outcome.headers["x-modelyard-target"] == f"spare/{chain}"
    assert 1 <= len(upstream.calls(chain)) <= 2
    assert len(spare.calls(chain)) == 1


def raw_json(value: object, *, times: int = 1) -> Plan:
    """A 200 with this body, the whole answer sent so many times on the connection."""
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return Plan(raw=(head % len(body) + body) * times)


def bomb(size: int) -> Plan:
    """A small compressed answer that is a large one."""
    body = gzip.compress(b'{"id": "' + b"x" * size + b'"}')
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    return Plan(raw=head % len(body) + body)


IN_ONE_PIECE = BEFORE_THE_FIRST_TOKEN | {
    "wrong content type": Plan(raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>"),
    "broken JSON": Plan(malformed_at=0),
    "cut inside the body": Plan(cut_after=0),
    "stalls inside the body": Plan(stall_after=0),
    "endless body": Plan(endless=True),
    "JSON that is no object": raw_json([]),
    "an error in a 200": raw_json({"error": {"message": "overloaded", "type": "server_error"}}),
    "decompression bomb": bomb(100_000_000),
    "no choices": raw_json({"id": "x", "object": "chat.completion"}),
}


@pytest.mark.parametrize("plan", IN_ONE_PIECE.values(), ids=IN_ONE_PIECE)
def test_the_fallback_answers(
    hasty: Client, upstream: Upstream, spare: Upstream, chain: str, plan: Plan
) -> None:
    upstream.on(chain, plan)
    reply = hasty.chat(chain)
    assert reply.status == 200, reply.body
    assert reply.json["choices"][0]["message"]["content"] == "w0 w1 w2 "
    assert reply.headers["x-modelyard-target"] == f"spare/{chain}"
    assert 1 <= len(upstream.calls(chain)) <= 2
    assert len(spare.calls(chain)) == 1


@pytest.mark.parametrize("plan", IN_ONE_PIECE.values(), ids=IN_ONE_PIECE)
def test_nobody_answers(
    hastier: Client, upstream: Upstream, spare: Upstream, chain: str, plan: Plan
) -> None:
    upstream.on(chain, plan)
    spare.on(chain, plan)
    reply = hastier.chat(chain)
    assert reply.status in (502, 503, 504)
    assert reply.code in ("PROVIDER_ERROR", "PROVIDER_UNAVAILABLE", "INFERENCE_TIMEOUT")
    assert len(upstream.calls(chain)) + len(spare.calls(chain)) <= 4
    text = reply.body.decode()
    assert "Traceback" not in text and "secret" not in text


def test_an_error_event_before_any_token(
    api: Client, upstream: Upstream, spare: Upstream, chain: str
) -> None:
    upstream.on(chain, Plan(error_at=0))
    spare.on(chain, GOOD)
    assert chat(api, chain).whole(TOKENS)
    assert len(spare.calls(chain)) == 1


def test_an_error_event_in_mid_stream(api: Client, upstream: Upstream, model: str) -> None:
    upstream.on(model, Plan(tokens=TOKENS, error_at=10, between=PACE))
    assert chat(api, model).clean_error()


def test_an_endless_event(api: Client, upstream: Upstream, model: str) -> None:
    """One event that never ends is given up at the size limit, not kept in memory."""
    upstream.on(model, Plan(endless=True))
    assert chat(api, model).clean_error()
    upstream.wait_for(lambda: upstream.calls(model)[-1].closed_at is not None)


@pytest.mark.parametrize("stream", [False, True])
def test_usage_that_is_not_reported_is_counted_here(
    api: Client, upstream: Upstream, model: str, stream: bool
) -> None:
    upstream.on(model, Plan(tokens=20, usage=None))
    headers = {"X-Request-ID": f"counted-{model}"}
    if stream:
        assert chat(api, model, headers=headers).whole(20)
    else:
        assert api.chat(model, headers=headers).status == 200
    record = api.trace(f"counted-{model}")
    assert record["usage_estimated"] is True
    assert record["input_tokens"] > 0 and 10 <= record["output_tokens"] <= 60
    assert record["actual_cost"] > 0


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "1e999", "soon", "", "9" * 400])
def test_a_retry_after_that_is_no_time(
    api: Client, upstream: Upstream, model: str, value: str
) -> None:
    upstream.on(model, Plan(status=429, retry_after=value))
    reply = api.chat(model)
    assert (reply.status, reply.code) == (429, "RATE_LIMITED"), reply.body
    assert len(upstream.calls(model)) <= 2
    json.loads(reply.body, parse_constant=lambda name: pytest.fail(f"{name} in the body"))


def test_a_provider_s_words_do_not_become_headers(
    api: Client, upstream: Upstream, model: str
) -> None:
    upstream.on(model, Plan(model="evil\r\nX-Evil: 1\u20ac", id="\r\nX-Evil: 2"))
    for stream in (False, True):
        reply = api.chat(model, stream=stream)
        assert reply.status == 200
        assert "x-evil" not in reply.headers


def test_another_request_s_id(api: Client, upstream: Upstream, model: str) -> None:
    """Each connection carries one call at a time, so an odd id is the provider's own affair:
    the answer is the one to this call, and our request id stays ours.
    """
    upstream.on(model, Plan(id="chatcmpl-of-somebody-else", headers={"x-request-id": "theirs"}))
    reply = api.chat(model, headers={"X-Request-ID": f"mine-{model}"})
    assert reply.status == 200
    assert reply.headers["x-request-id"] == f"mine-{model}"
    assert api.trace(f"mine-{model}")["request_id"] == f"mine-{model}"


def test_bytes_after_an_answer_never_answer_the_next_call(
    api: Client, upstream: Upstream, model: str
) -> None:
    """A surplus answer on the connection is not taken for the next request's."""
    stolen = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "stolen"}}]}
    upstream.on(model, raw_json(stolen, times=2), Plan())
    first, second = api.chat(model, "one"), api.chat(model, "two")
    assert first.json["choices"][0]["message"]["content"] == "stolen"
    assert second.json["choices"][0]["message"]["content"] == "w0 w1 w2 "


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "plan", [Plan(gzip=True), Plan(close=True), Plan(gzip=True, close=True)], ids=str
)
def test_any_framing_of_a_good_answer(
    api: Client, upstream: Upstream, model: str, plan: Plan, stream: bool
) -> None:
    upstream.on(model, plan)
    if stream:
        assert chat(api, model).whole(3)
    else:
        reply = api.chat(model)
        assert reply.json["choices"][0]["message"]["content"] == "w0 w1 w2 "
        assert "content-encoding" not in reply.headers
    assert len(upstream.calls(model)) == 1


def test_a_connection_closed_while_idle_costs_nothing(
    api: Client, upstream: Upstream, model: str
) -> None:
    for number in range(5):
        upstream.drop()
        assert api.chat(model, f"again {number}").status == 200
    assert len(upstream.calls(model)) == 5


# -- failures below HTTP, each on a server whose providers are unreachable in its own way


def unreachable(name: str, url: str, more: str = "") -> str:
    provider = f'[providers.{name}]\nbase_url = "{url}"\napi_key = "k"\n{PATIENT}\n{more}\n'
    return provider + f'[[models]]\nname = "{name}"\ntargets = ["{name}/m"]\n'


def certificate(directory: Any, name: str) -> tuple[ssl.SSLContext, str]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    path = directory / f"{name}.pem"
    authority.cert_pem.write_to_path(path)
    return context, str(path)


@pytest.fixture(scope="module")
def broken(spare: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    directory = tmp_path_factory.mktemp("certificates")
    wrong, wrong_ca = certificate(directory, "other.example")
    right, right_ca = certificate(directory, "127.0.0.1")
    sock, refused = closed_port()
    with sock, Upstream(tls=wrong) as mismatched, Upstream(tls=right) as trusted:
        config = (
            f'[providers.spare]\nbase_url = "{spare.url}"\napi_key = "k"\n'
            + unreachable("mismatch", mismatched.url, f'ca_file = "{wrong_ca}"')
            + unreachable("untrusted", trusted.url)
            + unreachable("trusted", trusted.url, f'ca_file = "{right_ca}"')
            + unreachable("nowhere", "http://no-such-host.invalid/v1")
            + unreachable("refused", refused)
            + '[[models]]\nname = "three"\ntargets = ["refused/m", "mismatch/m", "spare/m3"]\n'
        )
        with Server(config) as server:
            yield Client(server.url, server.key)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("mismatch", "tls"), ("untrusted", "tls"), ("nowhere", "dns"), ("refused", "connect")],
)
def test_a_clear_error_of_its_own(broken: Client, name: str, reason: str) -> None:
    reply = broken.chat(name, headers={"X-Request-ID": f"r-{name}"})
    assert (reply.status, reply.code) == (503, "PROVIDER_UNAVAILABLE")
    attempts = broken.trace(f"r-{name}")["attempts"]
    assert {attempt["outcome"] for attempt in attempts} == {reason}


def test_a_private_authority_is_trusted_when_set(broken: Client) -> None:
    assert broken.chat("trusted").status == 200


def test_two_failures_in_a_row_across_three_targets(broken: Client, spare: Upstream) -> None:
    reply = broken.chat("three", headers={"X-Request-ID": "three-targets"})
    assert reply.status == 200
    assert reply.headers["x-modelyard-target"] == "spare/m3"
    assert len(spare.calls("m3")) == 1
    targets = [attempt["target"] for attempt in broken.trace("three-targets")["attempts"]]
    assert list(dict.fromkeys(targets)) == ["refused/m", "mismatch/m", "spare/m3"]
