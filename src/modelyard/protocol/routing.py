"""Which route answers a path: exact ones by dictionary, templated ones by a tree of segments.

A custom method is found in both spellings: ``/{id}/rotate`` and ``/{id}:rotate`` (AIP-136). Ids may
hold a colon, too: it splits only before a declared word, and only where that leads somewhere.
"""

import difflib
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote

T = TypeVar("T")

LONGEST_PATH = 8192  # characters; no longer one is looked for
LONGEST_COMPARED = 100  # characters of an unknown path that are compared with the known ones
_REMEMBERED = 1024  # paths that were asked for, each of
_SHORT = 200  # characters at most

Spans = tuple[tuple[int, int], ...]


class Found(NamedTuple, Generic[T]):
    """What lies at a path: its routes by method, and the path's parameters."""

    methods: dict[str, T]
    values: dict[str, str]


class _Node(Generic[T]):
    """One segment. A literal wins over ``{one}``, which wins over ``{many*}``."""

    __slots__ = ("literal", "many", "methods", "names", "one")

    def __init__(self) -> None:
        self.literal: dict[str, _Node[T]] = {}
        self.one: _Node[T] | None = None
        self.many: _Node[T] | None = None
        self.methods: dict[str, T] = {}
        self.names: tuple[str, ...] = ()  # of the parameters on the way here

    def child(self, segment: str) -> "_Node[T]":
        """The node below for a declared segment, made when it is missing."""
        if segment.endswith("*}"):
            self.many = self.many or _Node()
            return self.many
        if segment.startswith("{"):
            self.one = self.one or _Node()
            return self.one
        return self.literal.setdefault(segment, _Node())


class Table(Generic[T]):
    """Routes by path and method. ``{name}`` is one segment, ``{name*}`` one or more."""

    def __init__(self) -> None:
        self._exact: dict[str, Found[T]] = {}
        self._root: _Node[T] = _Node()
        self._paths: list[str] = []
        self._words: set[str] = set()  # last segments that are no parameter
        self._asked: dict[str, Found[T]] = {}

    def add(self, method: str, path: str, route: T) -> None:
        """Declare a route. Raises ValueError for one declared twice."""
        node, names = self._root, []
        for segment in path.replace("}:", "}/").split("/")[1:]:  # one of the two spellings
            if segment.startswith("{"):
                names.append(segment.strip("{*}"))
            node = node.child(segment)
        if method in node.methods or (node.methods and node.names != tuple(names)):
            raise ValueError(f"{method} {path} is declared twice")
        if not node.methods:
            self._paths.append(path)
            self._words.add(segment)
        self._asked.clear()
        node.names = tuple(names)
        node.methods[method] = route
        if not names:
            self._exact[path] = Found(node.methods, {})

    def find(self, raw: str) -> Found[T] | None:
        """What lies at the percent-encoded path; an encoded slash does not split.

        It may be the same object for the same path. Raises UnicodeDecodeError where the path is
        not UTF-8.
        """
        found = self._exact.get(raw) or self._asked.get(raw)
        if found is None and len(raw) <= LONGEST_PATH:
            found = self._look(raw)
            if found is not None and len(raw) <= _SHORT:
                if len(self._asked) == _REMEMBERED:
                    self._asked.clear()
                self._asked[raw] = found
        return found

    def _look(self, raw: str) -> Found[T] | None:
        before, _, word = raw.rpartition(":")
        if word in self._words and (found := self._walk(f"{before}/{word}")):
            return found
        return self._walk(raw)

    def _walk(self, raw: str) -> Found[T] | None:
        segments = raw.split("/")[1:]
        if "%" in raw:
            segments = [unquote(segment, errors="strict") for segment in segments]
        match = _match(self._root, segments, 0, ())
        if match is None:
            return None
        node, spans = match
        values = ["/".join(segments[start:end]) for start, end in spans]
        return Found(node.methods, dict(zip(node.names, values, strict=True)))

    def nearest(self, path: str) -> list[str]:
        """At most three declared paths that look like ``path``, the likeliest first."""
        return difflib.get_close_matches(path[:LONGEST_COMPARED], self._paths, n=3, cutoff=0.7)


def _match(
    node: _Node[T], segments: list[str], at: int, spans: Spans
) -> tuple[_Node[T], Spans] | None:
    if at == len(segments):
        return (node, spans) if node.methods else None
    segment = segments[at]
    found = None
    if child := node.literal.get(segment):
        found = _match(child, segments, at + 1, spans)
    if found is None and node.one and segment:
        found = _match(node.one, segments, at + 1, (*spans, (at, at + 1)))
    if found is None and node.many and segment:
        ends = range(at + 1, len(segments) + 1)
        tried = (_match(node.many, segments, end, (*spans, (at, end))) for end in ends)
        found = next((match for match in tried if match), None)
    return found
