"""Files of rows become Parquet: real files, odd files, broken files."""

import csv
import gzip
import io
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.ml.intake import blocks
from modelyard.ml.intake.sniffing import Dialect, Unreadable, sniff
from modelyard.ml.intake.taking import Taken, TooMany, take


def taken(data: bytes, name: str, folder: Path, dialect: Dialect | None = None) -> Taken:
    target = folder / "out.parquet"
    dialect = dialect or sniff(data[:1000], name, whole=len(data) <= 1000)
    made = take(io.BytesIO(data), dialect, target)
    assert sorted(one.name for one in folder.iterdir()) == ["out.parquet"]
    return made


def table(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "out.parquet")


def test_types_are_the_narrowest_that_fit(tmp_path: Path) -> None:
    text = (
        "id,amount,on,day,at,post code,long,none\r\n"
        "1,1.5,true,2024-02-29,2024-02-29T10:00:00+02:00,01234,12345678901234567890,\r\n"
        "2,-2e3,False,2023-12-31,2023-12-31 10:00:00Z,99999,1,\r\n"
        ",,,,,,,\r\n"
    )
    made = taken(text.encode(), "x.csv", tmp_path)
    assert made.columns == {
        "id": "integer",
        "amount": "number",
        "on": "boolean",
        "day": "date",
        "at": "datetime",
        "post code": "string",
        "long": "string",
        "none": "string",
    }
    assert (made.rows, made.fault_count, made.bytes_read) == (3, 0, len(text))
    first = table(tmp_path).row(0, named=True)
    assert first["at"].isoformat() == "2024-02-29T08:00:00+00:00"
    assert first["long"] == "12345678901234567890"


def test_a_delimiter_inside_of_every_quoted_field_divides_nothing(tmp_path: Path) -> None:
    data = "".join(f'{n},"name {n}, of {n}",x\n' for n in range(100)).encode()
    made = taken(data, "x.csv", tmp_path)
    assert len(made.columns) == 3 and made.fault_count == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_encodings_and_delimiters_are_found(encoding: str, delimiter: str, tmp_path: Path) -> None:
    rows = [
        ["Städte", "größe"],
        ["Zürich", "443037"],
        ["Orléans", "116685"],
        ["Besançon", "115934"],
    ]
    text = "\n".join(delimiter.join(row) for row in rows)
    made = taken(text.encode(encoding), "cities.csv", tmp_path)
    assert made.columns == {"Städte": "string", "größe": "integer"}
    assert table(tmp_path)["Städte"].to_list() == ["Zürich", "Orléans", "Besançon"]


def test_broken_rows_are_told_of_by_number_and_the_others_kept(tmp_path: Path) -> None:
    lines = ["a,b", *(f"{n},{n}" for n in range(1, 1001))]
    lines[10], lines[500], lines[501] = "10,10,10", "five hundred", "501,\udcff"
    data = "\n".join(lines).encode("utf-8", "surrogateescape")
    made = taken(data, "x.csv", tmp_path)
    assert made.rows == 997 and made.fault_count == 3
    assert [(one.row, one.reason) for one in made.faults] == [
        (10, "3 fields instead of 2"),
        (500, "1 fields instead of 2"),
        (501, "bytes that are no utf-8"),
    ]
    assert made.columns == {"a": "integer", "b": "integer"}


def test_no_more_than_a_hundred_faults_are_told_of(tmp_path: Path) -> None:
    data = b"a,b\n1,2\n" + b"1,2,3\n" * 5000
    made = taken(data, "x.csv", tmp_path)
    assert (made.rows, made.fault_count, len(made.faults)) == (1, 5000, 100)


def test_a_file_of_broken_rows_is_not_read_to_its_end(tmp_path: Path) -> None:
    data = b"a,b\n1,2\n" + b"1\n" * 3_000_000  # more than one block
    read: list[int] = []
    with pytest.raises(TooMany) as stopped:
        take(
            io.BytesIO(data),
            Dialect(format="csv", said=()),
            tmp_path / "t.parquet",
            read.append,
            most_faults=7,
        )
    assert (stopped.value.count, len(stopped.value.faults)) == (108, 100)
    assert stopped.value.faults[0].row == 2
    assert read[-1] < len(data) == 6_000_008
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_file_without_rows(tmp_path: Path) -> None:
    for data in (b"", b"  \n", b"\x7fELF\x00\x00binary", b"a,b\n1\n2\n"):
        with pytest.raises(Unreadable):
            taken(data, "x.csv", tmp_path, None)
        assert not list(tmp_path.iterdir())


