"""Artifacts over HTTP: up and down, in one request and in parts, and whose they are."""

import base64
import hashlib
import http.client
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from artifacts.api import PART, Api, content_digest, noise, sha256, until
from serving import Server


def test_up_and_down(api: Api) -> None:
    data = noise(PART + 12_345, "up and down")
    made = api.put(data, name="weights.bin", media_type="application/x-weights")
    assert (made["id"], made["size"]) == (sha256(data), len(data))
    reply = api.get(made["id"])
    assert reply.body == data
    assert reply.headers["etag"] == f'"{made["id"]}"'
    assert reply.headers["content-length"] == str(len(data))
    assert reply.headers["content-type"] == "application/x-weights"
    assert reply.headers["repr-digest"] == content_digest(data)
    assert 'filename="weights.bin"' in reply.headers["content-disposition"]
    again = api.put(data, name="another name")
    assert (again["id"], again["name"], again["etag"]) == (
        made["id"], "weights.bin", made["etag"],
    )  # fmt: skip
    listed = api.send("GET", "/v1/artifacts", query={"filter": 'name = "weights.bin"'}).json
    assert [one["id"] for one in listed["artifacts"]] == [made["id"]]


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1])
def test_sizes_at_the_edges_of_parts(api: Api, size: int) -> None:
    data = noise(size, "edges")
    made = api.put(data)
    assert (made["id"], made["size"]) == (sha256(data), size)
    assert api.get(made["id"]).body == data


def test_a_body_of_unknown_length(api: Api) -> None:
    chunks = [noise(100_000, f"chunk {n}") for n in range(100)]
    made = api.put(iter(chunks))
    assert made["id"] == sha256(b"".join(chunks))
    assert api.get(made["id"]).body == b"".join(chunks)


def test_ranges(api: Api) -> None:
    data = noise(PART + 100, "a range")
    digest = api.put(data)["id"]
    size = len(data)
    for asked, start, end in (
        ("bytes=0-9", 0, 10),
        (f"bytes={PART - 5}-{PART + 4}", PART - 5, PART + 5),
        (f"bytes={PART}-", PART, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=-{size + 1}", 0, size),
        (f"bytes=5-{size + 99}", 5, size),
    ):
        reply = api.get(digest, Range=asked)
        assert (reply.status, reply.body) == (206, data[start:end]), asked
        assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    for whole in ("bytes=9-5", "bytes=0-1,5-6", "lines=1-2", "bytes=-"):
        reply = api.get(digest, Range=whole)
        assert (reply.status, len(reply.body)) == (200, size), whole
    for none in (f"bytes={size}-", "bytes=-0"):
        reply = api.get(digest, Range=none)
        assert (reply.status, reply.code) == (416, "RANGE_NOT_SATISFIABLE"), none
        assert reply.headers["content-range"] == f"bytes */{size}"
    assert api.get(digest, Range="bytes=0-9", If_Range=f'"{digest}"').status == 206
    assert api.get(digest, Range="bytes=0-9", If_Range='"another"').status == 200
    assert api.get(digest, If_None_Match=f'"{digest}"').status == 304
    head = api.send("HEAD", f"/v1/artifacts/{digest}/content")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(size))


def test_digests_that_are_sent_along(api: Api) -> None:
    data = noise(1000, "digests")
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    sha512 = base64.b64encode(hashlib.sha512(data).digest()).decode()
    path = "/v1/artifacts"
    for good in (
        {"Content_Digest": content_digest(data)},
        {"Content_Digest": f"sha-512=:{sha512}:"},
        {"Content_MD5": md5},
    ):
        assert api.send("POST", path, data, **good).status == 201, good
    wrong = content_digest(b"other")
    before = api.usage()
    for bad in (
        {"Content_Digest": wrong},
        {"Content_MD5": "AAAA"},
        {"Content_Digest": "md5=:AAAA:"},
        {"Content_Digest": "sha-256=:!:"},
    ):
        reply = api.send("POST", path, data + b"!", **bad)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), (bad, reply)
    reply = api.send("POST", path, data + b"!", query={"sha256": sha256(data)})
    assert reply.json["error"]["details"]["found"] == sha256(data + b"!")
    assert api.usage() == before
    assert api.send("GET", "/v1/artifacts/uploads").json["uploads"] == []


def test_an_upload_in_parts(api: Api) -> None:
    data = noise(2 * PART + 77, "in parts")
    upload = api.start(name="model.onnx", size=len(data), sha256=sha256(data))
    assert api.part(upload, 3, data[2 * PART :]).json == {"number": 3, "size": 77}
    first = data[:PART]
    assert api.part(upload, 1, first, Content_Digest=content_digest(first)).status == 200
    assert api.part(upload, 1, first).status == 200, "a part may be sent again"
    told = api.progress(upload)
    assert [one["number"] for one in told["parts"]] == [1, 3]
    assert told["received_bytes"] == PART + 77
    reply = api.complete(upload)
    assert (reply.status, reply.code) == (409, "CONFLICT")
    assert reply.json["error"]["details"]["missing"] == [2]
    api.part(upload, 2, data[PART : 2 * PART])
    reply = api.complete(upload)
    assert (reply.status, reply.json["id"], reply.json["name"]) == (201, sha256(data), "model.onnx")
    assert api.get(sha256(data)).body == data
    assert api.send("GET", f"/v1/artifacts/uploads/{upload}").status == 404


