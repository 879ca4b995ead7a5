"""What is forgotten of the semantic cache when a level of the exact one is cleared."""

from types import SimpleNamespace
from typing import Any

import pytest

from modelyard.gateway.cache import CLEARED, RESOURCE
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Sealed
from modelyard.live import forget_questions


@pytest.mark.parametrize(
    ("level", "lower", "forgotten"),
    [
        ("all", ["l3"], ["w"]),
        ("l3", ["l3"], ["w"]),
        ("l1", ["l3"], []),
        ("l1", [], ["w"]),
    ],
)
def test_questions_stay_while_a_level_below_the_memory_answers(
    level: str, lower: list[str], forgotten: list[str]
) -> None:
    found: list[str] = []
    plane: Any = SimpleNamespace(
        semantic=SimpleNamespace(clear=found.append), cache=SimpleNamespace(lower=lower)
    )
    event = Event(
        workspace="w",
        actor="a",
        verb=CLEARED,
        resource=RESOURCE,
        request_id="r",
        after={"level": level, "pending": []},
    )
    forget_questions(plane, [Sealed(1, b"", event)])
    assert found == forgotten
