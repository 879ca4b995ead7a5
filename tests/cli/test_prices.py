"""``modelyard prices check`` against a real server."""

import json
from collections.abc import Iterator
from datetime import date

import pytest

from modelyard.cli.main import main
from modelyard.cli.prices import finding
from serving import Server

CONFIG = """
[providers.own]
base_url = "http://127.0.0.1:9/v1"
models = ["unpriced"]

[[models]]
name = "dated"
targets = ["own/a"]
price = { input = 1, output = 2, origin = "contract 17", checked = "2026-01-02" }

[[models]]
name = "undated"
targets = ["own/b"]
price = { input = 1, output = 2 }
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(CONFIG) as running:
        yield running


@pytest.fixture(autouse=True)
def at_the_server(server: Server, home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_URL", server.url)
    monkeypatch.setenv("MODELYARD_API_KEY", server.key)


def test_what_is_unknown_or_old_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "check", "--json"]) == 1
    found = {one["id"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert found["own/unpriced"] == {
        "id": "own/unpriced",
        "source": None,
        "checked": None,
        "finding": "unknown",
    }
    assert found["dated"]["finding"] == "old" and found["dated"]["checked"] == "2026-01-02"
    assert found["undated"]["finding"] == "undated"
    assert "sandbox" not in found
    assert main(["prices", "check", "--days", "1000000", "--json"]) == 1
    assert "dated" not in {one["id"] for one in json.loads(capsys.readouterr().out)["findings"]}


def test_the_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "check"]) == 1
    said = capsys.readouterr()
    assert "own/unpriced" in said.out and "unknown" in said.out
    assert "[models.price]" in said.err


@pytest.mark.parametrize(
    ("checked", "expected"),
    [("2026-11-21", None), ("2026-08-23", None), ("2026-08-22", "old"), (None, "undated")],
)
def test_ninety_days(checked: str | None, expected: str | None) -> None:
    price = {"id": "m", "source": "table", "checked": checked, "per_million": {"input": 1.0}}
    found = finding(price, 90, date(2026, 11, 21))
    assert (found["finding"] if found else None) == expected
