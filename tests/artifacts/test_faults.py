"""What happens to artifacts when something breaks: nothing half is ever kept, and all is told."""

import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from artifacts.api import PART, Api, noise, sha256, until
from serving import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        yield one


def objects(server: Server) -> list[Path]:
    return [one for one in (server.home / "artifacts").rglob("*") if one.is_file()]


def test_a_killed_server_goes_on_with_the_upload(server: Server) -> None:
    api = Api(server.url, server.key)
    data = noise(3 * PART + 9, "killed")
    upload = api.start(size=len(data), sha256=sha256(data))
    api.part(upload, 1, data[:PART])
    api.part(upload, 2, data[PART : 2 * PART])
    with socket.create_connection(("127.0.0.1", server.port)) as peer:  # in the middle of a part
        head = (
            f"PUT /v1/artifacts/uploads/{upload}/parts?number=3 HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {api.key}\r\nContent-Length: {PART}\r\n\r\n"
        )
        peer.sendall(head.encode() + data[2 * PART : 2 * PART + 5_000_000])
        server.kill()
    server.start()
    assert api.get(sha256(data)).status == 404, "nothing of it can be seen"
    told = api.progress(upload)
    assert [one["number"] for one in told["parts"]] == [1, 2]
    api.part(upload, 3, data[2 * PART : 3 * PART])
    api.part(upload, 4, data[3 * PART :])
    assert api.complete(upload).json["id"] == sha256(data), "the hash was made anew of all parts"
    assert api.get(sha256(data)).body == data


def test_a_full_disk_is_told_and_nothing_is_left(server: Server) -> None:
    """A process may not write files of more than 4 MiB: the system answers as a full disk does."""
    api = Api(server.url, server.key)
    small = api.put(b"here before")
    upload = api.start()
    api.part(upload, 1, noise(PART, "first"))
    (kept,) = [one for one in objects(server) if one.name.startswith("000001-11-")]
    assert server.process is not None
    most = 4 * 1024 * 1024
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    reply = api.send("POST", "/v1/artifacts", noise(PART + 10, "too much"))
    assert (reply.status, reply.code) == (507, "STORAGE_FULL")
    reply = api.part(upload, 2, noise(PART, "second"))
    assert (reply.status, reply.code) == (507, "STORAGE_FULL")
    assert objects(server) == [kept]
    assert api.send("GET", "/v1/artifacts/uploads").json["uploads"] == []
    assert api.get(small["id"]).body == b"here before"
    made = api.put(noise(1000, "small enough"))
    resource.prlimit(
        server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    )
    assert api.get(made["id"]).status == 200
    assert api.put(noise(PART + 10, "too much"))["size"] == PART + 10


def test_damage_is_told_and_mended_by_the_next_upload(server: Server) -> None:
    api = Api(server.url, server.key)
    data = noise(2 * PART, "damaged")
    digest = api.put(data)["id"]
    (second,) = [one for one in objects(server) if one.name.startswith("000002-")]
    second.write_bytes(data[PART : 2 * PART - 1] + b"!")
    place = urlsplit(api.url)
    with socket.create_connection((str(place.hostname), place.port or 0)) as peer:
        peer.sendall(
            f"GET /v1/artifacts/{digest}/content HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {api.key}\r\n\r\n".encode()
        )
        got = b""
        while part := peer.recv(1 << 20):
            got += part
    body = got.partition(b"\r\n\r\n")[2]
    assert f"content-length: {2 * PART}".encode() in got
    assert body == data[: len(body)] and len(body) <= PART, "what is damaged was never sent"
    assert api.get(digest, Range="bytes=0-99").body == data[:100], "the rest can be read"
    reply = api.get(digest, Range="bytes=-5")
    assert (reply.status, reply.code) == (500, "INTERNAL")
    assert api.send("GET", f"/v1/artifacts/{digest}").json["damaged_at"] is not None
    assert "is damaged" in server.log()
    assert api.put(data)["damaged_at"] is None
    assert api.get(digest).body == data
    until(lambda: len(objects(server)) == 2)


def test_limits_and_quota() -> None:
    config = "[artifacts]\nmax_bytes = 9_000_000\nworkspace_bytes = 12_000_000\nmax_transfers = 4\n"
    with Server(config) as server:
        api = Api(server.url, server.key)
        data = noise(8_000_000, "quota")
        digest = api.put(data)["id"]
        for body in (noise(9_000_001, "large"), iter([b"x" * 1_000_000] * 10)):
            reply = api.send("POST", "/v1/artifacts", body)
            assert (reply.status, reply.code) == (413, "PAYLOAD_TOO_LARGE")
        reply = api.send("POST", "/v1/artifacts", noise(5_000_000, "more"))
        assert (reply.status, reply.code) == (429, "QUOTA_EXCEEDED")
        reply = api.send("POST", "/v1/artifacts", iter([noise(5_000_000, "unannounced")]))
        assert (reply.status, reply.code) == (429, "QUOTA_EXCEEDED")
        upload = api.start(size=3_000_000)
        assert api.usage() == {
            "bytes": 8_000_000, "artifacts": 1, "uploading_bytes": 3_000_000,
            "limit_bytes": 12_000_000,
        }  # fmt: skip
        assert api.send("POST", "/v1/artifacts/uploads", {"size": 2_000_000}).status == 429
        api.send("DELETE", f"/v1/artifacts/uploads/{upload}")
        api.send("DELETE", f"/v1/artifacts/{digest}")
        assert api.put(noise(5_000_000, "more"))["size"] == 5_000_000


def test_a_reserve_is_left_on_the_disk() -> None:
    with Server("[artifacts]\nreserve_bytes = 1_000_000_000_000_000\n") as server:
        api = Api(server.url, server.key)
        reply = api.send("POST", "/v1/artifacts", b"anything")
        assert (reply.status, reply.code) == (507, "STORAGE_FULL")
        assert reply.json["error"]["details"] == {"needed_bytes": 8, "free_bytes": 0}
        assert objects(server) == []


def test_encrypted_at_rest() -> None:
    with Server("[artifacts]\nencrypt = true\n") as server:
        api = Api(server.url, server.key)
        data = noise(PART + 100, "secret")
        digest = api.put(data)["id"]
        upload = api.start()
        api.part(upload, 1, data)
        api.part(upload, 1, data[:PART])
        api.part(upload, 2, data[PART:])
        assert api.complete(upload).json["id"] == digest
        assert api.get(digest).body == data
        assert (
            api.get(digest, Range=f"bytes={PART - 2}-{PART + 1}").body == data[PART - 2 : PART + 2]
        )
        kept = objects(server)
        assert len(kept) == 2 and not any(data[:32] in one.read_bytes() for one in kept)
