"""Archives of pictures as versions, over HTTP, with real workers."""

import zipfile

import polars as pl

from artifacts.api import Reply
from catalog.archives import PHOTOS, png, tarred, zipped
from catalog.warehouse import BASE, Warehouse


def test_pictures_become_rows_and_come_back_one_by_one(warehouse: Warehouse) -> None:
    dataset = warehouse.make("photos")
    made = warehouse.version(dataset, tarred(PHOTOS, "w:gz"), name="photos.tar.gz")
    assert (made["type"], made["dialect"]["format"], made["recordCount"]) == ("Image", "TAR", 3)
    assert made["archive"] != made["original"], "it was unpacked"
    shown = warehouse.read(dataset)
    assert (shown["type"], shown["format"]) == ("Image", "TAR")
    columns = {one["name"]: one["type"] for one in shown["schema"]["fields"]}
    assert (columns["label"], columns["width"]) == ("string", "integer")
    again = warehouse.version(dataset, zipped(PHOTOS), name="photos.zip")
    assert again["id"] == made["id"], "the same files are the same version, however packed"
    split = warehouse.split(dataset, fractions={"a": 0.5, "b": 0.5})
    assert split["error"] is None, split
    for version in ("1.0.0", "1.0.0-a"):
        for path in ("photos/cat/1.png", "photos/dog/1.jpg"):
            reply = _file(warehouse, dataset, path, version=version)
            assert (reply.status, reply.body) == (200, PHOTOS[path])
            assert reply.headers["content-type"] == f"image/{path[-3:].replace('jpg', 'jpeg')}"
    table = pl.read_parquet(warehouse.download(dataset, {"format": "parquet"}).body)
    assert reply.headers["etag"].strip('"') == table["sha256"][2]
    none = _file(warehouse, dataset, "photos/README.txt")
    assert (none.status, none.code) == (404, "DATASET_NOT_FOUND")


def _file(
    warehouse: Warehouse, dataset: str, path: str, version: str = "1.0.0", **headers: str
) -> Reply:
    query = {"path": path, "version": version}
    return warehouse.api.send("GET", f"{BASE}/{dataset}/file", query=query, **headers)


def test_a_file_is_read_by_range(warehouse: Warehouse) -> None:
    large = png(700, 700) + b""
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        dataset = warehouse.make(f"zip {method}")
        files = {"a/1.png": png(2, 2), "b/große.png": large}
        made = warehouse.version(dataset, zipped(files, method), name="two.zip")
        assert made["archive"] == made["original"]
        for begin, end in ((0, 9), (100, 1000), (len(large) - 7, len(large) - 1)):
            reply = _file(warehouse, dataset, "b/große.png", Range=f"bytes={begin}-{end}")
            assert (reply.status, reply.body) == (206, large[begin : end + 1])
        behind = _file(warehouse, dataset, "b/große.png", Range=f"bytes={len(large)}-")
        assert behind.status == 416


def test_a_broken_picture_fails_the_whole(warehouse: Warehouse) -> None:
    dataset = warehouse.make("broken")
    data = zipped({"a.png": png(3, 3), "b.png": png(4, 4)[:-20]})
    done = warehouse.upload(dataset, data, name="two.zip")
    error = done["error"]
    assert error["code"] == "DATA_VALIDATION_FAILED"
    assert [(one["row"], one["sample"]) for one in error["details"]["faults"]] == [(2, "b.png")]
    assert warehouse.versions(dataset) == []
    made = warehouse.version(dataset, data, name="two.zip", maxFaults=1)
    assert (made["recordCount"], made["faults"]["count"]) == (1, 1)
    bad = warehouse.upload(dataset, zipped({"../a.png": png(2, 2)}), name="out.zip")
    assert "leads out of the archive" in bad["error"]["message"]
