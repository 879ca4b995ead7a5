"""Paths that were asked for are remembered: it shows in nothing but time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.protocol import routing
from modelyard.protocol.routing import Table

PATHS = [
    "/notes",
    "/notes/{id}",
    "/notes/{id}/rotate",
    "/notes/{id}/parts/{part}",
    "/files/{rest*}",
]


def table(*paths: str) -> Table[str]:
    made: Table[str] = Table()
    for path in paths:
        made.add("GET", path, path)
    return made


@given(st.lists(st.text("ab:/%2Fnotesfilr", max_size=25).map("/".__add__), max_size=20))
def test_a_path_leads_to_the_same_however_often_it_is_asked_for(asked: list[str]) -> None:
    known = table(*PATHS)
    for path in [*asked, *reversed(asked)]:
        try:
            found = known.find(path)
        except UnicodeDecodeError:
            with pytest.raises(UnicodeDecodeError):
                table(*PATHS).find(path)
        else:
            assert found == table(*PATHS).find(path)


def test_a_route_that_is_declared_later_is_found() -> None:
    known = table("/notes/{id}")
    assert known.find("/notes/latest") == ({"GET": "/notes/{id}"}, {"id": "latest"})
    known.add("GET", "/notes/latest", "/notes/latest")
    known.add("POST", "/notes/{id}", "changed")
    assert known.find("/notes/latest") == ({"GET": "/notes/latest"}, {})
    assert known.find("/notes/1") == ({"GET": "/notes/{id}", "POST": "changed"}, {"id": "1"})


def test_few_and_short_ones_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_REMEMBERED", 4)
    known = table("/notes/{id}")
    for number in range(50):
        found = known.find(f"/notes/{number}")
        assert found is not None and found.values == {"id": str(number)}
        assert len(known._asked) <= 4
    assert known.find("/notes/" + "x" * routing._SHORT) is not None
    assert known.find("/nothing") is None
    assert (
        all(len(path) <= routing._SHORT for path in known._asked) and "/nothing" not in known._asked
    )
