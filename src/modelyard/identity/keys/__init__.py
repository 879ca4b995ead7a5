"""API keys at ``/v1/auth/keys``: who may call this server, and how much."""

import msgspec

from modelyard.identity.keys.schema import ApiKey
from modelyard.identity.keys.secrets import admit
from modelyard.kernel.resource import Resource

keys = Resource(
    "/auth/keys",
    ApiKey,
    tag="Keys",
    id_prefix="key",
    standard=("list", "get", "update", "delete"),
    filterable=("name", "owner", "expires_at"),
    sortable=("name", "expires_at"),
    searchable=("name",),
    unique=("digest",),
    soft_delete=True,  # for the record: a revoked key never comes back
    kept_seconds=100 * 365 * 86400.0,
    admit=admit,
    examples={"request": {"name": "my application", "scopes": ["inference:*"]}},
)
IssuedApiKey = msgspec.defstruct(
    "IssuedApiKey", [("key", str)], bases=(keys.types.view,), kw_only=True, module=__name__
)
