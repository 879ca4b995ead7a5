"""State machines (AIP-216): which custom method leads from which state to which."""

from msgspec import Struct

from modelyard.protocol.errors import Failure


class States(Struct, frozen=True, kw_only=True):
    """The states of a resource. ``moves`` is verb -> (the states it starts from, where it leads).

    ``States(initial="draft", moves={"activate": (("draft", "paused"), "active"), …})``
    """

    initial: str
    moves: dict[str, tuple[tuple[str, ...], str]]
    field: str = "state"

    def __post_init__(self) -> None:
        starts = {start for froms, _ in self.moves.values() for start in froms}
        if lost := starts - set(self.names):
            raise ValueError(f"no move leads to {', '.join(sorted(lost))}")

    @property
    def names(self) -> list[str]:
        """Every state, the initial one first."""
        return list(dict.fromkeys([self.initial, *(after for _, after in self.moves.values())]))

    def check(self, verb: str, current: str) -> str:
        """The state after ``verb``. Raises ``CONFLICT`` where it cannot start from ``current``."""
        starts, after = self.moves[verb]
        if current in starts:
            return after
        now = [other for other, (froms, _) in self.moves.items() if current in froms]
        raise Failure(
            "CONFLICT",
            f"'{verb}' needs {self.field} {_either(starts)}, not '{current}'; "
            + (f"possible now: {_either(now)}." if now else "nothing leads on from there."),
            details={
                "field": self.field,
                "rule": "state",
                "state": current,
                "verb": verb,
                "allowed": list(starts),
            },
        )


def _either(names: list[str] | tuple[str, ...]) -> str:
    return " or ".join(f"'{name}'" for name in names)
