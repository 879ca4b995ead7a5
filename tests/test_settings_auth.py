"""The settings of sign-in."""

from pathlib import Path

import pytest

from modelyard.settings import Settings, SettingsError, load

ISSUER = """
[auth.oidc]
issuer = "https://login.example.com"
audience = "https://ai.example.com"
"""


def read(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "my.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, {}, {"HOME": "/nowhere", **(environ or {})}).settings


def test_what_is_written_is_read(tmp_path: Path) -> None:
    text = f"""
[auth]
public_url = "http://gateway.example.com:8080"
token_seconds = 600
signed_permissions = ["key:*", "user:write"]
{ISSUER}
default_workspace = "research"
clients = ["app"]
[auth.oidc.claims]
roles = "realm_access.roles"
[auth.oidc.roles]
ml-team = "ml_engineer"
"""
    auth = read(tmp_path, text).auth
    assert (auth.token_seconds, auth.signed_permissions) == (600, ["key:*", "user:write"])
    assert (auth.oidc.issuer, auth.oidc.clients) == ("https://login.example.com", ["app"])
    assert auth.oidc.claims == {"roles": "realm_access.roles"}
    assert auth.oidc.roles == {"ml-team": "ml_engineer"}
    assert auth.oidc.leeway == 30


def test_the_environment_reaches_the_inner_table(tmp_path: Path) -> None:
    environ = {
        "MODELYARD_AUTH_TOKEN_SECONDS": "120",
        "MODELYARD_AUTH_OIDC_ISSUER": "https://other.example.com",
        "MODELYARD_AUTH_OIDC_CLAIMS": '{"workspace": "org"}',
    }
    auth = read(tmp_path, ISSUER, environ).auth
    assert auth.token_seconds == 120
    assert auth.oidc.issuer == "https://other.example.com"
    assert auth.oidc.audience == "https://ai.example.com"
    assert auth.oidc.claims == {"workspace": "org"}


WORKSPACE = 'default_workspace = "w"\n'


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        ("[auth]\ntoken_seconds = 59", "auth.token_seconds", "from 60 to 86,400"),
        ('[auth]\npublic_url = "ai"', "auth.public_url", "http:// or https://"),
        ('[auth]\npublic_url = "https://a/?b"', "auth.public_url", "before '?'"),
        ('[auth]\nsigned_permissions = ["key"]', "auth.signed_permissions", "area:action"),
        (ISSUER, "auth.oidc.default_workspace", "claims.workspace"),
        (ISSUER + 'default_workspace = "A b"', "auth.oidc.default_workspace", "a-z"),
        (ISSUER + WORKSPACE + 'jwks_uri = "http://h/jwks"', "auth.oidc.jwks_uri", "https://"),
        (ISSUER + WORKSPACE + "[auth.oidc.claims]\nrole = 'x'", "auth.oidc.claims", "'roles'?"),
        (
            '[auth.oidc]\nissuer = "http://login.example.com"\naudience = "a"\n' + WORKSPACE,
            "auth.oidc.issuer",
            "https://",
        ),
        (
            '[auth.oidc]\nissuer = "https://u:p@h"\naudience = "a"\n' + WORKSPACE,
            "auth.oidc.issuer",
            "no user",
        ),
        ('[auth.oidc]\nissuer = "https://h"\n' + WORKSPACE, "auth.oidc.audience", "missing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, key: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text)
    (error,) = caught.value.errors
    assert error.startswith(key) and told in error


def test_an_issuer_on_this_machine_may_be_http(tmp_path: Path) -> None:
    text = ISSUER.replace("https://login.example.com", "http://127.0.0.1:9000") + WORKSPACE
    assert read(tmp_path, text).auth.oidc.issuer == "http://127.0.0.1:9000"


def test_settings_without_an_issuer_are_noticed(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('[auth.oidc]\naudience = "a"', encoding="utf-8")
    [warning] = load(file, {}, {"HOME": "/nowhere"}).warnings
    assert "has no issuer" in warning


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        ('["policy:*"]', ["key:write", "user:write"]),
        ('["policy:*", "key:*"]', ["user:write"]),
        ('["key:write", "user:*"]', []),
        ("[]", []),
    ],
)
def test_where_signing_keys_are_registered_is_signed_too(
    tmp_path: Path, patterns: str, told: list[str]
) -> None:
    file = tmp_path / "my.toml"
    file.write_text(f"[auth]\nsigned_permissions = {patterns}\n", encoding="utf-8")
    warnings = load(file, {}, {"HOME": "/nowhere"}).warnings
    assert [word for word in ("key:write", "user:write") if word in str(warnings)] == told
