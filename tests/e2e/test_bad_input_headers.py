"""Content types and credentials, the same in both planes."""

import json

import pytest

from e2e.client import Client, chat_body

CHAT = "/v1/chat/completions"
KEYS = "/v1/auth/keys"
BODIES = {CHAT: chat_body("sandbox"), KEYS: {"name": "n"}}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("kind", "accepted"),
    [
        ("Application/JSON", True),
        ("application/json; charset=utf-8", True),
        ("APPLICATION/json ;charset=UTF-8", True),
        ("application/jsonx", False),
        ("application/json-seq", False),
        ("application/json x", False),
        ("json", False),
        (";", False),
    ],
)
def test_media_types(api: Client, path: str, kind: str, accepted: bool) -> None:
    reply = api.post(path, json.dumps(BODIES[path]).encode(), {"content-type": kind})
    if accepted:
        assert reply.status in (200, 201), reply.body
    else:
        assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("path", BODIES)
def test_another_scheme_beside_a_key(api: Client, path: str) -> None:
    """As behind a proxy with a login of its own."""
    nobody = api.with_key(None)
    headers = {"Authorization": "Basic eDp5", "X-API-Key": str(api.key)}
    assert nobody.post(path, BODIES[path], headers).status in (200, 201)
    headers["X-API-Key"] = "my-unknown"
    assert nobody.post(path, BODIES[path], headers).status == 401
