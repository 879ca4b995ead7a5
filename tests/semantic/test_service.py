"""What the process does with what it is asked."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.inference.semantic.frames import Checked, Found, Learn, Missed, Stated
from modelyard.inference.semantic.service import Vector
from semantic.bench import LATER, Bench, is_hit, key, vector

FRANCE, SAME, OTHER = "capital of France", "What is the capital of France?", "capital of Spain"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_question_in_other_words_is_found(bench: Bench) -> None:
    worker = bench.worker()
    worker.answered(1, FRANCE)
    bench.now += 60
    found = worker.find(2, SAME)
    assert is_hit(found)
    assert (found.key, found.confidence) == (key(FRANCE), 0.95)
    assert (found.asked_at, found.kept_at) == (bench.now - 60, bench.now - 60)
    assert 0.5 < found.similarity < 1
    assert isinstance(worker.find(3, OTHER), Missed), "France is not Spain"


def test_nothing_crosses_scopes_or_a_text_that_was_cut(bench: Bench) -> None:
    worker = bench.worker()
    worker.answered(1, FRANCE)
    assert isinstance(worker.find(2, SAME, scope=b"t"), Missed)
    cut = worker.find(3, SAME, cut=True)
    assert cut == Missed(3)
    worker.keep(3)
    assert bench.store.count("w")[0] == 1, "what was cut is not kept"


def learned(bench: Bench, text: str, expires: float = LATER, *, cut: bool = False) -> int:
    lesson = Learn("w", b"s", key(text), text, bench.now - 60, expires)
    bench.service.learn(lesson, Vector(vector(text), cut))
    return bench.store.count("w")[0]


def test_what_a_level_below_has_is_learned_once(bench: Bench) -> None:
    worker = bench.worker()
    assert learned(bench, FRANCE, bench.now) == 0, "it has expired"
    assert learned(bench, FRANCE, cut=True) == 0
    assert learned(bench, FRANCE) == 1
    assert learned(bench, FRANCE) == 1
    found = worker.find(1, SAME)
    assert is_hit(found) and found.key == key(FRANCE)
    assert found.kept_at == found.asked_at == bench.now - 60, "the answer is as old as it was"


texts = st.sampled_from([FRANCE, SAME, OTHER, "Spain's capital", "capital France", "the capital"])


@settings(max_examples=30, deadline=None)
@given(
    asked=st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([b"s", b"t"]), texts),
        min_size=2,
        max_size=12,
    )
)
def test_a_hit_is_of_its_own_scope(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[str, bytes, str]]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("scopes"))
    worker = bench.worker()
    answered: set[tuple[str, bytes, bytes]] = set()
    for number, (workspace, scope, text) in enumerate(asked, 1):
        whole = workspace.encode() + scope  # as cache_key makes it: the workspace is in it
        told = worker.find(number, text, workspace=workspace, scope=whole)
        if isinstance(told, Found):
            assert (workspace, whole, told.key) in answered
            worker.drop(number)
        else:
            worker.keep(number)
            answered.add((workspace, whole, key(text)))


def test_others_wait_for_the_first(bench: Bench) -> None:
    first, second = bench.worker(), bench.worker()
    first.find(1, FRANCE)
    waiting = second.find(1, SAME)
    assert isinstance(waiting, Found) and waiting.awaited
    first.keep(1)
    assert is_hit(second.told[-1]) and second.told[-1].key == key(FRANCE)


def test_when_the_first_fails_they_ask_themselves(bench: Bench) -> None:
    first, second, third = bench.worker(), bench.worker(), bench.worker()
    first.find(1, FRANCE)
    assert second.find(1, SAME).awaited
    first.drop(1)
    assert second.told[-1] == Missed(1)
    assert third.find(1, "the capital of France").awaited, "now of the second"
    bench.service.left(second)
    assert third.told[-1] == Missed(1), "it ended"
    third.keep(1)
    assert is_hit(first.find(2, SAME))


def test_what_is_gone_is_not_found_again(bench: Bench) -> None:
    worker = bench.worker()
    worker.answered(1, FRANCE)
    bench.service.gone(b"s", key(FRANCE))
    assert is_hit(worker.find(2, SAME)), "another worker's answer may be on its way"
    bench.now += 10
    bench.service.gone(b"s", key(FRANCE))
    assert isinstance(worker.find(3, SAME), Missed)


def test_expiry_and_clearing(bench: Bench) -> None:
    worker = bench.worker()
    worker.find(1, FRANCE)
    worker.keep(1, bench.now + 60)
    worker.answered(2, OTHER)
    worker.answered(3, "capital of Peru", workspace="other", scope=b"o")
    bench.now += 61
    assert isinstance(worker.find(4, SAME), Missed)
    bench.service.tidy()
    assert bench.store.count("w")[0] == 1
    assert bench.service.clear("w") == 1
    assert isinstance(worker.find(5, "What is the capital of Spain?"), Missed)
    assert is_hit(worker.find(6, "the capital of Peru", workspace="other", scope=b"o"))


def test_it_goes_on_after_a_restart(bench: Bench) -> None:
    worker = bench.worker()
    worker.answered(1, FRANCE)
    for number in range(30):
        worker.check(10 + number, "Paris", "Paris")
    after = bench.again()
    assert is_hit(after.worker().find(1, SAME))
    assert after.service.bound.known("w") == (30, 0)


@pytest.mark.parametrize("damage", ["removed", "no database", "a page of it"])
def test_a_damaged_file_is_set_aside(bench: Bench, damage: str) -> None:
    worker = bench.worker()
    for number in range(200):
        worker.answered(number + 1, f"capital of country {number}")
    bench.service.commit()
    bench.store.close()
    data = bytearray(bench.file.read_bytes())
    if damage == "removed":
        bench.file.unlink()
    elif damage == "no database":
        bench.file.write_bytes(b"this is no database" * 100)
    else:  # of the entries: the sixth page from the end and its neighbours
        data[-6 * 4096 : -4 * 4096] = b"\xff" * (2 * 4096)
        bench.file.write_bytes(bytes(data))
    after = Bench(bench.file.parent)
    entries = after.store.count("w")[0]
    assert entries == 0 if damage != "a page of it" else 0 < entries < 200
    after.worker().answered(500, FRANCE)
    assert is_hit(after.worker().find(501, SAME))
    assert after.file.with_suffix(".damaged").exists() == (damage != "removed")


def test_prompts_are_sealed_where_answers_are(tmp_path: Path) -> None:
    bench = Bench(tmp_path, secret=b"p" * 32)
    bench.worker().answered(1, FRANCE)
    after = bench.again()
    assert is_hit(after.worker().find(1, SAME))
    after.store.close()
    assert all(
        FRANCE.encode() not in file.read_bytes() for file in tmp_path.iterdir() if file.is_file()
    )
    other = Bench(tmp_path, secret=b"q" * 32)
    assert isinstance(other.worker().find(1, SAME), Missed), "another installation's"


def test_it_is_bounded_and_what_is_not_used_leaves(tmp_path: Path) -> None:
    bench = Bench(tmp_path, entries=60, workspace_entries=40)
    worker = bench.worker()
    for number in range(100):
        worker.answered(number + 1, f"capital of country {number}")
        bench.now += 1
        if number:
            assert is_hit(worker.find(1000 + number, "What is the capital of country 0?"))
            bench.service.tidy()
    assert bench.store.count("w")[0] <= 40
    assert is_hit(worker.find(2000, "the capital of country 99"))
    for number in range(100):
        worker.answered(3000 + number, f"city {number}", workspace="v", scope=b"v")
    assert bench.store.count("v")[0] <= 40
    assert bench.store.count("v")[0] + bench.store.count("w")[0] <= 60


def test_checks_of_hits_are_told_paid_and_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, draw=lambda: 0.0, budget=1_000)
    worker = bench.worker()
    worker.answered(1, FRANCE)
    assert worker.find(2, SAME).check
    checked = worker.check(3, "Paris.", "paris", paid=1_000)
    assert isinstance(checked, Checked) and checked.right
    assert not worker.find(4, "the capital of France").check, "the day's budget is spent"
    bench.now += 86_400
    assert worker.find(5, "capital France").check


def test_wrong_hits_make_it_stricter_down_to_off(bench: Bench) -> None:
    worker = bench.worker()
    worker.answered(1, FRANCE)
    assert is_hit(worker.find(2, SAME))
    for number in range(40):
        assert worker.check(10 + number, "Paris", "No, it is Lyon").right is False
    told = worker.find(3, "the capital of France")
    assert isinstance(told, Missed) and told.confidence == 0.95
    bench.service.state(worker, 99, "w")
    stated = worker.told[-1]
    assert isinstance(stated, Stated)
    assert (stated.threshold, stated.checks, stated.wrong) == (1.0, 40, 40)
    assert is_hit(worker.find(4, "Capital of  france.")), "the same to the letter"


def test_what_is_not_good_enough_is_watched(tmp_path: Path) -> None:
    bench = Bench(tmp_path, draw=lambda: 0.0)
    worker = bench.worker()
    worker.answered(1, "the capital of France and of Spain")
    told = worker.find(2, "the capital of France and of Peru")
    assert isinstance(told, Missed)
    assert told.watch == key("the capital of France and of Spain")
    assert 0.1 < told.confidence < 0.9


def test_its_own_prompt_is_never_found(bench: Bench) -> None:
    """The exact cache had no answer to it: what is kept under its key is gone."""
    worker = bench.worker()
    worker.answered(1, FRANCE)
    assert isinstance(worker.find(2, FRANCE), Missed)
    worker.keep(2)
    assert bench.store.count("w")[0] == 1
