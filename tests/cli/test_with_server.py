"""The commands against a real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.cli.main import main
from serving import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(env={"PYTHONPROFILEIMPORTTIME": "1"}) as running:
        yield running


@pytest.fixture(autouse=True)
def at_the_server(server: Server, home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_URL", server.url)
    monkeypatch.setenv("MODELYARD_API_KEY", server.key)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_the_serving_process_stays_light(server: Server) -> None:
    loaded = {line.rpartition("|")[2].strip() for line in server.log().splitlines()}
    assert "modelyard.server" in loaded
    heavy = {"typer", "rich", "click", "pydantic", "sqlalchemy", "alembic", "openai"}
    assert not heavy & loaded
    until_asked_for = {"cedarpy", "cryptography", "joserfc", "argon2", "asyncpg"}
    assert not until_asked_for & _by_the_server(server)


def _by_the_server(server: Server) -> set[str]:
    """Libraries that the process that serves has mapped: another one makes the first keys."""
    assert server.process is not None
    maps = Path(f"/proc/{server.process.pid}/maps")
    if not maps.exists():
        pytest.skip("only Linux tells")
    folders = {Path(line.split()[-1]).parent for line in maps.read_text().splitlines()}
    return {part for folder in folders for part in folder.parts}


def test_infer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", "Hello there", "--model", "sandbox"]) == 0
    streamed = capsys.readouterr()
    assert "Hello there" in streamed.out
    assert "sandbox by sandbox" in streamed.err
    assert "$0.00" in streamed.err
    assert main(["infer", "Hello there", "--model", "sandbox", "--no-stream"]) == 0
    assert said(capsys) == streamed.out
    assert main(["infer", "Hello there", "--json", "--max-tokens", "3"]) == 0
    assert json.loads(said(capsys))["output_tokens"] == 3


def test_an_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--no-stream"]):
        assert main(["infer", "Hello", "--model", "nope", *words]) == 1
        error = capsys.readouterr().err
        assert "nope" in error
        assert "MODEL_NOT_FOUND, request req_" in error
        assert len(error.splitlines()) == 1


def test_a_key_from_its_making_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--limit", "requests_per_minute=7", "--limit", "tokens_per_minute=none"]
    assert main(["keys", "create", "app", "--expires", "30d", *words, "--json"]) == 0
    made = json.loads(said(capsys))
    assert made["limits"]["requests_per_minute"] == 7
    assert made["limits"]["tokens_per_minute"] is None
    assert main(["infer", "Hi", "--key", made["key"]]) == 0
    said(capsys)
    assert main(["keys", "list", "--json"]) == 0
    listed = json.loads(said(capsys))["keys"]
    assert [key["name"] for key in listed if key["id"] == made["id"]] == ["app"]
    assert made["key"] not in json.dumps(listed)
    assert main(["keys", "rotate", made["id"], "--json"]) == 0
    rotated = json.loads(said(capsys))
    assert rotated["key"] != made["key"]
    assert main(["infer", "Hi", "--key", rotated["key"]]) == 0
    assert main(["keys", "revoke", made["id"]]) == 0
    assert main(["keys", "revoke", made["id"]]) == 1
    assert main(["keys", "create", "app", "--scope", "no such scope"]) == 1


def test_models_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "sandbox-embedding" in said(capsys)
    assert main(["status"]) == 0
    shown = said(capsys)
    assert "cache_stats" in shown
    assert main(["status", "--json"]) == 0
    assert "worker_stats" in json.loads(said(capsys))
