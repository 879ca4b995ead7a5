"""The commands made of declarations, sign-in and audit, against a real server."""

import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.cli.main import main
from serving import Server

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server('[[models]]\nname = "mine"\ntargets = ["sandbox/sandbox"]\n') as running:
        yield running


@pytest.fixture(autouse=True)
def at_the_server(server: Server, home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_URL", server.url)
    monkeypatch.setenv("MODELYARD_API_KEY", server.key)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command that succeeds; its JSON."""

    def call(*words: str, status: int = 0) -> Any:
        assert main([*words, "--json"]) == status, capsys.readouterr()
        out = capsys.readouterr().out
        return json.loads(out) if out else None

    return call


def test_a_user_from_making_to_deletion(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--display-name", "Ada L.", "--label", "team=vision", "--label", "a=b=c"]
    made = run("users", "create", "--login", "ada@example.com", *words)
    assert made["display_name"] == "Ada L."
    assert made["labels"] == {"team": "vision", "a": "b=c"}
    assert run("users", "get", made["id"]) == made
    after = run("users", "update", made["id"], "--disabled")
    assert (after["disabled"], after["display_name"]) == (True, "Ada L.")
    assert run("users", "update", made["id"], "--no-disabled")["disabled"] is False
    listed = run("users", "list", "--filter", 'login = "ada@example.com"')
    assert [one["id"] for one in listed["users"]] == [made["id"]]
    assert main(["users", "list"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == [
        "id", "kind", "login", "display_name", "disabled", "roles", "created_at",
    ]  # fmt: skip
    assert "Ada L." in table[1]
    assert run("users", "delete", made["id"]) == {"id": made["id"], "deleted": True}
    assert run("users", "get", made["id"], status=1)["error"]["code"] == "NOT_FOUND"


def test_roles_are_merged_with_what_is_there(run: Any) -> None:
    made = run("users", "create", "--login", "bob@example.com")
    assert run("users", "roles", made["id"])["roles"] == []
    words = ["--roles", "ml_ops", "--roles", "data_engineer", "--department", "x"]
    first = run("users", "roles", made["id"], *words)
    assert first["roles"] == ["ml_ops", "data_engineer"]
    second = run("users", "roles", made["id"], "--clearance-level", "3")
    assert second["roles"] == ["ml_ops", "data_engineer"]
    assert second["attributes"] == {"department": "x", "clearance_level": 3}


def test_workspaces_and_another_one_s_users(run: Any) -> None:
    assert run("workspaces", "create", "vision", "--display-name", "Vision")["id"] == "vision"
    made = run("users", "create", "--login", "eve@example.com", "--workspace", "vision")
    assert made["workspace"] == "vision"
    inside = run("users", "list", "--workspace", "vision")["users"]
    assert [one["login"] for one in inside] == ["eve@example.com"]
    assert "eve@example.com" not in str(run("users", "list"))
    assert run("users", "get", made["id"], status=1)["error"]["code"] == "NOT_FOUND"
    assert run("users", "get", made["id"], "--workspace", "vision") == made
    key = run("keys", "create", "k", "--workspace", "vision")
    listed = run("keys", "list", "--workspace", "vision")["keys"]
    assert [one["id"] for one in listed] == [key["id"]]
    assert run("keys", "rotate", key["id"], "--workspace", "vision")["id"] == key["id"]
    assert run("keys", "revoke", key["id"], status=1)["error"]["code"] == "NOT_FOUND"
    assert run("keys", "revoke", key["id"], "--workspace", "vision")["revoked"] is True


def test_a_policy_from_a_file(run: Any, tmp_path: Path) -> None:
    text = "permit (principal, action, resource);"
    (tmp_path / "all.cedar").write_text(text)
    made = run("policies", "create", "all", "--policy", f"@{tmp_path}/all.cedar", "--no-enabled")
    assert (made["id"], made["policy"], made["enabled"]) == ("all", text, False)
    assert run("policies", "list", "--most", "1")["policies"][0]["id"] == "all"
    assert run("policies", "create", "x", "--policy", "@nowhere", status=2)["error"]
    assert run("policies", "delete", "all")["deleted"] is True


def test_prices(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    tiers = '[{"above": 100, "input": 5, "output": 6}]'
    words = ["--input", "2.5", "--output", "10", "--tiers", tiers, "--note", "ours"]
    made = run("prices", "set", "openai/gpt-4o", *words)
    assert (made["id"], made["input"], made["tiers"][0]["above"]) == ("openai/gpt-4o", 2.5, 100)
    got = run("prices", "get", "openai/gpt-4o")
    assert (got["source"], got["per_million"]["input"]) == ("override", 2.5)
    assert len(run("prices", "list")["prices"]) > 1000  # more than a page
    assert main(["prices", "list", "--filter", "source = override"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "source", "input", "output", "checked"]
    assert line.split()[:4] == ["openai/gpt-4o", "override", "2.5", "10.0"]
    assert run("prices", "delete", "openai/gpt-4o")["deleted"] is True
    assert run("prices", "get", "openai/gpt-4o")["source"] == "table"
    assert run("prices", "set", "mine", "--input", "1", "--output", "1")["id"] == "mine"


@pytest.mark.parametrize(
    "words",
    [
        ["users", "create"],
        ["users", "update", "user_1"],
        ["users", "create", "--login", "x", "--label", "team"],
        ["users", "create", "--login", "x", "--signing-key", "{"],
        ["users", "roles", "user_1", "--clearance-level", "high"],
        ["prices", "set", "mine", "--input", "1"],
    ],
)
def test_asked_for_wrongly(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err


def test_login_and_logout(
    server: Server, run: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    user = run("users", "create", "--login", "login@example.com", "--password", "-")
    run("users", "roles", user["id"], "--roles", "business_user")
    monkeypatch.delenv("MODELYARD_API_KEY")
    monkeypatch.setenv("MODELYARD_ADMIN_KEY", server.key)
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
    assert run("login", "login@example.com", status=1)["error"]["code"] == "UNAUTHENTICATED"
    assert not (home / "session").exists()
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    told = run("login", "login@example.com")
    assert (told["user_id"], told["workspace"]) == (user["id"], "default")
    file = home / "session"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PASSWORD not in file.read_text()
    assert json.loads(file.read_text())["token"] not in str(told)
    denied = run("users", "list", status=1)["error"]
    assert denied["details"]["permission"] == "user:read"
    assert run("users", "list", "--key", server.key)["users"]
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"expires_at": 1.0}))
    assert "has ended" in run("users", "list", status=1)["error"]["message"]
    file.write_text(json.dumps(kept | {"url": "http://elsewhere:1"}))
    assert run("users", "list")["users"]  # the token is sent to its own server only
    assert run("logout") == {"forgotten": True}
    assert run("logout") == {"forgotten": False}
    assert run("users", "list")["users"]


def test_the_trail(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made = run("users", "create", "--login", "trail@example.com")
    run("users", "update", made["id"], "--display-name", "T")
    name = f"auth/users/{made['id']}"
    found: list[Any] = []
    for _ in range(100):  # the trail is sealed within a second
        found = run("audit", "list", "--filter", f'resource = "{name}"')["entries"]
        if len(found) == 2:
            break
    assert [one["verb"] for one in found] == ["user.update", "user.create"]
    assert run("audit", "list", name)["entries"] == found
    assert run("audit", "list", made["id"], "--most", "1")["entries"] == found[:1]
    assert main(["audit", "list", name]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["sequence", "at", "actor", "verb", "resource", "changed"]
    assert lines[0].endswith("display_name")
