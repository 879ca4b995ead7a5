"""From a file to a version and out again, over HTTP, with real workers."""

import csv
import gzip
import io
import json
from typing import Any

import polars as pl

from artifacts.api import sha256
from catalog.warehouse import BASE, Warehouse, churn


def test_a_file_becomes_a_version_and_comes_back(warehouse: Warehouse) -> None:
    dataset, data = warehouse.make(), churn(2000)
    assert (warehouse.read(dataset)["status"], warehouse.read(dataset)["version"]) == (
        "empty",
        None,
    )
    made = warehouse.version(dataset, data, name="churn.csv", description="the first")
    assert (made["id"], made["recordCount"], made["size"]) == ("1.0.0", 2000, len(data))
    assert made["original"] == sha256(data)
    assert made["dialect"]["delimiter"] == ","
    assert made["faults"] == {"count": 0, "first": []}
    columns = {one["name"]: one for one in made["schema"]["fields"]}
    assert columns["Geography"]["values"] == ["France", "Germany", "Spain"]
    assert (columns["Balance"]["type"], columns["Balance"]["nullable"]) == ("number", True)
    assert (columns["CustomerId"]["type"], columns["CustomerId"]["nullable"]) == ("integer", False)
    shown = warehouse.read(dataset)
    assert (shown["status"], shown["version"], shown["format"]) == ("available", "1.0.0", "CSV")
    assert (shown["recordCount"], shown["size"]) == (2000, len(data))
    assert shown["statistics"]["nullValues"] == 200 / 12_000
    assert warehouse.download(dataset).body == data
    table = pl.read_parquet(warehouse.download(dataset, {"format": "parquet"}).body)
    assert table.shape == (2000, 6)
    assert table["CustomerId"].to_list() == list(range(15_000_001, 15_002_001))


def test_a_version_is_read_as_what_one_likes(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    warehouse.version(dataset, churn(300), name="churn.csv")
    reply = warehouse.download(dataset, {"format": "csv", "columns": "Age,Surname"})
    assert reply.status == 200, reply
    assert 'filename="churn-1.0.0.csv"' in reply.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(reply.body.decode())))
    assert (rows[0], rows[1], len(rows)) == (["Age", "Surname"], ["19", "O'Neill, 1"], 301)
    lines = warehouse.download(dataset, {"format": "jsonl"}).body.decode().splitlines()
    assert (len(lines), json.loads(lines[9])["Balance"]) == (300, None)
    some = warehouse.download(dataset, {"format": "parquet", "columns": "Exited"})
    assert pl.read_parquet(some.body).columns == ["Exited"]
    for _ in range(6):  # what is asked for and not taken leaves nothing behind
        head = warehouse.api.send("HEAD", f"{BASE}/{dataset}/download?format=csv")
        assert (head.status, head.body) == (200, b"")
    assert warehouse.download(dataset, {"format": "csv"}).status == 200
    wrong = warehouse.download(dataset, {"format": "csv", "columns": "Nothing"})
    assert (wrong.status, wrong.json["error"]["details"]["field"]) == (400, "columns")
    assert warehouse.download(dataset, {"columns": "Age"}).status == 400


def test_stored_bytes_are_read_by_range(warehouse: Warehouse) -> None:
    dataset, data = warehouse.make(), churn(50)
    warehouse.version(dataset, data, name="churn.csv")
    reply = warehouse.download(dataset, Range="bytes=10-19")
    assert (reply.status, reply.body) == (206, data[10:20])
    assert reply.headers["content-range"] == f"bytes 10-19/{len(data)}"
    behind = warehouse.download(dataset, Range=f"bytes={len(data)}-")
    assert (behind.status, behind.code) == (416, "RANGE_NOT_SATISFIABLE")


