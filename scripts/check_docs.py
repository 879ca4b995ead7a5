"""Documentation is complete: every setting, error, permission, command and endpoint is in it."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from typer.core import TyperGroup
from typer.main import get_command

from findings import Finding, code, report, root
from modelyard.cli.application import application
from modelyard.protocol.errors import REGISTRY
from modelyard.server import routes
from modelyard.settings import types
from modelyard.settings.auth import AuthSettings

REFERENCE = Path("docs/reference")
TABLES = {
    "cache": "[cache]",
    "warming": "[cache.warming]",
    "gateway": "[gateway]",
    "auth": "[auth]",
    "oidc": "[auth.oidc]",
    "jobs": "[jobs]",
    "webhooks": "[webhooks]",
    "providers": "[providers.NAME]",
    "models": "[[models]]",
    "price": "[models.price]",
}


class Fact(NamedTuple):
    """Something of the product that ``page`` has to name, spelled as in ``text``."""

    kind: str
    text: str
    page: Path


def settings() -> Iterator[Fact]:
    """Every field of every settings type; a table by its header."""
    for struct in vars(types).values():
        if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
            continue
        for name in struct.__struct_fields__:
            tables = struct in (types.Settings, types.ModelSettings, AuthSettings)
            text = TABLES.get(name, name) if tables else name
            yield Fact("setting", f"`{text}`", REFERENCE / "settings.md")


def errors() -> Iterator[Fact]:
    """Every code of the registry: a page of its own, and a line in their index."""
    for symbol in REGISTRY:
        yield Fact("error code", symbol, REFERENCE / "errors" / f"{symbol}.md")
        yield Fact("error code", f"{symbol}.md", REFERENCE / "errors" / "README.md")


def permissions(tree: Path) -> Iterator[Fact]:
    """Every permission that a route or a line of the code asks for."""
    found = {route.permission for route in routes() if route.permission}
    for path, text in code(tree, ".py"):
        if path.parts[0] == "src":
            found.update(re.findall(r'(?:authorize\(\w+, |check\()"([a-z]+:[a-z]+)"', text))
    for permission in sorted(found):
        yield Fact("permission", f"`{permission}`", REFERENCE / "permissions.md")


def commands(command: object = None, name: str = "modelyard") -> Iterator[Fact]:
    """Every command, and every option of it."""
    command = command or get_command(application())
    page = REFERENCE / "cli.md"
    if isinstance(command, TyperGroup):
        for child, inner in command.commands.items():
            yield from commands(inner, f"{name} {child}")
        return
    yield Fact("command", f"## {name}", page)
    for param in getattr(command, "params", ()):
        for option in param.opts:
            if option.startswith("--"):
                yield Fact("option", f"`{option}", page)


def endpoints(tree: Path) -> Iterator[Fact]:
    """Every method and path of the OpenAPI document, and every path a page speaks of."""
    file = tree / "api/openapi.json"
    if not file.is_file():
        yield Fact("interface", "paths", Path("api/openapi.json"))
        return
    document = json.loads(file.read_text(encoding="utf-8"))
    for path, item in document["paths"].items():
        for method in item:
            if method in ("get", "post", "put", "patch", "delete"):
                text = f"`{method.upper()} {path}`"
                yield Fact("endpoint", text, REFERENCE / "endpoints.md")


def missing(tree: Path, facts: Iterator[Fact]) -> Iterator[Finding]:
    """The facts that their pages do not name."""
    texts: dict[Path, str | None] = {}
    for fact in facts:
        if fact.page not in texts:
            path = tree / fact.page
            texts[fact.page] = path.read_text(encoding="utf-8") if path.is_file() else None
        text = texts[fact.page]
        if text is None:
            what = f"is missing; it has to tell of the {fact.kind} {fact.text}."
            yield Finding(str(fact.page), what, "Write it, or run 'make docs' if it is generated.")
        elif fact.text not in text:
            what = f"does not name the {fact.kind} {fact.text}."
            yield Finding(str(fact.page), what, "Add it, or run 'make docs' if it is generated.")


def check(tree: Path) -> Iterator[Finding]:
    """Everything that is not documented."""
    for facts in (settings(), errors(), permissions(tree), commands(), endpoints(tree)):
        yield from missing(tree, facts)


if __name__ == "__main__":
    sys.exit(report(check(root())))
