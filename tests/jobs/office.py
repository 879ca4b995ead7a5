"""A real server with the resource of ``plugin/jobs_works.py``, and its operations."""

import os
import time
from pathlib import Path
from typing import Any

import modelyard
from e2e.client import Client
from patience import LONG
from serving import Server, worker_pids

PLUGIN = Path(__file__).parent / "plugin"
SOURCE = Path(modelyard.__file__).parents[1]
MARCH, MISBEHAVE = "march", "misbehave"


def environment(**more: str) -> dict[str, str]:
    """What brings the resource into every process."""
    return {"PYTHONPATH": os.pathsep.join((str(PLUGIN), str(SOURCE)))} | more


class Office:
    """A server, and what is asked of it."""

    def __init__(self, server: Server, client: Client | None = None) -> None:
        self.server = server
        self.client = client or Client(server.url, server.key)

    def work(self, title: str = "a") -> str:
        """A new work's id."""
        reply = self.client.post("/v1/works", {"title": title})
        assert reply.status == 201, reply.body
        return str(reply.json["id"])

    def begin(self, verb: str, work: str = "", *, query: str = "", **ask: Any) -> dict[str, Any]:
        """Ask for an operation; it as it was answered."""
        work = work or self.work()
        reply = self.client.post(f"/v1/works/{work}:{verb}{query}", ask)
        assert reply.status == 202, reply.body
        return dict(reply.json)

    def read(self, operation: dict[str, Any]) -> dict[str, Any]:
        """It as it is now."""
        reply = self.client.get(f"/v1/{operation['name']}")
        assert reply.status == 200, reply.body
        return dict(reply.json)

    def ended(self, operation: dict[str, Any], within: float = 140.0) -> dict[str, Any]:
        """It once it is done."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            reply = self.client.post(f"/v1/{operation['name']}:wait", {"timeout_seconds": 5})
            assert reply.status == 200, reply.body
            if reply.json["done"]:
                return dict(reply.json)
        raise AssertionError(f"not done: {self.read(operation)}\n{self.server.log()[-4000:]}")

    def until(self, operation: dict[str, Any], state: str, within: float = LONG) -> dict[str, Any]:
        """It once it is in a state."""
        ends = time.monotonic() + within
        while (now := self.read(operation))["metadata"]["state"] != state:
            assert time.monotonic() < ends, (now, self.server.log()[-4000:])
            time.sleep(0.02)
        return now

    def workers(self) -> list[int]:
        """The processes that are workers, or belong to one."""
        assert self.server.process is not None
        return worker_pids(self.server.process.pid)


def marks(path: Path, count: int = 1, within: float = LONG) -> list[int]:
    """The numbers of the steps that were taken, once there are ``count`` of them."""
    ends = time.monotonic() + within
    while True:
        found = [int(line) for line in path.read_text().split()] if path.exists() else []
        if len(found) >= count:
            return found
        assert time.monotonic() < ends, found
        time.sleep(0.02)


def go_on(path: Path) -> None:
    """End the step that is held."""
    Path(f"{path}.go").touch()
