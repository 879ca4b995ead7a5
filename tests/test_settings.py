"""Where settings come from, and which source wins."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.settings import Loaded, PriceSettings, TargetSettings, load
from modelyard.settings.listing import listing

FILE = """
port = 9000
log_level = "WARNING"

[cache]
l1_ttl = 60

[providers.main]
base_url = "http://127.0.0.1:9100/v1/"
api_key = "env:MAIN_API_KEY"
headers = { "X-Team" = "env:TEAM" }

[[models]]
name = "gpt-4o"
targets = ["main/gpt-4o", [{ target = "main/a", weight = 3 }, "sandbox/sandbox"]]
aliases = ["best"]
[models.price]
input = 2.5
output = 10
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "modelyard.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def read(
    file: Path | None = None, environ: Mapping[str, str] | None = None, **overrides: object
) -> Loaded:
    known = {"HOME": "/nowhere", "MAIN_API_KEY": "sk-main-0123456789abcdef", "TEAM": "blue"}
    return load(file, overrides, known | dict(environ or {}))


def test_defaults_are_good_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = read()
    assert loaded.settings.port == 8080
    assert loaded.settings.home == Path("/nowhere/.modelyard")
    assert loaded.config is None
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.warnings == []


def test_command_line_over_environment_over_file_over_default(file: Path) -> None:
    assert read(file).settings.port == 9000
    assert read(file).sources["port"] == f"file {file}:2"
    environ = {"MODELYARD_PORT": "9001"}
    assert read(file, environ).settings.port == 9001
    assert read(file, environ).sources["port"] == "environment MODELYARD_PORT"
    assert read(file, environ, port="9002").settings.port == 9002
    assert read(file, environ, port="9002").sources["port"] == "command line"
    assert read(file, environ, port=None).settings.port == 9001
    assert read(file).sources["host"] == "default"


def test_a_file_whole(file: Path) -> None:
    settings = read(file).settings
    main = settings.providers["main"]
    assert settings.log_level == "warning"
    assert settings.cache.l1_ttl == 60.0
    assert main.base_url == "http://127.0.0.1:9100/v1"
    assert main.api_key == "sk-main-0123456789abcdef"
    assert main.headers == {"X-Team": "blue"}
    (model,) = settings.models
    weighted = TargetSettings(target="main/a", weight=3.0)
    assert model.targets == ["main/gpt-4o", [weighted, "sandbox/sandbox"]]
    assert model.price == PriceSettings(input=2.5, output=10.0)
    assert model.aliases == ["best"]


def test_sources_name_lines_and_variables(file: Path) -> None:
    sources = read(file).sources
    assert sources["cache.l1_ttl"] == f"file {file}:6"
    assert sources["providers.main.api_key"] == f"file {file}:10, environment MAIN_API_KEY"
    assert sources["models[0].price.output"] == f"file {file}:19"
    assert sources["models[0].balance"] == "default"


def test_every_plain_setting_is_a_variable() -> None:
    settings = read(
        environ={
            "MODELYARD_HOST": "0.0.0.0",
            "MODELYARD_WORKERS": "4",
            "MODELYARD_SHUTDOWN_SECONDS": "1.5",
            "MODELYARD_CACHE_L1_ENTRIES": "0",
            "MODELYARD_GATEWAY_CIRCUIT_FAILURES": "7",
            "MODELYARD_HOME": "~/elsewhere",
            "MODELYARD_LOG_FORMAT": "Text",
        }
    ).settings
    assert (settings.host, settings.workers, settings.shutdown_seconds) == ("0.0.0.0", 4, 1.5)
    assert (settings.cache.l1_entries, settings.gateway.circuit_failures) == (0, 7)
    assert settings.home == Path("/nowhere/elsewhere")
    assert settings.log_format == "text"


def test_an_empty_variable_counts_as_unset(file: Path) -> None:
    assert read(file, {"MODELYARD_PORT": "", "OPENAI_API_KEY": ""}).settings.port == 9000
    providers = read(file, {"OPENAI_API_KEY": ""}).settings.providers
    assert list(providers) == ["main", "sandbox", "local"]


def test_one_field_of_one_provider(file: Path) -> None:
    file.write_text('[providers.my-gpu]\nbase_url = "http://10.0.0.1/v1"\n', encoding="utf-8")
    environ = {
        "MODELYARD_PROVIDERS_MY_GPU_API_KEY": "sk-1",
        "MODELYARD_PROVIDERS_MY_GPU_MODELS": "a, b",
        "MODELYARD_PROVIDERS_OTHER_BASE_URL": "https://example.org/v1",
        "MODELYARD_PROVIDERS_OTHER_MODELS": '["c,d"]',
        "MODELYARD_PROVIDERS_OTHER_HEADERS": '{"X-A": "b"}',
    }
    providers = read(file, environ).settings.providers
    assert list(providers) == ["my-gpu", "other", "sandbox", "local"]
    assert providers["my-gpu"].api_key == "sk-1"
    assert providers["my-gpu"].models == ["a", "b"]
    assert providers["other"].models == ["c,d"]
    assert providers["other"].headers == {"X-A": "b"}


def test_json_in_the_environment(file: Path) -> None:
    environ = {
        "MODELYARD_PROVIDERS": '{"main": {"retries": 3}, "b": {"base_url": "http://b/v1"}}',
        "MODELYARD_PROVIDERS_B_RETRIES": "4",
        "MODELYARD_MODELS": '[{"name": "m", "targets": ["b/x"]}]',
    }
    settings = read(file, environ).settings
    assert settings.providers["main"].retries == 3
    assert settings.providers["main"].base_url == "http://127.0.0.1:9100/v1"
    assert settings.providers["b"].retries == 4
    assert [model.name for model in settings.models] == ["m"]


