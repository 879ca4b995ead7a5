"""The semantic cache through a real server, a real process and a real model."""

import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from e2e.client import Client, Reply, text_of
from modelyard.inference.local.models import MINILM, folder_of
from patience import until
from semantic.conftest import READY, Running, Start
from serving import alive
from upstream.plan import Plan
from upstream.server import Upstream

pytestmark = pytest.mark.slow

FRANCE, SAME, OTHER = "capital of France", "What is the capital of France?", "capital of Spain"


def ask(api: Client, text: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    reply = api.chat("m", text, headers, **more)
    assert reply.status == 200, reply.body
    return reply


def source(reply: Reply) -> str:
    return reply.headers["x-modelyard-cache"]


def until_hit(api: Client, first: str, second: str, seconds: float = 60.0) -> None:
    """Until what was asked in some words is found in others."""
    deadline = time.monotonic() + seconds
    number = 0
    while True:
        number += 1
        ask(api, f"{first} {number}")
        if source(ask(api, f"{second} {number}")) == "semantic":
            return
        assert time.monotonic() < deadline, "no hit"
        time.sleep(0.1)


def test_a_hit_says_what_it_is_and_costs_nothing(serve: Start, upstream: Upstream) -> None:
    server = serve('mode = "on"\nsample = 0')
    api = server.api
    upstream.on("m", Plan(text="Paris"))
    assert source(ask(api, FRANCE)) == "miss"
    hit = ask(api, SAME, {"X-Request-ID": "hit"})
    assert source(hit) == "semantic"
    assert hit.json["choices"][0]["message"]["content"] == "Paris"
    assert hit.headers["x-modelyard-cost"] == "0.000000000"
    told = dict(part.split("=") for part in hit.headers["x-modelyard-semantic"].split(", "))
    assert told["verifier"] == '"stand-in"'
    assert told["confidence"] == "0.950"
    assert 0.7 < float(told["similarity"]) < 1
    assert 0 <= int(told["age"]) <= int(told["prompt-age"]) < 60
    assert source(ask(api, OTHER)) == "miss"
    assert len(upstream.calls("m")) == 2

    trace = api.trace("hit")
    assert (trace["cache"], trace["actual_cost"]) == ("semantic", 0.0)
    assert trace["saved_cost"] > 0
    assert trace["semantic"]["similarity"] == pytest.approx(float(told["similarity"]), abs=1e-3)
    assert [one["request_id"] for one in api.log(cache="semantic")] == ["hit"]
    assert 'cache="semantic"' in api.get("/metrics").body.decode()

    own = api.infer("What are cats?", model="m")
    assert (own.json["cache_hit"], own.json["metadata"]["semantic"]) == (False, None)
    own = api.infer("cats", model="m")
    assert own.json["cache_hit"] and own.json["metadata"]["cache"] == "semantic"
    assert own.json["metadata"]["semantic"]["verifier"] == "stand-in"
    assert own.json["actual_cost"] == 0
    fresh = api.infer("the cats", model="m", semantic_cache=False)
    assert not fresh.json["cache_hit"]


def test_other_dialects_and_streams_have_it(serve: Start, upstream: Upstream) -> None:
    api = serve('mode = "on"\nsample = 0').api
    upstream.on("m", Plan(tokens=4))

    def anthropic(text: str) -> Reply:
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
        return api.post("/v1/messages", body | {"temperature": 0})

    def gemini(text: str) -> Reply:
        body = {"contents": [{"parts": [{"text": text}]}], "generationConfig": {"temperature": 0}}
        return api.post("/v1beta/models/m:generateContent", body)

    for surface in (anthropic, gemini):
        assert source(surface(FRANCE)) == "miss", "each dialect has its own answers"
        assert source(surface(SAME)) == "semantic"
        assert "x-modelyard-semantic" in surface(SAME).headers
    assert source(ask(api, FRANCE)) == "miss"
    stream = api.chat_stream("m", FRANCE).read()
    assert source(stream) == "miss", "a stream is not answered with a body"
    again = api.chat_stream("m", SAME).read()
    assert source(again) == "semantic"
    assert text_of(again.events) == text_of(stream.events) == "w0 w1 w2 w3 "
    assert again.events[-1] == "[DONE]"


def test_off_unless_it_is_asked_for(serve: Start, upstream: Upstream) -> None:
    server = serve("", model=True)
    ask(server.api, FRANCE)
    assert source(ask(server.api, SAME, {"X-Modelyard-Semantic-Cache": "on"})) == "miss"
    assert server.engine() is None and not (server.home / "semantic").exists()

    server = serve('mode = "request"\nsample = 0')
    on = {"X-Modelyard-Semantic-Cache": "on"}
    ask(server.api, FRANCE, on)
    assert source(ask(server.api, SAME)) == "miss"
    assert source(ask(server.api, "the capital of France", on)) == "semantic"
    wrong = server.api.chat("m", FRANCE, {"X-Modelyard-Semantic-Cache": "perhaps"})
    assert (wrong.status, wrong.code) == (400, "INVALID_REQUEST")


def test_what_the_exact_cache_would_not_share_is_not_found(serve: Start) -> None:
    api = serve('mode = "on"\nsample = 0').api
    ask(api, FRANCE, temperature=0.7)
    assert source(ask(api, SAME, temperature=0.7)) == "off"
    ask(api, FRANCE)
    assert source(ask(api, SAME, {"X-Modelyard-Cache": "off"})) == "off"
    assert source(ask(api, SAME, {"Cache-Control": "no-cache"})) == "miss"
    others = api.new_key(workspace="another")
    assert source(ask(others, "the capital of France")) == "miss"
    system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": SAME}]
    assert source(ask(api, "", messages=system)) == "miss"


@pytest.mark.parametrize("workers", [1, 2])
def test_others_wait_for_the_first(serve: Start, upstream: Upstream, workers: int) -> None:
    api = serve('mode = "on"\nsample = 0', l3=True, workers=workers).api
    gate = threading.Event()
    upstream.on("m", Plan(gate=gate))
    words = ["the", "is the", "what is the", "tell me the", "a", "please tell me the", "what is a"]
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, api, FRANCE)
        upstream.wait_calls(1, "m")
        others = [pool.submit(ask, api, f"{word} capital of France") for word in words]
        deadline = time.monotonic() + 60
        while " 8" not in running(api):
            assert time.monotonic() < deadline, running(api)
            time.sleep(0.02)
        time.sleep(0.3)  # the last one's question is on its way to the process
        gate.set()
        assert source(first.result()) == "miss"
        assert [source(one.result()) for one in others] == ["semantic"] * len(words)
    assert len(upstream.calls("m")) == 1


