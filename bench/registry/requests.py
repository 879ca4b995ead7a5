"""What is asked: the data set, the operations, and a request as the load generator takes it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.gateway.rig import OUT, ask, run_load

READS = ("get", "list", "filter", "search")
WRITES = ("update", "set alias", "create version", "create model")
OPERATIONS = READS + WRITES  # in this order: what is read is the same on both, until writes begin
PAGE = 50
TEAMS = [f"team-{number:02d}" for number in range(20)]
WORDS = [
    "churn",
    "fraud",
    "price",
    "sales",
    "score",
    "spend",
    "stock",
    "taxes",
    "trade",
    "voice",
    "audio",
    "image",
    "video",
    "genre",
    "goods",
    "house",
    "loans",
    "plant",
    "radar",
    "water",
]


@dataclass(frozen=True)
class Size:
    """How many models there are, and how many versions each has."""

    models: int = 1000
    versions: int = 5

    @property
    def names(self) -> list[str]:
        """All equally long; each word and each team has a twentieth of them."""
        return [f"{WORDS[i % 20]}-{i:06d}" for i in range(self.models)]

    @property
    def page(self) -> int:
        """Models that a filter or a search answers with."""
        return min(PAGE, self.models // 20)


def team(number: int) -> str:
    """The team of a model: each has as many of each word."""
    return TEAMS[(number // 20 + number) % 20]


@dataclass(frozen=True)
class Model:
    """A registered model as both servers know it; compared before anything is measured."""

    name: str
    description: str
    tags: dict[str, str]
    latest: str  # number of its latest version
    source: str  # of that version
    aliases: dict[str, str]


def expected(number: int, size: Size) -> Model:
    """The model of a number, once the data set is there."""
    name, latest = size.names[number], str(size.versions)
    tags = {"team": team(number), "stage": "trial"}
    return Model(name, described(name), tags, latest, source(name), {"champion": latest})


def described(name: str) -> str:
    return f"Predicts what its name says, from the data of last year. Trained anew weekly: {name}."


def source(name: str) -> str:
    return f"s3://models/{name}/artifacts"


ANEW = "Described anew, %n: it predicts what its name says, from the data of this year."
RUN = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Request:
    """One request, with the marked places of ``bench/template.h``.

    ``keys`` says what ``%k`` stands for: names, words or teams. Every answer must have ``status``
    and hold ``expect``, ``times`` times where that is not 0.
    """

    method: str
    path: str
    body: Any = None
    expect: str = ""
    times: int = 0
    status: int = 200
    keys: str = "names"


@dataclass(frozen=True)
class Address:
    """Where a server is asked."""

    port: int
    headers: list[str] = field(default_factory=list)

    def json(self, request: Request, key: str = "", counter: int = 0) -> Any:
        """Send one request; its answer. Raises ValueError where that is not as it should be."""

        def fill(text: str) -> str:
            digit = str(counter % 5 + 1)
            return text.replace("%k", key).replace("%n", f"{counter:016d}").replace("%d", digit)

        body = None if request.body is None else fill(json.dumps(request.body)).encode()
        path = fill(request.path)
        status, got = ask(self.port, request.method, path, body, self.headers)
        wanted = fill(request.expect).encode()
        found = got.count(wanted) if request.times else min(1, got.count(wanted))
        if status != request.status or (wanted and found != (request.times or 1)):
            raise ValueError(f"{request.method} {path}: status {status}, {got[:300]!r}")
        return json.loads(got or b"null")


def key_file(keys: str, size: Size) -> Path:
    """The file of what ``%k`` stands for."""
    lines = {"names": size.names, "words": WORDS, "teams": TEAMS}[keys]
    path = OUT / f"{keys}.txt"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def load(
    address: Address, request: Request, size: Size, connections: int, seconds: float
) -> dict[str, Any]:
    """Send a request in a closed loop; what the load generator printed."""
    argv: Sequence[str] = [
        *("-p", str(address.port), "-u", request.path, "-m", request.method),
        *("-c", str(connections), "-d", str(seconds), "-w", str(seconds / 4)),
        *("-k", str(key_file(request.keys, size)), "-o", str(request.status)),
        *(("-b", json.dumps(request.body)) if request.body is not None else ()),
        *(("-e", request.expect) if request.expect else ()),
        *(("-x", str(request.times)) if request.times else ()),
        *(part for header in address.headers for part in ("-H", header)),
    ]
    return run_load(argv, seconds)
