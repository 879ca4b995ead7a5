"""Statistics, profile and quality: worked out by a worker, told over HTTP."""

import re
from typing import Any

import polars as pl
import pytest

from artifacts.api import Reply
from catalog.warehouse import BASE, Warehouse, churn


def ask(warehouse: Warehouse, dataset: str, what: str, query: Any = None, **headers: str) -> Reply:
    return warehouse.api.send("GET", f"{BASE}/{dataset}/{what}", query=query or {}, **headers)


def analyzed(warehouse: Warehouse, dataset: str, **asked: Any) -> Any:
    """Analyze and wait: the operation."""
    reply = warehouse.api.send("POST", f"{BASE}/{dataset}/analyze", asked)
    assert reply.status == 202, reply
    return warehouse.ended(reply.json)


@pytest.fixture(scope="module")
def known(warehouse: Warehouse) -> str:
    """A dataset of 1,000 rows with an analysis that names its class and its key."""
    dataset = warehouse.make("Customers <i>&")
    twice = churn(990) + b"".join(churn(990).splitlines(keepends=True)[-10:])
    warehouse.version(dataset, twice, name="churn.csv")
    done = analyzed(warehouse, dataset, target="Exited", key=["CustomerId"])
    assert done["error"] is None, done
    return dataset


def test_an_upload_is_analyzed_by_itself(warehouse: Warehouse) -> None:
    dataset, data = warehouse.make(), churn(500).replace(b"Exited", b"Label")
    made = warehouse.version(dataset, data, name="churn.csv", analyze="true")
    reply = ask(warehouse, dataset, "statistics", {"wait": 30})
    assert reply.status == 200, reply
    assert reply.json["operation"] == made["analysisOperation"]
    assert (reply.json["version"], reply.json["pending"]) == ("1.0.0", None)
    assert reply.json["target"] == "Label", "a column of that name is taken for the class"
    assert reply.json["classDistribution"] == {"0": 0.8, "1": 0.2}
    again = warehouse.version(dataset, data, name="again.csv", analyze="true")
    assert again["analysisOperation"] == made["analysisOperation"], "the same version, once"


def test_the_four_figures_are_the_datasets(warehouse: Warehouse, known: str) -> None:
    shown, told = warehouse.read(known), ask(warehouse, known, "statistics").json
    assert shown["statistics"] == {
        "nullValues": pytest.approx(100 / 6000),
        "duplicates": 0.01,
        "outliers": 0.0,
        "classDistribution": {"0": 0.8, "1": 0.2},
    }
    assert shown["statistics"] == {name: told[name] for name in shown["statistics"]}
    assert (told["recordCount"], told["sample"], told["duplicatesError"]) == (1000, None, 0.0)
    quality = ask(warehouse, known, "quality").json
    assert shown["quality"] == {name: quality[name] for name in shown["quality"]}
    assert shown["quality"]["completeness"] == pytest.approx(1 - 100 / 6000)
    assert quality["key"] == ["CustomerId"]
    repeats = [one for one in quality["issues"] if one["dimension"] == "consistency"]
    assert [(one["column"], one["what"]) for one in repeats] == [("CustomerId", "repeats a key")]
    assert quality["consistency"] < 1


def test_a_profile_tells_of_each_column(warehouse: Warehouse, known: str) -> None:
    made = ask(warehouse, known, "profile").json["profile"]
    columns = {one["name"]: one for one in made["columns"]}
    table = pl.read_csv(warehouse.download(known, {"format": "csv"}).body)
    ages = table["Age"]
    assert columns["Age"]["mean"] == pytest.approx(ages.mean())
    assert columns["Age"]["quantiles"]["0.5"] == ages.quantile(0.5, "lower")
    assert sum(columns["Age"]["histogram"]["counts"]) == 1000
    assert (columns["Balance"]["nulls"], columns["Geography"]["distinct"]) == (100, 3)
    assert columns["Surname"]["lengths"]["maximum"] == len("O'Neill, 96")
    pairs = {(one["a"], one["b"]) for one in made["correlations"]}
    assert ("CustomerId", "Age") in pairs


def test_a_profile_is_a_page_that_loads_nothing(warehouse: Warehouse, known: str) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for reply in (
        ask(warehouse, known, "profile", Accept=browser),
        ask(warehouse, known, "profile", {"format": "html"}),
    ):
        assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
        page, policy = reply.body.decode(), reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert re.search(r"style-src 'sha256-[\w+/=]{44}'", policy)
        assert "Customers &lt;i&gt;&amp;" in page and "<i>" not in page
        assert "completeness" in page and "<svg" in page
    both = ask(warehouse, known, "profile", {"format": "json"}, Accept=browser)
    assert both.headers["content-type"].startswith("application/json")