def running(api: Client) -> str:
    lines = api.get("/metrics").body.decode().split("\n")
    return next(line for line in lines if line.startswith("modelyard_running_requests "))


def test_when_the_first_fails_the_others_ask(serve: Start, upstream: Upstream) -> None:
    api = serve('mode = "on"\nsample = 0').api
    gate = threading.Event()
    upstream.on("m", Plan(gate=gate, status=400, error={"message": "no"}), Plan(text="Paris"))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(api.chat, "m", FRANCE)
        upstream.wait_calls(1, "m")
        other = pool.submit(ask, api, SAME)
        api.wait_running(2)
        gate.set()
        assert first.result().status == 400
        assert source(other.result()) == "miss"
    assert source(ask(api, "the capital of France")) == "semantic"


def test_killing_the_process_fails_no_request(serve: Start, upstream: Upstream) -> None:
    server = serve('mode = "on"\nsample = 0', l3=True)
    api, stop = server.api, threading.Event()

    def load(worker: int) -> list[tuple[int, str]]:
        seen = []
        number = 0
        while not stop.is_set():
            number += 1
            word = ("the ", "")[number % 2]
            reply = api.chat("m", f"{word}city {worker} of {number // 2}")
            seen.append((reply.status, reply.headers.get("x-modelyard-cache", "")))
        return seen

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load, worker) for worker in range(4)]
        try:
            engine = server.engine()
            assert engine is not None
            upstream.wait_calls(20, "m")
            os.kill(engine, signal.SIGKILL)
            server.wait_ready(2)
            until_hit(api, "river", "the river")
        finally:
            stop.set()
        seen = [one for load in loads for one in load.result()]
    assert {status for status, _ in seen} == {200}
    assert "semantic" in {cache for _, cache in seen}


def test_it_survives_a_restart_and_ends_with_its_server(serve: Start) -> None:
    server = serve('mode = "on"\nsample = 0', l3=True)
    ask(server.api, FRANCE)
    time.sleep(1.0)  # the disk level and the process write within a second
    engine = server.engine()
    server.stop()
    ended(engine)
    server.start()
    server.wait_ready(2)
    hit = ask(server.api, SAME)
    assert source(hit) == "semantic"
    assert ";" not in hit.headers["x-modelyard-semantic"]
    engine = server.engine()
    server.kill()
    ended(engine)


def ended(engine: int | None) -> None:
    """Wait for the end of the process, which is soon after its server's."""
    assert engine is not None
    until(lambda: not alive(engine), told=lambda: "it outlived its server")