def test_numbers_follow_what_changed(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    assert warehouse.version(dataset, churn(20), name="a.csv")["id"] == "1.0.0"
    assert warehouse.version(dataset, churn(30), name="b.csv")["id"] == "1.0.1"
    assert warehouse.version(dataset, churn(30, extra="x"), name="c.csv")["id"] == "1.1.0"
    assert warehouse.version(dataset, churn(31), name="d.csv")["id"] == "2.0.0"
    assert warehouse.version(dataset, churn(32), name="e.csv", version="7.0.0")["id"] == "7.0.0"
    late = warehouse.api.send(
        "POST", f"{BASE}/{dataset}/upload", churn(33), query={"version": "6.9.9"}
    )
    assert (late.status, late.code) == (409, "CONFLICT")
    assert warehouse.read(dataset)["version"] == "7.0.0"
    assert warehouse.versions(dataset) == ["1.0.0", "1.0.1", "1.1.0", "2.0.0", "7.0.0"]


def test_the_same_table_is_the_same_version(warehouse: Warehouse) -> None:
    dataset, data = warehouse.make(), churn(40)
    first = warehouse.version(dataset, data, name="churn.csv")
    assert warehouse.version(dataset, data, name="again.csv") == first
    assert warehouse.version(dataset, gzip.compress(data), name="churn.csv.gz") == first
    tabs = data.replace(b",", b"\t").replace(b"O'Neill\t", b"O'Neill,")
    assert warehouse.version(dataset, tabs, name="churn.tsv") == first
    assert warehouse.versions(dataset) == ["1.0.0"]
    elsewhere = warehouse.make("another")
    assert warehouse.version(elsewhere, data)["data"] == first["data"], "the bytes are kept once"


def test_a_broken_file_leaves_nothing(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    lines = churn(500).splitlines(keepends=True)
    lines[7] = b"15,too,few\n"
    lines[300] = b"\xff\xfe,x,France,18,1.0,0\n"
    broken = b"".join(lines)
    done = warehouse.upload(dataset, broken, name="broken.csv", encoding="utf-8")
    error = done["error"]
    assert (error["code"], error["number"]) == ("DATA_VALIDATION_FAILED", "DATA_002")
    assert error["details"]["faultCount"] == 2
    assert [one["row"] for one in error["details"]["faults"]] == [7, 300]
    assert warehouse.versions(dataset) == []
    assert warehouse.read(dataset)["status"] == "empty"
    made = warehouse.version(dataset, broken, name="broken.csv", encoding="utf-8", maxFaults=2)
    assert (made["recordCount"], made["faults"]["count"]) == (498, 2)
    assert [one["row"] for one in made["faults"]["first"]] == [7, 300]
    noise = warehouse.upload(dataset, b"\x00\x01\x02\x03" * 1000, name="noise.csv")
    assert noise["error"]["code"] == "DATA_VALIDATION_FAILED"
    assert warehouse.versions(dataset) == ["1.0.0"]


def test_other_forms(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    rows: list[dict[str, Any]] = [{"id": at, "tags": ["a", "b"], "n": at / 2} for at in range(50)]
    jsonl = "\n".join(map(json.dumps, rows)).encode()
    made = warehouse.version(dataset, jsonl, name="rows.jsonl")
    assert (made["dialect"]["format"], made["recordCount"]) == ("JSONL", 50)
    again = warehouse.download(dataset, {"format": "jsonl"}).body.decode().splitlines()
    assert [json.loads(line) for line in again] == rows
    assert b'"[""a"",""b""]"' in warehouse.download(dataset, {"format": "csv"}).body
    buffer = io.BytesIO()
    pl.DataFrame({"x": range(1000)}).write_parquet(buffer)
    table = warehouse.make("table")
    made = warehouse.version(table, buffer.getvalue(), name="x.parquet")
    assert made["data"] == made["original"] == sha256(buffer.getvalue())
    torn = warehouse.upload(table, buffer.getvalue()[:-50], name="x.parquet")
    assert torn["error"]["code"] == "DATA_VALIDATION_FAILED"
    texts = warehouse.make("texts", type="Text")
    made = warehouse.version(texts, "eins\nzwei, drei\n".encode("utf-16"), name="t.txt")
    assert (made["dialect"]["encoding"], made["recordCount"]) == ("utf-16", 2)


def test_a_version_of_an_artifact(warehouse: Warehouse) -> None:
    dataset, data = warehouse.make(), churn(60)
    ref = warehouse.api.put(data, name="churn.csv")["id"]
    done = warehouse.ended(warehouse.begin(dataset, None, artifact=ref, name="churn.csv"))
    assert done["response"]["original"] == ref
    assert warehouse.api.send("DELETE", f"/v1/artifacts/{ref}").status == 409, "it is in use"
    other = warehouse.make("other")
    reply = warehouse.api.send(
        "POST", f"{BASE}/{other}/versions", {"artifact": ref, "version": "3.0.0"}
    )
    assert reply.status == 202, reply
    assert warehouse.ended(reply.json)["response"]["id"] == "3.0.0"
    both = warehouse.api.send("POST", f"{BASE}/{dataset}/upload", b"x", query={"artifact": ref})
    assert (both.status, both.json["error"]["details"]["field"]) == (400, "artifact")
    none = warehouse.api.send(
        "POST", f"{BASE}/{dataset}/upload", query={"artifact": sha256(b"unknown")}
    )
    assert none.status == 404


def test_another_workspace_sees_nothing(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    warehouse.version(dataset, churn(10))
    made = warehouse.api.send(
        "POST", "/v1/auth/keys", {"name": "o", "workspace": "other", "scopes": ["*:*"]}
    )
    assert made.status == 201, made
    foreign = Warehouse(warehouse.server, type(warehouse.api)(warehouse.api.url, made.json["key"]))
    for method, tail in (
        ("GET", ""),
        ("GET", "/versions"),
        ("GET", "/versions/1.0.0"),
        ("GET", "/download"),
        ("POST", "/upload"),
        ("DELETE", ""),
    ):
        reply = foreign.api.send(method, f"{BASE}/{dataset}{tail}", b"a,b\n1,2\n" if tail else None)
        assert reply.status == 404, (method, tail, reply)
    assert foreign.api.send("POST", f"{BASE}/{dataset}/split", {}).status == 404
    assert foreign.api.send("GET", BASE).json["datasets"] == []


def test_deletion_keeps_the_versions_until_their_time_is_over(warehouse: Warehouse) -> None:
    dataset, data = warehouse.make(), churn(12)
    made = warehouse.version(dataset, data)
    assert warehouse.api.send("DELETE", f"{BASE}/{dataset}").status == 204
    assert warehouse.api.send("GET", f"{BASE}/{dataset}/versions").status == 404
    assert warehouse.api.send("DELETE", f"/v1/artifacts/{made['data']}").status == 409
    assert warehouse.api.send("POST", f"{BASE}/{dataset}/undelete", {}).status == 200
    assert warehouse.download(dataset).body == data


def test_lineage_leads_to_the_operation_and_the_file(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    made = warehouse.version(dataset, churn(14))
    graph = warehouse.api.send("GET", f"{BASE}/{dataset}/versions/{made['id']}/lineage").body
    assert made["operation"].encode() in graph
    assert made["original"].encode() in graph


def test_a_value_that_no_document_holds_is_data_all_the_same(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    body = b"id,word\n" + b"1,yes\n" * 20_000 + b"2,n\0o\n3,too,many\0\n"
    version = warehouse.version(dataset, body, name="nul.csv", maxFaults=1)
    assert version["recordCount"] == 20_001
    [word] = [one for one in version["schema"]["fields"] if one["name"] == "word"]
    assert word.get("values") is None
    assert "\\x00" in version["faults"]["first"][0]["sample"]
    back = warehouse.api.send(
        "GET", f"/v1/catalog/datasets/{dataset}/download", query={"format": "jsonl"}
    )
    assert b"n\\u0000o" in back.body
