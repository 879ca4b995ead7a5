"""What clients send and read of added policies (snake_case)."""

from typing import Annotated

from msgspec import Meta, Struct


class Policy(Struct, frozen=True, kw_only=True):
    """One or more Cedar statements about the callers and resources of this workspace."""

    policy: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=20_000,
            description="Cedar text; docs/how-to/policies.md has examples.",
        ),
    ]
    description: Annotated[str, Meta(max_length=1000)] = ""
    enabled: bool = True
