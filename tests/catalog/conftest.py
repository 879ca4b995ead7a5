"""One server for the tests that do not end it."""

from collections.abc import Iterator

import pytest

from catalog.warehouse import Warehouse
from serving import Server


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    with Server() as server:
        yield Warehouse(server)
