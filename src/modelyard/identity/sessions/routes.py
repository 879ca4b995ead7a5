"""The endpoints of signing in."""

from modelyard.auth import oauth
from modelyard.identity.sessions import methods
from modelyard.identity.sessions.schema import (
    JwkSet,
    Login,
    Me,
    OAuthError,
    Session,
    SetPassword,
    Token,
    TokenForm,
)
from modelyard.kernel.route import Route

TAG = "Identity"


def routes() -> list[Route]:
    """Login, token, me, and the JWK Set."""
    return [*_issuing(), *_me(), _keys()]


def _issuing() -> list[Route]:
    return [
        Route(
            method="POST",
            path="/v1/auth/login",
            serve=methods.login,
            permission=None,
            summary="Sign in with a password",
            tag=TAG,
            request=Login,
            response=Session,
            audit="session.create",
            errors=("UNAUTHENTICATED", "RATE_LIMITED", "SYSTEM_OVERLOADED"),
            operation="login",
            examples={"request": {"login": "ada@example.com", "password": "correct horse …"}},
        ),
        Route(
            method="POST",
            path="/v1/auth/token",
            serve=methods.token,
            permission=None,
            summary="OAuth 2.0 token endpoint",
            tag=TAG,
            request=TokenForm,
            form=True,
            response=Token,
            failure=OAuthError,
            envelope=oauth.envelope,
            audit="session.create",
            errors=("UNAUTHENTICATED", "SYSTEM_OVERLOADED"),
            operation="createToken",
        ),
    ]


def _me() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/v1/auth/me",
            serve=methods.me,
            permission="",
            summary="Who am I, and what may I do",
            tag=TAG,
            response=Me,
            operation="getMe",
        ),
        Route(
            method="POST",
            path="/v1/auth/me/set-password",
            serve=methods.set_password,
            permission="",
            summary="Change your own password",
            tag=TAG,
            request=SetPassword,
            response=Session,
            audit="user.set-password",
            errors=("CONFLICT", "RATE_LIMITED", "SYSTEM_OVERLOADED"),
            operation="setPassword",
            description="The tokens that were given for the password before end at once, on all "
            "servers within a second; the answer holds a new one. API keys stay.",
            examples={
                "request": {"password": "correct horse …", "new_password": "a horse in the hall"}
            },
        ),
    ]


def _keys() -> Route:
    return Route(
        method="GET",
        path="/v1/auth/jwks",
        serve=methods.jwks,
        permission=None,
        summary="Public keys of this server's tokens",
        tag=TAG,
        response=JwkSet,
        operation="getJwks",
    )
