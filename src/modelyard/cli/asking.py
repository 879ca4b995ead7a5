"""Options made of a declared type: one for each field that a client may set."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from msgspec import inspect

from modelyard.cli.problem import Problem
from modelyard.kernel.fields import About

_PLAIN: dict[type[inspect.Type], Any] = {
    inspect.StrType: str,
    inspect.LiteralType: str,
    inspect.DateTimeType: str,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.BoolType: bool,
}
_LONG = 500  # characters
_JSON = "As JSON; @FILE reads it from a file."


class Asked(NamedTuple):
    """One option, and where its value belongs in the document."""

    param: Parameter
    path: tuple[str, ...]
    read: Callable[[Any], Any]


def options(fields: Iterable[About], *, required: bool) -> list[Asked]:
    """The options for some fields; with ``required``, those without a default must be given."""
    return [asked for about in fields for asked in _of_field(about, required)]


def given(asked: Iterable[Asked], values: dict[str, Any]) -> dict[str, Any]:
    """The document of the options that were given, taken out of ``values``."""
    document: dict[str, Any] = {}
    for one in asked:
        value = values.pop(one.param.name)
        if value is None or value == []:
            continue
        inner = document
        for step in one.path[:-1]:
            inner = inner.setdefault(step, {})
        inner[one.path[-1]] = one.read(value)
    return document


def short(about: About) -> bool:
    """Whether a field's values fit into a table: they are plain and not long."""
    node, _ = _plain(inspect.type_info(about.type))
    if isinstance(node, inspect.CollectionType):
        node, _ = _plain(node.item_type)
    if isinstance(node, inspect.StrType):
        return (node.max_length or 0) <= _LONG
    return type(node) in _PLAIN


def _of_field(about: About, required: bool) -> Iterator[Asked]:
    node, text = _plain(inspect.type_info(about.type))
    if isinstance(node, inspect.StructType):
        for field in node.fields:
            inner, told = _plain(field.type)
            yield _asked((about.wire, field.encode_name), inner, told, secret=False, needed=False)
        return
    needed = required and len(about.given) == 2  # without a default
    yield _asked((about.wire,), node, text, secret=about.behavior == "input_only", needed=needed)


def _asked(
    path: tuple[str, ...], node: inspect.Type, text: str, *, secret: bool, needed: bool
) -> Asked:
    name = path[-1]
    kind, read, metavar = _kind(name, node, secret)
    option = f"--{name.replace('_', '-')}"
    words = (f"{option}/--no-{option[2:]}",) if kind is bool else (option,)
    help_ = " ".join(part for part in (_sentence(text), _more(node, kind, secret)) if part)
    info = typer.Option(*words, help=help_, metavar=None if kind is bool else metavar)
    default: Any = Parameter.empty if needed else None
    type_ = kind if needed else kind | None
    param = Parameter(
        f"field_{name}", Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[type_, info]
    )
    return Asked(param, path, read)


def _kind(name: str, node: inspect.Type, secret: bool) -> tuple[Any, Callable[[Any], Any], str]:
    """The type of an option, what makes its value, and the word that stands for it."""
    if isinstance(node, inspect.CollectionType):
        inner, _ = _plain(node.item_type)
        if type(inner) in (inspect.StrType, inspect.LiteralType):
            return list[str], list, "TEXT"
    if type(node) not in _PLAIN:
        return str, lambda text: _decoded(name, _read(text)), "JSON"
    kind = _PLAIN[type(node)]
    if kind is str:
        return str, (lambda text: _hidden(name, text)) if secret else _read, "TEXT"
    return kind, lambda value: value, "NUMBER"


def _more(node: inspect.Type, kind: Any, secret: bool) -> str:
    if secret:
        return "'-' asks for it, or reads it from standard input."
    several = isinstance(node, inspect.CollectionType)
    one = _plain(node.item_type)[0] if isinstance(node, inspect.CollectionType) else node
    if isinstance(one, inspect.LiteralType):
        which = f"One of {', '.join(map(str, one.values))}"
        return f"{which}; repeatable." if several else f"{which}."
    if kind == list[str]:
        return "Repeatable."
    return _JSON if type(node) not in _PLAIN else ""


def _plain(node: inspect.Type) -> tuple[inspect.Type, str]:
    """A type without its constraints and null, and its description."""
    text = ""
    while isinstance(node, inspect.Metadata | inspect.UnionType):
        if isinstance(node, inspect.Metadata):
            text = text or str((node.extra_json_schema or {}).get("description", ""))
            node = node.type
        else:
            node = next(one for one in node.types if not isinstance(one, inspect.NoneType))
    return node, text


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "?")) else text + "."


def _read(text: str) -> str:
    """The text itself, or that of the file behind an ``@``."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as reason:
        told = getattr(reason, "strerror", None) or "it is no text"
        raise Problem(f"{text[1:]} cannot be read ({told})", status=2) from None


def _decoded(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as reason:
        option = name.replace("_", "-")
        raise Problem(f"--{option} is not JSON ({reason})", status=2) from None


def _hidden(name: str, text: str) -> str:
    """What was typed where nobody sees it."""
    return secret(name.replace("_", " ").capitalize()) if text == "-" else text


def secret(prompt: str) -> str:
    """Ask for a secret on a terminal; else the first line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt(prompt, hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")
