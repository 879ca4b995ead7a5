"""The commands that need no server, and how they are dispatched."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard import __version__
from modelyard.cli.main import main

CONFIG = """
port = 9000
admin_key = "my-admin-key-0123456789"
[providers.main]
base_url = "http://127.0.0.1:1/v1"
api_key = "sk-abcdefghijklmnopqrstuv"
"""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == lines[1]
    assert lines[0].startswith(f"modelyard {__version__} ")
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == __version__


def test_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "modelyard.toml").write_text(CONFIG)
    assert main(["config"]) == 0
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines()}
    assert rows["port"] == ["9000", "file", "modelyard.toml:2"]
    assert rows["host"] == ["127.0.0.1", "default"]
    assert rows["admin_key"] == ["***6789", "file", "modelyard.toml:3"]
    assert rows["providers.main.api_key"][0] == "***stuv"
    assert "providers.main.retries" not in rows
    assert main(["config", "--all"]) == 0
    assert "providers.main.retries" in capsys.readouterr().out


def test_config_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "named.toml"
    file.write_text(CONFIG + '\n[[models]]\nname = "m"\ntargets = ["main/x"]\n')
    assert main(["config", "--config", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["file"] == str(file)
    assert said["settings"]["port"] == {"value": "9000", "source": f"file {file}:2"}
    assert said["settings"]["models[0].name"]["value"] == "m"
    assert "abcdefg" not in json.dumps(said)


@pytest.mark.parametrize("command", ["serve", "config"])
def test_wrong_settings_are_all_told(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "modelyard.toml").write_text("port = -1\nwrokers = 2\n")
    assert main([command]) == 2
    head, first, second = capsys.readouterr().err.splitlines()
    assert head == "modelyard: 2 errors in the settings:"
    assert first.startswith("  wrokers (file modelyard.toml:2)")
    assert second.startswith("  port = -1 (file modelyard.toml:1)")


def test_wrong_settings_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    Path("modelyard.toml").write_text("port = -1\n")
    assert main(["config", "--json"]) == 2
    assert "port = -1" in json.loads(capsys.readouterr().out)["errors"][0]


def test_serve_takes_its_options_over_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.toml").write_text("port = 9000\nwrokers = 1\n")
    assert main(["serve", "--config", "other.toml", "--port", "x"]) == 2
    assert "port = x (command line)" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["nope"], ["infer"], ["keys"], ["models", "--nope"]])
def test_wrong_usage(words: list[str]) -> None:
    assert main(words) == 2


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for name in ("serve", "infer", "keys", "models", "status", "config", "version"):
        assert name in said


def test_serving_loads_neither_typer_nor_rich() -> None:
    program = (
        "import sys\nfrom modelyard.cli.main import main\nstatus = main(['serve'])\n"
        "heavy = {'typer', 'rich', 'click', 'http.client', 'importlib.resources'}\n"
        "print(status, sorted(heavy & set(sys.modules)))"
    )
    Path("modelyard.toml").write_text("port = -1\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "2 []\n", done.stderr
