"""Servers with a semantic cache, the model of ``tests/local`` and the stand-in as the verifier."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from e2e.client import Client
from local.conftest import minilm as minilm
from local.conftest import wheel as wheel
from modelyard.inference.local.models import MINILM, folder_of
from serving import Server, alive, worker_pids
from upstream.server import Upstream

READY = "the semantic cache is ready"
_SITE = Path(__file__).parent / "site"
_MODEL = """
[providers.main]
base_url = "{url}"
api_key = "up-secret"
[[models]]
name = "m"
targets = ["main/m"]
price = {{ input = 2.0, output = 10.0 }}
[cache]
l3 = {l3}
[cache.semantic]
wait = 10
{more}
"""


class Running(Server):
    """A server with a semantic cache."""

    api: Client

    def wait_ready(self, times: int = 1, seconds: float = 60.0) -> None:
        """Until workers have been greeted by the process so many times in all."""
        deadline = time.monotonic() + seconds
        while self.log().count(READY) < times:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def engine(self) -> int | None:
        """The cache's process; None where there is none."""
        assert self.process is not None
        for pid in worker_pids(self.process.pid):
            with suppress(OSError):  # it has ended meanwhile
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"inference.semantic.process" in words and alive(pid):
                    return pid
        return None


Start = Callable[..., Running]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The provider."""
    with Upstream() as running:
        yield running


@pytest.fixture
def serve(minilm: Path, upstream: Upstream) -> Iterator[Start]:
    """Starts a server; it is ready to find what means the same."""
    made: list[Running] = []

    def start(
        more: str = 'mode = "on"', *, l3: bool = False, workers: int = 1, model: bool = True
    ) -> Running:
        config = _MODEL.format(url=upstream.url, l3="true" if l3 else "false", more=more)
        server = Running(config, workers=workers, env={"PYTHONPATH": str(_SITE)})
        made.append(server)
        if model:
            place = folder_of(server.home, MINILM)
            place.parent.mkdir()
            place.symlink_to(folder_of(minilm, MINILM))
        server.__enter__()
        server.api = Client(server.url, server.key)
        if model and "mode" in more:
            server.wait_ready(workers)
        return server

    yield start
    for server in made:
        server.__exit__(None, None, None)
