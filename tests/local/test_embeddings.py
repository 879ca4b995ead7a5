"""Embeddings by a model on this machine, through a real server and the official packages."""

import base64
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from google import genai
from google.genai import types

from e2e.client import Client
from modelyard.cli.prices import finding
from modelyard.inference.local.engine import Embedder
from modelyard.inference.local.models import MINILM, folder_of
from patience import LONG, until
from serving import Server, alive, worker_pids

pytestmark = pytest.mark.slow

MODEL = "local/all-MiniLM-L6-v2"
Start = Callable[..., Server]


def post(server: Server, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any], Any]:
    """Status, body and headers of a request."""
    request = urllib.request.Request(
        server.url + path,
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def embed(server: Server, given: Any, **more: Any) -> tuple[int, dict[str, Any], Any]:
    return post(server, "/v1/embeddings", {"model": MODEL, "input": given} | more)


def engine_of(server: Server) -> list[int]:
    """The processes with the model that the server started."""
    assert server.process is not None
    return [pid for pid in worker_pids(server.process.pid) if b"local.engine" in command_of(pid)]


def command_of(pid: int) -> bytes:
    """What a process was started with; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def gone(pid: int, within: float = LONG) -> bool:
    deadline = time.monotonic() + within
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_the_official_package_gets_the_models_vectors(serve: Start, minilm: Path):
    server = serve()
    texts = ["How do I reset my password?", "Grüße aus Zürich"]
    embedder = Embedder(folder_of(minilm, MINILM), MINILM.longest)
    wanted = [np.frombuffer(embedder.embed([ids])[0], "<f4") for ids, _ in embedder.split(texts)]
    with openai.OpenAI(base_url=server.url + "/v1", api_key=server.key) as client:
        packed = client.embeddings.create(model=MODEL, input=texts)  # base64 on the wire
        plain = client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
        assert MODEL in [model.id for model in client.models.list()]
    assert packed.model == plain.model == "all-MiniLM-L6-v2"
    assert (packed.usage.prompt_tokens, packed.usage.total_tokens) == (9 + 7, 9 + 7)
    assert [item.index for item in packed.data] == [0, 1]
    for one, other, vector in zip(packed.data, plain.data, wanted, strict=True):
        assert len(one.embedding) == 384
        assert one.embedding == other.embedding
        assert np.abs(np.array(one.embedding) - vector).max() < 1e-6


def test_base64_is_float32(serve: Start):
    server = serve()
    _, packed, _ = embed(server, "one", encoding_format="base64")
    _, plain, _ = embed(server, ["one"])
    vector = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4")
    assert vector.tolist() == plain["data"][0]["embedding"]
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-6
    assert packed["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    for name in ("all-MiniLM-L6-v2", "local/minilm"):
        assert post(server, "/v1/embeddings", {"model": name, "input": "one"})[1] == plain


def test_what_it_cannot_do_is_told(serve: Start):
    server = serve()
    assert embed(server, "one", dimensions=384)[0] == 200
    refusals = [
        embed(server, "one", dimensions=256),
        embed(server, [1, 2, 3]),
        embed(server, [[1], [2]]),
        post(server, "/v1/chat/completions",
             {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}),
        post(server, "/v1/embeddings", {"model": "local/other", "input": "one"}),
        embed(server, ["one"] * 2049),
    ]  # fmt: skip
    told = [(status, body["error"]["code"], body["error"]["param"]) for status, body, _ in refusals]
    assert told[:4] == [
        (400, "MODEL_NOT_SUPPORTED", "dimensions"),
        (400, "MODEL_NOT_SUPPORTED", "input"),
        (400, "MODEL_NOT_SUPPORTED", "input"),
        (400, "MODEL_NOT_SUPPORTED", "model"),
    ]
    assert told[4][:2] == (404, "MODEL_NOT_FOUND")
    assert told[5][:2] == (400, "INVALID_REQUEST")
    assert engine_of(server), "it was started by the first request"


def test_a_long_text_is_cut_with_a_warning(serve: Start):
    server = serve()
    long = "word " * 1000
    status, body, headers = embed(server, ["short", long, ""])
    assert status == 200
    assert body["usage"]["prompt_tokens"] == 3 + 256 + 2
    assert headers["X-Modelyard-Warning"] == (
        "1 of the inputs were cut at 256 tokens, all that all-MiniLM-L6-v2 reads: 1."
    )
    assert body["data"][1]["embedding"] == pytest.approx(
        embed(server, "word " * 254)[1]["data"][0]["embedding"], abs=1e-5
    )


def test_it_is_free_and_on_the_books(serve: Start):
    server = serve()
    assert embed(server, "one")[2]["X-Modelyard-Cost"] == "0.000000000"
    request = urllib.request.Request(
        f"{server.url}/v1/ai-inference/prices/{MODEL}",
        headers={"Authorization": f"Bearer {server.key}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        price = json.load(answer)
    assert (price["source"], price["listed"]) == ("local", True)
    assert finding(price, 90, date(2026, 11, 1)) is None, "modelyard prices check asks for nothing"
    assert price["per_million"] == {
        "input": 0.0, "output": 0.0, "cached_input": None, "cache_write": None
    }  # fmt: skip


def test_googles_package_gets_them_too(serve: Start):
    server = serve()
    options = types.HttpOptions(base_url=server.url)
    with genai.Client(api_key=server.key, http_options=options) as client:
        found = client.models.embed_content(model=MODEL, contents=["one", "two"])
    assert found.embeddings is not None
    one, two = (embedding.values or [] for embedding in found.embeddings)
    assert one == pytest.approx(embed(server, "one")[1]["data"][0]["embedding"], abs=1e-6)
    assert len(two) == 384


# Sentence, a paraphrase of it, and one that shares words but not the meaning.
TRIPLES = [
    ("How do I reset my password?", "I forgot my login and need a new one.",
     "How do I bake my bread?"),
    ("A man is playing a guitar.", "Somebody makes music on a string instrument.",
     "A man is driving a truck."),
    ("The stock market fell sharply today.", "Share prices dropped a lot this afternoon.",
     "The market sells fresh fish today."),
    ("The cat is sleeping on the sofa.", "A kitten naps on the couch.",
     "The report is lying on the desk."),
    ("Heavy rain flooded the city streets.", "Downpours left roads in town under water.",
     "Heavy traffic noise fills the city."),
]  # fmt: skip


def test_a_paraphrase_is_nearer_than_another_sentence(serve: Start):
    _, body, _ = embed(serve(), [text for triple in TRIPLES for text in triple])
    vectors = np.array([item["embedding"] for item in body["data"]]).reshape(-1, 3, 384)
    for (text, _, _), (one, like, unlike) in zip(TRIPLES, vectors, strict=True):
        assert one @ like > one @ unlike, text


def test_many_at_once_are_all_right(serve: Start):
    server = serve()
    texts = [f"Sentence {number} is about {'cats ' * (number % 40)}" for number in range(64)]
    alone = [embed(server, text)[1]["data"][0]["embedding"] for text in texts]
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda text: embed(server, text), texts))
    assert [status for status, _, _ in answers] == [200] * 64
    for vector, (_, body, _) in zip(alone, answers, strict=True):
        assert body["data"][0]["embedding"] == pytest.approx(vector, abs=1e-5)
    assert len(engine_of(server)) == 1


def test_a_killed_process_is_replaced_and_nobody_notices(serve: Start):
    server = serve()
    embed(server, "warm")
    (first,) = engine_of(server)
    os.kill(first, signal.SIGSTOP)  # it answers none of them
    statuses: list[int] = []

    def work(number: int) -> None:
        statuses.extend(embed(server, [f"{number} {turn} text"] * 8)[0] for turn in range(8))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    Client(server.url, server.key).wait_running(8)
    os.kill(first, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert statuses == [200] * 64
    (second,) = engine_of(server)
    assert second != first
    assert "ended while it was asked" in server.log()


def test_workers_share_one_process_that_ends_with_them(serve: Start):
    server = serve(workers=2)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: embed(server, f"text {number}"), range(64)))
    assert {status for status, _, _ in answers} == {200}
    # Who started it second is about to end.
    engine = until(lambda: found[0] if len(found := engine_of(server)) == 1 else None)
    server.kill()
    assert gone(engine)


def test_it_ends_with_a_stopped_server(serve: Start):
    server = serve()
    embed(server, "one")
    (engine,) = engine_of(server)
    assert server.stop() == 0
    assert gone(engine)


def test_what_is_not_installed_says_how_to():
    with Server() as server:
        status, body, _ = embed(server, "one")
        assert (status, body["error"]["code"]) == (503, "MODEL_NOT_LOADED")
        assert "modelyard local install minilm" in body["error"]["message"]
        place = folder_of(server.home, MINILM)
        place.mkdir(parents=True)
        (place / "installed.json").write_text(
            '{"model": "all-MiniLM-L6-v2", "package": "", "precision": "fp32", "bytes": 0, '
            '"installed_at": "", "cosine": 1}'
        )
        status, body, headers = embed(server, "one")
        assert (status, body["error"]["code"]) == (503, "MODEL_UNAVAILABLE")
        assert "cannot start" in body["error"]["message"]
        assert headers["Retry-After"] == "5"


def test_the_next_of_a_chain_answers_where_it_is_not_installed():
    config = """
[[models]]
name = "vectors"
targets = ["local/all-MiniLM-L6-v2", "sandbox/sandbox-embedding"]
"""
    with Server(config) as server:
        status, body, _ = post(server, "/v1/embeddings", {"model": "vectors", "input": "one"})
    assert (status, len(body["data"][0]["embedding"])) == (200, 256)
