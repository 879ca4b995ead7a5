"""What is warmed: never beyond the budget, never against the operator, and what it did adds up."""

from hashlib import blake2b

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.cache.prompts import COST, LIVES, START, asked, digest, known, planner
from modelyard.inference.cache.warming.budget import Budget
from modelyard.inference.cache.warming.planner import Planner, Terms, Wish
from modelyard.inference.cache.warming.rhythm import DAY, HOUR

WORKSPACES = ("a", "b")

spending = st.lists(
    st.tuples(
        st.floats(0, 3 * HOUR),  # later than the one before
        st.sampled_from(WORKSPACES),
        st.integers(0, 150),  # wanted
        st.floats(0, 1),  # part of it that is spent
        st.booleans(),  # settled at once, or when the next is over
    ),
    max_size=60,
)


@given(spending, st.integers(0, 200), st.integers(0, 400), st.integers(0, 300))
def test_no_hour_and_no_day_passes_its_budget(
    calls: list[tuple[float, str, int, float, bool]], hourly: int, daily: int, own: int
) -> None:
    budget, now = Budget(hourly, daily, own), START
    spent: dict[tuple[str, int], int] = {}
    pending: list[tuple[str, int, int]] = []

    def settle(workspace: str, reserved: int, cost: int) -> None:
        budget.settle(workspace, reserved, cost, now)
        for name in (f"hour {now // HOUR}", f"day {now // DAY}", f"{workspace} {now // DAY}"):
            spent[name, 0] = spent.get((name, 0), 0) + cost

    for later, workspace, wanted, part, at_once in calls:
        now += later
        if budget.reserve(workspace, wanted, now):
            pending.append((workspace, wanted, int(wanted * part)))
        if at_once:
            while pending:
                settle(*pending.pop())
    while pending:
        settle(*pending.pop())
    for (name, _), total in spent.items():
        kind = name.split()[0]
        assert total <= {"hour": hourly, "day": daily}.get(kind, own)
    assert budget.left("a", now + 2 * DAY) == min(hourly, daily, own)  # nothing stays held


