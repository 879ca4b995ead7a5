"""A provider out of its settings: the only file that knows every dialect."""

from __future__ import annotations

from pathlib import Path

from modelyard.inference.providers.anthropic import Anthropic
from modelyard.inference.providers.azure import Azure
from modelyard.inference.providers.bedrock import Bedrock
from modelyard.inference.providers.gemini import Gemini
from modelyard.inference.providers.local import Local
from modelyard.inference.providers.openai import OpenAI
from modelyard.inference.providers.provider import Provider
from modelyard.inference.providers.remote import Remote
from modelyard.inference.providers.sandbox import Sandbox
from modelyard.inference.transport.wire import Transport
from modelyard.settings import ProviderSettings


def make_provider(
    name: str, settings: ProviderSettings, transport: Transport, max_bytes: int, home: Path
) -> Provider:
    """The provider ``name``. ``max_bytes`` of an answer are taken at most.

    ``home`` is where local models are installed.
    """
    if settings.dialect == "sandbox":
        return Sandbox()
    if settings.dialect == "local":
        return Local(name, home)
    if settings.dialect == "anthropic":
        return Remote(name, settings, Anthropic(name), transport, max_bytes)
    if settings.dialect == "gemini":
        return Remote(name, settings, Gemini(name), transport, max_bytes)
    if settings.dialect == "bedrock":
        return Remote(name, settings, Bedrock(name, settings), transport, max_bytes)
    if settings.dialect == "azure":
        return Azure(name, settings, transport, max_bytes)
    return OpenAI(name, settings, transport, max_bytes)