def test_quotes_hold_delimiters_and_line_ends(tmp_path: Path) -> None:
    rows = [["a", "b"], ["x,y", 'said "so"'], ["two\nlines", "1"], ["", " kept "]]
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    made = taken(out.getvalue().encode(), "x.csv", tmp_path)
    assert made.fault_count == 0
    assert table(tmp_path).rows() == [("x,y", 'said "so"'), ("two\nlines", "1"), (None, " kept ")]


TEXT = st.characters(codec="utf-8", exclude_characters="\r\x00")


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.text(TEXT).map("t".__add__), st.integers()),
        min_size=1,
        max_size=30,
    ),
    size=st.integers(1, 50),
)
def test_what_the_csv_module_writes_is_read_back(
    rows: list[tuple[str, int]], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_NONNUMERIC).writerows([("text", "number"), *rows])
    folder = tmp_path_factory.mktemp("written")
    texts = blocks.decoded(io.BytesIO(out.getvalue().encode()), "utf-8", size)
    parts = list(blocks.whole_rows(texts, '"'))
    assert "".join(parts) == out.getvalue()
    made = taken(out.getvalue().encode(), "x.csv", folder, Dialect(format="csv"))
    assert made.rows == len(rows) and made.fault_count == 0
    assert table(folder)["text"].to_list() == [text for text, _ in rows]


def test_json_lines_of_differing_columns(tmp_path: Path) -> None:
    lines = [
        {"a": 1, "b": "x", "nested": {"k": [1, 2]}},
        {"a": 2.5, "c": True},
        {"a": None, "mixed": "text"},
        {"a": 3, "mixed": {"now": "an object"}},
    ]
    data = "\n".join(json.dumps(one) for one in lines) + '\nno json\n[1]\n{"a": 4}'
    made = taken(data.encode(), "x.jsonl", tmp_path)
    assert (made.rows, made.fault_count) == (5, 2)
    assert [one.row for one in made.faults] == [5, 6]
    assert made.columns["a"] == "number" and made.columns["mixed"] == "string"
    assert table(tmp_path)["mixed"].to_list()[2:4] == ["text", '{"now":"an object"}']
    assert table(tmp_path)["nested"][0] == {"k": [1, 2]}


def test_columns_that_change_between_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks.decoded, "__defaults__", (64,))
    lines = [{"n": 1}] * 20 + [{"n": 1.5, "late": 1}] * 20 + [{"n": 2, "late": "text"}] * 20
    data = "\n".join(json.dumps(one) for one in lines)
    made = taken(data.encode(), "x.jsonl", tmp_path)
    assert made.rows == 60
    assert made.columns == {"n": "number", "late": "string"}


def test_plain_text_is_a_row_a_line(tmp_path: Path) -> None:
    made = taken(b"eins\r\nzwei, drei\n\nvier", "x.txt", tmp_path)
    assert made.columns == {"text": "string"}
    assert table(tmp_path)["text"].to_list() == ["eins", "zwei, drei", "", "vier"]


DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not DATA.exists(), reason="the real files are not beside the project")
@pytest.mark.parametrize(
    "name, rows, columns",
    [
        ("churn.csv", 10000, 14),
        ("german_credit.csv", 1000, 21),
        ("sms_spam.tsv", 5574, 2),
        ("routellm_gsm8k_responses.csv.gz", None, None),
        ("azure_llm_trace_conv.csv.gz", 19366, 3),
        ("qqp_pairs.jsonl.gz", 40427, 3),
    ],
)
def test_real_files(name: str, rows: int | None, columns: int | None, tmp_path: Path) -> None:
    path = DATA / name
    data = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    made = taken(data, name, tmp_path, sniff(data[: 256 * 1024], name))
    assert made.fault_count == 0, made.faults[:3]
    if rows is not None:
        assert (made.rows, len(made.columns)) == (rows, columns)
