"""Recipes: previewed, checked at the door, applied by a worker, kept and repeated."""

import io
from typing import Any

import polars as pl
import pytest

from artifacts.api import Api
from catalog.warehouse import BASE, Warehouse, churn
from modelyard.catalog.datasets import trying
from modelyard.catalog.datasets.transforming.previewing import sampled
from modelyard.protocol.errors import Failure

REGIONS = b"Geography,Region\nFrance,West\nGermany,Middle\nItaly,South\n"


def table(warehouse: Warehouse, dataset: str, version: str) -> pl.DataFrame:
    reply = warehouse.download(dataset, {"version": version, "format": "parquet"})
    assert reply.status == 200, reply
    return pl.read_parquet(reply.body)


def transform(warehouse: Warehouse, dataset: str, *steps: dict[str, Any], **ask: Any) -> Any:
    body = {"steps": steps, "analyze": False, **ask}
    reply = warehouse.api.send("POST", f"{BASE}/{dataset}/transform", body)
    assert reply.status == 202, reply
    return warehouse.ended(reply.json)


def test_a_recipe_makes_a_version(warehouse: Warehouse) -> None:
    regions = warehouse.make("regions")
    warehouse.version(regions, REGIONS, name="regions.csv", analyze="false")
    dataset = warehouse.make()
    warehouse.version(dataset, churn(1000), name="churn.csv", analyze="false")
    steps = [
        {"step": "filter", "expression": "Age >= 30 and Balance is not null"},
        {"step": "derive", "column": "Rich", "expression": "Balance > 50000"},
        {"step": "join", "table": "regions", "on": ["Geography"], "how": "left"},
        {"step": "fill", "column": "Region", "value": "elsewhere"},
        {"step": "scale", "columns": ["Balance"], "by": "min_max"},
        {"step": "encode", "column": "Geography", "by": "one_hot"},
        {"step": "drop", "columns": ["Surname"]},
    ]
    done = transform(warehouse, dataset, *steps, tables={"regions": {"dataset": regions}})
    assert done["error"] is None, done["error"]
    version = done["response"]
    assert (version["id"], version["origin"]) == ("2.0.0", "transform"), "columns are gone"
    source = table(warehouse, dataset, "1.0.0")
    made = table(warehouse, dataset, "2.0.0")
    kept = source.filter((pl.col("Age") >= 30) & pl.col("Balance").is_not_null())
    assert made["CustomerId"].to_list() == kept["CustomerId"].to_list()
    assert version["recordCount"] == kept.height
    assert made["Geography_France"].sum() == (kept["Geography"] == "France").sum()
    assert set(made["Region"]) == {"West", "Middle", "elsewhere"}
    assert (made["Balance"].min(), made["Balance"].max()) == (0, 1)
    recipe = version["recipe"]
    mine = f"catalog/datasets/{dataset}/versions/1.0.0"
    theirs = f"catalog/datasets/{regions}/versions/1.0.0"
    assert recipe["source"] == mine and recipe["tables"] == {"regions": theirs}
    assert [one["step"] for one in recipe["steps"]] == [one["step"] for one in steps]
    assert recipe["learnt"][4]["Balance"]["minus"] == kept["Balance"].min()
    graph = warehouse.api.send("GET", f"{BASE}/{dataset}/versions/2.0.0/lineage").json
    assert all(name in str(graph) for name in (mine, theirs, done["name"]))
    shown = warehouse.read(dataset)
    assert (shown["version"], shown["recordCount"]) == ("2.0.0", kept.height)
    again = transform(
        warehouse, dataset, *steps, version="1.0.0", tables={"regions": {"dataset": regions}}
    )
    assert again["response"]["id"] == "2.0.0", "the same table is the same version"


def test_a_recipe_is_repeated_on_other_rows_as_it_was_learnt(warehouse: Warehouse) -> None:
    dataset, target = warehouse.make("source"), warehouse.make("target")
    warehouse.version(dataset, churn(600), analyze="false")
    halves = {"train": 0.5, "test": 0.5}
    assert warehouse.split(dataset, fractions=halves)["error"] is None
    scale = {"step": "scale", "columns": ["Age"], "by": "min_max"}
    narrow = {"step": "filter", "expression": "Age < 40"}
    done = transform(
        warehouse, dataset, narrow, scale, version="1.0.0-train", target=target, newVersion="3.0.0"
    )
    assert done["response"]["id"] == "3.0.0" and warehouse.read(dataset)["version"] == "1.0.0"
    assert warehouse.read(target)["version"] == "3.0.0"
    ask = {"recipeOf": {"dataset": target, "version": "3.0.0"}, "version": "1.0.0-test"}
    test = transform(warehouse, dataset, target=target, **ask)
    assert test["error"] is None, test["error"]
    learnt = done["response"]["recipe"]["learnt"][1]["Age"]
    rows = table(warehouse, dataset, "1.0.0-test").filter(pl.col("Age") < 40)["Age"]
    wanted = ((rows.cast(pl.Float64) - learnt["minus"]) / learnt["over"]).to_list()
    made = test["response"]["id"]
    assert table(warehouse, target, made)["Age"].to_list() == wanted
    taken = warehouse.api.send(
        "POST", f"{BASE}/{dataset}/transform", {"steps": [scale], "newVersion": "0.9.0"}
    )
    assert (taken.status, taken.json["error"]["details"]["field"]) == (409, "newVersion")


