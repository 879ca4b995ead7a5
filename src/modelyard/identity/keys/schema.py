"""What clients send and read of API keys (snake_case)."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from modelyard.kernel.paging import Paging

DEFAULT_SCOPES = ("inference:*", "model:read")
MAX_OVERLAP = 7 * 24 * 3600  # seconds

Name = Annotated[str, Meta(min_length=1, max_length=100, description="What the key is for.")]
Workspace = Annotated[
    str,
    Meta(
        pattern="^[a-z0-9][a-z0-9_-]{0,63}$",
        description="The workspace of the key; another than the caller's needs `workspace:write`.",
    ),
]
Scope = Annotated[
    str,
    Meta(
        pattern="^([*]|[a-z][a-z0-9_-]{0,63}):([*]|[a-z][a-z0-9_-]{0,63})$",
        description="`area:action`; `*` stands for any. `write` implies `read`.",
    ),
]
Scopes = Annotated[list[Scope], Meta(min_length=1, max_length=64)]
Count = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Future = Annotated[
    datetime, Meta(tz=True, description="When the key stops working: RFC 3339, in the future.")
]
Overlap = Annotated[
    int, Meta(ge=0, le=MAX_OVERLAP, description="Seconds that the old secret stays valid.")
]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class KeyLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a key may ask for; null means no limit. What is left out has its default."""

    requests_per_second: Count | None = None
    requests_per_minute: Count | None = 1000
    tokens_per_minute: Count | None = 100_000
    concurrent_requests: Count | None = 50
    requests_per_day: Count | None = None
    payload_bytes: Count | None = None


class KeyPlace(Struct, frozen=True, kw_only=True):
    """Where a key is."""

    workspace: Workspace | None = None


class KeyPaging(Paging, frozen=True, kw_only=True):
    """Which keys to list."""

    workspace: Workspace | None = None


class CreateApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made."""

    name: Name
    workspace: Workspace | None = None
    scopes: Scopes | None = None
    limits: KeyLimits | None = None
    expires_at: Future | None = None
    cache_samples: Annotated[
        bool, Meta(description="Cache and share answers of a temperature above 0, too.")
    ] = False


class RotateApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a key is rotated."""

    overlap_seconds: Overlap = 3600


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key without its secret."""

    id: str
    name: str
    workspace: str
    hint: Annotated[str, Meta(description="The last four characters of the secret.")]
    scopes: list[str]
    limits: KeyLimits
    cache_samples: bool
    created_at: Time
    created_by: Annotated[str, Meta(description="Id of the key that made this one.")]
    expires_at: Time | None
    rotated_at: Time | None
    previous_expires_at: Annotated[
        Time | None, Meta(description="Until when the secret before the last rotation is valid.")
    ]


class IssuedApiKey(ApiKey, frozen=True, kw_only=True):
    """A key with its secret, which is shown in this one answer only."""

    key: Annotated[str, Meta(description="The secret. It cannot be read again.")]


class ApiKeyList(Struct, frozen=True, kw_only=True):
    """One page of keys, the newest first."""

    keys: list[ApiKey]
    next_page_token: Annotated[str | None, Meta(description="Null on the last page.")]
