"""Splits: the same parts for the same seed, and what they share is told."""

from collections import Counter

import polars as pl

from catalog.warehouse import BASE, Warehouse, churn


def table(warehouse: Warehouse, dataset: str, version: str) -> pl.DataFrame:
    reply = warehouse.download(dataset, {"version": version, "format": "parquet"})
    assert reply.status == 200, reply
    return pl.read_parquet(reply.body)


def test_a_stratified_split(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    warehouse.version(dataset, churn(2000), name="churn.csv")
    done = warehouse.split(dataset, method="stratified", column="Exited", seed=7)
    result = done["response"]
    assert [(one["version"], one["recordCount"]) for one in result["parts"]] == [
        ("1.0.0-train", 1400),
        ("1.0.0-validation", 300),
        ("1.0.0-test", 300),
    ]
    assert result["leakage"] == []
    parts = [table(warehouse, dataset, one["version"]) for one in result["parts"]]
    assert [Counter(one["Exited"].to_list())[1] for one in parts] == [280, 60, 60]
    every = sorted(number for one in parts for number in one["CustomerId"])
    assert every == list(range(15_000_001, 15_002_001))
    shown = warehouse.read(dataset)
    assert (shown["version"], shown["recordCount"]) == ("1.0.0", 2000)
    assert shown["splits"] == {"train": 0.7, "validation": 0.15, "test": 0.15}
    graph = warehouse.api.send("GET", f"{BASE}/{dataset}/versions/1.0.0-train/lineage").json
    assert f"catalog/datasets/{dataset}/versions/1.0.0" in str(graph)
    assert done["name"] in str(graph)


def test_the_seed_decides(warehouse: Warehouse) -> None:
    one, other = warehouse.make("one"), warehouse.make("other")
    for dataset in (one, other):
        warehouse.version(dataset, churn(400))
    ask = {"fractions": {"a": 0.5, "b": 0.5}, "seed": 3}
    for dataset in (one, other):
        assert warehouse.split(dataset, **ask)["error"] is None
    mine, theirs = (table(warehouse, dataset, "1.0.0-a") for dataset in (one, other))
    assert mine.equals(theirs)
    assert warehouse.split(one, **ask)["error"] is None, "the same split is no other"
    again = warehouse.split(one, **ask | {"seed": 4})
    assert again["error"]["code"] == "CONFLICT"
    named = warehouse.split(one, **ask | {"seed": 4, "name": "second"})
    assert [part["version"] for part in named["response"]["parts"]] == [
        "1.0.0-second-a",
        "1.0.0-second-b",
    ]
    assert not table(warehouse, one, "1.0.0-second-a").equals(mine)


def test_groups_stay_together_and_time_goes_on(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    warehouse.version(dataset, churn(970))
    halves = {"a": 0.5, "b": 0.5}
    groups = warehouse.split(
        dataset, method="group", column="Surname", fractions=halves, leakColumn="Surname"
    )
    assert groups["response"]["leakage"] == []
    a, b = (table(warehouse, dataset, f"1.0.0-{part}") for part in halves)
    assert set(a["Surname"]).isdisjoint(b["Surname"])
    timed = warehouse.split(
        dataset, method="time", column="CustomerId", fractions=halves, name="time"
    )
    assert timed["error"] is None
    a, b = (table(warehouse, dataset, f"1.0.0-time-{part}") for part in halves)
    assert max(a["CustomerId"]) < min(b["CustomerId"])


def test_leakage_is_told(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    data = churn(100)
    rows = data.splitlines(keepends=True)
    warehouse.version(dataset, data + b"".join(rows[1:]))  # each row twice
    halves = {"a": 0.5, "b": 0.5}
    done = warehouse.split(dataset, fractions=halves, leakColumn="Geography")
    a, b = (table(warehouse, dataset, f"1.0.0-{part}") for part in halves)
    shared = set(a["CustomerId"]) & set(b["CustomerId"])
    count = sum(one in shared for one in b["CustomerId"])
    assert count > 0
    [told] = done["response"]["leakage"]
    assert (told["parts"], told["rows"], told["groups"]) == (["a", "b"], count, 3)
    assert (told["texts"], told["nearDuplicates"]) == (None, [])


def test_texts_that_are_nearly_the_same_are_told(warehouse: Warehouse) -> None:
    dataset = warehouse.make("messages")
    texts = [
        f"Dear {at * 7919} customer, parcel {at * 104729} waits at door {at}" for at in range(40)
    ]
    rows = ["id,text", *(f'{at},"{one}"' for at, one in enumerate(texts))]
    rows += [f'{at + 40},"{one.upper()}!!"' for at, one in enumerate(texts)]
    warehouse.version(dataset, "\n".join(rows).encode(), name="messages.csv")
    halves = {"a": 0.5, "b": 0.5}
    done = warehouse.split(dataset, fractions=halves, textColumn="text", similarity=0.9)
    a, b = (set(table(warehouse, dataset, f"1.0.0-{part}")["id"]) for part in halves)
    shared = sorted(one for one in b if (one + 40) % 80 in a)
    [told] = done["response"]["leakage"]
    assert (told["rows"], told["texts"]) == (0, len(shared))
    first = told["nearDuplicates"][0]
    assert first["similarity"] == 1.0
    assert sorted(one["rows"][1] - 1 for one in told["nearDuplicates"]) == shared[:20]
    assert first["samples"][0].startswith("dear ")
    wrong = warehouse.api.send("POST", f"{BASE}/{dataset}/split", {"textColumn": "id"})
    assert (wrong.status, wrong.json["error"]["details"]["allowed"]) == (400, ["text"])


def test_what_cannot_be_split_is_refused(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    path = f"{BASE}/{dataset}:split"
    none = warehouse.api.send("POST", path, {})
    assert (none.status, none.code) == (404, "DATASET_NOT_FOUND")
    warehouse.version(dataset, churn(50))
    for field, ask in (
        ("column", {"method": "stratified"}),
        ("column", {"method": "group", "column": "Nobody"}),
        ("leakColumn", {"leakColumn": "Nobody"}),
        ("fractions", {"fractions": {"a": 0.5, "b": 0.6}}),
    ):
        reply = warehouse.api.send("POST", path, ask)
        assert reply.status == 400, reply
        assert reply.json["error"]["details"]["field"] == field
    few = warehouse.split(dataset, method="stratified", column="CustomerId")
    assert few["error"]["code"] == "INSUFFICIENT_DATA"
    assert warehouse.split(dataset)["error"] is None
    part = warehouse.api.send("POST", path, {"version": "1.0.0-train"})
    assert part.json["error"]["details"]["field"] == "version"