story = st.lists(
    st.tuples(
        st.floats(1, 2 * HOUR),
        st.sampled_from("abcdefgh"),
        st.sampled_from(WORKSPACES),
        st.sampled_from(["fetched", "failed", "found", "dropped"]),
        st.floats(0, 1),
    ),
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(story, st.integers(0, 20) | st.just(10**6))
def test_money_is_conserved_and_within_the_budget(
    events: list[tuple[float, str, str, str, float]], calls: int
) -> None:
    """What was settled is what the accounts say, and every answer is used, wasted or waiting."""
    daily = calls * COST
    one = planner(Terms(hourly=daily, daily=daily, workspace_daily=daily, second=10**9,
                        least_chance=0.0, ahead=60.0))  # fmt: skip
    now, paid, by_day = START, 0, dict[float, int]()
    for later, name, workspace, outcome, part in events:
        now += later
        one.observe(asked(name, now, workspace=workspace, hit=part < 0.5))
        for wish in one.plan(now, 100, 10):
            cost = int(wish.reserved * part) if outcome in {"fetched", "failed"} else 0
            finish(one, wish, outcome, cost, now)
            paid += cost
            by_day[now // DAY] = by_day.get(now // DAY, 0) + cost
    assert all(total <= daily for total in by_day.values())
    accounts = one.learner.accounts.values()
    assert sum(account.spent for account in accounts) == paid
    waiting = [p for p in one.learner.prompts.values() if p.warmed >= 0]
    fetched = sum(account.warmed for account in accounts)
    assert fetched == sum(a.used + a.wasted for a in accounts) + len(waiting)
    assert one.budget.left("a", now + 2 * DAY) == daily


def finish(one: Planner, wish: Wish, outcome: str, cost: int, now: float) -> None:
    """End a wish in one of the four ways."""
    if outcome == "fetched":
        one.fetched(wish, cost, now)
    elif outcome == "failed":
        one.failed(wish, cost, now)
    elif outcome == "found":
        one.found(wish, now + LIVES, now)
    else:
        one.dropped(wish, now)


def test_an_answer_is_refreshed_shortly_before_its_end() -> None:
    one = planner()
    known(one)
    assert one.plan(START + LIVES - 120, 100, 10) == []
    (wish,) = one.plan(START + LIVES - 30, 100, 10)
    assert wish.refresh and wish.digest == digest("ax")
    assert one.plan(START + LIVES - 29, 100, 10) == []  # one call for it at a time


def test_what_costs_more_than_it_is_worth_is_left_alone() -> None:
    one = planner(Terms(hourly=10**9, daily=10**9, workspace_daily=10**9, second=0,
                        least_chance=0.0, ahead=60.0))  # fmt: skip
    known(one)
    assert one.plan(START + LIVES - 30, 100, 10) == []


def test_an_unknown_price_is_never_paid() -> None:
    one = planner()
    known(one, cost=None)
    assert one.plan(START + LIVES - 30, 100, 10) == []


def test_what_was_cleared_waits_until_it_is_asked_again() -> None:
    one = planner()
    known(one)
    known(one, workspace="b")
    one.learner.clear("a")
    (wish,) = one.plan(START + LIVES - 30, 100, 10)
    assert wish.workspace == "b"
    one.dropped(wish, START + LIVES)
    one.observe(asked("x", START + 2 * LIVES))
    wishes = one.plan(START + 3 * LIVES - 30, 100, 10)
    assert {wish.workspace for wish in wishes} == {"a", "b"}


def test_who_fails_again_and_again_is_left_alone() -> None:
    one, now, calls = planner(), START, 0
    known(one)
    while now < START + 3 * DAY:
        now += 60.0
        for wish in one.plan(now, 100, 10):
            calls += 1
            one.failed(wish, 0, now)
    assert calls == 3


def test_only_what_the_cache_alone_would_have_missed_is_saved() -> None:
    one = planner()
    known(one)  # in the cache until LIVES after START + 1
    (wish,) = one.plan(START + LIVES - 30, 100, 10)
    one.fetched(wish, 900, START + LIVES - 30)
    account = one.learner.account("a")
    one.observe(asked("x", START + LIVES - 10, hit=True))
    assert (account.used, account.saved) == (0, 0)  # it was there anyway
    one.observe(asked("x", START + LIVES + 10, hit=True))
    assert (account.used, account.saved) == (1, COST)
    one.observe(asked("x", START + LIVES + 20, hit=True))
    assert (account.used, account.saved) == (1, COST)  # that call would have brought it back
    assert account.spent == 900


def test_a_daily_prompt_is_asked_beforehand() -> None:
    """After two weeks of nine o'clock it is there at nine, on working days alone."""
    one, warmed = planner(Terms(hourly=10**9, daily=10**9, workspace_daily=10**9, second=COST,
                                least_chance=0.3, ahead=60.0)), set[int]()  # fmt: skip
    for day in range(28):
        nine = START + day * DAY + 9 * HOUR
        now = START + day * DAY
        while now < START + (day + 1) * DAY:
            if now == nine and day % 7 < 5:
                one.observe(asked("x", nine, hit=day in warmed))
            for wish in one.plan(now, 100, 10):
                one.fetched(wish, COST, now)
                assert nine - LIVES <= now <= nine
                warmed.add(day)
            now += 60.0
    third, fourth = set(range(14, 19)), set(range(21, 26))
    assert (third | fourth) - {14} <= warmed  # of the first two Mondays one was seen again
    assert len([day for day in warmed if day >= 14 and day % 7 >= 5]) <= 1
    assert one.learner.account("a").used >= 9


def test_what_follows_is_asked_as_soon_as_what_it_follows_comes() -> None:
    one = planner(Terms(hourly=10**9, daily=10**9, workspace_daily=10**9, second=COST,
                        least_chance=0.3, ahead=60.0))  # fmt: skip
    draw = blake2b
    for number in range(60):
        hour = draw(b"%d" % number).digest()[0] % 7  # at no fixed time
        now = START + number * 9 * HOUR + hour * HOUR
        one.observe(asked("first", now))
        wishes = one.plan(now + 1, 100, 10)
        for wish in wishes:
            one.fetched(wish, COST, now + 1)
        one.observe(asked("second", now + 120, hit=bool(wishes)))
    assert digest("asecond") in {wish.digest for wish in wishes}


def test_nothing_that_never_returned_is_warmed() -> None:
    one = planner(Terms(hourly=10**9, daily=10**9, workspace_daily=10**9, second=10**9,
                        least_chance=0.0, ahead=60.0))  # fmt: skip
    for number in range(500):
        one.observe(asked(f"once {number}", START + 60.0 * number))
        assert one.plan(START + 60.0 * number, 100, 10) == []
    assert one.learner.prompts == {}
