"""What processes tell each other through shared memory."""

import os
import signal
import time

from hypothesis import given
from hypothesis import strategies as st

from modelyard.board import Board, Figures
from modelyard.inference.metrics import BUCKETS, MOST_SERIES, OTHER, Metrics, merge
from modelyard.inference.series import Counts, Series
from modelyard.storage.ledger.record import Record

ME = os.getpid()


def counts(requests: int, target: str = "a/b") -> Counts:
    buckets = [requests] + [0] * len(BUCKETS)
    return Counts({("chat", target, 200, "off"): Series(requests, buckets=buckets)}, requests)


def ended_child() -> int:
    """The id of a process that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_nothing_was_told() -> None:
    board = Board(2)
    assert board.read(0) is None
    assert board.figures(1) is None
    assert board.counts(1) == Counts()


def test_what_one_tells_another_reads() -> None:
    board = Board(3)
    pid = os.fork()
    if pid == 0:
        board.write(1, Figures(pid=ME, running=4), counts(7))
        board.write(1, Figures(pid=ME, running=5), counts(8))
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.figures(1) == Figures(pid=ME, running=5)
    assert board.counts(1) == counts(8)
    assert board.read(0) is board.read(2) is None


def test_counts_outlive_their_process_and_its_live_state_does_not() -> None:
    board = Board(1)
    board.write(0, Figures(pid=ended_child(), running=4), counts(7))
    assert board.figures(0) is None
    assert board.counts(0) == counts(7)


def test_a_reader_sees_a_whole_state_whenever_it_looks() -> None:
    """A writer that never pauses, and is killed at last."""
    board = Board(1)
    states = [counts(n, "target/" + "x" * 30 * n) for n in range(1, 7)]
    board.write(0, Figures(pid=ME), states[0])
    pid = os.fork()
    if pid == 0:
        while True:
            for state in states:
                board.write(0, Figures(pid=ME), state)
    try:
        seen = set()
        until = time.monotonic() + 0.5
        while time.monotonic() < until or len(seen) < 2:
            found = board.counts(0)
            assert found in states
            seen.add(found.ledger_lost)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert board.counts(0) in states


def test_what_is_too_much_is_not_told() -> None:
    board = Board(2)
    board.write(0, Figures(pid=ME), counts(1))
    board.write(1, Figures(pid=ME), counts(2))
    board.write(0, Figures(pid=ME), counts(3, "x" * 3_000_000))
    board.write(1, Figures(pid=ME), counts(2**64))
    assert (board.counts(0), board.counts(1)) == (counts(1), counts(2))


def record(target: str, status: int = 200) -> Record:
    return Record(
        id="", request_id="", at=0.0, workspace="w", key_id="k", surface="chat", model="m",
        status=status, seconds=0.02, target=target,
    )  # fmt: skip


def test_as_many_targets_as_there_may_be_fit() -> None:
    metrics = Metrics()
    for number in range(MOST_SERIES + 500):
        metrics.observe(record(f"{number:04d}/" + "ä" * 190))
    metrics.observe(record("z" * 1000))
    known = metrics.series
    assert len(known) == MOST_SERIES + 1
    assert known["chat", OTHER, 200, "off"].requests == 501
    board = Board(1)
    board.write(0, Figures(pid=ME), metrics.counts())
    assert board.counts(0) == metrics.counts()


@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(200, 202)))))
def test_the_sum_of_processes_is_what_one_would_have_counted(
    processes: list[list[tuple[str, int]]],
) -> None:
    parts, whole = [Metrics() for _ in processes], Metrics()
    for part, seen in zip(parts, processes, strict=True):
        for target, status in seen:
            part.observe(record(target, status))
            whole.observe(record(target, status))
    total = merge([part.counts() for part in parts])
    assert {k: v.requests for k, v in total.series.items()} == {
        k: v.requests for k, v in whole.series.items()
    }
    assert {k: v.buckets for k, v in total.series.items()} == {
        k: v.buckets for k, v in whole.series.items()
    }
