"""Uploads and their work go on over kill -9 of whatever does them."""

import os
import signal
import time
from pathlib import Path

import pytest

from artifacts.api import until
from catalog.warehouse import BASE, Warehouse, churn, real
from serving import Server, worker_pids


def readers(server: Server) -> list[int]:
    """The processes that are at reading a file: they have its copy open, or did write it."""
    assert server.process is not None
    found = []
    for pid in worker_pids(server.process.pid):
        try:
            links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        if any("modelyard-dataset-" in link for link in links):
            found.append(pid)
    return found


@pytest.mark.slow
def test_the_killed_are_followed_by_others() -> None:
    with Server() as server:
        warehouse = Warehouse(server)
        dataset, data = warehouse.make(), churn(400_000)
        begun = warehouse.begin(dataset, data, name="churn.csv")
        until(lambda: readers(server))
        for pid in readers(server):
            os.kill(pid, signal.SIGKILL)
        until(lambda: readers(server))
        server.kill()
        server.start()
        done = warehouse.ended(begun)
        assert done["error"] is None, done
        assert done["metadata"]["attempts"] >= 2
        assert done["response"]["recordCount"] == 400_000
        assert warehouse.versions(dataset) == ["1.0.0"]


def test_a_change_beside_the_work_is_kept(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    begun = warehouse.begin(dataset, churn(200_000), name="churn.csv")
    changes, done = 0, False
    while not done:
        changes += 1
        done = warehouse.api.send("GET", f"/v1/{begun['name']}").json["done"]
        reply = warehouse.api.send(
            "PATCH",
            f"{BASE}/{dataset}",
            {"description": f"change {changes}"},
            Content_Type="application/json",
        )
        assert reply.status == 200, reply
        time.sleep(0.01)
    assert warehouse.ended(begun)["error"] is None
    shown = warehouse.read(dataset)
    assert (shown["version"], shown["recordCount"]) == ("1.0.0", 200_000)
    assert shown["description"] == f"change {changes}"


@pytest.mark.parametrize(
    ("name", "rows"),
    [("churn.csv", 10_000), ("german_credit.csv", 1000), ("routellm_gsm8k_responses.csv.gz", 0)],
)
def test_real_files(warehouse: Warehouse, name: str, rows: int) -> None:
    file = real(name)
    if not file.exists():
        pytest.skip(f"{name} is not here")
    dataset = warehouse.make(name)
    made = warehouse.version(dataset, file.read_bytes(), name=name)
    assert made["faults"]["count"] == 0
    assert made["recordCount"] == rows or (rows == 0 and made["recordCount"] > 1000)
    assert warehouse.download(dataset).body == file.read_bytes()
