import asyncio
import logging
import re

import pytest

from kernel.client import by_name, never
from kernel.notes import Notes
from modelyard.kernel.http import Application


@pytest.fixture
def notes() -> Notes:
    return Notes()


async def test_every_answer_carries_the_common_headers(notes: Notes) -> None:
    paths = ["/v1/notes", "/page", "/nowhere", "/v1/broken", "/v1/notes/1"]
    for reply in [await notes.client().get(path) for path in paths]:
        assert re.fullmatch(r"req_[0-9a-f]{24}", reply.headers["x-request-id"])
        assert re.fullmatch(r"\d+\.\d+\.\d+", reply.headers["x-api-version"])
        assert reply.headers["cache-control"] == "no-store"
        assert int(reply.headers["content-length"]) == len(reply.body)
        assert reply.headers["content-type"]


@pytest.mark.parametrize("sent", ["abc-123", "x" * 128, "trace/42:é"[:-1], "!~"])
async def test_a_usable_request_id_is_kept(notes: Notes, sent: str) -> None:
    reply = await notes.client().get("/nowhere", headers={"X-Request-ID": sent})
    assert reply.headers["x-request-id"] == sent == reply.error["request_id"]


@pytest.mark.parametrize("sent", ["x" * 129, "a b", "é", "tab\there"])
async def test_an_unusable_request_id_is_replaced(notes: Notes, sent: str) -> None:
    reply = await notes.client().get("/nowhere", headers={"X-Request-ID": sent})
    assert reply.headers["x-request-id"].startswith("req_")


async def test_api_version_is_echoed(notes: Notes) -> None:
    reply = await notes.client().get("/v1/notes", headers={"API-Version": "2026-01-15"})
    assert (reply.status, reply.headers["api-version"]) == (200, "2026-01-15")


@pytest.mark.parametrize("sent", ["v1", "2026-13-01", "20260115", "2026-01-15 ", "latest"])
async def test_a_bad_api_version_is_refused(notes: Notes, sent: str) -> None:
    reply = await notes.client().get("/v1/notes", headers={"API-Version": sent})
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
    assert reply.error["details"]["field"] == "API-Version"
    assert "api-version" not in reply.headers


@pytest.mark.parametrize(
    ("path", "note_id"),
    [
        ("/v1/notes/llama3:8b", "llama3:8b"),
        ("/v1/notes/llama3%3A8b", "llama3:8b"),
        ("/v1/notes/a%2Fb", "a/b"),
        ("/v1/notes/a%2fb%20c", "a/b c"),
        ("/v1/notes/%C3%A4", "ä"),
        ("/api/v1/notes/7", "7"),
        ("/v1/n%6Ftes/7", "7"),
    ],
)
async def test_ids_are_decoded(notes: Notes, path: str, note_id: str) -> None:
    reply = await notes.client("reader").get(path)
    assert reply.status == 200, reply.body
    assert reply.json == {"id": note_id, "caller": "reader"}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v1/books/a/versions/1", ["a", "1"]),
        ("/v1/books/a/b/c/versions/1", ["a/b/c", "1"]),
        ("/v1/books/versions/versions/versions/2", ["versions/versions", "2"]),
    ],
)
async def test_a_name_may_take_slashes(notes: Notes, path: str, found: list[str]) -> None:
    assert (await notes.client().get(path)).json == found


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/note",
        "/v1/notes/",
        "/v1/notes//",
        "/v1/notes/a/b",
        "/v1/notes/%FF",
        "/api/v2/notes",
        "/v1/books/versions/1",
        "/v1/books//versions/1",
        "/v1/books/" + "a/" * 4000,
        "/v1/books/" + "a/" * 40_000,
    ],
)
async def test_an_unknown_path_is_404(notes: Notes, path: str) -> None:
    reply = await notes.client(None).get(path)
    assert (reply.status, reply.code) == (404, "ROUTE_NOT_FOUND")


async def test_an_unknown_path_names_the_nearest(notes: Notes) -> None:
    reply = await notes.client(None).get("/v1/nots")
    assert reply.error["details"]["nearest"][0] == "/v1/notes"
    assert "/v1/notes" in reply.error["message"]


@pytest.mark.parametrize("path", ["/v1/notes", "/v1/elsewhere"])
async def test_another_method_is_405_with_allow(notes: Notes, path: str) -> None:
    reply = await notes.client(None).request("PATCH", path)
    assert (reply.status, reply.code) == (405, "METHOD_NOT_ALLOWED")
    assert "POST" in reply.headers["allow"].split(", ")
    assert ("GET" in reply.headers["allow"]) == ("HEAD" in reply.headers["allow"])


async def test_head_is_get_without_the_body(notes: Notes) -> None:
    client = notes.client()
    full, bare = await client.get("/v1/notes/1"), await client.request("HEAD", "/v1/notes/1")
    assert (bare.status, bare.body) == (200, b"")
    assert bare.headers["content-length"] == full.headers["content-length"]


