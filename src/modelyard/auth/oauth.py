"""OAuth 2.0 client credentials (RFC 6749, section 4.4): what a request says, and the answers.

The client is a service account, its secret one of the account's API keys.
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from msgspec import Struct

from modelyard.auth.keys import Key, looks_like_token
from modelyard.protocol.errors import Failure

FORM = "application/x-www-form-urlencoded"
MOST_SCOPES = 64
_MOST_FIELDS = 100
_ONCE = ("grant_type", "client_id", "client_secret", "scope")
_SCOPE = re.compile(r"([*]|[a-z][a-z0-9_-]{0,63}):([*]|[a-z][a-z0-9_-]{0,63})")
_UNSHOWN = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # in an error_description

Reason = Literal["invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type"]


class Refused(Exception):
    """Why no token is given: RFC 6749's error code, and what to do about it."""

    def __init__(self, error: Reason, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = _UNSHOWN.sub("'", description)


class TokenRequest(Struct, frozen=True):
    """A client, its secret, and the scopes it asks for. ``scopes`` None: all that it has."""

    client_id: str
    secret: str
    scopes: tuple[str, ...] | None


class TokenAnswer(Struct, frozen=True):
    """An answer of the token endpoint: a JSON body and its header fields."""

    status: int
    body: bytes
    headers: dict[str, str]


def read(fields: Mapping[bytes, bytes], body: bytes) -> TokenRequest:
    """What a request asks for. ``fields`` are its header fields, names in lower case.

    The client is named by HTTP Basic or in the body, never both. Raises ``Refused``.
    """
    given = _form(fields, body)
    grant = given.get("grant_type")
    if grant is None:
        raise Refused("invalid_request", "Send grant_type=client_credentials.")
    client_id, secret = _client(fields, given)
    if grant != "client_credentials":
        raise Refused(
            "unsupported_grant_type",
            "Only client_credentials is served; people use /v1/auth/login.",
        )
    scope = given.get("scope")
    return TokenRequest(client_id, secret, None if scope is None else _scopes(scope))


def client(ask: TokenRequest, find: Callable[[str], Key]) -> Key:
    """The client's key, by what finds a key by its secret. Raises ``Refused``.

    A token is no client secret: it could renew itself for ever.
    """
    unknown = Refused("invalid_client", "The client is unknown, or its secret is wrong.")
    if looks_like_token(ask.secret):
        raise unknown
    try:
        key = find(ask.secret)
    except Failure as failure:
        if failure.status != 401:
            raise
        raise unknown from None
    if ask.client_id not in (key.id, key.subject, key.subject.rpartition("/")[2]):
        raise unknown
    return key


def narrowed(ask: TokenRequest, may: Callable[[str], bool]) -> str | None:
    """The ``scope`` of the token, None where all was asked for.

    ``may`` tells whether the client has a permission. Raises ``Refused`` for one it lacks.
    """
    if ask.scopes is None:
        return None
    for scope in ask.scopes:
        if not may(scope):
            raise Refused("invalid_scope", f"The client lacks the permission {scope}.")
    return " ".join(ask.scopes)


def given(token: str, lifetime: int, scope: str | None) -> TokenAnswer:
    """The successful answer (section 5.1); ``lifetime`` in seconds."""
    body: dict[str, str | int] = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": lifetime,
    }
    if scope is not None:
        body["scope"] = scope
    return _answer(200, body)


def refused(why: Refused) -> TokenAnswer:
    """The answer to a request that gets no token (section 5.2)."""
    body: dict[str, str | int] = {"error": why.error, "error_description": why.description}
    if why.error == "invalid_client":
        return _answer(401, body, {"WWW-Authenticate": 'Basic realm="modelyard", charset="UTF-8"'})
    return _answer(400, body)


def envelope(failure: Failure, request_id: str) -> dict[str, Any]:
    """A failure before the request was looked at, in the words of section 5.2."""
    error = "invalid_request" if failure.status < 500 else "server_error"
    return {"error": error, "error_description": failure.message}


def _answer(
    status: int, body: Mapping[str, str | int], more: Mapping[str, str] | None = None
) -> TokenAnswer:
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Pragma": "no-cache",
        **(more or {}),
    }
    return TokenAnswer(status, msgspec.json.encode(body), headers)


def _form(fields: Mapping[bytes, bytes], body: bytes) -> dict[str, str]:
    """The parameters that have a value; of those that this endpoint knows, each once."""
    kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != FORM.encode():
        raise Refused("invalid_request", f"Send the parameters as {FORM}.")
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise Refused(
            "invalid_request", f"The body is no UTF-8 form of at most {_MOST_FIELDS} fields."
        ) from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if not value:
            continue
        if name in found and name in _ONCE:
            raise Refused("invalid_request", f"The parameter {name} may be sent once.")
        found[name] = value
    return found


def _client(fields: Mapping[bytes, bytes], form: Mapping[str, str]) -> tuple[str, str]:
    """The client's id and secret (section 2.3.1)."""
    named, secret = form.get("client_id"), form.get("client_secret")
    header = fields.get(b"authorization")
    if header is None:
        if named is None or secret is None:
            raise Refused(
                "invalid_client",
                "Name the client: HTTP Basic, or client_id and client_secret in the body.",
            )
        return named, secret
    basic = _basic(header)
    if secret is not None or named not in (None, basic[0]):
        raise Refused("invalid_request", "Name the client once: by HTTP Basic or in the body.")
    return basic


def _basic(header: bytes) -> tuple[str, str]:
    scheme, _, encoded = header.partition(b" ")
    try:
        if scheme.lower() != b"basic":
            raise ValueError
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
        name, colon, secret = text.partition(":")
        if not colon:
            raise ValueError
        return unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:
        raise Refused(
            "invalid_client", "The header Authorization must be Basic, base64 of id:secret."
        ) from None


def _scopes(text: str) -> tuple[str, ...]:
    scopes = tuple(dict.fromkeys(text.split()))
    if not 0 < len(scopes) <= MOST_SCOPES:
        raise Refused("invalid_scope", f"Ask for 1 to {MOST_SCOPES} scopes, or leave scope out.")
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise Refused(
                "invalid_scope", f"{scope[:80]} is no scope: write area:action, * for any."
            )
    return scopes
