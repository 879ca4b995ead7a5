"""The reference page covers every setting, and the committed one is up to date."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.settings.document import settings_page
from modelyard.settings.fields import VALUE, fields_of, variable
from modelyard.settings.known import known_providers
from modelyard.settings.types import (
    CacheSettings,
    GatewaySettings,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    Settings,
    TargetSettings,
)

ROOT = Path(__file__).resolve().parent.parent
TYPES = (
    Settings,
    CacheSettings,
    GatewaySettings,
    ProviderSettings,
    ModelSettings,
    PriceSettings,
    TargetSettings,
)


@pytest.mark.parametrize("struct", TYPES)
def test_every_value_is_described(struct: type[Settings]) -> None:
    page = settings_page()
    for field in fields_of(struct).values():
        if field.shape == VALUE:
            assert field.description.endswith("."), field.name
            assert f"| `{field.name}` |" in page
            assert field.description in page


def test_variables_and_providers_are_named() -> None:
    page = settings_page()
    assert variable(("cache", "l1_ttl")) == "MODELYARD_CACHE_L1_TTL"
    for name in ("MODELYARD_PORT", "MODELYARD_GATEWAY_TIMEOUT", "MODELYARD_PROVIDERS_<NAME>_PROXY"):
        assert f"`{name}`" in page
    for known in known_providers().values():
        assert known.base_url in page


def test_the_committed_page_is_up_to_date() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "document_settings.py"), "--check"]
    assert subprocess.run(script, cwd=ROOT, check=False).returncode == 0
