"""``modelyard keys`` and the lists: what is sent, and what is shown."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.scripted import command, serving

MADE: dict[str, Any] = {
    "id": "key_1",
    "key": "my-secret",
    "name": "app",
    "workspace": "default",
    "scopes": ["inference:write"],
    "limits": {"requests_per_minute": 10, "tokens_per_minute": None},
    "created_at": "2026-01-01T00:00:00Z",
    "expires_at": None,
}


def test_create(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["keys", "create", "app", "--workspace", "w", "--scope", "a:read", "--scope", "b:*"]
    words += ["--limit", "requests-per-minute=10", "--limit", "tokens_per_minute=none"]
    words += ["--cache-samples", "--expires", "2027-01-31T12:00:00+01:00"]
    with serving({"POST /v1/auth/keys": MADE}) as server:
        assert command(server, *words) == 0
    assert server.last.body == {
        "name": "app",
        "workspace": "w",
        "scopes": ["a:read", "b:*"],
        "limits": {"requests_per_minute": 10, "tokens_per_minute": None},
        "cache_samples": True,
        "expires_at": "2027-01-31T11:00:00Z",
    }
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "my-secret"
    assert "only now" in said.err


def test_create_sends_only_what_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"POST /v1/auth/keys": MADE}) as server:
        assert command(server, "keys", "create", "app", "--json") == 0
    assert server.last.body == {"name": "app"}
    assert json.loads(capsys.readouterr().out) == MADE


def test_a_time_from_now() -> None:
    with serving({"POST /v1/auth/keys": MADE}) as server:
        assert command(server, "keys", "create", "app", "--expires", "12h") == 0
    at = datetime.fromisoformat(server.last.body["expires_at"])
    assert abs(at - datetime.now(UTC) - timedelta(hours=12)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    "words",
    [
        ["--expires", "soon"],
        ["--limit", "requests_per_minute"],
        ["--limit", "requests_per_minute=0"],
        ["--limit", "speed=3"],
        ["--nope"],
    ],
)
def test_wrong_options_are_refused_before_anything_is_sent(words: list[str]) -> None:
    with serving({}) as server:
        assert command(server, "keys", "create", "app", *words) == 2
    assert server.asked == []


def test_list_follows_the_pages(capsys: pytest.CaptureFixture[str]) -> None:
    pages = {
        "GET /v1/auth/keys": {"keys": [MADE], "next_page_token": "a b"},
        "GET /v1/auth/keys?page_token=a+b": {"keys": [MADE | {"id": "key_2"}]},
    }
    with serving(pages) as server:
        assert command(server, "keys", "list", "--json") == 0
        assert [key["id"] for key in json.loads(capsys.readouterr().out)["keys"]] == [
            "key_1",
            "key_2",
        ]
        assert command(server, "keys", "list") == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "name", "workspace", "scopes", "created_at", "expires_at"]
    assert first.split()[:4] == ["key_1", "app", "default", "inference:write"]
    assert second.startswith("key_2")


def test_rotate_and_revoke(capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"POST /v1/auth/keys/a%2Fb/rotate": MADE, "DELETE /v1/auth/keys/key_1": (204, b"")}
    with serving(answers) as server:
        assert command(server, "keys", "rotate", "a/b", "--overlap", "60") == 0
        assert server.last.body == {"overlap_seconds": 60}
        assert "my-secret" in capsys.readouterr().out
        assert command(server, "keys", "revoke", "key_1") == 0
        assert capsys.readouterr().out == "Revoked key_1.\n"
        assert command(server, "keys", "revoke", "key_1", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"id": "key_1", "revoked": True}


def test_models_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    models = {"object": "list", "data": [{"id": "gpt-4o", "owned_by": "main", "object": "model"}]}
    status = {
        "status": "healthy",
        "pending_requests": None,
        "cache_stats": {"overall": {"hit_rate": 78.5}, "l2_redis": None},
    }
    answers = {"GET /v1/models": models, "GET /v1/ai-inference/status": status}
    with serving(answers) as server:
        assert command(server, "models") == 0
        assert capsys.readouterr().out.split() == ["model", "provider", "gpt-4o", "main"]
        assert command(server, "status") == 0
        said = capsys.readouterr().out
        assert f"{server.url} is healthy" in said
        assert "overall.hit_rate" in said
        assert "78.5" in said
        assert command(server, "status", "--json") == 0
    assert json.loads(capsys.readouterr().out) == status
