"""What is learned: within its bounds, by workspace, and kept whatever happens to its files."""

import random
from pathlib import Path

import msgspec
import pytest

from inference.cache.prompts import EAGER, START, asked, digest, known, planner
from modelyard.auth.sealed import Box
from modelyard.inference.cache.warming.chance import FEATURES, Chance
from modelyard.inference.cache.warming.learner import Learner, State
from modelyard.inference.cache.warming.planner import Planner
from modelyard.inference.cache.warming.prompts import Scope
from modelyard.inference.cache.warming.rhythm import (
    HALF_LIFE,
    HOUR,
    WEEK_HOURS,
    Rhythm,
    hours,
    shape,
)
from modelyard.inference.cache.warming.sketch import Sketch
from modelyard.inference.warmer import journal, keeping
from modelyard.inference.warmer.journal import Cleared, Journal, Noted, Paid, Positions
from modelyard.inference.warmer.keeping import Kept, Lead

BOX = Box(b"p" * 32)


def test_memory_does_not_grow() -> None:
    """Fifty thousand prompts, two of three never to return, in ten workspaces."""
    learner, draw = Learner(300, 20_000), random.Random(1)
    for number in range(50_000):
        name = str(draw.randrange(3_000) if number % 3 else number + 10_000)
        workspace = str(draw.randrange(10))
        one = asked(name, START + number, workspace=workspace, session=str(number % 5_000))
        learner.observe(msgspec.structs.replace(one, ask=b"x" * draw.randrange(1, 200)))
    assert len(learner.prompts) <= 300
    assert learner.bytes == sum(len(p.ask) for p in learner.prompts.values()) <= 20_000
    size = len(msgspec.msgpack.encode(learner.dump()))
    assert size < 300 * 1_500
    assert sum(scope.prompts for scope in learner.scopes.values()) == len(learner.prompts)


def test_what_is_asked_most_stays() -> None:
    learner, draw = Learner(50, 1 << 20), random.Random(2)
    for number in range(20_000):
        name = f"hot {number % 20}" if draw.random() < 0.3 else f"cold {draw.randrange(5_000)}"
        learner.observe(asked(name, START + number))
    assert all(digest(f"ahot {number}") in learner.prompts for number in range(20))


def test_a_busy_workspace_pushes_no_other_out() -> None:
    learner = Learner(100, 1 << 20)
    for number in range(10):
        known_there = asked(f"quiet {number}", START, workspace="b")
        learner.observe(known_there)
        learner.observe(known_there)
    for number in range(2_000):
        for _ in range(5):
            learner.observe(asked(f"busy {number}", START + number))
    assert learner.counts()["b"] == 10
    assert len(learner.prompts) <= 100


def test_a_follower_of_another_workspace_is_never_expected() -> None:
    one = planner()
    for number in range(20):
        one.observe(asked("first", START + number * HOUR))
        one.observe(asked("second", START + number * HOUR + 60, workspace="b"))
    first = one.learner.prompts[digest("afirst")]
    assert digest("bsecond") not in first.followers
    assert one.learner.prompts[digest("bsecond")].expected is None


def test_a_sketch_counts_at_least_what_was() -> None:
    sketch, counts = Sketch(1 << 10), dict[bytes, int]()
    draw = random.Random(3)
    for _ in range(1_000):
        name = digest(str(draw.randrange(300)))
        counts[name] = counts.get(name, 0) + 1
        assert sketch.add(name) >= counts[name]
    for number in range(5_000):
        sketch.add(digest(f"other {number}"))
    assert sketch.add(digest("never")) <= 4 + 5  # it forgets: the rows are not full of ones


def test_counts_fade_by_half_in_a_week() -> None:
    rhythm = Rhythm()
    for _ in range(8):
        rhythm.add(START)
    rhythm.decay(START + HALF_LIFE)
    assert rhythm.total == pytest.approx(4.0)
    assert sum(rhythm.bins.values()) == pytest.approx(rhythm.total)


def test_a_shape_is_one_on_the_average() -> None:
    rhythm, scope, draw = Rhythm(), Scope(), random.Random(4)
    for number in range(200):
        at = START + number * HOUR * draw.random() * 3
        rhythm.add(at)
        scope.rhythm.add(at)
    now = START + 900 * HOUR
    each = [shape(rhythm, scope.shape(hour, now), hour) for hour in range(WEEK_HOURS)]
    assert sum(each) / WEEK_HOURS == pytest.approx(1.0, abs=0.02)
    assert min(each) > 0


def test_hours_hold_the_whole_interval() -> None:
    parts = list(hours(START + 1800, START + 3 * HOUR))
    assert sum(seconds for _, seconds in parts) == pytest.approx(2.5 * HOUR)
    assert [seconds for _, seconds in parts] == [1800, HOUR, HOUR]


