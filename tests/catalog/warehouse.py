"""A real server with datasets, and files like those that people bring."""

import time
from pathlib import Path
from typing import Any

from artifacts.api import Api, Reply
from serving import Server

BASE = "/v1/catalog/datasets"


def churn(rows: int, *, first: int = 1, extra: str = "") -> bytes:
    """Customers of a bank, some of them gone: the same each time."""
    lines = ["CustomerId,Surname,Geography,Age,Balance,Exited" + (",Extra" if extra else "")]
    countries = ("France", "Spain", "Germany")
    for at in range(first, first + rows):
        balance = "" if at % 10 == 0 else f"{at * 7919 % 100_000 + 0.25:.2f}"
        lines.append(
            f'{15_000_000 + at},"O\'Neill, {at % 97}",{countries[at % 3]},{18 + at % 60},{balance},'
            f"{int(at % 5 == 0)}" + (f",{extra}" if extra else "")
        )
    return ("\n".join(lines) + "\n").encode()


class Warehouse:
    """A server, and what is asked of it."""

    def __init__(self, server: Server, api: Api | None = None) -> None:
        self.server = server
        self.api = api or Api(server.url, server.key)

    def make(self, name: str = "Churn", **more: Any) -> str:
        """A new dataset's id."""
        reply = self.api.send("POST", BASE, {"name": name, **more})
        assert reply.status == 201, reply
        return str(reply.json["id"])

    def read(self, dataset: str) -> Any:
        reply = self.api.send("GET", f"{BASE}/{dataset}")
        assert reply.status == 200, reply
        return reply.json

    def begin(self, dataset: str, body: Any, **query: Any) -> Any:
        """Begin an upload: the operation. It is not analyzed, unless it is said to be."""
        query.setdefault("analyze", "false")
        reply = self.api.send("POST", f"{BASE}/{dataset}/upload", body, query=query)
        assert reply.status == 202, reply
        return reply.json

    def upload(self, dataset: str, body: Any, **query: Any) -> Any:
        """Upload and wait: the operation."""
        return self.ended(self.begin(dataset, body, **query))

    def version(self, dataset: str, body: Any, **query: Any) -> Any:
        """The version that an upload makes."""
        done = self.upload(dataset, body, **query)
        assert done["error"] is None, done["error"]
        return done["response"]

    def split(self, dataset: str, **ask: Any) -> Any:
        reply = self.api.send("POST", f"{BASE}/{dataset}/split", ask)
        assert reply.status == 202, reply
        return self.ended(reply.json)

    def ended(self, operation: Any, within: float = 90.0) -> Any:
        """An operation once it is done."""
        ends = time.monotonic() + within
        while time.monotonic() < ends:
            path = f"/v1/{operation['name']}:wait"
            reply = self.api.send("POST", path, {"timeout_seconds": 5})
            assert reply.status == 200, reply
            if reply.json["done"]:
                return reply.json
        raise AssertionError(f"not done: {operation}\n{self.server.log()[-4000:]}")

    def download(self, dataset: str, query: Any = None, **headers: str) -> Reply:
        return self.api.send("GET", f"{BASE}/{dataset}/download", query=query or {}, **headers)

    def versions(self, dataset: str) -> list[str]:
        """The ids of a dataset's versions, the oldest first."""
        reply = self.api.send("GET", f"{BASE}/{dataset}/versions", query={"order_by": "created_at"})
        assert reply.status == 200, reply
        return [one["id"] for one in reply.json["versions"]]


def real(name: str) -> Path:
    """A file of the shared data, where there is one."""
    return Path(__file__).parents[3] / "shared/data" / name