def test_a_preview_is_answered_at_once(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    warehouse.version(dataset, churn(3000), analyze="false")
    steps = [
        {"step": "filter", "expression": "Exited = 1"},
        {"step": "derive", "column": "Name", "expression": "upper(Surname)"},
        {"step": "select", "columns": ["CustomerId", "Name"]},
    ]
    path = f"{BASE}/{dataset}/preview"
    reply = warehouse.api.send("POST", path, {"steps": steps, "sample": 100, "rows": 2})
    assert reply.status == 200, reply
    assert reply.json == {
        "version": "1.0.0",
        "columns": [
            {"name": "CustomerId", "type": "integer"},
            {"name": "Name", "type": "string"},
        ],
        "rows": [
            {"CustomerId": 15_000_005, "Name": "O'NEILL, 5"},
            {"CustomerId": 15_000_010, "Name": "O'NEILL, 10"},
        ],
        "sampled": 100,
        "made": 20,
    }
    assert warehouse.versions(dataset) == ["1.0.0"]
    late = [*steps, {"step": "cast", "column": "Name", "type": "number"}]
    failed = warehouse.api.send("POST", path, {"steps": late})
    assert failed.status == 400 and failed.json["error"]["details"]["step"] == 4
    assert "row 1" in failed.json["error"]["message"]


async def test_a_preview_reads_nothing_until_there_is_a_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trying, "MOST", 0)
    nothing: Any = None
    with pytest.raises(Failure, match="Try again"):
        await sampled(nothing, nothing, {}, nothing, nothing)


def test_a_preview_of_a_large_table_reads_its_begin(warehouse: Warehouse) -> None:
    dataset = warehouse.make("large")
    rows = 300_000
    noise = pl.int_range(rows, eager=True).hash(1).alias("noise")
    many = pl.DataFrame(
        [pl.Series("n", range(rows)), *(noise.hash(k).alias(f"h{k}") for k in range(4))]
    )
    body = io.BytesIO()
    many.write_parquet(body, row_group_size=20_000)
    assert len(body.getvalue()) > 8_000_000
    warehouse.version(dataset, body.getvalue(), name="large.parquet", analyze="false")
    ask = {"steps": [{"step": "filter", "expression": "n % 1000 = 0"}], "sample": 30_000}
    reply = warehouse.api.send("POST", f"{BASE}/{dataset}/preview", ask)
    assert reply.status == 200, reply
    assert (reply.json["sampled"], reply.json["made"]) == (30_000, 30)
    assert [one["n"] for one in reply.json["rows"]][:3] == [0, 1000, 2000]


