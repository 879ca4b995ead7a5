"""From what was written to typed settings: each value parsed and checked by itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import NODEFAULT, inspect

from modelyard.settings.fields import LIST, TABLE, TABLES, VALUE, Field, Key, dotted, fields_of
from modelyard.settings.report import Report
from modelyard.settings.sources import Given, Layer

ENV = "env:"
_PLACEHOLDERS: dict[type[inspect.Type], Any] = {inspect.StrType: "", inspect.ListType: []}


class Builder:
    """Builds settings of ``layer``; what is wrong goes to ``report``, and a default stands in."""

    def __init__(self, layer: Layer, environ: Mapping[str, str], report: Report) -> None:
        self._layer = layer
        self._environ = environ
        self._report = report
        self._children: dict[Key, dict[Any, None]] = {}
        for key in layer:
            for end in range(len(key)):
                self._children.setdefault(key[:end], {})[key[end]] = None

    def build(self, struct: type[msgspec.Struct], at: Key = ()) -> Any:
        """An instance of ``struct`` from the keys below ``at``."""
        if at in self._layer:
            self._report.sources[dotted(at)] = self._layer[at].source
        values = {}
        for field in fields_of(struct).values():
            values[field.name] = self._field(field, (*at, field.name))
        return struct(**values)

    def _field(self, field: Field, key: Key) -> Any:
        if field.shape == VALUE or field.struct is None:
            return self._value(field, key)
        names = self._children.get(key, {})
        if field.shape == TABLES:
            return {name: self.build(field.struct, (*key, name)) for name in names}
        if field.shape == LIST:
            return [self.build(field.struct, (*key, index)) for index in names]
        if field.shape == TABLE and field.default is None and key not in self._layer:
            return None
        return self.build(field.struct, key)

    def _value(self, field: Field, key: Key) -> Any:
        given = self._layer.get(key)
        if given is None:
            if field.default is NODEFAULT:
                example = f", such as {field.examples[0]!r}" if field.examples else ""
                self._report.reject(key, f"is missing; it must be {field.rule}{example}")
                return _stand_in(field)
            self._report.sources[dotted(key)] = "default"
            return self._expanded(field, Given(field.default, "default"), field.default)
        self._report.sources[dotted(key)] = given.source
        return self._read(field, key, given)

    def _read(self, field: Field, key: Key, given: Given) -> Any:
        names: list[str] = []
        resolved = self._resolve(given.value, names)
        missing = [name for name in names if not self._environ.get(name)]
        if missing:
            self._report.reject(
                key,
                f"is to be read from the environment variable {missing[0]}, which is not set; "
                "set it, or write the value itself",
            )
            return _stand_in(field)
        if names:
            self._report.sources[dotted(key)] += f", environment {', '.join(names)}"
        text = given.text or (bool(names) and isinstance(resolved, str))
        try:
            parsed = _parsed(resolved, field.kind) if text else resolved
            if isinstance(field.kind, inspect.LiteralType) and isinstance(parsed, str):
                parsed = parsed.lower()
            value = msgspec.convert(parsed, field.annotation, strict=not text, dec_hook=_path)
        except (msgspec.ValidationError, msgspec.DecodeError) as problem:
            self._report.reject(key, _complaint(field, problem, resolved), resolved)
            return _stand_in(field)
        return self._expanded(field, given, value)

    def _resolve(self, value: Any, names: list[str]) -> Any:
        """The value with each "env:NAME" replaced; the names met are added to ``names``."""
        if isinstance(value, str) and value.startswith(ENV):
            name = value.removeprefix(ENV)
            names.append(name)
            return self._environ.get(name, "")
        if isinstance(value, list):
            return [self._resolve(item, names) for item in value]
        if isinstance(value, dict):
            return {name: self._resolve(item, names) for name, item in value.items()}
        return value

    def _expanded(self, field: Field, given: Given, value: Any) -> Any:
        """Paths made absolute: from the file's folder, or from the current one."""
        if value is None or not (field.path or isinstance(value, Path)):
            return value
        path = expand(str(value), self._environ)
        path = (given.folder or Path.cwd()) / path
        return path if isinstance(value, Path) else str(path)


def expand(path: str, environ: Mapping[str, str]) -> Path:
    """A path with a leading ``~`` replaced by the home folder."""
    if path == "~" or path.startswith("~/"):
        home = environ.get("HOME")
        return Path(home, path[2:]) if home else Path(path).expanduser()
    return Path(path)


def _parsed(text: str, kind: inspect.Type) -> Any:
    """A text of the environment or the command line in the form its type needs."""
    text = text.strip()
    if isinstance(kind, inspect.DictType) or (
        isinstance(kind, inspect.ListType) and text.startswith("[")
    ):
        return msgspec.json.decode(text)
    if isinstance(kind, inspect.ListType):
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError("not a path")


def _stand_in(field: Field) -> Any:
    if field.default is not NODEFAULT:
        return field.default
    return next((v for kind, v in _PLACEHOLDERS.items() if isinstance(field.kind, kind)), 0.0)


def _complaint(field: Field, problem: Exception, value: Any) -> str:
    complaint = f"must be {field.rule}"
    if isinstance(field.kind, inspect.ListType | inspect.DictType):
        complaint += f" ({str(problem).replace('`', '')})"
    if field.default is not NODEFAULT and field.default not in (None, [], {}):
        complaint += f"; the default is {field.default}"
    if field.name == "port" and str(value).startswith("tcp://"):
        complaint += (
            ". Kubernetes sets this for a Service named modelyard: set enableServiceLinks: false "
            "in the pod, or give --port"
        )
    return complaint
