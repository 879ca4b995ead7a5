"""Dataset cards in and out, and Croissant."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from artifacts.api import Reply
from catalog.warehouse import BASE, Warehouse, churn
from modelyard.catalog.datasets.cards import frontmatter
from modelyard.catalog.datasets.cards.frontmatter import BadCard, Card

CARD = """---
license: cc-by-4.0
language:
- en
- no
tags: [churn, banks]
pretty_name: Who leaves the bank
task_categories: [tabular-classification]
annotations_creators: [expert-generated]
source_datasets: [extended|bank]
configs:
- config_name: default
  data_files: "*.csv"
---

# Churn

[![badge](https://x.y/z)](https://x.y)

Customers of a [bank](https://example.com), some of whom
have left.

## Uses

| a | b |
|---|---|

```bibtex
@misc{churn, title={Churn}, year={2026}}
```
"""


def put(
    warehouse: Warehouse, dataset: str, card: str | bytes, kind: str = "text/markdown"
) -> Reply:
    data = card.encode() if isinstance(card, str) else card
    return warehouse.api.send("PUT", f"{BASE}/{dataset}/card", data, Content_Type=kind)


def test_a_card_is_set_and_comes_back_with_what_is_known(warehouse: Warehouse) -> None:
    dataset = warehouse.make("Churn")
    reply = put(warehouse, dataset, CARD)
    assert reply.status == 200, reply
    shown = reply.json
    assert shown["description"] == "Customers of a bank, some of whom have left."
    metadata = shown["metadata"]
    assert (metadata["tags"], metadata["languages"]) == (["churn", "banks"], ["en", "no"])
    assert (metadata["license"], metadata["source"]) == ("cc-by-4.0", "extended|bank")
    empty = warehouse.api.send("GET", f"{BASE}/{dataset}/card").body.decode()
    assert "dataset_info" not in empty
    warehouse.version(dataset, churn(2000), name="churn.csv")
    done = warehouse.split(dataset, fractions={"train": 0.8, "test": 0.2})
    assert done["error"] is None
    change = {"metadata": {**metadata, "tags": ["banks"]}}
    assert warehouse.api.send("PATCH", f"{BASE}/{dataset}", change).status == 200
    got = warehouse.api.send("GET", f"{BASE}/{dataset}/card")
    assert got.headers["content-type"] == "text/markdown; charset=utf-8"
    text = got.body.decode()
    assert text.endswith(CARD.partition("---\n\n")[2]), "the text is as it was"
    about = yaml.safe_load(text.split("---")[1])
    assert about["tags"] == ["banks"], "what was changed since is told"
    assert about["task_categories"] == ["tabular-classification"], "and the rest is kept"
    assert about["pretty_name"] == "Who leaves the bank"
    assert about["size_categories"] == ["1K<n<10K"]
    info = about["dataset_info"]
    assert info["features"][0] == {"name": "CustomerId", "dtype": "int64"}
    assert [(one["name"], one["num_examples"]) for one in info["splits"]] == [
        ("train", 1600),
        ("test", 400),
    ]
    sizes = [one["num_bytes"] for one in info["splits"]]
    train = warehouse.download(dataset, {"version": "1.0.0-train", "format": "parquet"})
    assert (sizes[0], info["dataset_size"]) == (len(train.body), sum(sizes))
    assert put(warehouse, dataset, text).status == 200, "what was exported can be imported"


def test_what_is_no_card_is_refused(warehouse: Warehouse) -> None:
    dataset = warehouse.make("no card")
    for card, word in (
        ("---\nlicense: mit\n", "not closed"),
        ("---\n- a\n---\n", "names and values"),
        ("---\na: [\n---\n", "no YAML"),
        ("---\na: &x [1]\nb: [*x, *x]\n---\n", "alias"),
        ("---\na: !!python/object/apply:os.system [ls]\n---\n", "no YAML"),
        (b"\xff\xfe\xfa", "UTF-8"),
        ("  \n", "empty"),
    ):
        reply = put(warehouse, dataset, card)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), (card, reply)
        assert word in reply.json["error"]["message"], reply.json
    assert put(warehouse, dataset, "{}", "application/json").status == 415
    assert put(warehouse, dataset, "x" * (1 << 20) + "y").status == 413
    assert warehouse.read(dataset)["card"] is None


def test_croissant(warehouse: Warehouse) -> None:
    dataset = warehouse.make("Churn 2")
    assert warehouse.api.send("GET", f"{BASE}/{dataset}/croissant").status == 404
    assert put(warehouse, dataset, CARD).status == 200
    warehouse.version(dataset, churn(200), name="churn.csv")
    assert warehouse.split(dataset, fractions={"train": 0.8, "test": 0.2})["error"] is None
    reply = warehouse.api.send("GET", f"{BASE}/{dataset}/croissant")
    assert reply.headers["content-type"] == "application/ld+json"
    made = reply.json
    check(made)
    assert made["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert made["citeAs"] == "@misc{churn, title={Churn}, year={2026}}"
    assert [one["@id"] for one in made["recordSet"]] == ["rows", "train", "test"]
    for one in made["distribution"]:
        path = one["contentUrl"].removeprefix(warehouse.api.url)
        got = warehouse.api.send("GET", path)
        assert (got.status, f"{len(got.body)} B") == (200, one["contentSize"])


def check(made: dict[str, Any]) -> None:
    """The properties that Croissant 1.0 requires, and references that lead somewhere."""
    assert made["@type"] == "sc:Dataset"
    assert made["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    for name in ("@context", "name", "description", "license", "url", "datePublished"):
        assert made[name], name
    files = {one["@id"] for one in made["distribution"]}
    for one in made["distribution"]:
        assert one["@type"] == "cr:FileObject"
        assert one["contentUrl"] and one["encodingFormat"] and len(one["sha256"]) == 64
    for records in made["recordSet"]:
        assert records["@type"] == "cr:RecordSet"
        for field in records["field"]:
            assert field["@id"] == f"{records['@id']}/{field['name']}"
            assert field["dataType"].startswith("sc:")
            assert field["source"]["fileObject"]["@id"] in files


def test_croissant_by_the_reference_implementation(warehouse: Warehouse) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="pip install mlcroissant")
    dataset = warehouse.make("Churn 3")
    assert put(warehouse, dataset, CARD).status == 200
    warehouse.version(dataset, churn(200), name="churn.csv")
    made = warehouse.api.send("GET", f"{BASE}/{dataset}/croissant").json
    loaded = mlcroissant.Dataset(jsonld=made)
    assert not loaded.metadata.ctx.issues.errors
    assert not loaded.metadata.ctx.issues.warnings
    [records] = loaded.metadata.record_sets
    assert len(records.fields) == 6


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    for card in (text, f"---\n{text}\n---\n{text}"):
        try:
            found = frontmatter.parsed(card)
        except BadCard:
            continue
        json.dumps(found.about, default=str)
        frontmatter.description(found.text, 100)


def test_a_card_takes_no_more_than_its_length() -> None:
    """Each of these took minutes or seconds of the process that serves it."""
    for nested in ("a: " + "[" * 60_000, "a: " + "{b: " * 15_000, "- " * 1000):
        with pytest.raises(BadCard, match="nested deeper"):
            frontmatter.parsed(f"---\n{nested}\n---\n")
    assert frontmatter.parsed("---\na: [[1], {b: [2]}]\n---\n").about == {"a": [[1], {"b": [2]}]}
    assert frontmatter.description("a" + "[" * 99_000, 3) == "a[["
    linked = "Of [a bank](https://example.org/a_b) and ![one](b.png)."
    assert frontmatter.description(linked, 100) == "Of a bank and one."
    assert frontmatter.description("# Loans\nOf a bank,\nin 1973.\n## More\n", 100) == (
        "Of a bank, in 1973."
    )


@given(
    st.dictionaries(
        st.text("abc_", min_size=1), st.lists(st.text("xyzé: #-", max_size=9)), max_size=4
    ),
    st.text("ab\n#", max_size=50),
)
def test_a_card_is_read_as_it_was_written(about: dict[str, Any], text: str) -> None:
    body = text.lstrip("\n")
    assert frontmatter.parsed(frontmatter.written(Card(about, body))) == Card(about, body)
