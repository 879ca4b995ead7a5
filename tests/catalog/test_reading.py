"""Versions are read by parts: filtered, page by page, and by range as other programs read them."""

import asyncio
import contextlib
import io
import json
import shutil
import tracemalloc
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.api import until
from catalog.warehouse import BASE, Warehouse, churn
from modelyard.catalog.datasets import downloading
from modelyard.ml import footer
from modelyard.protocol.errors import Failure

ROWS = 300_000  # three row groups


@pytest.fixture(scope="module")
def large(warehouse: Warehouse) -> Iterator[str]:
    """A dataset of a few megabytes."""
    table = pl.DataFrame({"at": range(ROWS)}).with_columns(
        text=pl.col("at").hash(1).cast(pl.String),
        number=(pl.col("at") / 8),
        pair=pl.struct(pl.col("at"), other=-pl.col("at")),
    )
    buffer = io.BytesIO()
    table.write_parquet(buffer, row_group_size=100_000)
    dataset = warehouse.make("large")
    warehouse.version(dataset, buffer.getvalue(), name="large.parquet")
    yield dataset


def test_rows_are_filtered(warehouse: Warehouse) -> None:
    dataset = warehouse.make()
    warehouse.version(dataset, churn(500), name="churn.csv")
    wanted = "Age >= 70 and Geography in ('France', 'Spain') and Balance is not null"
    query = {"filter": wanted, "columns": "Surname,Age", "version": "1.0.0"}
    lines = warehouse.download(dataset, query | {"format": "jsonl"}).body.splitlines()
    rows = [json.loads(one) for one in lines]
    whole = pl.read_parquet(warehouse.download(dataset, {"format": "parquet"}).body)
    mine = whole.filter(
        (pl.col("Age") >= 70)
        & pl.col("Geography").is_in(["France", "Spain"])
        & pl.col("Balance").is_not_null()
    ).select("Surname", "Age")
    assert 0 < len(rows) < 500
    assert rows == mine.to_dicts()
    for form, read in (
        ("parquet", pl.read_parquet),
        ("arrow", pl.read_ipc),
    ):
        reply = warehouse.download(dataset, query | {"format": form})
        assert read(reply.body).equals(mine), form
    none = warehouse.download(dataset, query | {"filter": "Age > 1000", "format": "csv"})
    assert (none.status, none.body) == (200, b"Surname,Age\n")
    empty = warehouse.download(dataset, query | {"filter": "Age > 1000", "format": "jsonl"})
    assert (empty.status, empty.body) == (200, b"")
    for wrong in ("Age >", "__import__('os')"):
        reply = warehouse.download(dataset, {"filter": wrong, "format": "csv"})
        assert (reply.status, reply.json["error"]["details"]["field"]) == (400, "filter"), reply
    original = warehouse.download(dataset, {"filter": "Age > 1"})
    assert original.json["error"]["details"]["field"] == "filter"


def test_pages_of_rows(warehouse: Warehouse, large: str) -> None:
    def page(**query: Any) -> Any:
        reply = warehouse.api.send("GET", f"{BASE}/{large}/rows", query=query)
        assert reply.status == 200, reply
        return reply.json

    first = page()
    assert (first["recordCount"], len(first["rows"])) == (ROWS, 100)
    assert first["rows"][3] | {"text": ""} == {
        "at": 3,
        "text": "",
        "number": 3 / 8,
        "pair": {"at": 3, "other": -3},
    }
    over = page(offset=99_990, limit=20, columns="pair,at")
    assert [one["at"] for one in over["rows"]] == list(range(99_990, 100_010))
    assert list(over["rows"][0]) == ["pair", "at"]
    assert over["rows"][19]["pair"]["other"] == -100_009
    assert [one["at"] for one in page(offset=ROWS - 2)["rows"]] == [ROWS - 2, ROWS - 1]
    assert page(offset=ROWS)["rows"] == []
    wrong = warehouse.api.send("GET", f"{BASE}/{large}/rows", query={"columns": "nobody"})
    assert (wrong.status, wrong.code) == (400, "INVALID_REQUEST")


class Ranges(io.RawIOBase):
    """The stored Parquet over HTTP, as ``fsspec`` and DuckDB read it: by range."""

    def __init__(self, warehouse: Warehouse, dataset: str) -> None:
        self.warehouse, self.dataset, self.at, self.fetched = warehouse, dataset, 0, 0
        reply = self._get("bytes=0-0")
        self.size = int(reply.headers["content-range"].rpartition("/")[2])

    def _get(self, asked: str) -> Any:
        reply = self.warehouse.download(self.dataset, {"format": "parquet"}, Range=asked)
        assert reply.status == 206, reply
        return reply

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1) -> bytes:
        end = self.size if size < 0 else min(self.size, self.at + size)
        if end <= self.at:
            return b""
        data: bytes = self._get(f"bytes={self.at}-{end - 1}").body
        self.at, self.fetched = end, self.fetched + len(data)
        return data


