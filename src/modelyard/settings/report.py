"""What loading finds out beside the values: where each came from, what is wrong, what is odd."""

from difflib import get_close_matches
from typing import Any

from modelyard.settings.fields import Key, dotted, field_at, shown

_ABSENT: Any = object()


class Report:
    """Collects every error before any is shown."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.sources: dict[str, str] = {}
        self._unread: set[Key] = set()

    def reject(self, key: Key, rule: str, value: object = _ABSENT) -> None:
        """As ``refuse``, for a value that could not be read: nothing more is said of its key."""
        self.refuse(key, rule, value)
        self._unread.add(key)

    def refuse(self, key: Key, rule: str, value: object = _ABSENT) -> None:
        """Record an error: the key, its value (masked if secret), its source and the way out."""
        if key not in self._unread:
            self.errors.append(self._line(key, rule, value))

    def warn(self, key: Key, remark: str, value: object = _ABSENT) -> None:
        """Record something odd that does not keep the server from starting."""
        self.warnings.append(self._line(key, remark, value))

    def source(self, key: Key) -> str:
        """Where a key's value came from; for a missing one, the table it is missing in."""
        for end in range(len(key), 0, -1):
            found = self.sources.get(dotted(key[:end]))
            if found and found != "default":
                return found
        return "default"

    def _line(self, key: Key, remark: str, value: object) -> str:
        text = dotted(key)
        if value is not _ABSENT:
            text += f" = {shown(value, field_at(key))}"
        return f"{text} ({self.source(key)}): {remark}"


def suggestion(name: str, known: list[str]) -> str:
    """The way out of an unknown name: what was probably meant, else what there is."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return "known here: " + ", ".join(known) + "."
