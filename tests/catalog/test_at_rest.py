"""What lies on the disk: encrypted where that is set, and gone once its time is over."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from artifacts.api import Api, sha256, until
from catalog.warehouse import BASE, Warehouse, churn
from serving import Server


def on_disk(server: Server) -> bytes:
    """All that artifacts have on the disk."""
    files = (one for one in (server.home / "artifacts").rglob("*") if one.is_file())
    return b"\n".join(one.read_bytes() for one in files)


def due(server: Server) -> int:
    """Let a stopped server find its schedules of retention due; how many there are."""
    with closing(sqlite3.connect(server.home / "modelyard.db")) as connection, connection:
        rows = connection.execute(
            "SELECT rowid, spec FROM resource WHERE kind = 'operations/schedules' "
            "AND id = 'dataset-retention'"
        ).fetchall()
        for number, spec in rows:
            late = json.dumps(json.loads(spec) | {"next_at": 1.0})
            connection.execute("UPDATE resource SET spec = ? WHERE rowid = ?", (late, number))
    return len(rows)


def begun(house: Warehouse) -> list[Any]:
    """The operations of retention until now."""
    query = {"filter": 'metadata.kind = "dataset.retention"'}
    return list(house.api.send("GET", "/v1/operations", query=query).json["operations"])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_encrypted_from_then_on_and_gone_when_its_time_is_over() -> None:
    first, second = churn(50), churn(5000, first=100)
    with Server() as server:
        house = Warehouse(server)
        plain = house.make("plain")
        house.version(plain, first, analyze="false")
        assert house.read(plain)["privacy"]["encryptionType"] is None
        assert first in on_disk(server)
        server.stop()
        (server.directory / "modelyard.toml").write_text("[artifacts]\nencrypt = true\n")
        server.start()
        house = Warehouse(server, Api(server.url, server.key))
        sealed = house.make("sealed")
        version = house.version(sealed, second, analyze="false")
        assert house.read(sealed)["privacy"]["encryptionType"] == "AES-256"
        assert version["privacy"]["encryptionType"] == "AES-256"
        assert second[100:300] not in on_disk(server)
        assert house.download(sealed).body == second
        assert house.download(sealed, Range="bytes=100-299").body == second[100:300]
        parts = house.split(sealed, fractions={"a": 0.5, "b": 0.5})
        assert parts["error"] is None
        part = house.api.send("GET", f"{BASE}/{sealed}/versions/1.0.0-a").json
        assert part["privacy"]["encryptionType"] == "AES-256"
        assert house.download(plain).body == first, "what was stored before is readable"
        again = house.make("the same bytes")
        house.version(again, first, analyze="false")
        assert house.read(again)["privacy"]["encryptionType"] is None, "they are kept once"
        for dataset in (plain, again):
            ask = {"storage": {"retention": "PT1S"}}
            reply = house.api.send("PATCH", f"{BASE}/{dataset}?updateMask=storage.retention", ask)
            assert reply.status == 200, reply
        server.stop()
        assert due(server) == 1, "one schedule for the workspace"
        server.start()
        house = Warehouse(server, Api(server.url, server.key))
        until(lambda: begun(house), 60)
        done = house.ended(begun(house)[0])
        assert done["error"] is None and len(done["response"]["versions"]) == 2, done
        assert house.read(again)["status"] == house.read(plain)["status"] == "empty"
        assert first not in on_disk(server)
        assert house.api.send("GET", f"/v1/artifacts/{sha256(first)}").status == 404
        assert house.download(sealed).body == second, "the others stay"
