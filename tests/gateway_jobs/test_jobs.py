"""Inference jobs: submitted, run without their client, kept, cancelled, and never lost."""

import json
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import openai
import pytest

import postgres
from e2e.client import Client
from patience import until
from serving import Server, children_of, only
from upstream.plan import Plan
from upstream.server import Upstream

JOBS, PREDICTIONS = "/v1/ai-inference/jobs", "/v1/predictions"
CONFIG = """
[providers.main]
base_url = "{url}"
api_key = "up-secret"

[gateway]
max_payload_bytes = 4_000_000
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as started:
        yield started


@pytest.fixture(scope="module")
def server(upstream: Upstream) -> Iterator[Server]:
    with Server(CONFIG.format(url=upstream.url), workers=2) as started:
        yield started


@pytest.fixture(scope="module")
def api(server: Server) -> Client:
    return Client(server.url, server.key)


def submit(api: Client, ask: dict[str, Any], query: str = "") -> str:
    reply = api.post(JOBS + query, ask)
    assert reply.status == 202, reply.body
    assert reply.json["name"] == f"operations/{reply.json['id']}"
    assert reply.headers["location"] == f"{JOBS}/{reply.json['id']}"
    return str(reply.json["id"])


def known(server: Server, client: Client) -> Client:
    """Once both workers have heard of its key."""
    assert server.process is not None
    for pid in children_of(server.process.pid):
        with only(server, pid):
            until(lambda: client.get(JOBS).status == 200)
    return client


def ended(api: Client, job: str) -> dict[str, Any]:
    until(lambda: api.get(f"/v1/operations/{job}").json["done"])
    return dict(api.get(f"{JOBS}/{job}").json)


def test_a_job_of_the_gateways_own_surface(api: Client) -> None:
    job = submit(api, {"prompt": "Tell me of the sea.", "model": "sandbox", "priority": 9})
    shown = ended(api, job)
    assert (shown["status"], shown["model"], shown["priority"]) == ("succeeded", "sandbox", 8)
    result = api.get(shown["result_url"])
    assert result.status == 200 and result.json["metadata"]["sandbox"] is True
    assert api.get(f"/v1/operations/{job}").json["response"] == result.json
    kept = api.get(f"/v1/{shown['prediction']}").json
    assert kept["response"] == result.json and kept["operation"] == f"operations/{job}"
    api.trace(kept["request_id"])  # it went the way of every request
    assert job in {one["job_id"] for one in api.get(f"{JOBS}?status=succeeded").json["jobs"]}


def test_any_surface_answers_later_when_asked_to(server: Server, api: Client) -> None:
    client = openai.OpenAI(base_url=server.url + "/v1", api_key=server.key)
    raw = client.chat.completions.with_raw_response.create(
        model="sandbox",
        messages=[{"role": "user", "content": "hello"}],
        extra_headers={"Prefer": "wait=5, respond-async"},
    )
    assert raw.status_code == 202
    assert raw.headers["preference-applied"] == "respond-async"
    shown = ended(api, json.loads(raw.content)["id"])
    answer = api.get(shown["result_url"]).json
    assert answer["object"] == "chat.completion"
    body = {"contents": [{"parts": [{"text": "hello"}]}]}
    path = "/v1beta/models/sandbox:generateContent"
    reply = api.request("POST", path, body, headers={"Prefer": "respond-async"})
    assert reply.status == 202, reply.body
    shown = ended(api, reply.json["id"])
    assert shown["surface"] == path and shown["model"] == "sandbox"
    assert api.get(shown["result_url"]).json["candidates"]


def test_what_is_wrong_is_told_at_once_or_in_the_job(api: Client, upstream: Upstream) -> None:
    for ask, query, field in (
        ({"prompt": ""}, "", "prompt"),
        ({"prompt": "x", "stream": True}, "", "stream"),
        ({"prompt": "x"}, "?surface=/v1/nothing", "surface"),
    ):
        refused = api.post(JOBS + query, ask)
        assert (refused.status, refused.json["error"]["details"]["field"]) == (400, field)
    upstream.on("bad", Plan(status=400))
    shown = ended(api, submit(api, {"prompt": "x", "model": "main/bad"}))
    assert shown["status"] == "failed" and shown["prediction"] is None
    result = api.get(f"{JOBS}/{shown['job_id']}/result")
    assert result.code == shown["error"]["code"] and result.status >= 400
    assert api.get(f"{JOBS}/op_nothing").status == 404


def test_a_job_may_be_as_large_as_a_request(api: Client, upstream: Upstream) -> None:
    upstream.on("large", Plan(tokens=3))
    later = {"Prefer": "respond-async"}
    chat = {"model": "main/large", "messages": [{"role": "user", "content": "x" * 3_000_000}]}
    reply = api.request("POST", "/v1/chat/completions", chat, headers=later)
    assert reply.status == 202, reply.body
    shown = ended(api, reply.json["id"])
    assert (shown["status"], shown["model"]) == ("succeeded", "main/large"), shown
    sent = json.loads(upstream.calls("large")[0].body)
    assert len(sent["messages"][0]["content"]) == 3_000_000
    chat["messages"] *= 2
    refused = api.request("POST", "/v1/chat/completions", chat, headers=later)
    assert refused.status == 413
    assert refused.json["error"]["type"] == "invalid_request_error"  # as OpenAI's clients read it
    assert refused.json["error"]["details"] == {"limit_bytes": 4_000_000}


MESSAGES, GENERATE = "/v1/messages", "/v1beta/models/main%2Fwrong:generateContent"


@pytest.mark.parametrize("surface", [MESSAGES, GENERATE, "/v1/chat/completions"])
def test_errors_are_told_as_the_surface_tells_them(
    api: Client, upstream: Upstream, surface: str
) -> None:
    upstream.on("wrong", *[Plan(status=400)] * 2)
    ask = {
        MESSAGES: {"model": "main/wrong", "max_tokens": 9, "messages": [SAID]},
        GENERATE: {"contents": [{"parts": [{"text": "x"}]}]},
    }.get(surface, {"model": "main/wrong", "messages": [SAID]})
    now = api.request("POST", surface, ask)
    begun = api.request("POST", surface, ask, headers={"Prefer": "respond-async"})
    assert begun.status == 202, begun.body
    shown = ended(api, begun.json["id"])
    later = api.get(f"{JOBS}/{shown['job_id']}/result")
    assert (later.status, shape(later.json)) == (now.status, shape(now.json))
    unknown = api.with_key("sk-nobodys")
    now = unknown.request("POST", surface, ask)
    later = unknown.request("POST", surface, ask, headers={"Prefer": "respond-async"})
    assert (later.status, shape(later.json)) == (now.status, shape(now.json))


SAID = {"role": "user", "content": "x"}


def shape(value: Any) -> Any:
    """Which fields there are, and the codes in them."""
    if not isinstance(value, dict):
        return type(value)
    kept = ("type", "status", "code", "retryable")
    return {name: one if name in kept else shape(one) for name, one in value.items()}


def test_the_jobs_of_others_need_the_right_to_read_operations(server: Server, api: Client) -> None:
    scopes = ["inference:*", "operation:read"]
    asked = ({"name": "one"}, {"name": "two"}, {"name": "reader", "scopes": scopes})
    one, two, reader = (
        known(server, api.with_key(api.post("/v1/auth/keys", ask).json["key"])) for ask in asked
    )
    job = submit(one, {"prompt": "x", "model": "sandbox"})
    for who, sees in ((one, True), (two, False), (reader, True), (api, True)):
        assert (who.get(f"{JOBS}/{job}").status == 200) is sees
        assert (who.get(f"{JOBS}/{job}/result").status != 404) is sees
        assert (job in {found["job_id"] for found in who.get(JOBS).json["jobs"]}) is sees
    assert two.request("DELETE", f"{JOBS}/{job}").status == 404
    assert reader.request("DELETE", f"{JOBS}/{job}").status == 404  # it may only read


def test_a_provider_that_is_overloaded_is_asked_again(api: Client, upstream: Upstream) -> None:
    busy = Plan(status=429, retry_after="1")
    upstream.on("busy", busy, busy, busy, busy, Plan(tokens=3))
    shown = ended(api, submit(api, {"prompt": "x", "model": "main/busy"}))
    assert shown["status"] == "succeeded", shown


def test_a_cancelled_job_closes_its_call(api: Client, upstream: Upstream) -> None:
    upstream.on("slow", Plan(silent=True))
    job = submit(api, {"prompt": "x", "model": "main/slow"})
    until(lambda: len(upstream.calls("slow")) == 1)
    early = api.get(f"{JOBS}/{job}/result")
    assert (early.status, early.code) == (409, "CONFLICT")
    reply = api.request("DELETE", f"{JOBS}/{job}")
    assert reply.status == 200, reply.body
    assert ended(api, job)["status"] == "cancelled"
    until(lambda: upstream.calls("slow")[0].closed_at is not None)
    assert api.request("DELETE", f"{JOBS}/{job}").status == 200


def test_feedback_on_a_prediction(api: Client) -> None:
    shown = ended(api, submit(api, {"prompt": "rate me", "model": "sandbox"}))
    path = f"/v1/{shown['prediction']}"
    assert api.post(f"{path}/feedback", {}).status == 400
    assert api.post(f"{path}/feedback", {"rating": 2}).status == 400
    given = api.post(f"{path}/feedback", {"rating": 0.5, "ground_truth": {"label": "spam"}})
    assert given.status == 200, given.body
    [entry] = api.get(path).json["feedback"]
    assert (entry["rating"], entry["ground_truth"]) == (0.5, {"label": "spam"})
    assert api.request("DELETE", path).status == 204
    assert api.get(path).status == 404


def test_a_deleted_prediction_leaves_no_answer_behind(api: Client) -> None:
    job = submit(api, {"prompt": "Tell me of Zanzibar.", "model": "sandbox"})
    shown = ended(api, job)
    path = f"/v1/{shown['prediction']}"
    assert api.post(f"{path}/feedback", {"comment": "Zanzibar is an island"}).status == 200
    assert "Zanzibar" in api.get(shown["result_url"]).body.decode()
    assert api.request("DELETE", path).status == 204
    assert api.get(shown["result_url"]).status == 404
    assert api.get(f"/v1/operations/{job}").json["response"] is None
    trail = "/v1/governance/audit"

    def verbs() -> set[str]:
        return {one["verb"] for one in api.get(f"{trail}/operations/{job}").json.get("entries", [])}

    until(lambda: "operation.forget-response" in verbs())
    for name in (f"operations/{job}", shown["prediction"]):
        told = api.get(f"{trail}/{name}")
        assert told.status == 200 and len(told.json["entries"]) >= 3
        assert "Zanzibar" not in told.body.decode()


@pytest.mark.slow
def test_a_result_goes_when_its_time_is_over() -> None:
    days = 0.00003
    with Server(f"[jobs]\nprediction_days = {days}\n") as server:
        api = Client(server.url, server.key)
        shown = ended(api, submit(api, {"prompt": "x", "model": "sandbox"}))
        over = seconds(shown["finished_at"]) + days * 86400
        found = api.get(f"/v1/{shown['prediction']}").status == 200
        assert found or time.time() > over
        server.stop()
        until(lambda: time.time() > over + 0.1)
        server.start()  # it looks for what is over at once
        until(lambda: api.get(f"/v1/{shown['prediction']}").status == 404)
        until(lambda: api.get(f"{JOBS}/{shown['job_id']}").status == 404)


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def test_a_plain_key_may_submit_and_read_but_not_another_workspaces(
    server: Server, api: Client
) -> None:
    plain = known(server, api.with_key(api.post("/v1/auth/keys", {"name": "plain"}).json["key"]))
    job = submit(plain, {"prompt": "x", "model": "sandbox"})
    until(lambda: plain.get(f"{JOBS}/{job}").json["status"] == "succeeded")
    assert plain.get(f"{JOBS}/{job}/result").status == 200
    ask = {"name": "other", "workspace": "elsewhere", "scopes": ["*:*"]}
    other = known(server, api.with_key(api.post("/v1/auth/keys", ask).json["key"]))
    assert other.get(f"{JOBS}/{job}").status == 404
    assert other.get(f"{PREDICTIONS}/pred_{job.partition('_')[2]}").status == 404
    assert other.get(JOBS).json["jobs"] == []


def test_a_revoked_key_s_job_is_not_run(server: Server, api: Client, upstream: Upstream) -> None:
    upstream.on("held", Plan(status=429, retry_after="2"))
    made = api.post("/v1/auth/keys", {"name": "gone"}).json
    gone = known(server, api.with_key(made["key"]))
    job = submit(gone, {"prompt": "x", "model": "main/held"})
    until(lambda: bool(upstream.calls("held")))
    assert api.request("DELETE", f"/v1/auth/keys/{made['id']}").status == 204
    shown = ended(api, job)
    assert (shown["status"], shown["error"]["code"]) == ("failed", "UNAUTHENTICATED")


def test_a_secret_in_the_query_opens_but_is_not_kept(server: Server, api: Client) -> None:
    secret = api.post("/v1/auth/keys", {"name": "google"}).json["key"]
    known(server, api.with_key(secret))
    body = {"contents": [{"parts": [{"text": "hello"}]}]}
    path = "/v1beta/models/sandbox:generateContent"
    nobody = api.with_key(None)
    ask = {"Prefer": "respond-async"}
    for query in (f"?key={secret}", f"?alt=json&key={secret}"):
        reply = nobody.request("POST", path + query, body, headers=ask)
        assert reply.status == 202, reply.body
        shown = ended(api, reply.json["id"])
        assert shown["status"] == "succeeded" and "key" not in shown["surface"], shown
    asked = submit(api, body, f"?surface={path}%3Fkey%3D{secret}")
    shown = ended(api, asked)
    assert (shown["surface"], shown["model"]) == (path, "sandbox")
    assert api.get(f"/v1/{shown['prediction']}").json["model"] == "sandbox"


def test_a_model_key_is_answered_at_once(api: Client) -> None:
    made = api.post("/v1/auth/keys", {"name": "only models", "serving_only": True}).json
    body = {"model": "sandbox", "messages": [{"role": "user", "content": "hello"}]}
    serving = api.with_key(None)
    headers = {"Prefer": "respond-async"}

    def ask(secret: str | None) -> Any:
        return serving.request(
            "POST", "/v1/chat/completions", body, headers=headers | {"X-Model-Key": str(secret)}
        )

    until(lambda: all(ask(made["key"]).status == 200 for _ in range(4)))
    assert ask(api.key).status == 202  # that one can read its jobs
    assert ask("wrong").status == 401


def test_a_field_that_its_surface_passes_over_fails_no_job(api: Client) -> None:
    body = {"model": 5, "contents": [{"parts": [{"text": "hello"}]}]}
    path = "/v1beta/models/sandbox:generateContent"
    shown = ended(api, submit(api, body, f"?surface={path}"))
    assert shown["status"] == "succeeded", shown


def test_a_limit_that_lasts_for_hours_ends_the_job(
    server: Server, api: Client, upstream: Upstream
) -> None:
    ask = {"name": "daily", "limits": {"requests_per_day": 1}}
    daily = known(server, api.with_key(api.post("/v1/auth/keys", ask).json["key"]))
    jobs = [submit(daily, {"prompt": f"x{n}", "model": "sandbox"}) for n in range(4)]
    ends = [ended(api, job) for job in jobs]  # each process has a count of its own
    failed = [one for one in ends if one["status"] == "failed"]
    assert failed and {one["error"]["code"] for one in failed} == {"QUOTA_EXCEEDED"}


@pytest.mark.slow
def test_servers_that_share_a_database_begin_each_job_once(
    postgresql: postgres.Server, upstream: Upstream
) -> None:
    upstream.on("long", *[Plan(headers_after=3.0) for _ in range(20)])
    config = CONFIG.format(url=upstream.url) + "[jobs]\ninferences = 1\n"
    env = {"MODELYARD_DATABASE_URL": postgresql.create()}
    two = Server(config, env=env)
    with Server(config, env=env) as one:
        shutil.copy(one.home / "pepper", two.home)
        with two:
            both = [Client(one.url, one.key), Client(two.url, two.key)]
            jobs = [
                submit(both[n % 2], {"prompt": f"x{n}", "model": "main/long"}) for n in range(8)
            ]
            shown = [ended(both[0], job) for job in jobs]
            assert [(one["status"], one["attempts"]) for one in shown] == [("succeeded", 1)] * 8
    assert len(upstream.calls("long")) == 8


@pytest.mark.slow
def test_after_a_kill_the_job_is_run_again(upstream: Upstream) -> None:
    upstream.on("killed", Plan(silent=True), Plan(tokens=3))
    with Server(CONFIG.format(url=upstream.url)) as server:
        api = Client(server.url, server.key)
        job = submit(api, {"prompt": "x", "model": "main/killed"})
        until(lambda: len(upstream.calls("killed")) == 1)
        server.kill()
        server.start()
        shown = ended(api, job)
        assert shown["status"] == "succeeded" and shown["attempts"] == 2


@pytest.mark.slow
def test_a_stop_gives_the_job_back(upstream: Upstream) -> None:
    upstream.on("stopped", Plan(silent=True), Plan(tokens=3))
    with Server(CONFIG.format(url=upstream.url)) as server:
        api = Client(server.url, server.key)
        job = submit(api, {"prompt": "x", "model": "main/stopped"})
        until(lambda: len(upstream.calls("stopped")) == 1)
        server.stop()
        server.start()
        assert ended(api, job)["status"] == "succeeded"
