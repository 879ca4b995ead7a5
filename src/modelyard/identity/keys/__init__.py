"""API keys at ``/v1/auth/keys``: who may call this server, and how much."""

from collections.abc import Callable

from modelyard.identity.keys.methods import Keys
from modelyard.identity.keys.schema import (
    ApiKeyList,
    CreateApiKey,
    IssuedApiKey,
    RotateApiKey,
)
from modelyard.kernel.http import Route
from modelyard.kernel.paging import Paging
from modelyard.storage.keys import KeyStore

TAG = "Keys"


def routes(
    store: KeyStore, pepper: bytes, published: Callable[[], None] = lambda: None
) -> list[Route]:
    """The endpoints of API keys. ``published`` is called after each change."""
    keys = Keys(store, pepper, published)
    return [
        Route(
            method="GET",
            path="/v1/auth/keys",
            serve=keys.list_keys,
            permission="key:read",
            summary="List API keys",
            tag=TAG,
            query=Paging,
            response=ApiKeyList,
            operation="listKeys",
        ),
        Route(
            method="POST",
            path="/v1/auth/keys",
            serve=keys.create,
            permission="key:write",
            summary="Create an API key",
            tag=TAG,
            request=CreateApiKey,
            response=IssuedApiKey,
            status=201,
            errors=("CONFLICT", "SYSTEM_OVERLOADED", "STORAGE_FULL"),
            audit="key.create",
            operation="createKey",
            examples={"request": {"name": "my application", "scopes": ["inference:*"]}},
        ),
        Route(
            method="POST",
            path="/v1/auth/keys/{key_id}/rotate",
            serve=keys.rotate,
            permission="key:write",
            summary="Rotate an API key",
            tag=TAG,
            request=RotateApiKey,
            response=IssuedApiKey,
            errors=("NOT_FOUND", "CONFLICT", "SYSTEM_OVERLOADED", "STORAGE_FULL"),
            audit="key.rotate",
            operation="rotateKey",
            examples={"request": {"overlap_seconds": 3600}},
        ),
        Route(
            method="DELETE",
            path="/v1/auth/keys/{key_id}",
            serve=keys.revoke,
            permission="key:write",
            summary="Revoke an API key",
            tag=TAG,
            status=204,
            errors=("NOT_FOUND", "CONFLICT", "SYSTEM_OVERLOADED", "STORAGE_FULL"),
            audit="key.revoke",
            operation="revokeKey",
        ),
    ]
