"""Who an issuer's token is of, in our terms: its claims mapped as the settings say."""

import re
from hashlib import blake2b
from typing import Any

from modelyard.auth.tokens import Claims
from modelyard.protocol.errors import Failure
from modelyard.settings.auth import OidcSettings

LONGEST_SUBJECT = 255  # characters (OpenID Connect Core, section 2)
MOST_ROLES = 100
_WORKSPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TEXTS = ("department", "project", "cost_center")


def claims_of(found: dict[str, Any], settings: OidcSettings) -> Claims:
    """The owner of a verified token.

    Its ``sub`` is ``auth/users/oidc_…``, made of issuer and subject: no issuer can give out the
    name of one of our own users. Raises ``UNAUTHENTICATED`` where it tells no subject or
    workspace.
    """
    subject, client = found.get("sub"), found.get("azp", found.get("client_id"))
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
        raise _refused("subject", "The token names nobody: 'sub' must be 1 to 255 characters.")
    told = {name: _at(found, path) for name, path in settings.claims.items()}
    scopes = told.get("scopes")
    return Claims(
        sub=f"auth/users/{owner(settings.issuer or '', subject)}",
        name=_text(told.get("name")) or subject,
        workspace=_workspace(told, settings),
        # RFC 9068, section 2.2: where no person takes part, the subject is the client.
        kind="service_account" if subject == client else "user",
        roles=_roles(told.get("roles"), settings),
        attributes=_attributes(told),
        scope=" ".join(_words(scopes)) if "scopes" in settings.claims else None,
        iss=settings.issuer or "",
        exp=int(found["exp"] + settings.leeway),
    )


def owner(issuer: str, subject: str) -> str:
    """The id of an issuer's user here."""
    told = f"{issuer}\n{subject}".encode("utf-8", "surrogatepass")
    return "oidc_" + blake2b(told, digest_size=16).hexdigest()


def _workspace(told: dict[str, Any], settings: OidcSettings) -> str:
    value = told.get("workspace", settings.default_workspace)
    if value is None:
        value = settings.default_workspace
    if isinstance(value, str) and _WORKSPACE.fullmatch(value):
        return value
    raise _refused(
        "workspace",
        "The token tells no workspace: the claim "
        f"'{settings.claims.get('workspace', '(none is set)')}' must be 1 to 64 characters of "
        "a-z, 0-9, '_' and '-'.",
    )


def _roles(value: Any, settings: OidcSettings) -> tuple[str, ...]:
    names = _words(value)[:MOST_ROLES]
    if settings.roles:
        names = [settings.roles[name] for name in names if name in settings.roles]
    return tuple(dict.fromkeys(names))


def _attributes(told: dict[str, Any]) -> dict[str, str | int]:
    """Those that the token tells in a form that policies can read."""
    found: dict[str, str | int] = {}
    for name in _TEXTS:
        if text := _text(told.get(name)):
            found[name] = text
    level = told.get("clearance_level")
    if isinstance(level, str) and re.fullmatch(r"\d{1,9}", level, re.ASCII):
        level = int(level)
    if type(level) is int:
        found["clearance_level"] = level
    return found


def _at(found: dict[str, Any], path: str) -> Any:
    """A claim by its name, or by names separated by dots; a name may itself hold dots."""
    if path in found:
        return found[path]
    value: Any = found
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _words(value: Any) -> list[str]:
    """A list of texts, or a text with spaces (RFC 8693, section 4.2)."""
    if isinstance(value, str):
        return value.split()
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value[:256] if isinstance(value, str) else ""


def _refused(reason: str, message: str) -> Failure:
    return Failure("UNAUTHENTICATED", message, details={"reason": reason})
