"""``[webhooks]``: how events are sent to other servers."""

from typing import Annotated

from msgspec import Meta, Struct, field

RETRY_SECONDS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
Wait = Annotated[float, Meta(ge=0, le=7 * 86_400)]


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[webhooks]``: where and how often events are sent.

    The waits are those that Standard Webhooks recommends: about three days in all.
    """

    allowed_networks: Annotated[
        list[str],
        Meta(
            description="Networks that webhooks may be in beside public addresses, in CIDR "
            "notation; there `http` will do.",
            examples=[["10.0.0.0/8", "127.0.0.0/8"]],
        ),
    ] = []
    retry_seconds: Annotated[
        list[Wait],
        Meta(
            max_length=50,
            description="Seconds to wait after each failed attempt, give or take a tenth; after "
            "the last the delivery has failed.",
        ),
    ] = field(default_factory=lambda: list(RETRY_SECONDS))
    timeout: Annotated[
        float, Meta(gt=0, le=120, description="Seconds that one attempt may take.")
    ] = 15.0
    keep_days: Annotated[
        float, Meta(gt=0, le=3650, description="Days that the log of deliveries is kept.")
    ] = 7.0
