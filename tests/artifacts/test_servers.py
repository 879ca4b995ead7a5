"""Servers over a bucket, with several workers, and with bodies that no memory holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from artifacts.api import PART, Api, noise, sha256, until
from artifacts.conftest import CREDENTIALS
from serving import Server, worker_pids


def test_a_bucket(s3: str) -> None:
    config = f'artifacts_url = "s3://modelyard/server"\n[artifacts]\nendpoint = "{s3}"\n'
    with Server(config, env=CREDENTIALS) as server:
        api = Api(server.url, server.key)
        data = noise(2 * PART + 99, "bucket")
        digest = api.put(data, name="one")["id"]
        assert api.get(digest).body == data
        part = api.get(digest, Range=f"bytes={PART - 9}-{PART + 9}")
        assert part.body == data[PART - 9 : PART + 10]
        upload = api.start(size=len(data))
        for number in (2, 1, 3):
            api.part(upload, number, data[(number - 1) * PART : number * PART])
        server.kill()
        server.start()
        assert api.progress(upload)["received_bytes"] == len(data)
        assert api.complete(upload).json["id"] == digest
        assert not (server.home / "artifacts").exists()


def test_a_bucket_that_does_not_answer() -> None:
    config = 'artifacts_url = "s3://none"\n[artifacts]\nendpoint = "http://127.0.0.1:9"\n'
    with Server(config, env=CREDENTIALS) as server:
        reply = Api(server.url, server.key).send("POST", "/v1/artifacts", b"data")
        assert (reply.status, reply.code) == (503, "SYSTEM_OVERLOADED")
        assert server.ready()


def test_parts_to_any_worker() -> None:
    with Server(workers=2) as server:
        api = Api(server.url, server.key)
        data = noise(4 * PART, "workers")
        upload = api.start(size=len(data), sha256=sha256(data))
        for number in range(1, 5):  # each by a connection of its own
            assert api.part(upload, number, data[(number - 1) * PART : number * PART]).status == 200
        assert api.complete(upload).status == 201
        for _ in range(4):
            assert api.get(sha256(data)).status == 200


def test_collected_by_the_server_itself() -> None:
    config = "[artifacts]\ngrace_seconds = 0.0\ncollect_seconds = 0.2\n"
    with Server(config) as server:
        api = Api(server.url, server.key)
        digest = api.put(b"collected")["id"]
        unused = api.put(b"unused", retention="referenced")["id"]
        until(lambda: api.get(unused).status == 404)
        assert api.get(digest).status == 200
        api.send("DELETE", f"/v1/artifacts/{digest}")
        until(lambda: not [*(server.home / "artifacts").iterdir()])


SIZE = 200 * 1024 * 1024
MOST = 400  # MiB of the whole process; a body in memory would be on top of about 150


@pytest.mark.slow
def test_memory_does_not_grow_with_the_body(tmp_path: Path) -> None:
    block = noise(1 << 20, "memory")

    def body() -> Iterator[bytes]:
        for n in range(SIZE >> 20):
            yield n.to_bytes(4, "big") + block[4:]

    with Server() as server:
        api = Api(server.url, server.key)
        made = api.put(body())
        assert made["size"] == SIZE
        reply = api.get(made["id"])
        assert sha256(reply.body) == made["id"]
        assert server.process is not None
        for pid in (server.process.pid, *worker_pids(server.process.pid)):
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
            assert peak < MOST, f"{peak} MiB"