def test_the_footer_tells_what_to_read(warehouse: Warehouse, large: str, tmp_path: Path) -> None:
    """A column of one row group, fetched alone: polars reads it without the rest."""
    source = Ranges(warehouse, large)
    source.seek(-footer.TAIL, 2)
    size = footer.length(source.read())
    begin = source.seek(-footer.TAIL - size, 2)
    data = source.read()
    found = footer.groups(data)
    assert [one.rows for one in found] == [100_000] * 3
    target = tmp_path / "part.parquet"
    with target.open("wb") as out:
        out.write(b"PAR1")
        out.seek(begin)
        out.write(data)
        for start, end in footer.wanted(found, 150_000, 10, {"number"}):
            out.seek(start)
            source.seek(start)
            out.write(source.read(end - start))
    rows = pl.scan_parquet(target).slice(150_000, 10).select("number").collect()
    assert rows["number"].to_list() == [one / 8 for one in range(150_000, 150_010)]
    assert source.fetched < source.size / 4


def test_arrow_reads_by_range(warehouse: Warehouse, large: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")
    source = Ranges(warehouse, large)
    group = parquet.ParquetFile(source).read_row_group(1, columns=["number"])
    assert group.column("number").to_pylist()[:2] == [100_000 / 8, 100_001 / 8]
    assert source.fetched < source.size / 4


def test_fsspec_reads_by_range(warehouse: Warehouse, large: str) -> None:
    """As ``pandas``, ``datasets`` and ``polars`` open an address, with a key."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow fsspec aiohttp")
    pytest.importorskip("aiohttp", reason="pip install aiohttp")
    fsspec = pytest.importorskip("fsspec")
    headers = {"Authorization": f"Bearer {warehouse.api.key}"}
    files = fsspec.filesystem("http", client_kwargs={"headers": headers})
    address = f"{warehouse.api.url}{BASE}/{large}/download?format=parquet"
    with files.open(address, block_size=1 << 16) as source:
        group = parquet.ParquetFile(source).read_row_group(2, columns=["at"])
        assert group.column("at").to_pylist()[-1] == ROWS - 1
        assert source.cache.total_requested_bytes < source.size / 4


def test_a_footer_that_is_none(tmp_path: Path) -> None:
    for tail in (b"", b"PAR1", bytes(4) + b"PAR1", b"\xff\xff\xff\xffPAR1", b"\1\0\0\0PARE"):
        with pytest.raises(footer.BadFooter):
            footer.length(tail)


def test_what_a_footer_has_beside_is_not_held() -> None:
    """A list of a million empty structs in a field that nobody knows: one byte each."""
    buffer, many = io.BytesIO(), 1_000_000
    pl.DataFrame({"at": [1, 2, 3]}).write_parquet(buffer)
    size = footer.length(buffer.getvalue())
    plain = buffer.getvalue()[-footer.TAIL - size : -footer.TAIL]
    unknown = b"\x09\x90\x03\xfc" + b"\xc0\x84\x3d" + bytes(many)
    tracemalloc.start()
    found = footer.groups(plain[:-1] + unknown + b"\0")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [one.rows for one in found] == [3]
    assert most < 4 * many, "a dict of each would be 64 bytes"


@given(st.binary(max_size=200))
def test_no_bytes_break_the_footer(data: bytes) -> None:
    with contextlib.suppress(footer.BadFooter):
        footer.groups(data)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(0, 200), st.integers(1, 99)
)
def test_a_real_footer(groups: list[int], offset: int, limit: int) -> None:
    """The row groups that have the rows, no more and no fewer."""
    found = [
        footer.Group(rows, [footer.Chunk("a", at * 10, at * 10 + 5)])
        for at, rows in enumerate(groups)
    ]
    begins = [sum(groups[:at]) for at in range(len(groups))]
    wanted = {
        at * 10
        for at, begin in enumerate(begins)
        if set(range(begin, begin + groups[at])) & set(range(offset, offset + limit))
    }
    assert {start for start, _ in footer.wanted(found, offset, limit, set())} == wanted


def test_who_reads_slowly_keeps_no_place_from_others(warehouse: Warehouse, large: str) -> None:
    path = f"{BASE}/{large}/download?format=csv&version=1.0.0"
    place = warehouse.api.url.removeprefix("http://")
    with contextlib.ExitStack() as open_:
        for _ in range(downloading.MOST):
            slow = open_.enter_context(contextlib.closing(HTTPConnection(place, timeout=60)))
            slow.request("GET", path, headers={"Authorization": f"Bearer {warehouse.api.key}"})
            assert slow.getresponse().read(1) == b"a"  # and no more of its 15 MB

        def served() -> bool:  # once those four are converted
            reply = warehouse.download(large, {"format": "jsonl", "columns": "at"})
            assert reply.status == 200 or reply.code == "SYSTEM_OVERLOADED"
            return reply.status == 200

        until(served)


def test_a_conversion_has_the_memory_of_a_job(tmp_path: Path) -> None:
    table = tmp_path / "table.parquet"
    pl.DataFrame({"long": [[1] * 1000] * 60_000}).write_parquet(table)  # as JSON: much more

    async def fetch(target: Path) -> None:
        shutil.copy(table, target)

    async def convert() -> None:
        async for _ in downloading.converted(fetch, {"form": "csv"}):
            pass

    with pytest.raises(Failure) as found:
        asyncio.run(convert())
    assert found.value.code.symbol == "INSUFFICIENT_RESOURCES"
    assert found.value.details["given"] == 512 << 20