def test_without_an_analysis_the_way_out_is_told(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    assert ask(warehouse, dataset, "quality").code == "DATASET_NOT_FOUND"
    warehouse.version(dataset, churn(100), name="churn.csv")
    for what in ("statistics", "profile", "quality"):
        reply = ask(warehouse, dataset, what)
        assert (reply.status, reply.code) == (409, "CONFLICT")
        assert f"POST /v1/catalog/datasets/{dataset}/analyze" in reply.json["error"]["message"]
    shown = warehouse.read(dataset)
    assert (shown["quality"], shown["statistics"]["duplicates"]) == (None, None)
    begun = warehouse.api.send("POST", f"{BASE}/{dataset}/analyze", {}).json
    reply = ask(warehouse, dataset, "profile", {"wait": 0})
    if reply.status != 200:  # it was fast
        assert reply.json["error"]["details"]["operation"] == begun["name"]
        assert reply.headers["retry-after"]
    assert ask(warehouse, dataset, "profile", {"wait": 30}).status == 200
    assert warehouse.ended(begun)["response"]["version"] == "1.0.0"


def test_what_an_analysis_cannot_do_is_refused(warehouse: Warehouse, known: str) -> None:
    path = f"{BASE}/{known}/analyze"
    for field, asked in (
        ("target", {"target": "Nobody"}),
        ("key", {"key": ["Age", "Nobody"]}),
        ("key", {"reference": {"version": "1.0.0"}, "key": []}),
        ("version", {"version": "9.9.9"}),
        ("sampleRows", {"sampleRows": 1}),
        ("referenceDate", {"referenceDate": "yesterday"}),
        ("referenceDate", {"referenceDate": "2026-02-30"}),
    ):
        reply = warehouse.api.send("POST", path, asked)
        assert reply.status in (400, 404), (asked, reply)
        assert reply.json["error"]["details"]["field"] == field


def test_options_of_quality(warehouse: Warehouse) -> None:
    """A key, a last day, true rows; the next version is looked at in the same way."""
    dataset = warehouse.make()
    rows = [f"{at},2026-01-{at % 28 + 1:02d},{at % 7}" for at in range(1, 201)]
    right = "id,day,n\n" + "\n".join(rows) + "\n"
    wrong = right.replace("\n5,", "\n6,").replace("\n9,2026-01-10,2\n", "\n9,2027-01-10,3\n")
    warehouse.version(dataset, right.encode(), name="right.csv")
    warehouse.version(dataset, wrong.encode(), name="wrong.csv")
    done = analyzed(
        warehouse, dataset, target="n", key=["id"], referenceDate="2026-12-31",
        reference={"version": "1.0.0"},
    )  # fmt: skip
    assert done["error"] is None, done
    quality = ask(warehouse, dataset, "quality").json
    assert (quality["accuracyBy"], quality["version"]) == ("reference", "1.0.1")
    found = {(one["dimension"], one["column"]): one["count"] for one in quality["issues"]}
    assert found[("validity", "day")] == 1
    assert found[("consistency", "id")] == 1
    assert found[("accuracy", "n")] == 2, "row 9, and what is called 6 now"
    assert quality["validity"] == pytest.approx(1 - 1 / 600)
    more = right + "201,2026-02-01,1\n"
    warehouse.version(dataset, more.encode(), name="more.csv", analyze="true")
    reply = ask(warehouse, dataset, "statistics", {"wait": 30})
    assert (reply.json["version"], reply.json["target"]) == ("1.0.2", "n"), reply
    old = ask(warehouse, dataset, "statistics", {"version": "1.0.1"})
    assert old.json["version"] == "1.0.1"


def test_a_large_table_says_how_far_it_may_be_off(warehouse: Warehouse, known: str) -> None:
    dataset = warehouse.make()
    warehouse.version(dataset, churn(5000), name="churn.csv")
    assert analyzed(warehouse, dataset, sampleRows=1000)["error"] is None
    made = ask(warehouse, dataset, "profile").json["profile"]
    assert (made["rows"], made["sample"]["of"]) == (5000, 5000)
    assert 800 < made["sample"]["rows"] < 1200
    assert 0.03 < made["sample"]["bound"] < 0.06
    page = ask(warehouse, dataset, "profile", {"format": "html"}).body.decode()
    assert f"a sample of {made['sample']['rows']:,} of 5,000 rows" in page


def test_who_may_not_analyze_uploads_all_the_same(warehouse: Warehouse) -> None:
    made = warehouse.api.send(
        "POST", "/v1/auth/keys", {"name": "u", "scopes": ["dataset:upload", "operation:read"]}
    )
    assert made.status == 201, made
    dataset = warehouse.make()
    other = Warehouse(warehouse.server, type(warehouse.api)(warehouse.api.url, made.json["key"]))
    version = other.version(dataset, churn(50), name="churn.csv", analyze="true")
    assert version["analysisOperation"] == ""
    assert other.api.send("POST", f"{BASE}/{dataset}/analyze", {}).status == 403


def test_personal_data_is_in_no_figure_that_everybody_reads(warehouse: Warehouse) -> None:
    rows = [f"{at},anna{at % 3}@example.com,{at % 7}" for at in range(90)]
    dataset = warehouse.make()
    warehouse.version(dataset, ("id,label,n\n" + "\n".join(rows) + "\n").encode(), name="p.csv")
    done = analyzed(warehouse, dataset, target="label")
    assert done["response"]["statistics"]["classDistribution"] == {}
    assert warehouse.read(dataset)["statistics"]["classDistribution"] == {}
    assert len(ask(warehouse, dataset, "statistics").json["classDistribution"]) == 3
    made = warehouse.api.send(
        "POST", "/v1/auth/keys", {"name": "r", "scopes": ["dataset:read", "dataset:analyze"]}
    )
    other = Warehouse(warehouse.server, type(warehouse.api)(warehouse.api.url, made.json["key"]))
    for what in ("statistics", "profile", "quality"):
        reply = ask(other, dataset, what)
        assert (reply.status, reply.code) == (403, "DATA_PRIVACY_VIOLATION"), reply
    assert other.api.send("POST", f"{BASE}/{dataset}/analyze", {}).status == 403
