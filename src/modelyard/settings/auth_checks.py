"""What no single setting of sign-in shows to be wrong."""

import re
from urllib.parse import urlsplit

from modelyard.settings.auth import CLAIMS, AuthSettings, OidcSettings
from modelyard.settings.fields import Key
from modelyard.settings.report import Report, suggestion

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PERMISSION = re.compile(r"([*]|[a-z][a-z0-9_-]{0,63}):([*]|[a-z][a-z0-9_-]{0,63})")
_WORKSPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_auth(auth: AuthSettings, report: Report) -> None:
    """Run the checks; errors and warnings go to ``report``."""
    if auth.public_url is not None:
        _address(("auth", "public_url"), auth.public_url, report, plain=True)
    for pattern in auth.signed_permissions:
        if not _PERMISSION.fullmatch(pattern):
            rule = "each permission is 'area:action', with * for any"
            report.refuse(("auth", "signed_permissions"), rule, pattern)
    for area in ("key", "user"):  # where signing keys are registered
        if auth.signed_permissions and not _covers(auth.signed_permissions, area):
            rule = (
                f"does not hold '{area}:write', so who has a stolen credential can register a "
                "signing key with it; add it once the keys of those who sign are registered"
            )
            report.warn(("auth", "signed_permissions"), rule)
    if auth.oidc.issuer is not None:
        _oidc(auth.oidc, report)
    elif auth.oidc != OidcSettings():
        report.warn(("auth", "oidc"), "has no issuer, so nothing of it is used")


def _covers(patterns: list[str], area: str) -> bool:
    wanted = {f"{one}:{action}" for one in (area, "*") for action in ("write", "*")}
    return not wanted.isdisjoint(patterns)


def _oidc(oidc: OidcSettings, report: Report) -> None:
    at = ("auth", "oidc")
    for name in ("issuer", "jwks_uri"):
        url = getattr(oidc, name)
        if url is not None:
            _address((*at, name), url, report)
    if not oidc.audience:
        rule = "is missing; without it tokens for other services would be accepted here"
        report.refuse((*at, "audience"), rule)
    for name in oidc.claims:
        if name not in CLAIMS:
            rule = f"{name!r} can not be told by a claim; {suggestion(name, list(CLAIMS))}"
            report.refuse((*at, "claims"), rule)
    if oidc.default_workspace is None and "workspace" not in oidc.claims:
        rule = "is missing; name a workspace, or write which claim tells it: claims.workspace"
        report.refuse((*at, "default_workspace"), rule)
    elif oidc.default_workspace is not None and not _WORKSPACE.fullmatch(oidc.default_workspace):
        rule = "must be 1 to 64 characters of a-z, 0-9, '_' and '-'"
        report.refuse((*at, "default_workspace"), rule, oidc.default_workspace)
    if oidc.roles and "roles" not in oidc.claims:
        rule = "is not used; write which claim tells the roles: claims.roles"
        report.warn((*at, "roles"), rule)


def _address(key: Key, url: str, report: Report, *, plain: bool = False) -> None:
    """An https address; over http only on this machine, or with ``plain``."""
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "https" or (
            parts.scheme == "http" and (plain or parts.hostname in _LOOPBACK)
        )
        good = secure and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"\s", url):
        scheme = "http:// or https://" if plain else "https://"
        report.refuse(key, f"must be an address that begins with {scheme}", url)
    elif parts.query or parts.fragment or parts.username is not None:
        report.refuse(key, "must end before '?' and '#', and hold no user", url)
