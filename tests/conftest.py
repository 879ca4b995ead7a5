"""Profiles for hypothesis (deadlines are off: a busy machine is no failure), and PostgreSQL."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from postgres import Server

# What a test takes, about, that runs jobs, a page's blocks, or an operation of the document.
SECONDS = {"warehouse": 6.0, "office": 4.0, "lonely": 4.0, "page": 8.0, "schema": 0.3}

settings.register_profile(
    "ci",
    max_examples=50,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "dev", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server for all tests that need one; ``create`` gives an empty database."""
    server = Server()
    yield server
    server.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no process is left alone with one at the end."""
    files: dict[Path, float] = {}
    for item in items:
        slow = item.get_closest_marker("slow")
        known = [SECONDS[name] for name in getattr(item, "fixturenames", ()) if name in SECONDS]
        seconds = max(known, default=20.0 if slow else 0.2)
        if slow and (limit := item.get_closest_marker("timeout")):
            seconds = float(limit.args[0])
        files[item.path] = files.get(item.path, 0.0) + seconds
    items.sort(key=lambda item: -files[item.path])
