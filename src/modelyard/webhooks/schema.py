"""What clients send and read of webhooks (snake_case)."""

from typing import Annotated

from msgspec import Meta, Struct

from modelyard.kernel.fields import HIDDEN, OUTPUT_ONLY, Labels, Time

MAX_OVERLAP = 7 * 24 * 3600  # seconds

Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2000,
        description="Where events are sent by `POST`: `https`, at a public address.",
    ),
]
Pattern = Annotated[
    str,
    Meta(
        pattern=r"^([*]|[a-z][a-z0-9_-]{0,63}[.]([*]|[a-z][a-z0-9_-]{0,63}))\Z",
        description="A type of event: `key.create`, `key.*` for all of keys, `*` for all.",
    ),
]
Patterns = Annotated[list[Pattern], Meta(min_length=1, max_length=100)]
Description = Annotated[str, Meta(max_length=500)]
Enabled = Annotated[
    bool, Meta(description="Turned off, nothing is sent, and what happens meanwhile never is.")
]


class Webhook(Struct, frozen=True, kw_only=True):
    """An address that events are sent to, without its secret."""

    url: Url
    events: Patterns
    description: Description = ""
    enabled: Enabled = True
    disabled_reason: Annotated[
        str | None,
        OUTPUT_ONLY,
        Meta(description="Why the server turned it off; null once it is on again."),
    ] = None
    previous_expires_at: Annotated[
        Time | None,
        OUTPUT_ONLY,
        Meta(description="Until when messages are signed with the secret before, too."),
    ] = None
    since: Annotated[int, HIDDEN] = 0  # Unix milliseconds: what happened before is not sent
    sealed: Annotated[str, HIDDEN] = ""  # the secret, encrypted, in base64
    previous_sealed: Annotated[str | None, HIDDEN] = None


def asks_for(webhook: Webhook, verb: str, *, every: bool = True) -> bool:
    """Whether a webhook is registered for a type of event; ``every``: by ``*``, too."""
    area = verb.partition(".")[0]
    return not {"*" if every else verb, f"{area}.*", verb}.isdisjoint(webhook.events)


class CreateWebhook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A webhook to be registered."""

    url: Url
    events: Patterns
    description: Description = ""
    enabled: Enabled = True
    labels: Labels = {}


class RotateSecret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a secret is replaced."""

    overlap_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_OVERLAP,
            description="Seconds that messages are signed with the old secret, too.",
        ),
    ] = 86_400
