"""``modelyard serve``: read the settings, then serve until SIGTERM or Ctrl-C."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modelyard import __version__
from modelyard.settings import Loaded, SettingsError, load
from modelyard.storage.allocation import uncounted

SUMMARY = "Start the server and serve until SIGTERM or Ctrl-C."
OPTIONS = {
    "host": "Address to listen on (MODELYARD_HOST, else 127.0.0.1).",
    "port": "Port to listen on (MODELYARD_PORT, else 8080); 0 takes any free one.",
    "config": "Settings file (else ./modelyard.toml, else modelyard.toml in MODELYARD_HOME).",
}


def serve(arguments: Sequence[str]) -> int:
    """Serve with the options given; returns the exit status, 2 when the settings are wrong."""
    options = parser().parse_args(arguments)
    try:
        loaded = load(options.config, {"host": options.host, "port": options.port})
    except SettingsError as error:
        tell_errors(error)
        return 2
    _announce(loaded)
    uncounted()  # before SQLite is first used, which importing the server may do
    from modelyard.server import serve as run

    return run(loaded)


def tell_errors(error: SettingsError) -> None:
    """Print what is wrong with the settings, all at once."""
    count = len(error.errors)
    print(f"modelyard: {count} error{'s' * (count > 1)} in the settings:", file=sys.stderr)
    for line in error.errors:
        print(f"  {line}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The options of ``serve``."""
    found = argparse.ArgumentParser("modelyard serve", description=SUMMARY, allow_abbrev=False)
    found.add_argument("--host", help=OPTIONS["host"])
    found.add_argument("--port", help=OPTIONS["port"])
    found.add_argument("--config", type=Path, metavar="FILE", help=OPTIONS["config"])
    return found


def _announce(loaded: Loaded) -> None:
    for warning in loaded.warnings:
        print(f"modelyard: warning: {warning}", file=sys.stderr)
    settings = loaded.settings
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    where = f"a free port of {host}"
    if settings.port:
        where = f"http://{host}:{settings.port}, documentation at /docs"
    print(f"Modelyard {__version__} at {where}", file=sys.stderr)
    origin = loaded.config or "the environment and defaults"
    print(f"Settings from {origin}, data in {settings.home}", file=sys.stderr)
