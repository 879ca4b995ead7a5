"""Profiles for hypothesis (deadlines are off: a busy machine is no failure), and PostgreSQL."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.assertion import rewrite
from hypothesis import HealthCheck, settings

from postgres import Server

# What a test takes, about, that runs jobs, a page's blocks, or an operation of the document.
SECONDS = {"warehouse": 6.0, "office": 4.0, "lonely": 4.0, "page": 8.0, "schema": 0.3}

# What the terminal or the CI of whoever runs them asks for changes no test.
for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(name, None)

settings.register_profile(
    "ci",
    max_examples=50,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "dev",
    max_examples=100,
    deadline=None,
    derandomize=True,  # "explore" looks further: pytest --hypothesis-profile=explore
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", settings.get_profile("dev"), derandomize=False)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server for all tests that need one; ``create`` gives an empty database."""
    server = Server()
    yield server
    server.close()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Of parallel processes each compiles a part of the tests, and finds the others' done.

    Without, each of them compiles all, which takes it twenty seconds in a fresh checkout.
    """
    given = getattr(session.config, "workerinput", None)
    if given is None or sys.dont_write_bytecode:
        return
    count, number = given["workercount"], int(given["workerid"].removeprefix("gw"))
    state = session.config.stash[rewrite.assertstate_key]
    for path in sorted(Path(__file__).parent.rglob("test_*.py"))[number::count]:
        kept = rewrite.get_cache_dir(path) / (path.stem + rewrite.PYC_TAIL)
        if rewrite.try_makedirs(kept.parent) and rewrite._read_pyc(path, kept) is None:
            mark, code = rewrite._rewrite_test(path, session.config)
            rewrite._write_pyc(state, code, mark, kept)


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
