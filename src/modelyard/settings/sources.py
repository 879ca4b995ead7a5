"""Where settings come from: a file, the environment, the command line."""

import re
import tomllib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from modelyard.settings.fields import (
    LIST,
    TABLES,
    VALUE,
    Field,
    Key,
    dotted,
    environment_name,
    fields_of,
    variable,
)
from modelyard.settings.known import known_providers
from modelyard.settings.report import Report, suggestion
from modelyard.settings.types import ProviderSettings, Settings

PREFIX = "MODELYARD_"
OF_CLIENTS = ("MODELYARD_URL", "MODELYARD_API_KEY", "MODELYARD_CONFIG")
# Kubernetes describes a Service named "modelyard" to every pod in variables of these forms.
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(TCP|UDP)\w*)$")


class Given(NamedTuple):
    """A value as it was written, and where; ``text`` when it may have to be parsed."""

    value: Any
    source: str
    text: bool = False
    folder: Path | None = None  # relative paths start here


Layer = dict[Key, Given]


def find_file(config: Path | None, home: Path, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: the one named, else the first that exists."""
    named = config or environ.get("MODELYARD_CONFIG")
    if named:
        return Path(named)
    places = (Path("modelyard.toml"), home / "modelyard.toml")
    return next((place for place in places if place.is_file()), None)


def from_file(path: Path, report: Report) -> Layer:
    """The settings of a TOML file; an unreadable one is an error and gives none."""
    try:
        text = path.read_bytes().decode()
        data = tomllib.loads(text)
    except OSError as problem:
        report.errors.append(f"{path}: cannot be read: {problem.strerror or problem}")
        return {}
    except UnicodeDecodeError:
        report.errors.append(f"{path}: is not UTF-8 text; save it as UTF-8")
        return {}
    except tomllib.TOMLDecodeError as problem:
        report.errors.append(f"{path}: is not valid TOML: {problem}")
        return {}
    numbers = lines_of(text)
    folder = path.absolute().parent

    def given(key: Key, value: Any) -> Given:
        line = next((numbers[key[:n]] for n in range(len(key), 0, -1) if key[:n] in numbers), 0)
        return Given(value, f"file {path}" + (f":{line}" if line else ""), False, folder)

    return _flat(Settings, data, (), given, report)


def lines_of(text: str) -> dict[Key, int]:
    """The line of each key of a TOML text.

    A scan, not a parser: it serves messages only, and a multi-line string may mislead it.
    """
    found: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*(\[\[?)([^\[\]]+)\]", line)
        entry = re.match(r"\s*([\w.\-\"' ]+?)\s*=", line)
        if header:
            table = _names(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            elif table[:1] in counts:
                table = (*table[:1], counts[table[:1]], *table[1:])
            found.setdefault(table, number)
        elif entry:
            found.setdefault((*table, *_names(entry[1])), number)
    return found


def from_environment(environ: Mapping[str, str], named: list[str], report: Report) -> Layer:
    """The settings of the variables that begin with ``MODELYARD_``; empty ones count as unset.

    ``named`` are the providers of the file, so that ``MODELYARD_PROVIDERS_MY_GPU_API_KEY`` finds
    ``[providers.my-gpu]``.
    """
    layer: Layer = {}
    plain = _plain_variables()
    tables = {"MODELYARD_PROVIDERS": "providers", "MODELYARD_MODELS": "models"}
    names = {environment_name(name): name for name in known_providers()}
    names |= {environment_name(name): name for name in named}
    for name in sorted(environ):
        value = environ[name]
        if not name.startswith(PREFIX) or name in OF_CLIENTS or not value:
            continue
        source = f"environment {name}"
        if name in tables:
            found = _from_json(tables[name], value, source, report)
            names |= {environment_name(provider): provider for provider in providers_in(found)}
            layer.update(found)
        elif name in plain:
            layer[plain[name]] = Given(value, source, True)
        elif name.startswith("MODELYARD_PROVIDERS_"):
            layer.update(_of_provider(name, Given(value, source, True), names, report))
        else:
            _unknown_variable(name, [*plain, *tables], report)
    return layer


def from_overrides(overrides: Mapping[str, Any]) -> Layer:
    """The settings of the command line, by dotted key; ``None`` means not given."""
    return {
        tuple(key.split(".")): Given(value, "command line", isinstance(value, str))
        for key, value in overrides.items()
        if value is not None
    }


def providers_in(layer: Layer) -> list[str]:
    """The names of the providers that a layer configures, in their order."""
    return list(dict.fromkeys(str(key[1]) for key in layer if key[0] == "providers"))


def _flat(
    struct: type[msgspec.Struct],
    data: dict[str, Any],
    at: Key,
    given: Callable[[Key, Any], Given],
    report: Report,
) -> Layer:
    layer: Layer = {}
    known = fields_of(struct)
    for name, value in data.items():
        key = (*at, name)
        report.sources[dotted(key)] = given(key, value).source
        field = known.get(name)
        if field is None:
            report.refuse(key, f"unknown setting; {suggestion(name, list(known))}")
        elif field.shape == VALUE:
            layer[key] = given(key, value)
        else:
            layer.update(_flat_tables(field, value, key, given, report))
    return layer


def _flat_tables(
    field: Field, value: Any, at: Key, given: Callable[[Key, Any], Given], report: Report
) -> Layer:
    tables: list[tuple[Key, Any]] = [(at, value)]
    if field.shape == TABLES and isinstance(value, dict):
        tables = [((*at, name), table) for name, table in value.items()]
    elif field.shape == LIST and isinstance(value, list):
        tables = [((*at, index), table) for index, table in enumerate(value)]
    elif field.shape == LIST:
        report.refuse(at, f"must be a list of tables: write [[{field.name}]]", value)
        return {}
    layer: Layer = {}
    for key, table in tables:
        if not isinstance(table, dict) or field.struct is None:
            report.refuse(key, f"must be a table: write [{dotted(key)}]")
            continue
        layer[key] = given(key, table)
        layer.update(_flat(field.struct, table, key, given, report))
    return layer


def _names(text: str) -> Key:
    found = re.findall(r"\"[^\"]*\"|'[^']*'|[\w-]+", text)
    return tuple(name.strip("\"'") for name in found)


def _plain_variables(struct: type[msgspec.Struct] = Settings, at: Key = ()) -> dict[str, Key]:
    found: dict[str, Key] = {}
    for field in fields_of(struct).values():
        key = (*at, field.name)
        if field.shape == VALUE:
            found[variable(key)] = key
        elif field.shape not in (TABLES, LIST) and field.struct is not None:
            found |= _plain_variables(field.struct, key)
    return found


def _from_json(name: str, text: str, source: str, report: Report) -> Layer:
    report.sources.setdefault(name, source)
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as problem:
        report.errors.append(f"{name} ({source}): is not valid JSON: {problem}")
        return {}

    def given(key: Key, value: Any) -> Given:
        return Given(value, source)

    return _flat(Settings, {name: value}, (), given, report)


def _of_provider(name: str, given: Given, names: dict[str, str], report: Report) -> Layer:
    rest = name.removeprefix("MODELYARD_PROVIDERS_")
    fields = fields_of(ProviderSettings)
    for field in sorted(fields, key=len, reverse=True):
        provider = rest.removesuffix("_" + environment_name(field))
        if provider not in (rest, ""):
            found = names.get(provider, provider.lower())
            table: Key = ("providers", found)
            return {table: given, (*table, field): given}
    report.errors.append(
        f"{name} (environment): names no setting; write MODELYARD_PROVIDERS_<NAME>_<FIELD> with a "
        f"field of {', '.join(environment_name(field) for field in fields)}"
    )
    return {}


def _unknown_variable(name: str, known: list[str], report: Report) -> None:
    names = [variable.removeprefix(PREFIX) for variable in known]
    close = get_close_matches(name.removeprefix(PREFIX), names, n=1, cutoff=0.7)
    if _SERVICE_LINK.search(name):
        return
    if close:
        report.errors.append(
            f"{name} (environment): unknown setting; did you mean {PREFIX}{close[0]}?"
        )
    else:
        report.warnings.append(f"{name} (environment): unknown setting, ignored")
