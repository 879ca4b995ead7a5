"""What clients send and read when they sign in (snake_case)."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Secret = Annotated[str, Meta(min_length=1, max_length=1000)]


class Login(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user's name and password."""

    login: Annotated[str, Meta(min_length=1, max_length=200)]
    password: Secret


class SetPassword(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The password that one has, and the one that takes its place."""

    password: Secret
    new_password: Annotated[
        str, Meta(min_length=1, max_length=1000, description="12 to 128 characters.")
    ]


class Session(Struct, frozen=True, kw_only=True):
    """A token, to be sent as ``Authorization: Bearer``."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Meta(description="Seconds.")]
    user_id: str
    workspace: str


class TokenForm(Struct, frozen=True, kw_only=True):
    """OAuth 2.0 client credentials (RFC 6749, section 4.4), as a form."""

    grant_type: Literal["client_credentials"]
    client_id: str | None = None
    client_secret: Annotated[
        str | None, Meta(description="An API key whose owner is the client; or HTTP Basic.")
    ] = None
    scope: Annotated[str | None, Meta(description="Scopes to narrow to, by spaces.")] = None


class Token(Struct, frozen=True, kw_only=True):
    """The answer of the token endpoint."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    scope: str | None = None


class OAuthError(Struct, frozen=True, kw_only=True):
    """RFC 6749, section 5.2."""

    error: str
    error_description: str


class JwkSet(Struct, frozen=True, kw_only=True):
    """Public keys (RFC 7517)."""

    keys: list[dict[str, Any]]


class Me(Struct, frozen=True, kw_only=True):
    """Who asks, and what they may do."""

    id: str
    kind: Literal["key", "user", "service_account"]
    name: str
    workspace: str
    subject: Annotated[str | None, Meta(description="The user or service account acted for.")]
    roles: list[str]
    attributes: dict[str, str | int]
    scopes: list[str]
    expires_at: str | None
    permissions: Annotated[
        list[str], Meta(description="Every permission of this API that you have.")
    ]
