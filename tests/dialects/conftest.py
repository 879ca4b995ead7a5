"""One server, and one upstream that is a provider of every dialect."""

from collections.abc import Iterator

import pytest

from dialects.cells import config
from dialects.upstream import Provider
from e2e.client import Client
from serving import Server


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="session")
def server(provider: Provider) -> Iterator[Server]:
    with Server(config(provider.url)) as running:
        yield running


@pytest.fixture(scope="session")
def api(server: Server) -> Client:
    return Client(server.url, server.key)
