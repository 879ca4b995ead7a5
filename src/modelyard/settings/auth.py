"""The settings of sign-in: our own tokens, an issuer beside us, signed requests."""

from typing import Annotated

from msgspec import Meta, Struct

# What a claim of an issuer's token can tell.
CLAIMS = (
    "workspace",
    "roles",
    "scopes",
    "name",
    "department",
    "project",
    "clearance_level",
    "cost_center",
)


class OidcSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[auth.oidc]``: an OpenID Connect issuer whose JWTs are accepted beside our own tokens."""

    issuer: Annotated[
        str | None,
        Meta(
            description="The issuer's address, exactly as its tokens have it; unset: none.",
            examples=["https://login.example.com"],
        ),
    ] = None
    audience: Annotated[
        str | None,
        Meta(
            description="What the tokens' `aud` must name; needed with `issuer`.",
            examples=["https://ai.example.com"],
        ),
    ] = None
    jwks_uri: Annotated[
        str | None,
        Meta(description="Where the issuer's keys are; unset: its discovery document tells."),
    ] = None
    clients: Annotated[
        list[str],
        Meta(description="The `azp` or `client_id` of tokens that are accepted; unset: any."),
    ] = []
    claims: Annotated[
        dict[str, str],
        Meta(
            description="The claim that tells the workspace, the roles, an attribute … A claim "
            "within another is written with dots.",
            examples=[{"workspace": "org", "roles": "realm_access.roles"}],
        ),
    ] = {}
    roles: Annotated[
        dict[str, str],
        Meta(
            description="The issuer's role to ours; others are left out. Unset: the issuer's "
            "names are taken as they are.",
            examples=[{"ml-team": "ml_engineer"}],
        ),
    ] = {}
    default_workspace: Annotated[
        str | None,
        Meta(description="The workspace of tokens that tell none; unset: they are refused."),
    ] = None
    leeway: Annotated[
        float, Meta(ge=0, le=300, description="Seconds that the issuer's clock may differ.")
    ] = 30.0


class AuthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[auth]``: tokens and signed requests."""

    public_url: Annotated[
        str | None,
        Meta(
            description="Where clients reach this server: what they sign, and the issuer of its "
            "tokens. Unset: the request's `Host`, over http.",
            examples=["https://ai.example.com"],
        ),
    ] = None
    token_seconds: Annotated[
        int, Meta(ge=60, le=86_400, description="Seconds that a token of this server is valid.")
    ] = 3600
    signed_permissions: Annotated[
        list[str],
        Meta(
            description="Permissions for signed requests only (RFC 9421): `area:action`, `*` for "
            "any; the action `write` means all but `read`.",
            examples=[["key:*", "user:write"]],
        ),
    ] = []
    oidc: OidcSettings = OidcSettings()
