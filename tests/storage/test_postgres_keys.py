"""Resources that many ask for at a time are read by one statement."""

import asyncio
from typing import Any

import pytest

from modelyard.storage import newest
from modelyard.storage.driver import Rows, Values
from modelyard.storage.newest import BY_KEY
from modelyard.storage.postgres_keys import Keys, several
from modelyard.storage.store import _GET

ONE = f"SELECT resource.id, resource.spec FROM resource_x AS resource{BY_KEY}"


class Held:
    """A database that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[Any], asyncio.Future[Rows]]] = []

    async def fetch(self, sql: str, values: Values) -> Rows:
        answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self.asked.append((sql, list(values), answer))
        return await answer


@pytest.fixture
def held() -> Held:
    return Held()


def ask(keys: Keys, *names: str, sql: str = ONE) -> list[asyncio.Task[Rows]]:
    some = several(sql)
    assert some is not None
    return [asyncio.ensure_future(keys.find(sql, some, ("k", "w", "", one))) for one in names]


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_only_what_finds_a_resource_by_its_key_is_read_with_others() -> None:
    text = several(ONE)
    assert text is not None
    assert "SELECT asked.number, resource.id, resource.spec FROM unnest(" in text
    assert "JOIN resource_x AS resource ON resource.kind = asked.kind AND" in text
    assert several(_GET.format("resource_x")) is not None, "as the store asks"
    below = newest.one("k", "resource_x", "resource_y", "postgresql")
    text = several(below)
    assert text is not None
    assert "resource.spec, newest.id" in text
    assert text.index("JOIN resource_x AS resource") < text.index("LEFT JOIN LATERAL")
    assert several("SELECT 1") is None
    assert several(f"{ONE} AND deleted_at IS NULL") is None


async def test_who_asks_alone_has_a_statement_and_the_others_one_for_all(held: Held) -> None:
    keys = Keys(held.fetch)
    tasks = ask(keys, "a", "b", "c", "d", "none")
    await turn()
    assert [(sql, values[3]) for sql, values, _ in held.asked] == [(ONE, "a"), (ONE, "b")]
    held.asked[0][2].set_result([("a", "1")])
    await turn()
    _, _, (sql, values, answer) = held.asked
    assert (sql, values) == (several(ONE), [["k"] * 3, ["w"] * 3, [""] * 3, ["c", "d", "none"]])
    answer.set_result([(2, "d", "4"), (1, "c", "3")])
    held.asked[1][2].set_result([("b", "2")])
    got = await asyncio.gather(*tasks)
    assert got == [[("a", "1")], [("b", "2")], [("c", "3")], [("d", "4")], []]
    more = ask(keys, "e")
    await turn()
    assert held.asked[-1][:2] == (ONE, ["k", "w", "", "e"])
    held.asked[-1][2].set_result([])
    assert await more[0] == []


async def test_each_kind_has_a_statement_and_none_too_many_keys(held: Held) -> None:
    keys = Keys(held.fetch)
    other = ONE.replace("resource_x", "resource_y")
    tasks = ask(keys, "a", "b", *(f"c{n}" for n in range(40)))
    tasks += ask(keys, "y", sql=other)
    await turn()
    for place in range(5):
        held.asked[place][2].set_result([])
        await turn()
    sizes = [len(values[3]) for _, values, _ in held.asked[2:]]
    assert sizes == [32, 1, 8], "the longest wait first, and what is left of it last"
    assert held.asked[3][0] == several(other)
    assert await asyncio.gather(*tasks) == [[]] * 43


async def test_an_error_is_told_to_all_who_wait_and_who_left_is_left_out(held: Held) -> None:
    keys = Keys(held.fetch)
    tasks = ask(keys, "a", "b", "c", "d", "e")
    await turn()
    tasks[3].cancel()
    tasks[0].cancel()  # its place is free
    await turn()
    held.asked[2][2].set_exception(OSError("gone"))
    held.asked[1][2].set_exception(OSError("b alone"))
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in got] == [
        asyncio.CancelledError, OSError, OSError, asyncio.CancelledError, OSError,
    ]  # fmt: skip
    assert [str(got[place]) for place in (1, 2, 4)] == ["b alone", "gone", "gone"]
