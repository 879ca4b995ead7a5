"""Every setting: typed, documented, checked at start."""

from modelyard.settings.types import (
    CacheSettings,
    GatewaySettings,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    Settings,
    TargetSettings,
)

__all__ = [
    "CacheSettings",
    "GatewaySettings",
    "ModelSettings",
    "PriceSettings",
    "ProviderSettings",
    "Settings",
    "TargetSettings",
]
