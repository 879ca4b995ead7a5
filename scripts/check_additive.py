"""The API only grows: what the last release promised, today's OpenAPI document still promises.

``api/released`` has the document of each release; a release adds its own and changes no other.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from findings import Finding, report, root
from schema_changes import Change, Schemas

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
KEEP = "Keep it and add beside it, or make it a new version of the API."


def last(tree: Path) -> Path | None:
    """The document of the newest release; None before the first."""
    found = (tree / "api/released").glob("*.json")
    return max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.stem)],
               default=None)  # fmt: skip


def compare(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """What ``new`` takes away from the clients of ``old``, each once."""
    return list(dict.fromkeys(_Comparison(old, new).paths()))


class _Comparison:
    def __init__(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        self.old, self.new = old, new
        self.schemas = Schemas(old, new)

    def paths(self) -> Iterator[Change]:
        for path, before in self.old["paths"].items():
            after = self.new["paths"].get(path)
            if after is None:
                yield Change(path, "is gone")
                continue
            for method in (name for name in METHODS if name in before):
                place = f"{method.upper()} {path}"
                if method in after:
                    yield from self.operation(before, after, method, place)
                else:
                    yield Change(place, "is gone")

    def operation(
        self, old: dict[str, Any], new: dict[str, Any], method: str, place: str
    ) -> Iterator[Change]:
        before, after = old[method], new[method]
        if before.get("operationId") != after.get("operationId"):
            what = f"has operationId {after.get('operationId')}, not {before.get('operationId')}"
            yield Change(place, what)
        yield from self.parameters(old, new, method, place)
        yield from self.body(before, after, place)
        for status, response in before.get("responses", {}).items():
            if status not in after.get("responses", {}):
                yield Change(place, f"has no response {status} any more")
            else:
                theirs = after["responses"][status]
                yield from self.response(response, theirs, f"{place} {status}")

    def parameters(
        self, old: dict[str, Any], new: dict[str, Any], method: str, place: str
    ) -> Iterator[Change]:
        before, after = self.declared(0, old, method), self.declared(1, new, method)
        for (where, name), parameter in after.items():
            mine = before.get((where, name))
            if parameter.get("required") and not (mine and mine.get("required")):
                yield Change(f"{place} {name}", f"is required in the {where} now")
        for (where, name), parameter in before.items():
            theirs = after.get((where, name))
            if theirs is None:
                yield Change(f"{place} {name}", f"is gone from the {where}")
            else:
                schemas = parameter.get("schema", {}), theirs.get("schema", {})
                yield from self.schemas.changes(*schemas, "request", f"{place} {name}")

    def declared(
        self, side: int, item: dict[str, Any], method: str
    ) -> dict[tuple[str, str], dict[str, Any]]:
        listed = [*item.get("parameters", ()), *item[method].get("parameters", ())]
        found = [self.schemas.resolve(side, one) for one in listed]
        return {(one["in"], one["name"]): one for one in found}

    def body(self, old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[Change]:
        before = self.schemas.resolve(0, old.get("requestBody", {}))
        after = self.schemas.resolve(1, new.get("requestBody", {}))
        if after.get("required") and not before.get("required"):
            yield Change(f"{place} body", "is required now")
        yield from self.content(before, after, "request", f"{place} body")

    def response(self, old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[Change]:
        before, after = self.schemas.resolve(0, old), self.schemas.resolve(1, new)
        for name in before.get("headers", {}):
            if name not in after.get("headers", {}):
                yield Change(place, f"has no header {name} any more")
        yield from self.content(before, after, "response", place)

    def content(
        self, old: dict[str, Any], new: dict[str, Any], way: Any, place: str
    ) -> Iterator[Change]:
        for media, before in old.get("content", {}).items():
            after = new.get("content", {}).get(media)
            if after is None:
                yield Change(place, f"has no {media} any more")
            else:
                schemas = before.get("schema", {}), after.get("schema", {})
                yield from self.schemas.changes(*schemas, way, place)


def check(tree: Path) -> Iterator[Finding]:
    """What today's document takes away from the clients of the last release."""
    released = last(tree)
    if released is None:
        return
    old, new = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (released, tree / "api/openapi.json")
    )
    for place, what in compare(old, new):
        yield Finding(place, f"{what} (since {released.stem}).", KEEP)


if __name__ == "__main__":
    sys.exit(report(check(root())))
