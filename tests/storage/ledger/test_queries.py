import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.protocol.errors import Failure
from modelyard.storage.ledger.file import encode
from modelyard.storage.ledger.loading import Loader
from modelyard.storage.ledger.queries import By, Filters, Reader, Summary, Usage, page
from modelyard.storage.ledger.record import Record
from storage.ledger.records import START, attempt, record, rows, various

RECORDS = various(1500)
DAY = 86_400


def fill(folder: Path, records: list[Record], place: Path | str = "") -> Path:
    """A database that holds these records."""
    (folder / "0001.jsonl").write_bytes(b"".join(map(encode, records)))
    loader = Loader(place or folder / "ledger.db")
    assert loader.load_folder(folder)
    loader.close()
    return folder / "ledger.db"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("queries"), RECORDS)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def reader(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("queries")
    place: Path | str = folder / "ledger.db"
    if request.param == "postgresql":
        place = request.getfixturevalue("postgresql").create()
    fill(folder, RECORDS, place)
    loader = Loader(place)
    yield loader.reader
    loader.close()


def ids(found: list[Summary]) -> list[str]:
    return [one.id for one in found]


def newest(records: list[Record]) -> list[str]:
    place = {one.id: number for number, one in enumerate(RECORDS)}
    return [one.id for one in sorted(records, key=lambda one: (-one.at, -place[one.id]))]


def all_pages(reader: Reader, workspace: str, filters: Filters, size: int) -> list[str]:
    found: list[str] = []
    after = None
    while part := reader.requests(workspace, filters, after, size):
        assert len(part) <= size
        found += ids(part)
        after = part[-1].position
    return found


def expected(workspace: str, keep: Callable[[Record], bool]) -> list[str]:
    return newest([one for one in RECORDS if one.workspace == workspace and keep(one)])


CASES: list[tuple[Filters, Callable[[Record], bool]]] = [
    (Filters(), lambda one: True),
    (Filters(since=START + DAY), lambda one: one.at >= START + DAY),
    (Filters(until=START + DAY), lambda one: one.at < START + DAY),
    (
        Filters(since=START + DAY, until=START + 2 * DAY),
        lambda one: START + DAY <= one.at < START + 2 * DAY,
    ),
    (Filters(key_id="key_b"), lambda one: one.key_id == "key_b"),
    (Filters(model="small"), lambda one: one.model == "small"),
    (Filters(provider="local"), lambda one: one.provider == "local"),
    (Filters(status_from=400, status_to=499), lambda one: 400 <= one.status < 500),
    (Filters(error="RATE_LIMITED"), lambda one: one.error == "RATE_LIMITED"),
    (
        Filters(cost_from=1, cost_to=500_000),
        lambda one: one.cost is not None and 1 <= one.cost <= 500_000,
    ),
    (Filters(cost_to=10**12), lambda one: one.cost is not None),
    (Filters(cache="l1"), lambda one: one.cache == "l1"),
    (Filters(stream=True), lambda one: one.stream),
    (Filters(stream=False), lambda one: not one.stream),
    (Filters(user_id="ada"), lambda one: one.user_id == "ada"),
    (
        Filters(user_id="ada", cache="miss", stream=True, key_id="key_a", since=START + DAY),
        lambda one: (
            one.user_id == "ada"
            and one.cache == "miss"
            and one.stream
            and one.key_id == "key_a"
            and one.at >= START + DAY
        ),
    ),
    (Filters(model="' OR 1=1 --"), lambda one: False),
]


@pytest.mark.parametrize(("filters", "keep"), CASES)
def test_a_filter_finds_what_it_says_and_no_more(
    reader: Reader, filters: Filters, keep: Callable[[Record], bool]
) -> None:
    for workspace in ("default", "team-b"):
        wanted = expected(workspace, keep)
        assert ids(reader.requests(workspace, filters, None, 10_000)) == wanted
        assert all_pages(reader, workspace, filters, 97) == wanted


def test_a_foreign_workspace_is_empty(reader: Reader) -> None:
    assert reader.requests("other", Filters(), None, 10) == []
    assert reader.usage("other") == {}
    assert reader.failures("other") == {}
    assert reader.count("other", 0.0) == 0
    one = next(one for one in RECORDS if one.workspace == "team-b")
    assert reader.request("team-b", one.id) == one
    assert reader.request("default", one.id) is None
    assert reader.request("default", one.request_id) is None


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 12), times=st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_pages_cover_everything_once_where_times_are_equal(
    tmp_path_factory: pytest.TempPathFactory, size: int, times: list[int]
) -> None:
    records = [record(number, at=START + at) for number, at in enumerate(times)]
    reader = Reader(fill(tmp_path_factory.mktemp("pages"), records))
    order = sorted(range(len(times)), key=lambda number: (-times[number], -number))
    assert all_pages(reader, "default", Filters(), size) == [records[n].id for n in order]


