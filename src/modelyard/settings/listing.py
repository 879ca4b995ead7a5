"""Every setting in a flat list, as it is shown to people."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from modelyard.settings.fields import LIST, TABLES, VALUE, Key, dotted, fields_of, printable, shown
from modelyard.settings.load import Loaded


class Shown(NamedTuple):
    """One setting: its dotted key, its value as text (secrets masked), and where it came from."""

    key: str
    value: str
    source: str


def listing(loaded: Loaded, *, every: bool = False) -> list[Shown]:
    """The settings in their order; of providers and models only what is set, unless ``every``."""
    rows = [
        Shown(printable(dotted(key)), printable(text), loaded.sources.get(dotted(key), "default"))
        for key, text in _walk(loaded.settings, ())
    ]
    plain = ("providers.", "models[")
    return [row for row in rows if every or row.source != "default" or _matters(row, plain)]


def _matters(row: Shown, prefixes: tuple[str, ...]) -> bool:
    return not row.key.startswith(prefixes) or row.key.endswith((".dialect", ".base_url"))


def _walk(struct: msgspec.Struct, at: Key) -> Iterator[tuple[Key, str]]:
    for field in fields_of(type(struct)).values():
        key = (*at, field.name)
        value: Any = getattr(struct, field.name)
        if field.shape == VALUE:
            yield key, shown(value, field)
            continue
        if field.shape == TABLES:
            below = list(value.items())
        elif field.shape == LIST:
            below = list(enumerate(value))
        else:
            below = [(None, value)]
        for part, inner in below:
            if inner is not None:
                yield from _walk(inner, key if part is None else (*key, part))
