"""Money and figures: what a record says, and what the counters make of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import COST, PRICE, asked, body
from streams import DONE, attached, chunk, usage

from modelyard.inference import ledger
from modelyard.inference.answer import Answer
from modelyard.inference.call import Price, Usage
from modelyard.inference.ledger import Ledger, build, new_id
from modelyard.inference.metrics import BUCKETS, MOST_SERIES, OTHER, Counts, Metrics, merge, render
from modelyard.protocol.errors import Failure
from modelyard.storage.ledger.file import LedgerFile
from modelyard.storage.ledger.record import Record


def answer(**fields: Any) -> Answer:
    made = {"body": body(), "target": "a/m", "provider": "a", "price": PRICE, "usage": Usage(10, 5)}
    return Answer(**(made | fields))


def test_who_leads_pays() -> None:
    one = answer(cache="miss", finish_reason="stop", model="m-1")
    record = build(asked(), one, 200)
    assert (record.cost, record.saved, record.cache, record.shared) == (COST, 0, "miss", False)
    assert (record.input_tokens, record.output_tokens) == (10, 5)
    assert (record.target, record.provider, record.model_version) == ("a/m", "a", "m-1")
    assert one.paid == COST


@pytest.mark.parametrize("fields", [{"cache": "l1"}, {"cache": "miss", "shared": True}])
def test_hits_and_followers_pay_nothing(fields: dict[str, Any]) -> None:
    one = answer(**fields)
    record = build(asked(), one, 200)
    assert (record.cost, record.saved, one.paid) == (0, COST, 0)
    assert (record.input_tokens, record.output_tokens) == (10, 5)


@pytest.mark.parametrize(("fields", "cost", "saved"), [({}, None, 0), ({"cache": "l1"}, 0, None)])
def test_an_unknown_price_is_null_and_never_0(
    fields: dict[str, Any], cost: int | None, saved: int | None
) -> None:
    record = build(asked(), answer(price=None, **fields), 200)
    assert (record.cost, record.saved) == (cost, saved)


def test_a_call_without_an_answer_costs_nothing() -> None:
    record = build(asked(), None, 503)
    assert (record.cost, record.saved, record.target, record.status) == (0, 0, None, 503)


PRICES = st.floats(0, 1e6, allow_nan=False)


@given(
    PRICES,
    PRICES,
    PRICES | st.none(),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(1, 20),
)
def test_followers_cost_nothing_whatever_the_price(
    input_price: float, output: float, cached_price: float | None, prompt: int, cached: int,
    completion: int, followers: int,
) -> None:  # fmt: skip
    price = Price(input=input_price, output=output, cached_input=cached_price)
    used = Usage(prompt + cached, completion, cached)
    records = [
        build(asked(), answer(price=price, usage=used, shared=number > 0, cache="miss"), 200)
        for number in range(followers + 1)
    ]
    each = cached_price if cached_price is not None else input_price
    exact = prompt * input_price + cached * each + completion * output
    total = sum(record.cost or 0 for record in records)
    assert abs(total - exact) <= 0.5 + exact * 1e-12
    assert all(record.saved == total for record in records[1:])
    assert all(isinstance(record.cost, int) for record in records)


async def test_a_stream_costs_what_its_provider_counted() -> None:
    log, fed = attached()
    fed.piece(chunk("hello") + chunk("", "length") + usage(10, 5) + DONE)
    record = build(asked(stream=True), answer(body=b"", log=log, usage=None), 200)
    assert (record.cost, record.usage_estimated) == (COST, False)
    assert (record.finish_reason, record.model_version, record.stream) == ("length", "m-1", True)


@pytest.mark.parametrize("cut", [False, True])
async def test_a_stream_without_usage_is_counted_here(cut: bool) -> None:
    log, fed = attached()
    fed.piece(chunk("one two three four"))
    if not cut:
        fed.piece(chunk("", "stop") + DONE)
    call = asked(stream=True, input_tokens=7)
    record = build(call, answer(body=b"", log=log, usage=None), 200)
    assert record.usage_estimated and record.input_tokens == 7
    assert 3 <= record.output_tokens <= 6
    assert record.cost == 7 * 1000 + record.output_tokens * 2000
    log.close()


def test_ids_are_unique_and_in_the_order_of_time() -> None:
    ids = [new_id(1_700_000_000 + n / 1000) for n in range(5000)]
    assert len(set(ids)) == 5000 and ids == sorted(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


# -- the file


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LedgerFile]:
    made = LedgerFile.open(tmp_path / "ledger")
    yield made
    made.discard(made.segment)


def written(file: LedgerFile) -> list[Record]:
    lines = file.segment.path.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Record) for line in lines]


def test_what_is_recorded_is_on_file_and_counted(file: LedgerFile) -> None:
    metrics = Metrics()
    books = Ledger(file, metrics)
    seen: list[Record] = []
    books.observers.append(seen.append)
    books.probe()
    books.record(asked(record_id="r1"), answer())
    books.failed(asked(record_id="r2"), None, Failure("RATE_LIMITED", "x" * 900))
    one, two = written(file)
    assert (one.id, one.status, one.cost, one.error) == ("r1", 200, COST, None)
    assert (two.id, two.status, two.error) == ("r2", 429, "RATE_LIMITED")
    assert two.message is not None and len(two.message) == 500
    assert [record.id for record in seen] == ["r1", "r2"]
    assert sum(series.requests for series in metrics.series.values()) == 2


def test_what_cannot_be_recorded_is_not_answered(file: LedgerFile) -> None:
    class Full:
        """A file on a full disk."""

        healthy = False

        def probe(self) -> bool:
            return False

        def append(self, line: bytes) -> None:
            raise OSError("No space left on device")

    metrics = Metrics()
    books = Ledger(Full(), metrics)
    for act in (books.probe, lambda: books.record(asked(), answer())):
        with pytest.raises(Failure) as caught:
            act()
        assert caught.value.code.symbol == "LEDGER_UNAVAILABLE" and caught.value.status == 503
    assert metrics.series == {}
    books.failed(asked(), None, ledger.unavailable())
    assert metrics.ledger_lost == 1


# -- figures


RECORDS = st.builds(
    Record,
    id=st.just("r"), request_id=st.just("r"), at=st.just(0.0), workspace=st.just("w"),
    key_id=st.just("k"), model=st.just("m"),
    surface=st.sampled_from(["chat", "inference"]),
    status=st.sampled_from([200, 429, 499]),
    seconds=st.floats(0, 400),
    cache=st.sampled_from(["off", "miss", "l1"]),
    shared=st.booleans(),
    target=st.sampled_from([None, "a/m", 'b/"quoted"\\\n', "c/\u00e9"]),
    input_tokens=st.integers(0, 1000), output_tokens=st.integers(0, 1000),
    cost=st.none() | st.integers(0, 10**12), saved=st.none() | st.integers(0, 10**12),
)  # fmt: skip
SAMPLE = re.compile(r'([a-z_:][a-z0-9_:]*)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)$')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\\n]|\\[\\"n])*)"')


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The samples of an exposition in text format 0.0.4, its rules checked."""
    assert text.endswith("\n")
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    types: dict[str, str] = {}
    family = ""
    for line in text[:-1].split("\n"):
        if line.startswith("# "):
            _, what, name, rest = line.split(" ", 3)
            if what == "HELP":
                assert name not in types, "a family is told once, in one piece"
                family = name
            else:
                assert (
                    what == "TYPE" and name == family and rest in {"counter", "gauge", "histogram"}
                )
                types[name] = rest
            continue
        match = SAMPLE.match(line)
        assert match, line
        name = match[1]
        base = re.sub("_(bucket|sum|count)$", "", name) if types[family] == "histogram" else name
        assert base == family
        key = (name, tuple(LABEL.findall(match[2] or "")))
        assert key not in samples
        samples[key] = float(match[3])
    return samples