def test_a_request_is_found_by_either_id_and_the_newest_of_several(tmp_path: Path) -> None:
    records = [
        record(0, request_id="again", at=START + 5),
        record(1, request_id="again", at=START + 9),
        record(2, request_id="again", at=START + 7),
        record(3, request_id="again", at=START + 99, workspace="team-b"),
    ]
    reader = Reader(fill(tmp_path, records))
    assert reader.request("default", "again") == records[1]
    assert reader.request("default", records[0].id) == records[0]
    assert reader.request("default", "never") is None


def brute(records: list[Record]) -> Usage:
    """The same sums, one record at a time."""
    hits = [one for one in records if one.cache not in ("off", "miss")]
    followers = [one for one in records if one.shared]
    own = [one for one in records if not one.shared and one.cache in ("off", "miss")]
    answers = [one for one in own if one.status < 400]
    unpriced = [one for one in records if one.cost is None]
    saving = [one for one in hits + followers if one.status < 400]
    return Usage(
        requests=len(records),
        succeeded=sum(one.status < 400 for one in records),
        seconds=math.fsum(one.seconds for one in records),
        tokens=sum(one.input_tokens + one.output_tokens for one in own),
        cached_tokens=sum(one.cached_tokens for one in own),
        cost=sum(one.cost or 0 for one in records),
        unpriced_requests=len(unpriced),
        unpriced_tokens=sum(one.input_tokens + one.output_tokens for one in unpriced),
        lookups=sum(one.cache != "off" for one in records),
        hits=len(hits),
        followers=len(followers),
        saved_by_hits=sum(one.saved or 0 for one in hits),
        saved_by_followers=sum(one.saved or 0 for one in followers),
        saved_tokens=sum(one.input_tokens + one.output_tokens for one in saving),
        answers=len(answers),
        upstream=math.fsum(one.attempts[-1].duration for one in answers if one.attempts),
        answer_input_tokens=sum(one.input_tokens for one in answers),
        answer_output_tokens=sum(one.output_tokens for one in answers),
    )


def group_of(one: Record, by: By) -> str:
    called = one.attempts or one.shared or one.target or one.cache not in ("off", "miss")
    return {
        "all": "",
        "day": time.strftime("%Y-%m-%d", time.gmtime(one.at)),
        "model": one.model if called else "",
        "provider": one.provider or "",
        "target": one.target or "",
        "cache": one.cache,
    }[by]


@pytest.mark.parametrize("by", ["all", "day", "model", "provider", "target", "cache"])
@pytest.mark.parametrize("since", [0.0, START + 3 * DAY, START + 3 * DAY + 3600 * 5 + 17])
def test_sums_are_those_of_the_records(reader: Reader, by: By, since: float) -> None:
    for workspace in ("default", "team-b"):
        groups: dict[str, list[Record]] = {}
        for one in RECORDS:
            if one.workspace == workspace and one.at >= since // 3600 * 3600:
                groups.setdefault(group_of(one, by), []).append(one)
        found = reader.usage(workspace, since, by)
        assert found.keys() == groups.keys()
        for name, records in groups.items():
            assert found[name] == pytest.approx(brute(records))