def test_what_does_not_fit_is_refused_at_the_door(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    path = f"{BASE}/{dataset}/transform"
    keep = {"step": "filter", "expression": "Age > 0"}
    none = warehouse.api.send("POST", path, {"steps": [keep]})
    assert (none.status, none.code) == (404, "DATASET_NOT_FOUND")
    warehouse.version(dataset, churn(50), analyze="false")
    before = warehouse.versions(dataset)
    for field, step in (
        ("steps[1].expression", {"step": "filter", "expression": "Nobody > 1"}),
        ("steps[1].expression", {"step": "filter", "expression": "Surname > 1"}),
        (
            "steps[1].expression",
            {"step": "derive", "column": "x", "expression": "open('/etc/passwd')"},
        ),
        (
            "steps[1].expression",
            {"step": "derive", "column": "x", "expression": "read_csv('http://a')"},
        ),
        ("steps[1].expression", {"step": "derive", "column": "x", "expression": "Age.__class__"}),
        ("steps[1].column", {"step": "cast", "column": "Nobody", "type": "string"}),
        ("steps[1].columns", {"step": "scale", "columns": ["Surname"]}),
        ("steps[1].on", {"step": "join", "table": "/etc/passwd", "on": ["Age"]}),
        ("steps[1].step", {"step": "scan_csv", "column": "Age"}),
        ("steps[1].lenien", {"step": "cast", "column": "Age", "type": "string", "lenien": True}),
    ):
        reply = warehouse.api.send("POST", path, {"steps": [keep, step]})
        assert reply.status == 400, reply
        assert reply.json["error"]["details"]["field"] == field, reply.json
    both = warehouse.api.send("POST", path, {"steps": [keep], "recipeOf": {"version": "1.0.0"}})
    assert both.json["error"]["details"]["field"] == "steps"
    uploaded = warehouse.api.send("POST", path, {"recipeOf": {"version": "1.0.0"}})
    assert uploaded.json["error"]["details"]["field"] == "recipeOf"
    assert warehouse.versions(dataset) == before


def test_what_the_rows_do_not_allow_keeps_nothing(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    warehouse.version(dataset, churn(50), analyze="false")
    cast = transform(warehouse, dataset, {"step": "cast", "column": "Surname", "type": "number"})
    assert cast["error"]["code"] == "DATA_TRANSFORMATION_ERROR"
    assert cast["error"]["details"] == {"field": "steps[0].column", "step": 1}
    assert "row 1" in cast["error"]["message"]
    empty = transform(warehouse, dataset, {"step": "filter", "expression": "Age > 999"})
    assert empty["error"]["code"] == "INSUFFICIENT_DATA"
    assert warehouse.versions(dataset) == ["1.0.0"]


def test_other_workspaces_are_not_there(warehouse: Warehouse) -> None:
    made = warehouse.api.send(
        "POST", "/v1/auth/keys", {"name": "n", "workspace": "elsewhere", "scopes": ["*:*"]}
    )
    stranger = Warehouse(warehouse.server, Api(warehouse.server.url, made.json["key"]))
    theirs = stranger.make("theirs")
    stranger.version(theirs, REGIONS, name="regions.csv", analyze="false")
    dataset = warehouse.make()
    warehouse.version(dataset, churn(20), analyze="false")
    join = {"step": "join", "table": "t", "on": ["Geography"]}
    keep = {"step": "filter", "expression": "Age > 0"}
    for verb, ask in (
        ("transform", {"steps": [join], "tables": {"t": {"dataset": theirs}}}),
        ("preview", {"steps": [join], "tables": {"t": {"dataset": theirs}}}),
        ("transform", {"steps": [keep], "target": theirs}),
        ("transform", {"recipeOf": {"dataset": theirs}}),
    ):
        reply = warehouse.api.send("POST", f"{BASE}/{dataset}/{verb}", ask)
        assert reply.status == 404, (verb, ask, reply)
    diff = {"base": {"dataset": theirs, "version": "1.0.0"}}
    reply = warehouse.api.send("POST", f"{BASE}/{dataset}/versions/1.0.0/diff", diff)
    assert reply.status == 404, reply


def test_no_personal_value_becomes_a_name(warehouse: Warehouse) -> None:
    people, plain = warehouse.make("people"), warehouse.make("of nobody")
    warehouse.version(people, b"id,Surname,segment\n1,Nguyen,a\n2,Okafor,b\n")
    warehouse.version(plain, b"id,n\n1,2\n")
    steps: list[dict[str, Any]] = [
        {"step": "join", "table": "more", "on": ["id"]},
        {"step": "rename", "columns": {"Surname": "who"}},
        {"step": "derive", "column": "whose", "expression": "concat(who, '!')"},
        {"step": "encode", "column": "segment"},
        {"step": "encode", "column": "whose"},
    ]
    joined = {"more": {"dataset": people}}

    def refused(verb: str, dataset: str, steps: list[dict[str, Any]], **more: Any) -> Any:
        body = {"steps": steps, **more}
        reply = warehouse.api.send("POST", f"{BASE}/{dataset}/{verb}", body)
        return reply.status, reply.code, reply.json["error"]["details"]

    for verb in ("transform", "preview"):
        for dataset, mine, more in ((people, steps[1:], {}), (plain, steps, {"tables": joined})):
            status, code, details = refused(verb, dataset, mine, **more)
            assert (status, code) == (403, "DATA_PRIVACY_VIOLATION"), "before anything begins"
            assert details["field"] == f"steps[{len(mine) - 1}].by"
            assert (details["column"], details["allowed"]) == ("whose", ["ordinal"])
    broken = [{"step": "derive", "column": "x", "expression": "'"}, steps[-1]]
    status, _, details = refused("transform", people, broken)
    assert (status, details["field"]) == (400, "steps[0].expression")
