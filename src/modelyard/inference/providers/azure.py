"""Azure OpenAI: OpenAI's dialect, at an address of its own for each deployment."""

from __future__ import annotations

from urllib.parse import quote

from msgspec.structs import replace

from modelyard.inference.call import Call
from modelyard.inference.providers.openai import OpenAI
from modelyard.inference.providers.provider import Reply
from modelyard.inference.transport.wire import Deadlines, Transport
from modelyard.settings import ProviderSettings

_MOST = 1_000  # deployments whose addresses are remembered


class Azure:
    """One Azure OpenAI resource; a model is the name of a deployment."""

    def __init__(
        self, name: str, settings: ProviderSettings, transport: Transport, max_bytes: int
    ) -> None:
        self.name = name
        self._settings = settings
        self._transport = transport
        self._max_bytes = max_bytes
        self._deployments: dict[str, OpenAI] = {}

    async def call(self, call: Call, model: str, deadlines: Deadlines, attempt: str) -> Reply:
        """See ``Provider.call``."""
        deployment = self._deployments.get(model)
        if deployment is None:
            if len(self._deployments) >= _MOST:  # clients may name any
                self._deployments.clear()
            deployment = self._deployments[model] = self._deployment(model)
        return await deployment.call(call, model, deadlines, attempt)

    def _deployment(self, model: str) -> OpenAI:
        settings = self._settings
        base = (settings.base_url or "").removesuffix("/openai")
        url = f"{base}/openai/deployments/{quote(model, safe='')}"
        headers = dict(settings.headers)
        if settings.api_key:
            headers["api-key"] = settings.api_key
        made = replace(
            settings,
            base_url=f"{url}?api-version={settings.api_version}",
            api_key=None,
            headers=headers,
        )
        return OpenAI(self.name, made, self._transport, self._max_bytes)