def test_failures_are_the_attempts_that_the_target_failed(reader: Reader) -> None:
    wanted: dict[str, int] = {}
    for one in RECORDS:
        for tried in one.attempts:
            if one.workspace == "default" and tried.outcome != "ok":
                wanted[tried.target] = wanted.get(tried.target, 0) + 1
    assert sum(wanted.values()) > 100
    assert reader.failures("default") == wanted


@pytest.mark.parametrize(
    ("outcome", "status", "counted"),
    [
        ("http_500", 500, True),
        ("http_429", 429, True),
        ("http_401", 401, True),
        ("timeout_first_byte", None, True),
        ("malformed", 200, True),
        ("http_400", 400, False),
        ("http_422", 422, False),
        ("cancelled", None, False),
        ("closed", None, False),
        ("ok", 200, False),
    ],
)
def test_what_counts_as_a_targets_fault(
    tmp_path: Path, outcome: str, status: int | None, counted: bool
) -> None:
    tried = [attempt("a/b", outcome, status=status)]
    reader = Reader(fill(tmp_path, [record(1, status=502, error="X", attempts=tried)]))
    assert reader.failures("default") == ({"a/b": 1} if counted else {})


def test_since_counts_to_the_second(reader: Reader) -> None:
    moment = START + 4.5 * DAY + 0.5
    wanted = sum(one.workspace == "default" and one.at >= moment for one in RECORDS)
    assert reader.count("default", moment) == wanted


def test_a_question_that_takes_too_long_is_given_up(database: Path) -> None:
    endless = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    )
    reader = Reader(database, seconds=0.05)
    with pytest.raises(Failure, match="Narrow the question") as caught:
        reader._rows(endless, ())
    assert caught.value.status == 503


def test_a_reader_cannot_write(database: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        Reader(database)._rows("DELETE FROM request", ())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50,000 rows of two workspaces."""
    records = [
        record(
            number,
            workspace=("default", "team-b")[number % 2],
            model=f"model-{number % 500}",
            error="RATE_LIMITED" if number % 1000 == 0 else None,
            attempts=[],
        )
        for number in range(50_000)
    ]
    return fill(tmp_path_factory.mktemp("large"), records)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (Filters(), "request_page"),
        (Filters(since=START, until=START + 1e6), "request_page"),
        (Filters(model="model-4"), "request_page"),
        (Filters(key_id="key_a", status_from=200, status_to=299, cost_to=10**9), "request_page"),
        (Filters(error="RATE_LIMITED"), "request_failed"),
    ],
)
@pytest.mark.parametrize("after", [None, (START + 25_000.0, 25_001)])
def test_a_page_is_found_by_an_index_and_never_sorted(
    large: Path, filters: Filters, index: str, after: Any
) -> None:
    sql, values = page("default", filters, after, 50)
    plan = " ".join(row[3] for row in rows(large, f"EXPLAIN QUERY PLAN {sql}", *values))
    assert f"USING INDEX {index} (workspace=?" in plan
    assert "TEMP B-TREE" not in plan
    found = Reader(large).requests("default", filters, after, 50)
    assert len(found) in (13, 25, 50)


def test_one_request_is_found_by_indexes(large: Path) -> None:
    for column in ("id", "request_id"):
        sql = f"EXPLAIN QUERY PLAN SELECT * FROM request WHERE workspace = ? AND {column} = ?"
        plan = rows(large, sql, "default", "x")[0][3]
        assert plan.startswith("SEARCH request USING INDEX")
        assert f"({column}=?)" in plan


def test_deep_pages_read_no_more_than_the_first(large: Path) -> None:
    """Counted in steps of SQLite's machine, as time would depend on the machine."""
    first = steps(large, *page("default", Filters(), None, 50))
    deep = steps(large, *page("default", Filters(), (START + 1000.0, 1001), 50))
    assert deep < 1.5 * first
    rare = steps(large, *page("default", Filters(error="RATE_LIMITED"), None, 50))
    assert rare < 3 * first


def steps(database: Path, sql: str, values: tuple[Any, ...]) -> int:
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    with closing(sqlite3.connect(database)) as db:
        db.set_progress_handler(step, 10)
        db.execute(sql, values).fetchall()
    return count