def test_what_it_lost_is_learned_from_the_levels_below(serve: Start) -> None:
    server = serve('mode = "on"\nsample = 0', l3=True)
    ask(server.api, FRANCE)
    engine = server.engine()
    server.stop()
    ended(engine)
    for file in (server.home / "semantic").iterdir():
        file.unlink()
    server.start()
    server.wait_ready(2)
    entries = status(server.api)["cache_stats"]["semantic"]["total_entries"]
    assert (entries, source(ask(server.api, FRANCE))) == (0, "l3")
    deadline = time.monotonic() + 60
    while status(server.api)["cache_stats"]["semantic"]["total_entries"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert source(ask(server.api, SAME)) == "semantic"


def test_clearing_the_cache_clears_it(serve: Start) -> None:
    server = serve('mode = "on"\nsample = 0')
    ask(server.api, FRANCE)
    assert source(ask(server.api, SAME)) == "semantic"
    assert server.api.post("/v1/ai-inference/clear-cache", None).status == 200
    assert source(ask(server.api, "the capital of France")) == "miss"


def test_without_the_model_all_goes_on_and_it_is_told_how_to_install(serve: Start) -> None:
    server = serve(model=False)
    assert source(ask(server.api, FRANCE)) == "miss"
    assert source(ask(server.api, SAME)) == "miss"
    assert "modelyard local install minilm" in server.log()
    assert READY not in server.log()


def checks(server: Running) -> list[dict[str, Any]]:
    return [one for one in server.api.log() if one["surface"] == "semantic_check"]


def seen_wrong(api: Client, count: int) -> bool:
    return int(status(api)["cache_stats"]["semantic"]["wrong"]) >= count


def test_hits_are_checked_by_asking_again(serve: Start, upstream: Upstream) -> None:
    server = serve('mode = "on"\nsample = 1.0\nerror = 0.2')
    api = server.api
    upstream.on("m", Plan(text="Paris"))
    ask(api, FRANCE)
    assert source(ask(api, SAME)) == "semantic"
    upstream.wait_calls(2, "m")
    upstream.wait_for(lambda: len(checks(server)) == 1)
    one = checks(server)[0]
    assert one["actual_cost"] > 0 and one["cache"] == "off"
    assert api.trace(one["request_id"])["metadata"]["semantic_check_of"]
    upstream.wait_for(lambda: source(ask(api, SAME)) == "l1")  # the fresh answer is its own now

    # A provider whose answers differ each time: the verifier's hits are wrong, and end.
    upstream.on("m", *(Plan(text=f"It is number {n}.") for n in range(400)))
    for number in range(60):
        ask(api, f"place {number}")
        if source(ask(api, f"the place {number}")) != "semantic":
            break
        upstream.wait_for(partial(seen_wrong, api, number + 1))
    else:
        pytest.fail("it goes on giving wrong answers")
    assert number > 0
    assert source(ask(api, "a place 0")) != "semantic"


def test_a_budget_of_nothing_checks_nothing(serve: Start, upstream: Upstream) -> None:
    server = serve('mode = "on"\nsample = 1.0\nbudget = 0')
    ask(server.api, FRANCE)
    assert source(ask(server.api, SAME)) == "semantic"
    assert source(ask(server.api, "the capital of France")) == "semantic"
    assert len(upstream.calls("m")) == 1
    assert json.loads(upstream.calls("m")[0].body)["messages"][0]["content"] == FRANCE


def status(api: Client) -> dict[str, Any]:
    reply = api.get("/v1/ai-inference/status")
    assert reply.status == 200, reply.body
    return dict(reply.json)


def test_the_status_tells_how_it_is_doing(serve: Start) -> None:
    server = serve('mode = "on"\nsample = 0\nerror = 0.05')
    ask(server.api, FRANCE)
    ask(server.api, SAME)
    told = status(server.api)["cache_stats"]["semantic"]
    assert (told["state"], told["verifier"], told["trouble"]) == ("up", "stand-in", None)
    assert (told["hits"], told["misses"], told["hit_rate"]) == (1, 1, 50.0)
    assert (told["total_entries"], told["checks"], told["error_bound"]) == (1, 0, 0.05)
    assert told["threshold"] == 0.9 and told["error_upper"] < 0.05
    metrics = server.api.get("/metrics").body.decode()
    assert 'modelyard_cache_hits_total{level="semantic"} 1' in metrics
    engine = server.engine()
    assert engine is not None
    model = folder_of(server.home, MINILM)
    away = model.rename(model.with_name("away"))  # until it was seen, no other is started
    os.kill(engine, signal.SIGKILL)
    until(lambda: status(server.api)["cache_stats"]["semantic"]["state"] == "down")
    away.rename(model)
    server.wait_ready(2)
    assert status(server.api)["cache_stats"]["semantic"]["state"] == "up"
    assert status(server.api)["worker_stats"]["deduplicator"]["semantic_duplicates"] == 1


def test_the_status_says_what_is_missing(serve: Start) -> None:
    api = serve(model=False).api
    told = status(api)["cache_stats"]["semantic"]
    assert told["state"] == "down"
    assert "modelyard local install minilm" in told["trouble"]
