"""Update masks (AIP-134, AIP-161): which parts of a document an update changes."""

import re
from typing import Any

from modelyard.protocol import shape
from modelyard.protocol.filtering import refused, unknown

Path = tuple[str, ...]  # () is the whole document
LONGEST = 2000  # characters

_PART = r"(?:[^\s,.`]++|`[^`]++`)"
_PATH = re.compile(rf"{_PART}(?:\.{_PART})*+")
_PARTS = re.compile(_PART)
_MASK = re.compile(rf"\s*+{_PATH.pattern}(?:\s*+,\s*+{_PATH.pattern})*+\s*+")
_ABSENT = object()


def parse(text: str, type_: Any) -> tuple[Path, ...] | None:
    """The paths of ``update_mask=title,limits.perDay,labels.team,labels.`a.b` ``; None for none.

    Fields may be spelled in either case and become the spelling of ``type_``; keys of maps stay
    as they are. ``*`` stands for the whole document. Raises ``INVALID_REQUEST`` for a path that
    ``type_`` does not have, or one that leads into a list.
    """
    if not text.strip():
        return None
    if len(text) > LONGEST or not _MASK.fullmatch(text):
        message = f"must be paths such as 'name,limits.per_day', at most {LONGEST:,} characters"
        raise refused("update_mask", "syntax", message)
    return tuple(_path(path, type_) for path in _PATH.findall(text))


def apply(current: Any, sent: dict[str, Any], mask: tuple[Path, ...] | None) -> dict[str, Any]:
    """``current`` with the masked parts as they are in ``sent``; what is absent there goes.

    Without a mask each top-level field of ``sent`` counts. What a path names is replaced whole,
    lists and maps too: ``labels`` replaces all labels, ``labels.team`` changes one. Neither
    argument is changed.
    """
    result: Any = current
    for path in [(name,) for name in sent] if mask is None else mask:
        value = _value(sent, path)
        result = _drop(result, path) if value is _ABSENT else _put(result, path, value)
    return dict(result)


def _path(text: str, type_: Any) -> Path:
    if text == "*":
        return ()
    found: list[str] = []
    place = ""
    for part in _PARTS.findall(text):
        above = ".".join(found)
        known = shape.names(type_, place)
        if known:
            found.append(_spelled(part.strip("`"), known, above))
            place += "." + found[-1]
        elif (inner := shape.values_place(type_, place)) is not None and part != "*":
            found.append(part.strip("`"))
            place = inner
        else:
            message = f"leads into '{above}', which can be replaced as a whole only"
            if place.endswith("[...]"):
                message += "; a key with dots stands in backticks"
            raise refused("update_mask", "path", message, allowed=[above])
    return tuple(found)


def _spelled(name: str, known: list[str], above: str) -> str:
    if spelled := shape.spelled(name, known):
        return spelled
    prefix = above and above + "."
    raise unknown("update_mask", prefix + name, [prefix + one for one in known])


def _value(sent: Any, path: Path) -> Any:
    for name in path:
        sent = sent.get(name, _ABSENT) if isinstance(sent, dict) else _ABSENT
    return sent


def _put(current: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    old = current if isinstance(current, dict) else {}
    return old | {path[0]: _put(old.get(path[0]), path[1:], value)}


def _drop(current: Any, path: Path) -> Any:
    if not isinstance(current, dict) or path[0] not in current:
        return current
    if len(path) > 1:
        return current | {path[0]: _drop(current[path[0]], path[1:])}
    return {name: value for name, value in current.items() if name != path[0]}
