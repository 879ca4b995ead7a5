"""The client: which server and key it takes, and how it tells what went wrong."""

import json
from pathlib import Path

import pytest

from cli.scripted import command, serving
from modelyard.cli.main import main
from modelyard.cli.options import connect
from serving import free_port

MODELS = "GET /v1/models"
LIST = {"object": "list", "data": []}
ERROR = {
    "error": {
        "code": "MODEL_NOT_FOUND",
        "message": "There is no model 'x'.",
        "request_id": "req_9",
        "details": {"available": []},
    }
}


def test_no_server_names_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert main(["models", "--url", url]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"modelyard: no server answers at {url} (Connection refused)")
    assert "modelyard serve" in said.err
    assert len(said.err.splitlines()) == 1


def test_the_error_envelope(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({MODELS: (404, ERROR)}) as server:
        assert command(server, "models") == 1
        said = capsys.readouterr().err
        assert said == "modelyard: There is no model 'x'. (MODEL_NOT_FOUND, request req_9)\n"
        assert command(server, "models", "--json") == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == ERROR
    assert said.err == ""


def test_a_missing_key_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    error = {"error": {"code": "UNAUTHENTICATED", "message": "No API key was sent."}}
    with serving({MODELS: (401, error)}) as server:
        assert main(["models", "--url", server.url]) == 1
        assert "authorization" not in server.last.headers
    said = capsys.readouterr().err
    assert "MODELYARD_API_KEY" in said
    assert "req-of-the-header" in said


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, b"<html>"), "did not answer with JSON"),
        ((502, b"<html>"), "answered 502 Bad Gateway"),
        ((500, {"error": "no object"}), "answered 500"),
        ((302, b""), "answered 302"),
    ],
)
def test_another_server(
    answer: tuple[int, bytes], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({MODELS: answer}) as server:
        assert command(server, "models") == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("url", ["ftp://h", "h:80", "http://", "http://h:99999", "http://[::1"])
def test_a_wrong_url(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--url", url]) == 2
    assert "write --url http://host:port" in capsys.readouterr().err


def test_a_url_with_a_path() -> None:
    with serving({"GET /ai/v1/models": LIST}) as server:
        assert main(["models", "--url", server.url + "/ai/"]) == 0


def test_where_the_server_and_the_key_come_from(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sent() -> str | None:
        assert main(["models"]) == 0
        return server.last.headers.get("authorization")

    with serving({MODELS: LIST}) as server:
        monkeypatch.setenv("MODELYARD_PORT", server.url.rpartition(":")[2])
        assert sent() is None
        (home / "admin.key").write_text("my-generated\n")
        assert sent() == "Bearer my-generated"
        monkeypatch.setenv("MODELYARD_ADMIN_KEY", "my-admin-key-of-the-environment")
        assert sent() == "Bearer my-admin-key-of-the-environment"
        monkeypatch.setenv("MODELYARD_API_KEY", "my-api-key")
        assert sent() == "Bearer my-api-key"
        monkeypatch.setenv("MODELYARD_PORT", "1")
        monkeypatch.setenv("MODELYARD_URL", server.url)
        assert sent() == "Bearer my-api-key"


def test_wrong_settings_do_not_keep_a_client_from_its_server(tmp_path: Path) -> None:
    with serving({MODELS: LIST}) as server:
        port = server.url.rpartition(":")[2]
        text = f'port = {port}\n[providers.a]\nbase_url = "http://a"\napi_key = "env:NOT_HERE"\n'
        (tmp_path / "modelyard.toml").write_text(text)
        assert main(["models"]) == 0


def test_the_generated_key_stays_on_this_machine(home: Path) -> None:
    (home / "admin.key").write_text("my-generated\n")
    assert connect("http://127.0.0.1:1", None)._key == "my-generated"
    assert connect("http://gateway.example:1", None)._key is None
