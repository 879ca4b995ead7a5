"""``infer`` in process: any mix of callers leaves the books right and nothing held."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import COST, Scripted, asked, failed, model, target, whole
from plans import body as answered
from streams import DONE, Fed, chunk, usage

from modelyard.auth.keys import UNLIMITED, Key, KeyRing
from modelyard.inference.admission import Ticket
from modelyard.inference.answer import Answer
from modelyard.inference.call import Call
from modelyard.inference.eventlog import EventLog
from modelyard.inference.flights import Flight
from modelyard.inference.ledger import Ledger
from modelyard.inference.metrics import Metrics
from modelyard.inference.pipeline import infer
from modelyard.inference.plane import Plane
from modelyard.inference.providers.provider import Reply
from modelyard.inference.snapshot import Model, Snapshot
from modelyard.inference.transport.wire import Deadlines
from modelyard.protocol.errors import Failure
from modelyard.settings import Settings
from modelyard.storage.ledger.file import LedgerFile
from modelyard.storage.ledger.record import Record


class Sent:
    """A delivery that keeps what it would send."""

    def __init__(self) -> None:
        self.leading: Flight | None = None
        self.following: Flight | None = None
        self.gone = False
        self.task: asyncio.Task[None] | None = None
        self.finished: list[Answer] = []
        self.failures: list[Failure] = []

    def cancel(self) -> None:
        assert self.task is not None
        self.task.cancel()

    async def deliver(self, answer: Answer, ticket: Ticket) -> None:
        log: EventLog | None = answer.log
        if log is not None:
            await log.over()
            if log.error is not None:
                raise Failure(log.error.code, "The answer was cut short.")

    def finish(self, answer: Answer, ticket: Ticket) -> None:
        self.finished.append(answer)

    def fail(self, failure: Failure, ticket: Ticket | None) -> None:
        self.failures.append(failure)

    def leave(self) -> None:
        """As a connection does when its client has gone."""
        self.gone = True
        if self.leading is not None:
            self.leading.leave()
        else:
            self.cancel()


def plane_of(one: Model, file: LedgerFile) -> Plane:
    snapshot = Snapshot({"asked": one}, (one,), {}, "asked", KeyRing(b"p", {}))
    return Plane(Settings(), snapshot, Ledger(file, Metrics()))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LedgerFile]:
    made = LedgerFile.open(tmp_path / "ledger")
    yield made
    made.discard(made.segment)


def written(file: LedgerFile, start: int = 0) -> list[Record]:
    data = file.segment.path.read_bytes()[start:]
    return [msgspec.json.decode(line, type=Record) for line in data.splitlines()]


KEYS = [Key(id=f"k{n}", workspace=f"w{n}", scopes=(), limits=UNLIMITED) for n in range(2)]


@dataclass(frozen=True)
class Caller:
    """One request of a mix. ``leaves`` tells after how many turns of the loop."""

    key: int
    text: str
    share: bool
    stream: bool
    leaves: int | None


MIX = st.lists(
    st.builds(
        Caller,
        st.integers(0, 1),
        st.sampled_from(["a", "b"]),
        st.booleans(),
        st.booleans(),
        st.none() | st.integers(1, 12),
    ),
    min_size=1,
    max_size=10,
)


class Both(Scripted):
    """Answers whole calls and streams, well or badly, and counts its answers."""

    def __init__(self, upstream: str) -> None:
        super().__init__("a")
        self.upstream = upstream
        self.answers = 0

    async def call(self, call: Call, model: str, deadlines: Deadlines, attempt: str) -> Reply:
        self.outcomes = [self._streamed if call.stream else self._whole]
        return await super().call(call, model, deadlines, attempt)

    async def _whole(self) -> Reply:
        for _ in range(4):
            await asyncio.sleep(0)
        if self.upstream == "broken":
            raise failed(code="PROVIDER_ERROR")
        self.answers += 1
        return whole(answered())

    async def _streamed(self) -> Reply:
        if self.upstream == "broken":
            raise failed(code="PROVIDER_ERROR")
        fed, loop = Fed(), asyncio.get_running_loop()

        def feed() -> None:
            fed.piece(chunk("hello"))
            for _ in range(2):
                loop.call_soon(lambda: fed.piece(b": still here\n\n"))
            loop.call_later(0.001, end)

        def end() -> None:
            if self.upstream == "good":
                fed.piece(chunk("", "stop") + usage(10, 5) + DONE)
            fed.end(None)

        self.answers += 1
        loop.call_soon(feed)
        return fed


def send_all(plane: Plane, mix: list[Caller]) -> list[Sent]:
    sent = []
    for number, caller in enumerate(mix):
        call = asked(
            key=KEYS[caller.key],
            body={"messages": [{"role": "user", "content": caller.text}]},
            stream=caller.stream,
            share=caller.share,
            record_id=f"r{number}",
        )
        one = Sent()
        one.task = asyncio.ensure_future(infer(plane, call, one))
        sent.append(one)
    return sent


async def let_some_leave(mix: list[Caller], sent: list[Sent]) -> None:
    for turn in range(13):
        for caller, one in zip(mix, sent, strict=True):
            if caller.leaves == turn and one.task is not None and not one.task.done():
                one.leave()
        await asyncio.sleep(0)
    tasks = [one.task for one in sent if one.task is not None]
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)


def check_money(records: list[Record], provider: Both) -> None:
    """What was settled is what the upstream calls cost; who shared one paid nothing."""
    complete = [record for record in records if record.error is None]
    leaders = [r for r in complete if not r.shared and r.cache != "l1"]
    assert sum(record.cost or 0 for record in complete) == len(leaders) * COST
    assert len(leaders) <= provider.answers <= len(provider.calls)


def check_released(plane: Plane) -> None:
    assert plane.admission.running() == 0 and len(plane.flights) == 0
    for key in KEYS:
        meter = plane.admission.meter(key)
        assert (meter.tokens_reserved, meter.money_reserved) == (0, 0)
    assert plane.router.health("a/m").running == 0


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MIX, st.sampled_from(["good", "broken", "cut"]))
async def test_any_mix_of_callers(file: LedgerFile, mix: list[Caller], upstream: str) -> None:
    provider = Both(upstream)
    plane = plane_of(model(target(provider, retries=0)), file)
    start = file.segment.size
    sent = send_all(plane, mix)
    await let_some_leave(mix, sent)

    records = {record.id: record for record in written(file, start)}
    assert len(records) == len(written(file, start)) == len(mix), "one record for each request"
    for number, (caller, one) in enumerate(zip(mix, sent, strict=True)):
        record = records[f"r{number}"]
        assert record.workspace == KEYS[caller.key].workspace
        assert len(one.finished) + len(one.failures) <= 1
        if one.finished:
            assert record.status in ({200, 499} if one.gone else {200})
            assert (record.cost or 0) + (record.saved or 0) == COST
            assert upstream != "cut" or not caller.stream, "a cut answer was shown as complete"
        if not one.gone:
            assert one.finished or one.failures, "who stayed was left without an answer"
            assert upstream != "good" or one.finished
    check_money(list(records.values()), provider)
    check_released(plane)
    if upstream != "good":
        assert plane.cache.memory.entries <= sum(not caller.stream for caller in mix)


async def ask(plane: Plane, **fields: Any) -> Sent:
    one = Sent()
    one.task = asyncio.ensure_future(infer(plane, asked(**fields), one))
    await one.task
    return one


async def test_the_same_question_is_answered_from_the_cache(file: LedgerFile) -> None:
    provider = Scripted("a")
    plane = plane_of(model(target(provider)), file)
    kinds = [(await ask(plane, share=True)).finished[0].cache for _ in range(3)]
    assert kinds == ["miss", "l1", "l1"] and len(provider.calls) == 1
    assert [(r.cost, r.saved) for r in written(file)] == [(COST, 0), (0, COST), (0, COST)]
    assert (await ask(plane, share=True, key=KEYS[1])).finished[0].cache == "miss"
    assert (await ask(plane, share=False)).finished[0].cache == "off"
    assert len(provider.calls) == 3


async def test_a_failure_is_not_kept(file: LedgerFile) -> None:
    provider = Scripted("a", failed(), answered())
    plane = plane_of(model(target(provider, retries=0)), file)
    assert (await ask(plane, share=True)).failures
    assert (await ask(plane, share=True)).finished[0].cache == "miss"


async def test_what_cannot_be_recorded_is_asked_of_nobody(file: LedgerFile) -> None:
    provider = Scripted("a")
    plane = plane_of(model(target(provider)), file)

    class Full:
        healthy = False

        def probe(self) -> bool:
            return False

        def append(self, line: bytes) -> None:
            raise OSError

    plane.ledger = Ledger(Full(), Metrics())
    one = await ask(plane)
    assert one.failures[0].code.symbol == "LEDGER_UNAVAILABLE" and not provider.calls
    assert plane.admission.running() == 0


async def test_a_limit_is_kept_before_anything_costs(file: LedgerFile) -> None:
    provider = Scripted("a")
    plane = plane_of(model(target(provider)), file)
    limits = msgspec.structs.replace(UNLIMITED, requests_per_minute=2)
    key = msgspec.structs.replace(KEYS[0], limits=limits)
    results = [await ask(plane, key=key) for _ in range(4)]
    assert [bool(one.finished) for one in results] == [True, True, False, False]
    assert len(provider.calls) == 2
    assert [r.status for r in written(file)] == [200, 200, 429, 429]


async def test_an_unknown_model(file: LedgerFile) -> None:
    plane = plane_of(model(target(Scripted("a"))), file)
    plane.snapshot = replace(plane.snapshot, models={}, default_model="other")
    one = await ask(plane)
    assert one.failures[0].status == 404 and written(file)[0].error == "MODEL_NOT_FOUND"
