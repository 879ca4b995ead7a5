"""The first tests of every route of the server: who is let in, and what a refusal names."""

import re
from collections.abc import Iterator

import msgspec
import pytest

from e2e.client import Client
from modelyard.kernel.route import Route
from modelyard.server import routes
from serving import Server

GUARDED = [route for route in routes() if route.permission is not None and not route.hidden]
ITEMS = [route for route in GUARDED if "{" in route.path and "models" not in route.path]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def path(route: Route, own_id: str = "no-such-thing") -> str:
    """The path of a route with an id for each parameter, and the query it cannot do without."""
    found = re.sub(r"{[^}]+}", own_id, route.path)
    fields = msgspec.structs.fields(route.query) if route.query is not None else ()
    needed = [f"{one.encode_name}=x" for one in fields if one.required]
    return "?".join((found, *filter(None, ["&".join(needed)])))


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_nobody_is_let_in_without_a_key(server: Server, route: Route) -> None:
    body = route.examples.get("request", {}) if route.request is not None else None
    for key in (None, "my-unknown-key", "eyJhbGciOiJub25lIn0.e30."):
        reply = Client(server.url, key).request(route.method, path(route), body)
        assert reply.status == 401, reply.body
        assert "key" in reply.body.decode().lower() or "token" in reply.body.decode().lower()
    assert server.key.encode() not in reply.body


@pytest.fixture(scope="module")
def weak(server: Server) -> Client:
    """A client that may do nothing that a route needs."""
    return Client(server.url, server.key).new_key(scopes=["nothing:nothing"])


# Whoever asked for an operation may look at it: a list holds the caller's own (tests/jobs).
NEEDING = [
    route for route in GUARDED if route.permission and not route.permission.startswith("operation:")
]


@pytest.mark.parametrize("route", NEEDING, ids=named)
def test_a_missing_permission_is_named(weak: Client, route: Route) -> None:
    body = route.examples.get("request", {}) if route.request is not None else None
    reply = weak.request(route.method, path(route), body)
    assert reply.status == 403, reply.body
    assert f"'{route.permission}'" in reply.body.decode()


@pytest.mark.parametrize("route", ITEMS, ids=named)
def test_what_is_not_there_is_404(server: Server, route: Route) -> None:
    if route.place is not None and route.place.fresh:
        return
    body = route.examples.get("request", {}) if route.request is not None else None
    reply = Client(server.url, server.key).request(route.method, path(route), body)
    assert reply.status == 404, reply.body


def test_another_workspace_s_request_is_not_there(server: Server) -> None:
    admin = Client(server.url, server.key)
    made = admin.chat("sandbox")
    own = made.headers["x-request-id"]
    where = f"/v1/ai-inference/requests/{own}"
    assert admin.trace(own)
    stranger = admin.new_key(workspace="strangers", scopes=["*:*"])
    assert stranger.get(where).status == 404
    assert stranger.log() == []
