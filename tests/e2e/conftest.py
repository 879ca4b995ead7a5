"""One upstream, one fallback upstream and one server for all end-to-end tests that need no other.

A test isolates itself by its model: ``model`` and ``chain`` hand out a fresh one each time.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import openai
import pytest

from e2e.client import Client
from e2e.sdk import done
from serving import Server
from upstream.server import Upstream

POOL = 800
NAMED = 10  # p0 to p9 and c0 to c9 are for tests that name their model
_plain = iter(range(NAMED, POOL))
_chained = iter(range(NAMED, POOL))

# USD per million tokens, so nano-dollars per token are a thousand times that.
INPUT, OUTPUT = 2.0, 10.0


def providers(upstream: Upstream, spare: Upstream, more: str = "") -> str:
    """The two providers; ``more`` is added to each."""
    return (
        f'[providers.main]\nbase_url = "{upstream.url}"\napi_key = "up-secret"\n{more}\n'
        f'[providers.spare]\nbase_url = "{spare.url}"\napi_key = "spare-secret"\n{more}\n'
    )


def models(count: int = POOL) -> str:
    """``p0`` … on the first provider alone, ``c0`` … with the second as the fallback; priced."""
    entry = '[[models]]\nname = "{}"\ntargets = {}\nprice = {{ input = {}, output = {} }}\n'
    lines = []
    for n in range(count):
        lines.append(entry.format(f"p{n}", [f"main/p{n}"], INPUT, OUTPUT))
        chain = [f"main/c{n}", f"spare/c{n}"]
        lines.append(entry.format(f"c{n}", chain, INPUT, OUTPUT))
    return "".join(lines)


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """The provider ``main``."""
    with Upstream() as server:
        yield server


@pytest.fixture(scope="session")
def spare() -> Iterator[Upstream]:
    """The provider ``spare``: the fallback of every chain."""
    with Upstream() as server:
        yield server


@pytest.fixture(scope="session")
def server(upstream: Upstream, spare: Upstream) -> Iterator[Server]:
    """The server with its default settings."""
    with Server(providers(upstream, spare) + models()) as running:
        yield running


@pytest.fixture(scope="session")
def api(server: Server) -> Client:
    """The server, with the admin key."""
    return Client(server.url, server.key)


@pytest.fixture
def model() -> str:
    """A model nobody has called yet, on the first provider alone."""
    return f"p{next(_plain)}"


@pytest.fixture
def chain() -> str:
    """A model nobody has called yet, with a fallback."""
    return f"c{next(_chained)}"


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start a server of the test's own: ``serve(config, workers=2)``."""
    with ExitStack() as stack:
        yield lambda *a, **k: stack.enter_context(Server(*a, **k))


@pytest.fixture(params=[openai.OpenAI, openai.AsyncOpenAI], ids=["sync", "async"])
async def sdk(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Any]:
    """The official client, both kinds, without retries of its own."""
    made = request.param(base_url=server.url + "/v1", api_key=server.key, max_retries=0)
    yield made
    await done(made.close())
