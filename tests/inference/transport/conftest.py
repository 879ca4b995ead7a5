"""Every test of the transport runs on uvloop and on asyncio's own loop."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
import uvloop

from modelyard.inference.transport.client import Client

PATIENCE = 60.0  # seconds; what takes longer has failed


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.close()
    outbox = made._outbox
    if outbox is not None:
        async with asyncio.timeout(PATIENCE):
            while outbox.serving:  # noqa: ASYNC110 (a loop tells nobody that a socket is closed)
                await asyncio.sleep(0)
        assert outbox.serving == 0, "what is over counts once"


@pytest.fixture(autouse=True)
def no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the environment read, every test would fail."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
