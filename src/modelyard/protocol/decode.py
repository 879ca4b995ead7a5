"""Bytes from a client into typed values; whatever is wrong becomes ``INVALID_REQUEST``.

The details name the ``field``, the ``rule`` it breaks and what is ``allowed``; the value itself is
not echoed, since it may be a secret put in the wrong place.
"""

import difflib
import re
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec

from modelyard.protocol import shape
from modelyard.protocol.errors import Failure

T = TypeVar("T")

LONGEST_NAME = 100  # characters of a client's own field name that are repeated to it
MOST_PARAMETERS = 100

_EXPECTED = re.compile(r"Expected `([^`]*)`(?:, got `([^`]*)`)?(.*)", re.DOTALL)
_NAMED = re.compile(r"Object (missing required|contains unknown) field `(.*?)`?$", re.DOTALL)
_OF_KEY = " - at `key` in `$"  # a map is told of where one of its keys is wrong
_NO_TIME = "Invalid RFC3339 encoded datetime"
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MENDABLE = re.compile(r"Object |Expected `int[^`]*`, got `float`")
_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_RULES = {
    "": "type",
    "of": "length",
    "matching": "pattern",
    "with": "format",
}  # by the word after the type; anything else compares numbers


class Problem(NamedTuple):
    """What is wrong with one place of a body or query."""

    field: str  # "" for the whole
    rule: str
    message: str
    allowed: Any = None


def body(sent: bytes, type_: type[T], ignored: frozenset[str] = frozenset()) -> T:
    """A request's body; none at all is an empty object. See ``decode``."""
    return decode(sent or b"{}", type_, either_case=True, ignored=ignored)


def decode(
    body: bytes,
    type_: type[T],
    *,
    either_case: bool = False,
    ignored: frozenset[str] = frozenset(),
) -> T:
    """The JSON ``body`` as a ``type_``.

    With ``either_case`` declared fields may be spelled in camelCase or snake_case, a whole
    number may be written as 3.0, which is an integer to JSON Schema, and the fields named in
    ``ignored`` are left out. Raises ``INVALID_REQUEST``.
    """
    try:
        return decoder(type_).decode(body)
    except msgspec.ValidationError as error:
        if not either_case or not _MENDABLE.match(str(error)):
            raise invalid(error, type_) from None
        first = error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(error) from None
    try:
        sent = msgspec.json.decode(body)
        if ignored and isinstance(sent, dict):
            sent = {
                name: item
                for name, item in sent.items()
                if ignored.isdisjoint((name, shape.camel(name), shape.snake(name)))
            }
        value = shape.respell(sent, type_)
    except shape.Twice as twice:
        raise _failure(_both(*twice.args)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid(first, type_) from None
    try:
        return msgspec.convert(value, type_, str_keys=True)
    except msgspec.ValidationError as error:
        raise invalid(error, type_) from None


def decoder(type_: type[T]) -> msgspec.json.Decoder[T]:
    """The one decoder of a type: making one costs more than decoding a small body."""
    wanted: Any = type_
    made: msgspec.json.Decoder[T] = _decoder(wanted)
    return made


@lru_cache(maxsize=1024)
def _decoder(type_: Any) -> Any:
    return msgspec.json.Decoder(type_)


def query(raw: bytes, type_: type[T]) -> T:
    """A query string as a ``type_``; parameters may be spelled in either case.

    A parameter declared as a list may be repeated. An unknown one, or a repeated one that is no
    list, is ``INVALID_REQUEST``.
    """
    if raw:
        return _queried(raw, type_)
    wanted: Any = type_
    unasked: T | None = _unasked(wanted)
    return _queried(raw, type_) if unasked is None else unasked


@lru_cache(maxsize=1024)
def _unasked(type_: Any) -> Any:
    """What no parameter at all says; None where somebody could change it."""
    made = _queried(b"", type_)
    parts = [getattr(made, name) for name in made.__struct_fields__]
    fixed = made.__struct_config__.frozen
    return made if fixed and not any(isinstance(one, list | dict | set) for one in parts) else None


def _queried(raw: bytes, type_: type[T]) -> T:
    wanted: Any = type_
    attributes = shape.attributes(wanted)
    known = list(attributes)
    given: dict[str, list[str]] = {}
    for name, value in _pairs(raw):
        given.setdefault(_spelled(name, known), []).append(value)
    values = {name: _single(name, found, type_) for name, found in given.items()}
    try:
        result = msgspec.convert(values, type_, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, type_) from None
    for name, sent in values.items():
        _as_declared(name, sent, getattr(result, attributes[name]))
    return result


def _as_declared(name: str, sent: Any, value: Any) -> None:
    """Refuse what msgspec makes of a text beyond what the parameter's schema allows."""
    if value is None:
        raise _failure(Problem(name, "type", "cannot be null; leave it out instead"))
    if isinstance(value, datetime) and not _TIME.match(sent):  # a number: seconds since 1970
        raise _failure(Problem(name, "format", _reword(_NO_TIME)))


def refuse_query(raw: bytes) -> None:
    """Raise ``INVALID_REQUEST`` for the first parameter, where there can be none."""
    for name, _ in _pairs(raw):
        _spelled(name, [])


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    if not raw:
        return []
    try:
        return parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_PARAMETERS,
        )
    except ValueError:  # UnicodeDecodeError is one
        problem = Problem("query", "encoding", f"has at most {MOST_PARAMETERS} parameters in UTF-8")
        raise _failure(problem, "The query string") from None