def test_a_vendor_key_alone_adds_its_provider() -> None:
    environ = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "GEMINI_API_KEY": "c"}
    loaded = read(environ=environ)
    providers = loaded.settings.providers
    assert list(providers) == ["openai", "anthropic", "gemini", "sandbox", "local"]
    assert [p.api_key for p in providers.values()] == ["a", "b", "c", None, None]
    assert providers["openai"].base_url == "https://api.openai.com/v1"
    assert providers["anthropic"].base_url == "https://api.anthropic.com/v1"
    assert loaded.sources["providers.openai.api_key"] == "environment OPENAI_API_KEY"
    moved = read(environ=environ | {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}).settings
    assert moved.providers["openai"].base_url == "http://127.0.0.1:1/v1"


def test_a_vendor_key_alone_adds_no_other_provider() -> None:
    assert list(read(environ={"GROQ_API_KEY": "a"}).settings.providers) == ["sandbox", "local"]


def test_well_known_names_need_no_address(file: Path) -> None:
    file.write_text("[providers.groq]\n[providers.ollama]\n", encoding="utf-8")
    providers = read(file, {"GROQ_API_KEY": "gsk"}).settings.providers
    assert providers["groq"].base_url == "https://api.groq.com/openai/v1"
    assert providers["groq"].api_key == "gsk"
    assert providers["ollama"].base_url == "http://127.0.0.1:11434/v1"


def test_a_vendor_key_is_never_sent_elsewhere(file: Path) -> None:
    file.write_text('[providers.openai]\nbase_url = "http://10.0.0.1/v1"\n', encoding="utf-8")
    assert read(file, {"OPENAI_API_KEY": "secret"}).settings.providers["openai"].api_key is None
    file.write_text('[providers.openai]\nbase_url = "https://api.openai.com/v1/"\n')
    assert read(file, {"OPENAI_API_KEY": "secret"}).settings.providers["openai"].api_key == "secret"


def test_the_file_wins_over_a_vendor_key(file: Path) -> None:
    file.write_text('[providers.openai]\napi_key = "mine"\n', encoding="utf-8")
    assert read(file, {"OPENAI_API_KEY": "theirs"}).settings.providers["openai"].api_key == "mine"


def test_which_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    for folder, port in ((home, 1), (here, 2)):
        folder.mkdir()
        (folder / "modelyard.toml").write_text(f"port = {port}")
    (tmp_path / "named.toml").write_text("port = 3")
    (tmp_path / "other.toml").write_text("port = 4")
    environ = {"MODELYARD_HOME": str(home)}
    monkeypatch.chdir(tmp_path)
    assert read(environ=environ).settings.port == 1
    monkeypatch.chdir(here)
    assert read(environ=environ).settings.port == 2
    environ["MODELYARD_CONFIG"] = str(tmp_path / "named.toml")
    assert read(environ=environ).settings.port == 3
    assert read(tmp_path / "other.toml", environ).settings.port == 4


def test_relative_files_start_at_the_file(file: Path) -> None:
    (file.parent / "ca.pem").write_text("x")
    file.write_text('[providers.a]\nbase_url = "https://a/v1"\nca_file = "ca.pem"\n')
    assert read(file).settings.providers["a"].ca_file == str(file.parent / "ca.pem")


def test_variables_that_mean_nothing_are_told_of() -> None:
    loaded = read(
        environ={
            "MODELYARD_REDIS_URL": "redis://u:secret-word@h",
            "MODELYARD_SOMETHING_ELSE": "1",
            "MODELYARD_SERVICE_HOST": "10.0.0.1",
            "MODELYARD_URL": "http://127.0.0.1:1",
        }
    )
    assert loaded.settings.redis_url == "redis://u:secret-word@h"
    assert [warning.split()[0] for warning in loaded.warnings] == ["MODELYARD_SOMETHING_ELSE"]


def test_the_listing_masks_secrets(file: Path) -> None:
    environ = {
        "MODELYARD_ADMIN_KEY": "my-admin-key-0123456789",
        "MODELYARD_REDIS_URL": "redis://u:hidden-word@h",
    }
    rows = {row.key: row for row in listing(read(file, environ))}
    assert rows["admin_key"].value == "***6789"
    assert rows["redis_url"].value == "redis://***@h"
    assert rows["providers.main.api_key"].value == "***cdef"
    assert rows["providers.main.headers"].value == "X-Team: ***"
    assert rows["port"][1:] == ("9000", f"file {file}:2")
    assert rows["models[0].targets"].value.startswith('["main/gpt-4o"')
    text = json.dumps([*rows.values(), *listing(read(file, environ), every=True)])
    assert not any(word in text for word in ("admin-key", "hidden-word", "sk-main", "blue"))


@given(port=st.integers(0, 65_535), ttl=st.floats(0.001, 1e6), seconds=st.floats(0, 86_400))
def test_numbers_pass_through_text_unchanged(port: int, ttl: float, seconds: float) -> None:
    settings = read(
        environ={
            "MODELYARD_PORT": str(port),
            "MODELYARD_CACHE_L1_TTL": repr(ttl),
            "MODELYARD_SHUTDOWN_SECONDS": repr(seconds),
        }
    ).settings
    assert (settings.port, settings.cache.l1_ttl) == (port, ttl)
    assert settings.shutdown_seconds == seconds
