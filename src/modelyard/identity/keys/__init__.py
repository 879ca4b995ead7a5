"""API keys at ``/v1/auth/keys``: who may call this server, and how much."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from modelyard.identity.keys.methods import Keys
from modelyard.identity.keys.schema import (
    ApiKeyList,
    CreateApiKey,
    IssuedApiKey,
    KeyPaging,
    KeyPlace,
    RotateApiKey,
)
from modelyard.kernel.http import Route
from modelyard.storage.keys import KeyStore

PATH = "/v1/auth/keys"
COMMIT_ERRORS = ("CONFLICT", "SYSTEM_OVERLOADED", "STORAGE_FULL")


def routes(
    store: KeyStore,
    pepper: bytes,
    published: Callable[[], None] = lambda: None,
    kept: Path | None = None,
) -> list[Route]:
    """The endpoints of API keys. ``published`` is called after each change.

    ``kept`` is the file with the first key's secret, if there is one.
    """
    keys = Keys(store, pepper, published, kept)
    return [
        Route(
            method="GET",
            path=PATH,
            serve=keys.list_keys,
            permission="key:read",
            summary="List API keys",
            tag="Keys",
            query=KeyPaging,
            response=ApiKeyList,
            operation="listKeys",
        ),
        *_changes(keys),
    ]


def _changes(keys: Keys) -> list[Route]:
    return [
        _change(
            "POST",
            PATH,
            keys.create,
            "create",
            request=CreateApiKey,
            response=IssuedApiKey,
            status=201,
            errors=COMMIT_ERRORS,
            examples={"request": {"name": "my application", "scopes": ["inference:*"]}},
        ),
        _change(
            "POST",
            PATH + "/{key_id}/rotate",
            keys.rotate,
            "rotate",
            request=RotateApiKey,
            query=KeyPlace,
            response=IssuedApiKey,
            errors=("NOT_FOUND", *COMMIT_ERRORS),
            examples={"request": {"overlap_seconds": 3600}},
        ),
        _change(
            "DELETE",
            PATH + "/{key_id}",
            keys.revoke,
            "revoke",
            query=KeyPlace,
            status=204,
            errors=("NOT_FOUND", *COMMIT_ERRORS),
        ),
    ]


def _change(
    method: str, path: str, serve: Callable[..., Awaitable[Any]], verb: str, **more: Any
) -> Route:
    return Route(
        method=method,
        path=path,
        serve=serve,
        permission="key:write",
        summary=f"{verb.capitalize()} an API key",
        tag="Keys",
        audit=f"key.{verb}",
        operation=f"{verb}Key",
        **more,
    )