async def test_options_tells_what_is_allowed(notes: Notes) -> None:
    reply = await notes.client(None).request("OPTIONS", "/v1/notes")
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_anonymous_is_401_before_the_body_is_read(notes: Notes) -> None:
    reply = await notes.client(None).post("/v1/notes", receive=never)
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
    assert reply.headers["www-authenticate"] == "Bearer"


async def test_a_missing_permission_is_named_before_the_body_is_read(notes: Notes) -> None:
    reply = await notes.client("reader").post("/v1/notes", receive=never)
    assert (reply.status, reply.code) == (403, "PERMISSION_DENIED")
    assert reply.error["details"]["permission"] == "note:write"
    assert "note:write" in reply.error["message"]


async def test_either_case_and_users_keys_stay(notes: Notes) -> None:
    body = {"title": "a", "parts": [{"sizeLimit": 3}, {"size_limit": 4}], "labels": {"myKey": "x"}}
    reply = await notes.client().post("/v1/notes", body)
    assert reply.status == 201, reply.body
    assert [part["size_limit"] for part in reply.json["parts"]] == [3, 4]
    assert reply.json["labels"] == {"myKey": "x"}


async def test_a_whole_number_is_an_integer(notes: Notes) -> None:
    body = b'{"title":"a","parts":[{"size_limit":3.0}],"score":2.0}'
    reply = await notes.client().post("/v1/notes", body)
    assert (reply.status, notes.calls[0].parts[0].size_limit) == (201, 3)
    assert isinstance(notes.calls[0].parts[0].size_limit, int)
    assert isinstance(notes.calls[0].score, float)


async def test_a_large_body_is_413_with_its_limit() -> None:
    notes = Notes(max_body=100)
    announced = await notes.client().post(
        "/v1/notes", receive=never, headers={"Content-Length": "101"}
    )
    chunked = await notes.client().post("/v1/notes", b" " * 101)
    for reply in (announced, chunked):
        assert (reply.status, reply.code) == (413, "PAYLOAD_TOO_LARGE")
        assert reply.error["details"]["limit_bytes"] == 100


async def test_a_slow_body_is_408() -> None:
    notes = Notes(body_seconds=0.01)
    reply = await notes.client().post("/v1/notes", receive=never)
    assert (reply.status, reply.code) == (408, "REQUEST_TIMEOUT")


async def test_a_client_that_left_gets_no_answer_and_changes_nothing(notes: Notes) -> None:
    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with pytest.raises(ConnectionError):
        await notes.client().post("/v1/notes", receive=gone)
    assert notes.calls == []


async def test_a_body_in_parts(notes: Notes) -> None:
    parts = iter([(b'{"tit', True), (b'le":"a"', True), (b"}", False)])

    async def receive() -> dict[str, object]:
        body, more = next(parts)
        await asyncio.sleep(0)
        return {"type": "http.request", "body": body, "more_body": more}

    reply = await notes.client().post("/v1/notes", b"", receive=receive)
    assert reply.status == 201, reply.body


async def test_an_unforeseen_error_shows_nothing_and_is_logged(
    notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "modelyard.http"):
        reply = await notes.client().get("/v1/broken")
    assert (reply.status, reply.code) == (500, "INTERNAL")
    assert b"hunter2" not in reply.body
    assert "hunter2" in caplog.text
    assert caplog.records[0].request_id == reply.headers["x-request-id"]


async def test_retry_after_is_whole_seconds(notes: Notes) -> None:
    reply = await notes.client().delete("/v1/notes/missing")
    assert (reply.status, reply.headers["retry-after"]) == (404, "1")


async def test_a_changing_route_leaves_an_event(notes: Notes) -> None:
    await notes.client().post("/v1/notes", {"title": "a"}, headers={"X-Request-ID": "r1"})
    await notes.client().delete("/v1/notes/n%2F1")
    await notes.client().delete("/v1/notes/missing")
    await notes.client("reader").delete("/v1/notes/2")
    assert [(event.verb, event.resource) for event in notes.events] == [
        ("note.create", "notes"),
        ("note.delete", "notes/n/1"),
    ]
    assert (notes.events[0].actor, notes.events[0].request_id) == ("root", "r1")


async def test_a_websocket_is_closed(notes: Notes) -> None:
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await notes.app({"type": "websocket"}, never, send)
    assert sent[0]["type"] == "websocket.close"


async def test_a_broken_pipe_is_no_error(notes: Notes, caplog: pytest.LogCaptureFixture) -> None:
    async def send(message: dict[str, object]) -> None:
        raise BrokenPipeError

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/page",
        "raw_path": b"/page",
        "query_string": b"",
        "headers": [],
    }
    await notes.app(scope, never, send)
    assert caplog.text == ""


def test_a_route_may_be_declared_once(notes: Notes) -> None:
    routes = [*notes.routes(), *notes.routes()]
    with pytest.raises(ValueError, match="twice"):
        Application(routes, authenticate=by_name, ports=notes.ports)
