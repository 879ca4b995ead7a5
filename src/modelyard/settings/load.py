"""Loading: command line, environment, file, default, in this precedence; all errors at once."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from modelyard.settings.build import Builder, expand
from modelyard.settings.checks import LOCAL, SANDBOX, check
from modelyard.settings.fields import dotted, field_at, printable
from modelyard.settings.known import KnownProvider, known_providers
from modelyard.settings.report import Report
from modelyard.settings.sources import (
    Given,
    Layer,
    find_file,
    from_environment,
    from_file,
    from_overrides,
    providers_in,
)
from modelyard.settings.types import Settings


class Loaded(Struct, frozen=True, kw_only=True):
    """Settings that were found good, and where each came from.

    ``sources`` names each dotted key: "default", "file modelyard.toml:3", "environment
    MODELYARD_PORT" or "command line". ``config`` is the file that was read, if any.
    """

    settings: Settings
    sources: dict[str, str]
    warnings: list[str]
    config: Path | None = None


class SettingsError(Exception):
    """The settings are wrong: every error at once, one line each.

    ``partial`` are the settings with defaults for what was wrong: good enough to guess where a
    running server listens, never to start one.
    """

    def __init__(self, errors: list[str], partial: Settings) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors
        self.partial = partial


def load(
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """The settings of this process, checked.

    ``config`` is the file to read (else ``MODELYARD_CONFIG``, ``./modelyard.toml``,
    ``modelyard.toml`` in the home folder); ``overrides`` the command line's, by dotted key;
    ``environ`` the environment, ``os.environ`` by default. Raises SettingsError.
    """
    environ = os.environ if environ is None else environ
    report = Report()
    line = from_overrides(overrides or {})
    for key in [key for key in line if field_at(key) is None]:
        report.errors.append(f"{dotted(key)} (command line): unknown setting")
        del line[key]
    home = environ.get("MODELYARD_HOME") or str(Settings().home)
    path = find_file(config, expand(home, environ), environ)
    layer = from_file(path, report) if path else {}
    named = providers_in(layer)
    layer = _over(_over(layer, from_environment(environ, named, report)), line)
    _add_providers(layer, environ)
    settings: Settings = Builder(layer, environ, report).build(Settings)
    settings = _tidied(settings)
    check(settings, report)
    if report.errors:
        raise SettingsError([printable(error) for error in report.errors], settings)
    sources = {key: source for key, source in report.sources.items() if key}
    warnings = [printable(warning) for warning in report.warnings]
    return Loaded(settings=settings, sources=sources, warnings=warnings, config=path)


def _over(lower: Layer, upper: Layer) -> Layer:
    """``upper`` over ``lower``, key by key; the list of models is replaced as a whole."""
    if any(key[0] == "models" for key in upper):
        lower = {key: given for key, given in lower.items() if key[0] != "models"}
    return lower | upper


def _add_providers(layer: Layer, environ: Mapping[str, str]) -> None:
    """Add the providers whose key is in the environment, what is well known, and those built in."""
    present = providers_in(layer)
    for known in known_providers().values():
        key = environ.get(known.key_variable, "") if known.key_variable else ""
        if known.name in present or (known.added_by_key and key):
            _fill(layer, known, key, environ)
    layer.setdefault(("providers", SANDBOX), Given({}, "default"))
    layer.setdefault(("providers", SANDBOX, "dialect"), Given(SANDBOX, "default"))
    if LOCAL not in present:  # else somebody's own server has the name
        layer["providers", LOCAL] = Given({}, "default")
        layer["providers", LOCAL, "dialect"] = Given(LOCAL, "default")


def _fill(layer: Layer, known: KnownProvider, key: str, environ: Mapping[str, str]) -> None:
    at = ("providers", known.name)
    source = f"environment {known.key_variable}"
    layer.setdefault(at, Given({}, source))
    given = layer.get((*at, "base_url"))
    if given is None:
        url = environ.get(known.url_variable, "") if known.url_variable else ""
        layer[*at, "base_url"] = (
            Given(url, f"environment {known.url_variable}")
            if url
            else Given(known.base_url, "default")
        )
    # A vendor's key goes to the vendor only, not to another address under the same name.
    elif str(given.value).rstrip("/") != known.base_url:
        return
    layer.setdefault((*at, "dialect"), Given(known.dialect, "default"))
    if key:
        layer.setdefault((*at, "api_key"), Given(key, source))


def _tidied(settings: Settings) -> Settings:
    """Addresses without a trailing slash, so that paths can be appended."""
    providers = {
        name: structs.replace(provider, base_url=provider.base_url.rstrip("/"))
        if provider.base_url
        else provider
        for name, provider in settings.providers.items()
    }
    return structs.replace(settings, providers=providers)
