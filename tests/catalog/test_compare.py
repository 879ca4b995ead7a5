"""Differences of versions, by key and by whole rows, of one dataset and of two."""

from typing import Any

from catalog.warehouse import BASE, Warehouse, churn


def diff(warehouse: Warehouse, dataset: str, version: str, **ask: Any) -> Any:
    path = f"{BASE}/{dataset}/versions/{version}/diff"
    reply = warehouse.api.send("POST", path, ask)
    assert reply.status == 202, reply
    return warehouse.ended(reply.json)


def test_two_versions(warehouse: Warehouse) -> None:
    dataset, other = warehouse.make(), warehouse.make("other")
    warehouse.version(dataset, churn(200), analyze="false")
    lines = churn(210, first=6, extra="x").decode().splitlines()
    lines[1] = lines[1].replace(",Spain,", ",Italy,").replace(",France,", ",Italy,")
    changed = "\n".join(line.replace(",Germany,", ",Austria,") for line in lines) + "\n"
    warehouse.version(dataset, changed.encode(), analyze="false")
    done = diff(warehouse, dataset, "1.1.0", base={"version": "1.0.0"}, key=["CustomerId"])
    assert done["error"] is None, done["error"]
    found = done["response"]
    assert found["base"] == f"catalog/datasets/{dataset}/versions/1.0.0"
    rows = found["difference"]
    assert (rows["oldRows"], rows["newRows"]) == (200, 210)
    assert (rows["added"], rows["removed"]) == (15, 5)
    assert rows["schema"] == {"added": ["Extra"], "removed": [], "retyped": []}
    assert rows["cells"]["Geography"] == rows["changed"] > 60
    assert {"CustomerId": 15_000_001} in rows["removedSamples"]
    figures = {(one["column"], one["figure"]): one for one in found["statistics"]}
    assert figures["CustomerId", "minimum"]["new"] == 15_000_006
    warehouse.version(other, churn(200), analyze="false")
    same = diff(warehouse, other, "1.0.0", base={"dataset": dataset, "version": "1.0.0"})
    rows = same["response"]["difference"]
    assert (rows["same"], rows["added"], rows["removed"]) == (200, 0, 0)
    assert same["response"]["statistics"] == []
    twice = diff(warehouse, other, "1.0.0", base={"dataset": dataset}, key=["Age"])
    assert twice["error"]["code"] == "DATA_VALIDATION_FAILED"
    path = f"{BASE}/{dataset}/versions/1.1.0/diff"
    reply = warehouse.api.send("POST", path, {"base": {"version": "1.0.0"}, "key": ["Extra"]})
    assert (reply.status, reply.json["error"]["details"]["field"]) == (400, "key[0]")
