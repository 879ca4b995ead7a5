"""``[cache.warming]``: answers that are fetched before they are asked for."""

from typing import Annotated

from msgspec import Meta, Struct

Money = Annotated[float, Meta(ge=0, le=1e6)]
Wait = Annotated[float, Meta(gt=0, le=3600)]


class WarmingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[cache.warming]``: answers that are fetched before they are asked for.

    Only what the exact cache shares. The prompts that return are kept, encrypted, in the folder
    `warming` of `home`; where it is off, nothing is.
    """

    enabled: Annotated[
        bool, Meta(description="Learn which prompts return, and fetch their answers beforehand.")
    ] = False
    hourly_budget: Annotated[
        Money, Meta(description="USD that the server may spend on it in an hour (UTC).")
    ] = 0.25
    daily_budget: Annotated[
        Money, Meta(description="USD that the server may spend on it in a day (UTC).")
    ] = 1.0
    workspace_daily_budget: Annotated[
        Money | None,
        Meta(description="USD a day for each workspace; unset: no bound but the server's."),
    ] = None
    waiting_value: Annotated[
        Money,
        Meta(
            description="USD that an hour of waiting is worth. A warm answer costs what it saves: "
            "with 0 nothing that costs money is fetched."
        ),
    ] = 10.0
    least_chance: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Chance of being asked for, before it expires, below which nothing is "
            "fetched.",
        ),
    ] = 0.2
    refresh_ahead: Annotated[
        Wait, Meta(description="Seconds before its end in which an answer may be fetched anew.")
    ] = 60.0
    interval: Annotated[Wait, Meta(description="Seconds between looks at what is to be done.")] = (
        15.0
    )
    concurrency: Annotated[
        int, Meta(ge=1, le=100, description="Calls at the same time for warming.")
    ] = 2
    busy: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Running calls from which on a target is not asked for warming.",
        ),
    ] = 4
    prompts: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Prompts that are known at most.")
    ] = 10_000
    prompt_bytes: Annotated[
        int, Meta(ge=1 << 16, le=1 << 32, description="Bytes of their texts at most, in memory.")
    ] = 16 * 1024 * 1024
    log_bytes: Annotated[
        int,
        Meta(
            ge=1 << 20,
            le=1 << 40,
            description="Bytes of the log of what was asked, from which it learns anew.",
        ),
    ] = 32 * 1024 * 1024
