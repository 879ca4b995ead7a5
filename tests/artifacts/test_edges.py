"""What a client may send that nobody should: every answer still is one, every bound holds."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from artifacts.api import PART, Api, noise, sha256
from serving import Server


@pytest.mark.parametrize("media_type", ["text/plain\n", "текст/plain", "text/plain\r\nX-Evil: 1"])
def test_no_media_type_breaks_the_head_of_an_answer(api: Api, media_type: str) -> None:
    reply = api.send("POST", "/v1/artifacts", b"a", query={"media_type": media_type})
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
    started = api.send("POST", "/v1/artifacts/uploads", {"media_type": media_type})
    assert (started.status, started.code) == (400, "INVALID_REQUEST")


def test_a_name_of_any_characters_is_one_line_of_the_head(api: Api) -> None:
    name = 'wéird "n/a\\me;\r\nX-Evil: 1 \N{SNOWMAN}'
    made = api.put(noise(10, "named"), name=name)
    assert made["name"] == name
    reply = api.get(made["id"])
    assert reply.status == 200 and "x-evil" not in reply.headers
    assert reply.headers["content-disposition"].endswith("%0D%0AX-Evil%3A%201%20%E2%98%83")


def test_what_is_here_already_is_not_sent(api: Api) -> None:
    digest = api.put(noise(100, "here already"))["id"]
    for tags in (f'"{digest}"', f'W/"{digest}"', f'"a","{digest}"', "*"):
        reply = api.get(digest, If_None_Match=tags, Range="bytes=0-5")
        assert (reply.status, reply.body) == (304, b""), tags
    assert api.get(digest, If_None_Match='"a", "b"').status == 200


def test_a_head_is_of_the_whole(api: Api) -> None:
    """RFC 9110, section 14.2: a range is asked by GET alone."""
    digest = api.put(noise(100, "head"))["id"]
    reply = api.send("HEAD", f"/v1/artifacts/{digest}/content", Range="bytes=0-5")
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "100", b"")
    assert "content-range" not in reply.headers


def test_the_part_that_came_last_counts(api: Api) -> None:
    upload = api.start()
    for content in (b"first", b"other", b"first"):
        assert api.part(upload, 1, content).status == 200
    assert api.complete(upload).json["id"] == sha256(b"first")


def test_parts_of_an_upload_of_unknown_size_are_bounded() -> None:
    config = f"[artifacts]\nmax_bytes = {2 * PART}\nworkspace_bytes = {3 * PART}\n"
    with Server(config) as server:
        api = Api(server.url, server.key)
        one, two = api.start(), api.start()
        assert api.part(one, 3, b"too far").code == "PAYLOAD_TOO_LARGE"
        assert api.part(one, 1, noise(PART, "1")).status == 200
        assert api.part(one, 2, noise(PART, "2")).status == 200
        assert api.usage()["uploading_bytes"] == 2 * PART
        assert api.part(one, 2, noise(PART, "again")).status == 200  # both are on the disk
        assert api.part(two, 1, b"more").code == "QUOTA_EXCEEDED"
        assert api.part(one, 2, b"more").code == "QUOTA_EXCEEDED"
        assert api.send("DELETE", f"/v1/artifacts/uploads/{one}").status == 204
        assert api.part(two, 1, b"more").status == 200
        assert api.complete(two).json["id"] == hashlib.sha256(b"more").hexdigest()


def test_those_who_come_at_once_do_not_pass_the_quota_together() -> None:
    with Server("[artifacts]\nworkspace_bytes = 100000\n") as server:
        api = Api(server.url, server.key)
        bodies = [noise(60_000, f"at once {n}") for n in range(8)]

        def put(body: bytes) -> int:
            return api.send("POST", "/v1/artifacts", iter([body])).status

        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(put, bodies))
        held = api.usage()
        assert set(statuses) <= {201, 429} and held["uploading_bytes"] == 0
        assert held["bytes"] == 60_000 * statuses.count(201) <= 100_000
        assert statuses.count(201) or api.put(bodies[0])["size"] == 60_000