def test_chances_become_true() -> None:
    """Where one in five returns though the rate promised all, one in five is expected."""
    chance, draw = Chance(), random.Random(5)
    features = (1.0, 3.0, *[0.0] * (len(FEATURES) - 2))
    assert chance.of(features) > 0.9
    for _ in range(5_000):
        chance.teach(features, draw.random() < 0.2)
    assert chance.of(features) == pytest.approx(0.2, abs=0.06)


def test_what_was_learned_outlives_the_process(tmp_path: Path) -> None:
    one = planner()
    for number in range(30):
        known(one, f"p{number}", START + number * HOUR)
    one.budget.reserve("a", 500, START)
    one.budget.settle("a", 500, 400, START)
    kept = Kept(1, one.learner.dump(), Positions({"f": 7}), one.budget.dump())
    keeping.save(tmp_path, BOX, keeping.packed(kept))
    again = keeping.load(tmp_path, BOX)
    assert again is not None and again.positions.bytes == {"f": 7}
    other = Planner(Learner(1_000, 1 << 20), EAGER)
    other.learner.load(again.state)
    other.budget.load(again.budget)
    assert other.learner.dump() == one.learner.dump()
    assert other.learner.bytes == one.learner.bytes
    assert other.budget.spent("a", START) == (None, 400)
    smaller = Learner(10, 1 << 20)
    smaller.load(msgspec.msgpack.decode(msgspec.msgpack.encode(one.learner.dump()), type=State))
    assert len(smaller.prompts) == 10


@pytest.mark.parametrize("damage", ["cut", "flip", "other key", "empty"])
def test_a_damaged_state_is_none(tmp_path: Path, damage: str) -> None:
    known(one := planner())
    keeping.save(tmp_path, BOX, keeping.packed(Kept(1, one.learner.dump(), Positions(), {})))
    path = tmp_path / "state"
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-5])
    elif damage == "flip":
        path.write_bytes(data[:60] + bytes([data[60] ^ 1]) + data[61:])
    elif damage == "empty":
        path.write_bytes(b"")
    assert keeping.load(tmp_path, Box(b"q" * 32) if damage == "other key" else BOX) is None


def write(tmp_path: Path, count: int, bound: int = 1 << 20) -> Journal:
    made = Journal(tmp_path, BOX, bound)
    for number in range(count):
        made.append(Noted([asked(f"p{number}", START + number)]))
    return made


def test_the_log_is_read_once_and_in_order(tmp_path: Path) -> None:
    made, positions = write(tmp_path, 5), Positions()
    made.append(Paid("1", "a", b"d", START + 2.5, 10, True))
    made.append(Cleared("a", START + 1.5))
    found = journal.read(tmp_path, BOX, positions)
    assert [one.at - START for one in journal.events(found)] == [0, 1, 1.5, 2, 3, 4]
    assert journal.read(tmp_path, BOX, positions) == []
    made.append(Noted([asked("later", START)]))
    assert len(journal.read(tmp_path, BOX, positions)) == 1


def test_a_torn_end_is_read_when_it_is_whole(tmp_path: Path) -> None:
    write(tmp_path, 3)
    (path,) = tmp_path.glob("*.journal")
    data, positions = path.read_bytes(), Positions()
    path.write_bytes(data[:-10])
    assert len(journal.read(tmp_path, BOX, positions)) == 2
    path.write_bytes(data)
    assert len(journal.read(tmp_path, BOX, positions)) == 1


def test_what_is_damaged_ends_its_file_and_no_other(tmp_path: Path) -> None:
    write(tmp_path, 3)
    (path,) = tmp_path.glob("*.journal")
    data = path.read_bytes()
    path.write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])
    write(tmp_path, 2)
    positions = Positions()
    assert len(journal.read(tmp_path, BOX, positions)) == 2
    assert journal.read(tmp_path, BOX, positions) == []


def test_the_log_is_bounded(tmp_path: Path) -> None:
    bound, positions = 8_000, Positions()
    made = write(tmp_path, 200, bound)
    journal.prune(tmp_path, positions, bound)
    assert len(list(tmp_path.glob("*.journal"))) > 4  # nothing goes that was not read
    assert len(journal.read(tmp_path, BOX, positions)) == 200
    journal.prune(tmp_path, positions, bound)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.journal")) <= bound
    made.append(Noted([asked("later", START)]))
    assert len(journal.read(tmp_path, BOX, positions)) == 1


def test_what_was_lost_is_learned_again_from_the_log(tmp_path: Path) -> None:
    one, made = planner(), Journal(tmp_path, BOX, 1 << 20)
    for number in range(40):
        request = asked(f"p{number % 7}", START + number * HOUR / 3)
        one.observe(request)
        made.append(Noted([request]))
    again = planner()
    for event in journal.events(journal.read(tmp_path, BOX, Positions())):
        assert not isinstance(event, Cleared | Paid)
        again.observe(event)
    assert again.learner.dump() == one.learner.dump()


def test_one_leads_and_another_follows_it(tmp_path: Path) -> None:
    first, second = Lead(tmp_path), Lead(tmp_path)
    assert first.taken() and first.taken() and not second.taken()
    first.release()
    assert second.taken()
    second.release()
