"""Wrong settings: every error at once, each with key, source, value, rule and way out."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.settings import SettingsError, load

MODEL = '[[models]]\nname = "{}"\ntargets = ["sandbox/sandbox"]\n'


def refused(
    text: str = "", environ: Mapping[str, str] | None = None, *, tmp_path: Path, **overrides: object
) -> list[str]:
    """The errors of a file with this text."""
    file = tmp_path / "my.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(file, overrides, {"HOME": "/nowhere", **(environ or {})})
    assert str(caught.value) == "\n".join(caught.value.errors)
    return caught.value.errors


def only(errors: list[str]) -> str:
    (error,) = errors
    return error


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        ("port = 65536", "port = 65536", "a whole number from 0 to 65,535; the default is 8080"),
        ("port = true", "port = true", "a whole number"),
        ('port = "8080"', "port = 8080", "a whole number"),
        ("port = 80.5", "port = 80.5", "a whole number"),
        ("workers = 0", "workers = 0", "from 1 to 256"),
        ("shutdown_seconds = nan", "shutdown_seconds", "from 0 to 86,400"),
        ("shutdown_seconds = inf", "shutdown_seconds", "from 0 to 86,400"),
        ('host = ""', "host", "a string that is not empty"),
        ('host = "http://a"', "host = http://a", "an address or host name alone"),
        ("home = 5", "home = 5", "a path"),
        ('log_level = "loud"', "log_level = loud", "one of debug, error, info, warning"),
        ("prot = 1", "prot", "did you mean 'port'?"),
        ("[cache]\nl1_tll = 1", "cache.l1_tll", "did you mean 'l1_ttl'?"),
        ("[cache]\nqqq = 1", "cache.qqq", "known here: l1_entries, l1_bytes, l1_ttl"),
        ("cache = 1", "cache", "must be a table: write [cache]"),
        ("models = 1", "models = 1", "write [[models]]"),
        ("models = [1]", "models[0]", "must be a table"),
        ("[models]\nname = 'a'", "models", "write [[models]]"),
        ("[gateway]\ntimeout = 0", "gateway.timeout = 0", "above 0 and at most 86,400"),
        ("[cache.semantic]\nerror = 0.9", "cache.semantic.error = 0.9", "above 0 and at most 0.5"),
        ('database_url = "mysql://u:pw@h/d"', "mysql://***@h/d", "postgresql:// or sqlite:///"),
        ('redis_ca_file = "none.pem"', "redis_ca_file", "none.pem"),
        ('redis_url = "redis://h/x"', "redis_url = redis://h/x", "[/database number]"),
        ('redis_url = "http://h"', "redis_url = http://h", "redis:// or rediss:// or unix://"),
        ('artifacts_url = "x"', "artifacts_url = x", "file:// or s3://"),
        ('otlp_endpoint = "h:4318"', "otlp_endpoint", "http:// or https://"),
        ('admin_key = "two words"', "admin_key = ***", "visible ASCII"),
        ('default_model = "sandbx"', "default_model = sandbx", "did you mean 'sandbox'?"),
    ],
)
def test_a_wrong_value(text: str, key: str, told: str, tmp_path: Path) -> None:
    error = only(refused(text, tmp_path=tmp_path))
    assert key in error
    assert told in error
    assert f"(file {tmp_path}/my.toml:" in error


@pytest.mark.parametrize(
    ("fields", "key", "told"),
    [
        ("", "base_url", "is missing"),
        ('base_url = "127.0.0.1:9100"', "base_url", "http:// or https://"),
        ('base_url = "http://h:99999/v1"', "base_url", "http:// or https://"),
        ('base_url = "http://[::1/v1"', "base_url", "http:// or https://"),
        ('base_url = "http://u:pw@h/v1"', "http://***@h/v1", "use api_key"),
        ('base_url = "http://h/v1?a=b"', "base_url", "before '?'"),
        ('base_url = "http://h/v1/chat/completions"', "base_url", "mostly with /v1"),
        ('base_url = "http://localhost:8080/v1"', "base_url", "this server's own address"),
        ('base_url = "http://h"\napi_key = "a b"', "api_key = ***", "without spaces"),
        ('base_url = "http://h"\nretries = -1', "retries = -1", "from 0 to 10"),
        ('base_url = "http://h"\nproxy = "socks5://p"', "proxy = socks5://p", "http://"),
        ('base_url = "http://h"\nca_file = "no.pem"', "ca_file", "cannot be read: No such file"),
        ('base_url = "http://h"\nclient_key = "my.toml"', "client_cert", "go together"),
        ('base_url = "http://h"\nheaders = { "a b" = "c" }', "headers", "cannot be set"),
        ('base_url = "http://h"\nheaders = { "Host" = "c" }', "headers", "cannot be set"),
        ('base_url = "http://h"\nheaders = { "X" = "a\\nb" }', "headers", "printable ASCII"),
        ('base_url = "http://h"\nheaders = { "X" = 1 }', "headers", "a table of strings"),
        ('base_url = "http://h"\nmodels = "a"', "models = a", "a list of strings"),
        ('dialect = "anthropic"', "base_url", "is missing"),
        ('dialect = "azure"', "base_url", "is missing"),
        (
            'dialect = "bedrock"\nbase_url = "http://h"\naws_region = "eu-west-1"\n'
            'aws_access_key_id = "a"',
            "aws_secret_access_key",
            "an api_key of Bedrock",
        ),
        (
            'dialect = "bedrock"\nbase_url = "http://h"\naws_access_key_id = "a"\n'
            'aws_secret_access_key = "b"',
            "aws_region",
            "does not tell the region",
        ),
        ('dialect = "opnai"', "dialect = opnai", "did you mean 'openai'?"),
    ],
)
def test_a_wrong_provider(fields: str, key: str, told: str, tmp_path: Path) -> None:
    error = only(refused(f"[providers.main]\n{fields}\n", tmp_path=tmp_path))
    assert error.startswith("providers.main.")
    assert key in error
    assert told in error


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        ('[[models]]\ntargets = ["sandbox/sandbox"]', "models[0].name", "is missing"),
        ('[[models]]\nname = "a"', "models[0].targets", "is missing; it must be a list"),
        ('[[models]]\nname = "a"\ntargets = []', "models[0].targets", "at least one target"),
        ('[[models]]\nname = "a"\ntargets = [[]]', "models[0].targets", "at least one target"),
        ('[[models]]\nname = "a"\ntargets = ["gpt"]', "targets = gpt", "'provider/model'"),
        (
            '[[models]]\nname = "a"\ntargets = ["sandbx/x"]',
            "targets = sandbx/x",
            "did you mean 'sandbox'?",
        ),
        ('[[models]]\nname = "a"\ntargets = ["openai/x"]', "openai/x", "set OPENAI_API_KEY"),
        ('[[models]]\nname = "a"\ntargets = ["ollama/x"]', "ollama/x", "write [providers.ollama]"),
        (
            '[[models]]\nname = "a"\ntargets = [[{target = "sandbox/x", weight = 0}]]',
            "models[0].targets",
            "Expected float > 0.0 - at $[0][0].weight",
        ),
        (MODEL.format("a") + 'balance = "fair"', "balance = fair", "least_loaded, weighted"),
        (MODEL.format("a b"), "models[0].name = a b", "without spaces"),
        (MODEL.format("sandbox"), "models[0].name = sandbox", "built-in"),
        (MODEL.format("sandbox/x"), "models[0].name = sandbox/x", "would hide"),
        (MODEL.format("a") + MODEL.format("a"), "models[1].name = a", "of models[0]"),
        (
            MODEL.format("a") + MODEL.format("b") + 'aliases = ["a"]',
            "models[1].aliases = a",
            "of models[0]",
        ),
        (MODEL.format("a") + "[models.price]\ninput = 1", "price.output", "is missing"),
        (
            MODEL.format("a") + "[models.price]\ninput = -1\noutput = 1",
            "price.input = -1",
            "from 0 to 1,000,000",
        ),
    ],
)
def test_a_wrong_model(text: str, key: str, told: str, tmp_path: Path) -> None:
    error = only(refused(text, tmp_path=tmp_path))
    assert key in error
    assert told in error


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MODELYARD_PORT", "http", "port = http (environment MODELYARD_PORT)"),
        ("MODELYARD_PORT", "tcp://10.0.0.1:80", "enableServiceLinks: false"),
        ("MODELYARD_PRT", "1", "did you mean MODELYARD_PORT?"),
        ("MODELYARD_MODELS", "[{", "is not valid JSON"),
        ("MODELYARD_MODELS", '{"a": 1}', "must be a list of tables"),
        ("MODELYARD_PROVIDERS", "3", "must be a table"),
        ("MODELYARD_PROVIDERS_MAIN_NOPE", "3", "names no setting"),
        ("MODELYARD_PROVIDERS_MAIN_HEADERS", "a=b", "a table of strings"),
        ("MODELYARD_DATABASE_URL", "env:DB", "the environment variable DB, which is not set"),
    ],
)
def test_a_wrong_variable(name: str, value: str, told: str, tmp_path: Path) -> None:
    text = '[providers.main]\nbase_url = "http://127.0.0.1:1"\n'
    error = only(refused(text, {name: value}, tmp_path=tmp_path))
    assert name in error
    assert told in error


def test_a_missing_variable_is_named_and_its_consequences_are_not(tmp_path: Path) -> None:
    text = '[providers.a]\nbase_url = "env:THE_URL"\napi_key = "env:THE_KEY"\n'
    first, second = refused(text, tmp_path=tmp_path)
    assert "providers.a.base_url" in first
    assert "THE_URL, which is not set" in first
    assert "THE_KEY, which is not set" in second


def test_all_errors_at_once(tmp_path: Path) -> None:
    text = "port = -1\nwrokers = 2\n[cache]\nl1_ttl = 0\n[providers.a]\n" + MODEL.format(
        "m"
    ).replace("sandbox/sandbox", "b/x")
    environ = {"MODELYARD_LOG_LEVEL": "loud"}
    errors = refused(text, environ, tmp_path=tmp_path, host="")
    found = {error.split(" ")[0] for error in errors}
    assert found == {
        "port",
        "wrokers",
        "cache.l1_ttl",
        "providers.a.base_url",
        "models[0].targets",
        "log_level",
        "host",
    }
    assert len(errors) == 7


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"port = ", "is not valid TOML"), (b"\xff = 1", "is not UTF-8"), (None, "cannot be read")],
)
def test_an_unreadable_file(content: bytes | None, told: str, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load(file, {}, {"HOME": "/nowhere", "MODELYARD_PORT": "-1"})
    first, second = caught.value.errors
    assert str(file) in first
    assert told in first
    assert second.startswith("port = -1")


def test_an_unknown_option_of_the_command_line(tmp_path: Path) -> None:
    assert "unknown setting" in only(refused(tmp_path=tmp_path, colour="red"))


def test_what_is_left_serves_a_client(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('port = 9009\n[providers.a]\napi_key = "env:NOT_HERE"\n')
    with pytest.raises(SettingsError) as caught:
        load(file, {}, {"HOME": "/nowhere"})
    assert caught.value.partial.port == 9009


def test_no_secret_in_any_error(tmp_path: Path) -> None:
    text = (
        'admin_key = "s3cret word"\n[providers.a]\nbase_url = "http://h"\n'
        'api_key = "s3cret\\tword"\nheaders = { "X" = "s3cret\\u0000" }\n'
        'proxy = "ftp://u:s3cret@p"\n'
    )
    errors = refused(text, tmp_path=tmp_path)
    assert len(errors) == 4
    assert "s3cret" not in "\n".join(errors)


@given(text=st.text(max_size=200))
def test_any_text_is_settings_or_errors(text: str) -> None:
    environ = {"HOME": "/nowhere", "MODELYARD_MODELS": text, "MODELYARD_PORT": text}
    try:
        load(None, {"host": text}, environ | {"MODELYARD_PROVIDERS_A_HEADERS": text})
    except SettingsError as error:
        assert all(line.isprintable() for line in error.errors)
