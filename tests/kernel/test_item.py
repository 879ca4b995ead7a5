import pytest

from conformance.things import thing
from modelyard.kernel import item
from modelyard.kernel.item import Just


def test_what_was_read_just_now_is_taken_once() -> None:
    just, row, other = Just(), thing("a"), thing("b")
    assert just.take(row.address) is None
    just.note(row)
    assert just.take(row.address) is row
    assert just.take(row.address) is None
    just.note(row)
    assert just.take(other.address) is None
    assert just.take(row.address) is None, "what is asked for in between may have changed it"


def test_what_was_read_a_moment_ago_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    just, row, now = Just(), thing("a"), 100.0
    monkeypatch.setattr(item.time, "monotonic", lambda: now)
    just.note(row)
    now += 0.04
    assert just.take(row.address) is row
    just.note(row)
    now += 0.06
    assert just.take(row.address) is None
