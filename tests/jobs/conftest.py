"""One server for the tests that do not end it."""

from collections.abc import Iterator

import pytest

from jobs.office import Office, environment
from serving import Server


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with Server(env=environment(MODELYARD_JOBS_NICE="5")) as server:
        yield Office(server)
