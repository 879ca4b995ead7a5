"""A registry under measurement: started, filled, and shown to answer as it should."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.gateway.process import Child, cores
from bench.gateway.rig import OUT, ask, free_port
from bench.gateway.subject import NotStarted
from bench.registry.requests import (
    ANEW,
    PAGE,
    TEAMS,
    WORDS,
    Address,
    Model,
    Request,
    Size,
    described,
    expected,
    source,
    team,
)


class Registry(Protocol):
    """One server with a model registry."""

    @property
    def name(self) -> str:
        """What it is called in the tables."""

    @property
    def health(self) -> str:
        """A path that answers 200 once it serves."""

    @property
    def configuration(self) -> str:
        """In plain words, for the report."""

    def missing(self) -> str | None:
        """Why it cannot be measured here, or None."""

    def version(self) -> str:
        """The version that is installed."""

    def launch(
        self, port: int, database: str, folder: Path
    ) -> tuple[Sequence[str], Mapping[str, str]]:
        """Command and environment; ``database`` is a PostgreSQL URL, "" for its SQLite."""

    def enter(self, port: int, folder: Path) -> Address:
        """How it is asked, once it answers."""

    def create_model(self, name: str, tags: Mapping[str, str]) -> Request:
        """Register a model."""

    def create_version(self, name: str) -> Request:
        """Add the next version to a model."""

    def set_alias(self, name: str, alias: str, version: str) -> Request:
        """Point an alias of a model at a version."""

    def request(self, operation: str, size: Size, fresh: str) -> Request:
        """The request of an operation; new models have names that begin with ``fresh``."""

    def models(self, answer: Any) -> list[Model]:
        """The models in an answer."""


@dataclass
class Running:
    """A registry that answers."""

    registry: Registry
    child: Child
    address: Address

    @property
    def name(self) -> str:
        return self.registry.name


def start(registry: Registry, database: str, folder: Path, patience: float = 90.0) -> Running:
    """Start a registry on its core and wait until it answers. Raises ``NotStarted``."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    argv, env = registry.launch(port, database, folder)
    log = OUT / "logs" / f"registry-{registry.name}.log"
    child = Child(argv, cores()[0], log, env, folder)
    deadline = time.monotonic() + patience
    try:
        while time.monotonic() < deadline and child.ended() is None:
            if _answers(port, registry.health):
                return Running(registry, child, registry.enter(port, folder))
            time.sleep(0.05)
    except BaseException:
        child.stop(2)
        raise
    child.stop(2)
    raise NotStarted(f"no answer: {child.last_words()}")


def _answers(port: int, path: str) -> bool:
    try:
        return ask(port, "GET", path)[0] == 200
    except OSError:
        return False


def fill(running: Running, size: Size) -> float:
    """Make the data set through the server's own interface; the seconds it took."""
    registry, address = running.registry, running.address
    began = time.perf_counter()

    def one(number: int) -> None:
        name = size.names[number]
        tags = {"team": team(number), "stage": "trial"}
        address.json(registry.create_model(name, tags))
        for _ in range(size.versions):
            address.json(registry.create_version(name))
        address.json(registry.set_alias(name, "champion", str(size.versions)))

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(one, range(size.models)):
            pass
    return time.perf_counter() - began


def check(running: Running, size: Size) -> None:
    """Every operation does what it says, with the same outcome on every registry."""
    registry, address = running.registry, running.address

    def asked(operation: str, key: str = "") -> list[Model]:
        request = registry.request(operation, size, "check")
        return registry.models(address.json(request, key))

    def one(name: str) -> Model:
        return asked("get", name)[0]

    wanted = [expected(number, size) for number in range(size.models)]
    wrong = [model for model in wanted[:: max(1, size.models // 50)] if one(model.name) != model]
    listed = asked("list")
    by_name = {model.name: model for model in wanted}
    wrong += [model for model in listed if by_name[model.name] != model]
    _must(not wrong, f"not as they were made: {wrong[:2]}")
    _must(len({model.name for model in listed}) == min(PAGE, size.models), "models of a page")
    found = asked("filter", TEAMS[7])
    _must({model.tags["team"] for model in found} == {TEAMS[7]}, f"filtered: {found[:2]}")
    found = asked("search", WORDS[3])
    _must(all(WORDS[3] in model.name for model in found), f"searched: {found[:2]}")


def check_writes(running: Running, size: Size) -> None:
    """As ``check``, of what changes; two models of the data set are changed by it."""
    registry, address, name = running.registry, running.address, size.names[0]

    def write(operation: str) -> None:
        address.json(registry.request(operation, size, "check"), name)

    before = expected(0, size)
    for operation in ("update", "set alias", "create version", "create model"):
        write(operation)
    latest = str(size.versions + 1)
    after = Model(
        name=name,
        description=ANEW.replace("%n", "0" * 16),
        tags=before.tags,
        latest=latest,
        source=source(name),
        aliases={"champion": "1"},
    )
    read = registry.request("get", size, "check")
    got = registry.models(address.json(read, name))
    _must(got == [after], f"after the changes {got}, not {after}")
    fresh = "check-" + "0" * 16
    bare = Request(read.method, read.path)
    got = registry.models(address.json(bare, fresh))
    made = Model(fresh, described(fresh), {"team": "team-00", "stage": "trial"}, "", "", {})
    _must(got == [made], f"made {got}, not {made}")


def _must(so: bool, what: str) -> None:
    if not so:
        raise NotStarted("does not answer as it should: " + what)
