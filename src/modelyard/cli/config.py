"""``modelyard config``: each setting, its value and where it came from."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.options import Json
from modelyard.cli.output import console, print_json, print_table
from modelyard.cli.serve import tell_errors
from modelyard.settings import Loaded, SettingsError, load
from modelyard.settings.listing import listing


def config(
    file: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The settings file.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also what providers and models leave at its default.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The settings a server started here would have; secrets are masked."""
    try:
        loaded = load(file)
    except SettingsError as error:
        if as_json:
            print_json({"errors": error.errors})
        else:
            tell_errors(error)
        raise typer.Exit(2) from None
    if as_json:
        _as_json(loaded, every)
        return
    print_table(("setting", "value", "source"), listing(loaded, every=every))
    for warning in loaded.warnings:
        console(stderr=True).print(f"warning: {warning}", markup=False)


def _as_json(loaded: Loaded, every: bool) -> None:
    rows = {
        row.key: {"value": row.value, "source": row.source} for row in listing(loaded, every=every)
    }
    file = str(loaded.config) if loaded.config else None
    print_json({"file": file, "settings": rows, "warnings": loaded.warnings})
