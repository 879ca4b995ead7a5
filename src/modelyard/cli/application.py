"""Every command but the serving of ``serve``: one module per noun, put together.

Only the modules of the command that is asked for are loaded: all of them take twice as long.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from modelyard.cli import serve
from modelyard.cli.output import print_json
from modelyard.cli.problem import Problem


class Noun(NamedTuple):
    """The commands below a word."""

    modules: tuple[str, ...] = ()  # of this package; each has an ``app``
    resource: str = ""  # "module:name" of a declaration, whose commands they join
    columns: tuple[str, ...] = ()  # of its table, where they are others than its fields
    listed: bool = False  # though its declaration does not say so


_PRICES = ("id", "source", "per_million.input", "per_million.output", "checked")
_OPERATIONS = ("id", "metadata.kind", "metadata.state", "metadata.progress.percent")
WORDS: dict[str, str | Noun] = {  # a single command is in the module that is named
    "infer": "infer",
    "login": "login",
    "logout": "login",
    "keys": Noun(("keys",)),
    "artifacts": Noun(
        ("artifacts",),
        "modelyard.artifacts:artifacts",
        ("id", "name", "size", "media_type", "created_at"),
    ),
    "datasets": Noun(
        ("datasets", "dataset_checks", "dataset_profile", "dataset_privacy", "dataset_files"),
        "modelyard.catalog.datasets:datasets",
        ("id", "name", "type", "version", "recordCount", "size", "status", "createdAt"),
    ),
    "users": Noun(resource="modelyard.identity.users:users"),
    "workspaces": Noun(resource="modelyard.identity.workspaces:workspaces"),
    "policies": Noun(resource="modelyard.identity.policies:policies"),
    "operations": Noun(
        ("operations",),
        "modelyard.jobs.operations:operations",
        (*_OPERATIONS, "metadata.target"),
    ),
    "prices": Noun(("prices",), "modelyard.spending.prices:prices", _PRICES, listed=True),
    "audit": Noun(("audit",)),
    "models": "models",
    "local": Noun(("local",)),
    "semantic": Noun(("semantic",)),
    "status": "status",
    "worker": "worker",
    "config": "config",
    "backup": "backup",
    "restore": "backup",
    "migrate": "migrate",
    "version": "version",
}


def application(words: Sequence[str] = ()) -> typer.Typer:
    """The commands, as typer wants them: the one that ``words`` ask for, or all of them."""
    app = typer.Typer(
        name="modelyard",
        help="A self-hosted AI platform: one server for inference and for the life of models.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_top)
    app.command("serve", help=serve.SUMMARY)(_serve)
    asked = next((word for word in words if not word.startswith("-")), "")
    for word, found in WORDS.items():
        if asked in WORDS and word != asked:
            continue
        if isinstance(found, Noun):
            app.add_typer(_group(found), name=word)
        else:
            app.command(word)(getattr(_module(found), word))
    return app


def _group(found: Noun) -> typer.Typer:
    apps: list[typer.Typer] = [_module(name).app for name in found.modules]
    if not found.resource:
        return apps[0]
    module, _, name = found.resource.partition(":")
    declared: Any = getattr(import_module(module), name)
    group: typer.Typer = _module("nouns").noun(declared, found.columns, listed=found.listed)
    for one in apps:
        group.add_typer(one)
    return group


def _module(name: str) -> Any:
    return import_module(f"modelyard.cli.{name}")


def _serve(
    host: Annotated[str | None, typer.Option(help=serve.OPTIONS["host"])] = None,
    port: Annotated[str | None, typer.Option(help=serve.OPTIONS["port"])] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help=serve.OPTIONS["config"])
    ] = None,
) -> None:
    given = {"--host": host, "--port": port, "--config": config}
    words = [word for name, value in given.items() if value for word in (name, str(value))]
    raise typer.Exit(serve.serve(words))


def _top(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if show_version:
        _module("version").version()
        raise typer.Exit


def run(words: Sequence[str]) -> int:
    """Run a command; returns the exit status."""
    try:
        application(words)(list(words), prog_name="modelyard")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except Problem as problem:
        if "--json" in words:
            print_json({"error": problem.error})
        else:
            print(f"modelyard: {problem.message}", file=sys.stderr)
        return problem.status
    return 0
