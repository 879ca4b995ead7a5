import pytest

from modelyard.protocol.errors import Failure
from modelyard.protocol.states import States

STATES = States(
    initial="draft",
    moves={
        "activate": (("draft", "paused"), "active"),
        "pause": (("active",), "paused"),
        "archive": (("draft", "active", "paused"), "archived"),
    },
)


@pytest.mark.parametrize(
    ("verb", "current", "after"),
    [
        ("activate", "draft", "active"),
        ("activate", "paused", "active"),
        ("pause", "active", "paused"),
        ("archive", "draft", "archived"),
    ],
)
def test_a_move(verb: str, current: str, after: str) -> None:
    assert STATES.check(verb, current) == after


def test_a_move_that_the_state_does_not_allow() -> None:
    with pytest.raises(Failure) as caught:
        STATES.check("activate", "active")
    assert caught.value.status == 409
    assert caught.value.code.symbol == "CONFLICT"
    assert caught.value.message == (
        "'activate' needs state 'draft' or 'paused', not 'active'; "
        "possible now: 'pause' or 'archive'."
    )
    assert caught.value.details == {
        "field": "state", "rule": "state", "state": "active", "verb": "activate",
        "allowed": ["draft", "paused"],
    }  # fmt: skip


def test_a_last_state() -> None:
    with pytest.raises(Failure, match="not 'archived'; nothing leads on from there"):
        STATES.check("pause", "archived")


def test_every_state_is_named_once() -> None:
    assert STATES.names == ["draft", "active", "paused", "archived"]


def test_a_state_that_cannot_be_reached_is_a_mistake_of_the_declaration() -> None:
    with pytest.raises(ValueError, match="no move leads to actve"):
        States(initial="draft", moves={"pause": (("actve",), "paused")})
