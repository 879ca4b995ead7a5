"""Constraints: which rows break them, reports that stay, and what a dataset enforces."""

from typing import Any

from catalog.warehouse import BASE, Warehouse, churn

KEPT = [
    {"check": "not_null", "column": "CustomerId"},
    {"check": "unique", "columns": ["CustomerId"]},
    {"check": "range", "column": "Age", "minimum": 18, "maximum": 90},
    {"check": "allowed", "column": "Geography", "values": ["France", "Spain", "Germany"]},
    {"check": "pattern", "column": "Surname", "pattern": "O'Neill, [0-9]+"},
    {"check": "expression", "expression": "Exited = 0 or Balance > 0 or Balance is null"},
]
BROKEN = [
    {"check": "not_null", "column": "Balance", "threshold": 0.95},
    {"check": "range", "column": "Age", "maximum": 70},
]


def validate(warehouse: Warehouse, dataset: str, ask: Any = None) -> Any:
    reply = warehouse.api.send("POST", f"{BASE}/{dataset}/validate", ask or {})
    assert reply.status == 202, reply
    return warehouse.ended(reply.json)


def test_a_report_names_the_rows_and_stays(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    warehouse.version(dataset, churn(100), analyze="false")
    done = validate(warehouse, dataset, {"constraints": KEPT})
    assert done["error"] is None, done["error"]
    assert done["response"]["passed"] is True
    done = validate(warehouse, dataset, {"constraints": [*KEPT, *BROKEN], "samples": 3})
    report = done["response"]
    assert (report["passed"], report["rows"], report["version"]) == (False, 100, "1.0.0")
    nulls, ages = report["verdicts"][len(KEPT) :]
    assert (nulls["checked"], nulls["broken"], nulls["share"], nulls["passed"]) == (
        100,
        10,
        0.9,
        False,
    )
    assert [one["row"] for one in nulls["samples"]] == [10, 20, 30]
    assert ages["samples"][0] == {"row": 53, "values": {"Age": 71}}
    lenient = [one | {"threshold": 0.5} for one in BROKEN]
    assert validate(warehouse, dataset, {"constraints": lenient})["response"]["passed"] is True
    path = f"{BASE}/{dataset}/validations"
    kept = warehouse.api.send("GET", f"{path}/{report['id']}")
    assert kept.json["verdicts"] == report["verdicts"] and kept.json["operation"] == done["name"]
    failed = warehouse.api.send("GET", path, query={"filter": "passed = false"})
    assert [one["id"] for one in failed.json["validations"]] == [report["id"]]
    assert warehouse.api.send("DELETE", f"{BASE}/{dataset}").status == 204
    assert warehouse.api.send("POST", f"{BASE}/{dataset}/undelete").status == 200
    assert warehouse.api.send("GET", path).json["validations"] != []


def test_a_dataset_has_its_own_and_lets_nothing_else_in(warehouse: Warehouse) -> None:
    dataset = warehouse.make(constraints=KEPT, enforce=True)
    assert warehouse.read(dataset)["constraints"][0]["check"] == "not_null"
    warehouse.version(dataset, churn(30), analyze="false")
    assert validate(warehouse, dataset)["response"]["passed"] is True
    wrong = churn(30) + b"15000001,Nobody,Atlantis,17,0,1\n"
    failed = warehouse.upload(dataset, wrong, analyze="false")["error"]
    assert failed["code"] == "DATA_VALIDATION_FAILED"
    broken = {one["constraint"]["check"]: one for one in failed["details"]["verdicts"]}
    assert set(broken) == {"unique", "range", "allowed", "pattern", "expression"}
    assert [one["row"] for one in broken["unique"]["samples"]] == [31]
    ask = {"steps": [{"step": "derive", "column": "Age", "expression": "Age + 100"}]}
    begun = warehouse.api.send("POST", f"{BASE}/{dataset}/transform", ask)
    assert warehouse.ended(begun.json)["error"]["code"] == "DATA_VALIDATION_FAILED"
    ask = {"steps": [{"step": "drop", "columns": ["Age"]}]}
    begun = warehouse.api.send("POST", f"{BASE}/{dataset}/transform", ask)
    error = warehouse.ended(begun.json)["error"]
    assert (error["code"], error["details"]["field"]) == (
        "DATA_VALIDATION_FAILED",
        "constraints[2].column",
    )
    assert warehouse.versions(dataset) == ["1.0.0"]
    change = warehouse.api.send("PATCH", f"{BASE}/{dataset}", {"enforce": False})
    assert change.status == 200, change
    assert warehouse.version(dataset, wrong, analyze="false")["id"] == "1.0.1"


def test_constraints_that_do_not_fit_are_refused(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    path = f"{BASE}/{dataset}/validate"
    good = {"check": "not_null", "column": "Age"}
    none = warehouse.api.send("POST", path, {"constraints": [good]})
    assert (none.status, none.code) == (404, "DATASET_NOT_FOUND")
    warehouse.version(dataset, churn(20), analyze="false")
    for field, one in (
        ("constraints[1].column", {"check": "not_null", "column": "Nobody"}),
        ("constraints[1].column", {"check": "range", "column": "Surname", "minimum": 1}),
        ("constraints[1].expression", {"check": "expression", "expression": "scan('/etc/passwd')"}),
        ("constraints[1].threshold", {"check": "not_null", "column": "Age", "threshold": 2}),
        ("constraints[1].check", {"check": "file_exists", "column": "Age"}),
    ):
        reply = warehouse.api.send("POST", path, {"constraints": [good, one]})
        assert reply.status == 400, reply
        assert reply.json["error"]["details"]["field"] == field, reply.json
    missing = warehouse.api.send("POST", path, {})
    assert missing.json["error"]["details"]["field"] == "constraints"