def test_parts_that_are_refused(api: Api) -> None:
    upload = api.start(size=PART + 10)
    for number, size in ((1, 10), (1, PART + 1), (2, 11), (3, 1), (2, 0)):
        reply = api.part(upload, number, b"x" * size)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), (number, size)
    wrong = api.part(upload, 2, b"x" * 10, Content_Digest=content_digest(b"y"))
    assert wrong.json["error"]["details"]["rule"] == "digest"
    assert api.progress(upload)["parts"] == []
    assert api.send("DELETE", f"/v1/artifacts/uploads/{upload}").status == 204
    assert api.part(upload, 2, b"x" * 10).status == 404


def test_a_wrong_whole_can_be_mended(api: Api) -> None:
    data = noise(PART + 5, "mended")
    upload = api.start(sha256=sha256(data))
    api.part(upload, 1, b"x" + data[1:PART])
    api.part(upload, 2, data[PART:])
    assert api.complete(upload).json["error"]["details"]["field"] == "sha256"
    time.sleep(0.02)  # of two of a number the newer counts
    api.part(upload, 1, data[:PART])
    assert api.complete(upload).json["id"] == sha256(data)
    assert api.get(sha256(data)).body == data


def test_another_workspace_has_nothing(api: Api, server: Server) -> None:
    data = noise(5000, "mine")
    digest = api.put(data)["id"]
    other = api.other("elsewhere")
    unknown = sha256(b"nobody has this")
    for path in ("", "/content"):
        mine = other.send("GET", f"/v1/artifacts/{digest}{path}")
        none = other.send("GET", f"/v1/artifacts/{unknown}{path}")
        assert (mine.status, mine.code) == (none.status, none.code) == (404, "NOT_FOUND")
    upload = api.start()
    assert other.part(upload, 1, b"x").status == 404
    made = other.put(data)
    assert made["id"] == digest and made["workspace"] == "elsewhere"
    places = [one for one in (server.home / "artifacts").iterdir() if _holds(one, data)]
    assert len(places) == 1, "the same bytes are kept once"
    assert api.send("DELETE", f"/v1/artifacts/{digest}").status == 204
    assert api.get(digest).status == 404
    assert other.get(digest).body == data
    assert other.usage()["bytes"] == len(data)


def _holds(place: Path, data: bytes) -> bool:
    return any(one.read_bytes() == data for one in place.iterdir())


def test_rights(api: Api) -> None:
    digest = api.put(b"rights")["id"]
    made = api.send("POST", "/v1/auth/keys", {"name": "reader", "scopes": ["artifact:read"]})
    reader = Api(api.url, made.json["key"])
    assert reader.get(digest).body == b"rights"
    for method, path in (
        ("POST", "/v1/artifacts"),
        ("DELETE", f"/v1/artifacts/{digest}"),
        ("POST", "/v1/artifacts/uploads"),
    ):
        assert reader.send(method, path, {} if path.endswith("uploads") else b"").status == 403


def test_a_client_that_leaves_leaves_nothing(api: Api, server: Server) -> None:
    before, uploads = _places(server), api.send("GET", "/v1/artifacts/uploads").json
    place = urlsplit(api.url)
    with socket.create_connection((str(place.hostname), place.port or 0)) as peer:
        head = (
            f"POST /v1/artifacts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.key}\r\n"
            f"Content-Length: {3 * PART}\r\n\r\n"
        )
        peer.sendall(head.encode() + b"x" * 2 * PART)
        until(lambda: _places(server) > before)
    until(lambda: _places(server) == before)
    assert api.send("GET", "/v1/artifacts/uploads").json == uploads


def test_two_that_send_the_same_at_once(api: Api) -> None:
    data = noise(300_000, "at once")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: api.put(data), range(8)))
    assert {one["id"] for one in made} == {sha256(data)}
    before = api.usage()
    api.put(data)
    assert api.usage() == before


def test_a_reader_that_is_slow_holds_up_nobody(api: Api) -> None:
    data = noise(3 * PART, "slow")
    digest = api.put(data)["id"]
    slow = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=60)
    slow.request(
        "GET", f"/v1/artifacts/{digest}/content", headers={"Authorization": f"Bearer {api.key}"}
    )
    answer = slow.getresponse()
    assert answer.read(1000) == data[:1000]
    assert api.get(digest).body == data
    assert answer.read() == data[1000:]
    slow.close()


def test_the_trail_tells_who_made_it(api: Api) -> None:
    digest = api.put(noise(10, "trail"))["id"]
    api.send("DELETE", f"/v1/artifacts/{digest}")
    until(lambda: len(_verbs(api, digest)) == 2)
    assert _verbs(api, digest) == ["artifact.delete", "artifact.create"]
    shown = str(api.send("GET", f"/v1/governance/provenance/artifacts/{digest}").json)
    assert "wasAttributedTo" in shown and "place_" not in shown


def _verbs(api: Api, digest: str) -> list[str]:
    found = api.send("GET", f"/v1/governance/audit/artifacts/{digest}")
    return [one["verb"] for one in found.json["entries"]] if found.status == 200 else []


def _places(server: Server) -> set[str]:
    return {one.name for one in (server.home / "artifacts").iterdir()}
