"""What clients send and read of API keys (snake_case)."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field

from modelyard.kernel.fields import HIDDEN, IMMUTABLE, OUTPUT_ONLY, Labels, Time, refers

DEFAULT_SCOPES = ("inference:*", "model:read")
MAX_OVERLAP = 7 * 24 * 3600  # seconds

Name = Annotated[str, Meta(min_length=1, max_length=100, description="What the key is for.")]
Scope = Annotated[
    str,
    Meta(
        pattern=r"^([*]|[a-z][a-z0-9_-]{0,63}):([*]|[a-z][a-z0-9_-]{0,63})\Z",
        description="`area:action`; `*` stands for any. `write` implies every other action.",
    ),
]
Scopes = Annotated[list[Scope], Meta(max_length=64)]
Count = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Future = Annotated[
    datetime, Meta(tz=True, description="When the key stops working: RFC 3339, in the future.")
]
Overlap = Annotated[
    int, Meta(ge=0, le=MAX_OVERLAP, description="Seconds that the old secret stays valid.")
]
Workspace = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z",
        description="The workspace of the key; another than the caller's needs `workspace:write`.",
    ),
]
Owner = Annotated[
    str | None,
    refers("auth/users"),
    IMMUTABLE,
    Meta(description="The user or service account it acts for: it has the owner's roles, too."),
]
SigningKey = Annotated[
    dict[str, str] | None,
    Meta(description="Public JWK that verifies requests signed for this key (RFC 9421)."),
]
Samples = Annotated[
    bool, Meta(description="Cache and share answers of a temperature above 0, too.")
]


class KeyLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a key may ask for; null means no limit. What is left out has its default."""

    requests_per_second: Count | None = None
    requests_per_minute: Count | None = 1000
    tokens_per_minute: Count | None = 100_000
    concurrent_requests: Count | None = 50
    requests_per_day: Count | None = None
    payload_bytes: Count | None = None


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key without its secret."""

    name: Name
    hint: Annotated[str, OUTPUT_ONLY, Meta(description="The last four characters.")] = ""
    scopes: Scopes = field(default_factory=lambda: list(DEFAULT_SCOPES))
    limits: KeyLimits = KeyLimits()
    cache_samples: Samples = False
    owner: Owner = None
    serving_only: Annotated[
        bool,
        Meta(description="A model key: only where models are called, as `X-Model-Key` too."),
    ] = False
    signing_key: SigningKey = None
    expires_at: Future | None = None
    rotated_at: Annotated[Time | None, OUTPUT_ONLY] = None
    previous_expires_at: Annotated[
        Time | None,
        OUTPUT_ONLY,
        Meta(description="Until when the secret before the last rotation is valid."),
    ] = None
    digest: Annotated[str, HIDDEN] = ""  # HMAC-SHA256 of the secret, in hex
    previous_digest: Annotated[str | None, HIDDEN] = None
    revoked_at: Annotated[Time | None, HIDDEN] = None


class CreateApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made."""

    name: Name
    workspace: Workspace | None = None
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=64)] | None = None
    limits: KeyLimits | None = None
    expires_at: Future | None = None
    cache_samples: Samples = False
    owner: Owner = None
    serving_only: bool = False
    signing_key: SigningKey = None
    labels: Labels = {}


class RotateApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a key is rotated."""

    overlap_seconds: Overlap = 3600
