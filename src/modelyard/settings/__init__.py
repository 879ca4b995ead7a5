"""Every setting: typed, documented, checked at start."""

from modelyard.settings.cache import CacheSettings
from modelyard.settings.load import Loaded, SettingsError, load
from modelyard.settings.semantic import SemanticSettings
from modelyard.settings.types import (
    GatewaySettings,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    Settings,
    TargetSettings,
)
from modelyard.settings.warming import WarmingSettings

__all__ = [
    "CacheSettings",
    "GatewaySettings",
    "Loaded",
    "ModelSettings",
    "PriceSettings",
    "ProviderSettings",
    "SemanticSettings",
    "Settings",
    "SettingsError",
    "TargetSettings",
    "WarmingSettings",
    "load",
]