@given(st.lists(RECORDS, max_size=30))
def test_the_exposition_can_be_read(records: list[Record]) -> None:
    metrics = Metrics()
    for record in records:
        metrics.observe(record)
    samples = parsed(render(metrics.counts(), [("modelyard_up", "It is up.", 1.0)]))

    def total(name: str) -> float:
        return sum(value for (one, _), value in samples.items() if one == name)

    paid = [r for r in records if not (r.shared or r.cache == "l1")]
    assert samples["modelyard_up", ()] == 1.0
    assert total("modelyard_requests_total") == len(records)
    assert total("modelyard_request_seconds_count") == len(records)
    assert total("modelyard_input_tokens_total") == sum(r.input_tokens for r in paid)
    cost = sum(r.cost or 0 for r in records)
    assert total("modelyard_cost_usd_total") == pytest.approx(cost / 1e9, rel=1e-9)
    assert total("modelyard_unpriced_requests_total") == sum(r.cost is None for r in records)
    for labels in {labels for (name, labels) in samples if name == "modelyard_requests_total"}:
        bounds = [*map(str, BUCKETS), "+Inf"]
        buckets = [
            samples["modelyard_request_seconds_bucket", (*labels, ("le", b))] for b in bounds
        ]
        assert buckets == sorted(buckets)
        assert buckets[-1] == samples["modelyard_request_seconds_count", labels]


@given(st.lists(RECORDS, max_size=30), st.integers(1, 4))
def test_several_processes_count_as_one(records: list[Record], processes: int) -> None:
    whole, parts = Metrics(), [Metrics() for _ in range(processes)]
    for number, record in enumerate(records):
        whole.observe(record)
        parts[number % processes].observe(record)
    parts[0].ledger_lost = whole.ledger_lost = 3
    sent = [msgspec.msgpack.decode(msgspec.msgpack.encode(p.counts()), type=Counts) for p in parts]
    before = [msgspec.msgpack.encode(one) for one in sent]
    total = merge(sent)
    assert [msgspec.msgpack.encode(one) for one in sent] == before, "a part was changed"
    summed, alone = parsed(render(total, [])), parsed(render(whole.counts(), []))
    assert summed.keys() == alone.keys()
    for key, value in alone.items():
        assert summed[key] == pytest.approx(value, rel=1e-6, abs=1e-5)


def test_names_from_outside_do_not_fill_the_memory() -> None:
    metrics = Metrics()
    for number in range(3 * MOST_SERIES):
        metrics.observe(build(asked(), answer(target=f"a/{number}"), 200))
    metrics.observe(build(asked(), answer(target="a/" + "x" * 5000), 200))
    assert len(metrics.series) <= MOST_SERIES + 1
    assert sum(series.requests for series in metrics.series.values()) == 3 * MOST_SERIES + 1
    assert metrics.series["chat", OTHER, 200, "off"].requests >= 2 * MOST_SERIES
