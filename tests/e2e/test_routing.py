"""Which target answers: names, versions, equals by weight and by load, circuits."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.client import Client
from e2e.conftest import providers
from patience import until
from serving import Server
from upstream.plan import Plan
from upstream.server import Upstream

MODELS = """
[[models]]
name = "weighted"
aliases = ["heavy", "models:/weighted@champion"]
targets = [[{ target = "main/w", weight = 3.0 }, { target = "spare/w", weight = 1.0 }]]

[[models]]
name = "loaded"
balance = "least_loaded"
targets = [["main/l", "spare/l"]]

[[models]]
name = "versions"
targets = ["main/v-2025", "spare/v-2024"]

[[models]]
name = "breaking"
targets = ["main/b", "spare/b"]

[[models]]
name = "attempts"
targets = ["main/t1", "main/t2", "main/t3", "main/t4", "main/t5", "spare/t6"]
"""


@pytest.fixture(scope="module")
def api(upstream: Upstream, spare: Upstream) -> Iterator[Client]:
    gateway = "[gateway]\ncircuit_failures = 3\ncircuit_seconds = 1.0\nmax_attempts = 6\n"
    config = 'default_model = "versions"\n' + gateway + providers(upstream, spare) + MODELS
    with Server(config) as server:
        yield Client(server.url, server.key)


def test_equals_by_weight(api: Client, upstream: Upstream, spare: Upstream) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: api.chat("weighted", str(n)), range(200)))
    share = len(upstream.calls("w")) / 200
    assert len(upstream.calls("w")) + len(spare.calls("w")) == 200
    assert 0.6 < share < 0.9, "three quarters are expected"


def test_equals_by_load(api: Client, upstream: Upstream, spare: Upstream) -> None:
    gate = threading.Event()
    upstream.on("l", Plan(gate=gate))
    spare.on("l", Plan(gate=gate))
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(api.chat, "loaded", str(n)) for n in range(20)]
        upstream.wait_for(lambda: len(upstream.calls("l")) + len(spare.calls("l")) == 20)
        assert len(upstream.calls("l")) == len(spare.calls("l")) == 10
        gate.set()
        assert all(one.result().status == 200 for one in asked)


def test_one_equal_fails_and_the_other_answers(
    api: Client, upstream: Upstream, spare: Upstream
) -> None:
    upstream.on("w", Plan(status=404))
    before = len(spare.calls("w"))
    replies = [api.chat("weighted", f"again {n}") for n in range(10)]
    assert {reply.status for reply in replies} == {200}
    assert len(spare.calls("w")) == before + 10
    upstream.on("w", Plan())


@pytest.mark.parametrize("name", ["heavy", "models:/weighted@champion"])
def test_aliases(api: Client, name: str) -> None:
    reply = api.chat(name, f"by {name}")
    assert reply.status == 200
    assert reply.headers["x-modelyard-target"].endswith("/w")


def test_nothing_given_is_the_default_model(api: Client, upstream: Upstream) -> None:
    body = {"messages": [{"role": "user", "content": "default"}]}
    assert api.post("/v1/chat/completions", body).headers["x-modelyard-target"] == "main/v-2025"
    assert api.infer("default").json["model_used"] == "v-2025"
    assert upstream.calls("v-2025")[0].json["model"] == "v-2025"


def test_a_version_is_pinned(api: Client, upstream: Upstream) -> None:
    before = len(upstream.calls("v-2025"))
    reply = api.chat("versions", "pinned", headers={"X-Model-Version": "v-2024"})
    assert reply.headers["x-modelyard-target"] == "spare/v-2024"
    assert reply.headers["x-model-version"] == "v-2024"
    unknown = api.chat("versions", "pinned", headers={"X-Model-Version": "v-1999"})
    assert (unknown.status, unknown.code) == (404, "MODEL_NOT_FOUND")
    assert "v-2024" in unknown.body.decode()
    assert len(upstream.calls("v-2025")) == before


def test_a_pinned_version_is_no_hit_of_another(api: Client) -> None:
    api.chat("versions", "same")
    reply = api.chat("versions", "same", headers={"X-Model-Version": "v-2024"})
    assert reply.headers["x-modelyard-cache"] == "miss"


def test_a_contradiction_is_refused(api: Client) -> None:
    reply = api.infer("a", model_name="weighted", model="loaded")
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")


def test_any_model_of_a_provider(api: Client, upstream: Upstream) -> None:
    reply = api.chat("main/org/some-model:free", "direct")
    assert reply.status == 200
    assert len(upstream.calls("org/some-model:free")) == 1


def test_an_open_circuit_is_not_called(api: Client, upstream: Upstream, spare: Upstream) -> None:
    upstream.on("b", Plan(status=500))
    begun = time.monotonic()
    for number in range(10):
        assert api.chat("breaking", str(number)).headers["x-modelyard-target"] == "spare/b"
    probes = time.monotonic() - begun  # one a second at most
    assert 3 <= len(upstream.calls("b")) <= 4 + probes
    upstream.on("b", Plan())
    threading.Event().wait(1.1)
    assert api.chat("breaking", "probe").headers["x-modelyard-target"] == "main/b"
    assert api.chat("breaking", "closed").headers["x-modelyard-target"] == "main/b"


def test_one_probe_at_a_time(api: Client, upstream: Upstream, spare: Upstream) -> None:
    upstream.on("b", Plan(status=500))
    for number in range(5):
        api.chat("breaking", f"open {number}")
    gate = threading.Event()
    upstream.on("b", Plan(gate=gate))
    threading.Event().wait(1.1)
    before = len(upstream.calls("b"))
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(api.chat, "breaking", "the probe")
        upstream.wait_for(lambda: len(upstream.calls("b")) == before + 1)
        others = [api.chat("breaking", f"meanwhile {n}") for n in range(5)]
        assert {one.headers["x-modelyard-target"] for one in others} == {"spare/b"}
        gate.set()
        assert probe.result().headers["x-modelyard-target"] == "main/b"
    assert len(upstream.calls("b")) == before + 1


def test_a_probe_whose_client_leaves_does_not_lock_the_circuit(
    api: Client, upstream: Upstream
) -> None:
    upstream.on("b", Plan(status=500))
    for number in range(5):
        api.chat("breaking", f"open again {number}")
    threading.Event().wait(1.1)
    upstream.on("b", Plan(silent=True))
    before = len(upstream.calls("b"))
    connection = api.open(
        "POST",
        "/v1/chat/completions",
        {"model": "breaking", "messages": [{"role": "user", "content": "left"}]},
    )
    upstream.wait_for(lambda: len(upstream.calls("b")) == before + 1)
    connection.close()
    upstream.wait_for(lambda: upstream.calls("b")[-1].closed_at is not None)
    upstream.on("b", Plan())
    until(lambda: api.chat("breaking", "after").headers["x-modelyard-target"] == "main/b")


def test_attempts_are_bounded(api: Client, upstream: Upstream, spare: Upstream) -> None:
    for number in range(1, 6):
        upstream.on(f"t{number}", Plan(status=503))
    reply = api.chat("attempts", "x")
    attempts = sum(len(upstream.calls(f"t{n}")) for n in range(1, 6)) + len(spare.calls("t6"))
    assert attempts <= 6
    assert reply.status in (200, 503)


def test_models_are_listed(api: Client) -> None:
    listed = [entry["id"] for entry in api.get("/v1/models").json["data"]]
    assert {"weighted", "loaded", "versions", "sandbox"} <= set(listed)
    narrow = api.new_key(scopes=["inference:create"])
    assert narrow.get("/v1/models").status in (200, 403)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_s_short_timeout_opens_no_circuit(
    api: Client, upstream: Upstream, stream: bool
) -> None:
    """The provider is slow and well: it is the client that would not wait."""
    name = f"slow-{stream}"
    upstream.on(name, Plan(headers_after=2.0))
    for number in range(5):
        reply = api.infer(
            str(number), model_name=f"main/{name}", timeout_seconds=0.2, stream=stream
        )
        assert (reply.status, reply.code) == (504, "TIMEOUT"), reply.body
    upstream.on(name, Plan())
    assert api.chat(f"main/{name}", "others").status == 200