def _spelled(name: str, known: list[str]) -> str:
    if spelled := shape.spelled(name, known):
        return spelled
    problem = _unknown(name[:LONGEST_NAME], known)
    raise _failure(problem, f"The query parameter '{problem.field}'")


def _single(name: str, found: list[str], type_: Any) -> Any:
    if shape.takes_list(type_, "." + name):
        return found
    if len(found) > 1:
        raise _failure(Problem(name, "repeated", "may be given once only"))
    return found[0]


def invalid(error: Exception, type_: Any = None) -> Failure:
    """``INVALID_REQUEST`` for what msgspec raised while decoding into ``type_``."""
    if isinstance(error, msgspec.ValidationError):
        return _failure(_explain(str(error), type_))
    if isinstance(error, RecursionError):
        return _failure(Problem("", "depth", "is nested too deeply"))
    if isinstance(error, UnicodeDecodeError):
        return _failure(Problem("", "encoding", "is not valid UTF-8", "UTF-8"))
    reason = str(error).removeprefix("JSON is malformed: ")
    message = f"is not valid JSON: {reason}. NaN, Infinity, comments and trailing commas are not"
    return _failure(Problem("", "json", message + " JSON either", "JSON"))


def _failure(problem: Problem, subject: str = "") -> Failure:
    if not subject:
        subject = f"'{problem.field}'" if problem.field else "The body"
    details = {"field": problem.field or "body", "rule": problem.rule, "allowed": problem.allowed}
    return Failure(
        "INVALID_REQUEST",
        f"{subject} {problem.message}.",
        details={name: value for name, value in details.items() if value is not None},
    )


def _explain(text: str, type_: Any) -> Problem:
    text, _, place = text.replace(_OF_KEY, " - at `$").partition(" - at `$")
    place = place.removesuffix("`")
    field = place.removeprefix(".")
    if named := _NAMED.fullmatch(text):
        name = named.group(2)[:LONGEST_NAME]
        inner = f"{field}.{name}" if field else name
        if named.group(1).startswith("missing"):
            return Problem(inner, "required", "is required")
        known = shape.names(type_, place) if type_ is not None else []
        return _unknown(name, known)._replace(field=inner)
    if expected := _EXPECTED.fullmatch(text):
        return _mismatch(field, *expected.groups(default=""))
    if text.startswith(("Invalid enum value", "Invalid value")):
        listed = shape.values(type_, place) if type_ is not None else []
        message = "must be one of " + ", ".join(map(str, listed)) if listed else "is not allowed"
        return Problem(field, "enum", message, listed or None)
    return Problem(field, "format" if text.startswith("Invalid") else "range", _reword(text))


def _mismatch(field: str, kind: str, got: str, rest: str) -> Problem:
    words = " or ".join(_WORDS.get(word, word) for word in kind.split(" | "))
    rest = shape.pattern(rest.strip().replace("\\\\", "\\"))  # told as Python's literal
    allowed = f"{words} {rest}".strip()
    rule = _RULES.get(rest.partition(" ")[0], "range")
    article = "an" if allowed[0] in "aeio" else "a"
    message = f"must be {article} {allowed}"
    return Problem(
        field, rule, f"{message}, not {_WORDS.get(got, got)}" if got else message, allowed
    )


def _both(sent: str, name: str) -> Problem:
    return Problem(sent, "repeated", f"is another spelling of '{name}': send one of them")


def _unknown(name: str, known: list[str]) -> Problem:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    listed = "; allowed are " + ", ".join(known) if known else ""
    return Problem(name, "unknown_field", "is not known" + (hint.rstrip("?") or listed), known)


def _reword(text: str) -> str:
    text = text.strip()
    if text == _NO_TIME:
        return "must be a time as RFC 3339 writes it, such as 2026-01-15T10:30:00Z"
    if text.startswith(("Invalid ", "Number ", "Integer ", "Timestamp ")):
        return "is not usable: " + text[0].lower() + text[1:]
    return text  # the words of a type's own check, which begin with a verb
