"""Every command but the serving of ``serve``: one module per noun, put together."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.artifacts import artifacts as artifact_resource
from modelyard.catalog.datasets import datasets as dataset_resource
from modelyard.cli import (
    artifacts,
    audit,
    backup,
    config,
    dataset_profile,
    datasets,
    infer,
    keys,
    local,
    login,
    migrate,
    models,
    operations,
    prices,
    semantic,
    serve,
    status,
    version,
    worker,
)
from modelyard.cli.nouns import noun
from modelyard.cli.output import print_json
from modelyard.cli.problem import Problem
from modelyard.identity.policies import policies
from modelyard.identity.users import users
from modelyard.identity.workspaces import workspaces
from modelyard.jobs.operations import operations as operation_resource
from modelyard.kernel.resource import Resource
from modelyard.spending.prices import prices as price_overrides

# Resources with the commands of their declaration: the columns of their tables, where they have
# others than their fields, and whether they are listed though they do not declare it.
NOUNS: tuple[tuple[Resource[Any], tuple[str, ...], bool], ...] = (
    (artifact_resource, ("id", "name", "size", "media_type", "created_at"), False),
    (dataset_resource, datasets.COLUMNS, False),
    (users, (), False),
    (workspaces, (), False),
    (policies, (), False),
    (operation_resource, operations.COLUMNS, False),
    (price_overrides, ("id", "source", "per_million.input", "per_million.output", "checked"), True),
)

app = typer.Typer(
    name="modelyard",
    help="A self-hosted AI platform: one server for inference and for the life of models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command("serve", help=serve.SUMMARY)
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


app.command()(infer.infer)
app.command()(login.login)
app.command()(login.logout)
app.add_typer(keys.app, name="keys")
groups = {one.plural: noun(one, columns, listed=listed) for one, columns, listed in NOUNS}
for word, group in groups.items():
    app.add_typer(group, name=word)
app.add_typer(audit.app, name="audit")
app.command()(models.models)
app.add_typer(local.app, name="local")
app.add_typer(semantic.app, name="semantic")
groups["artifacts"].add_typer(artifacts.app)  # up and down
groups["datasets"].add_typer(datasets.app)
groups["datasets"].add_typer(dataset_profile.app)
groups["prices"].add_typer(prices.app)  # its commands, beside those of overrides
groups["operations"].add_typer(operations.app)
app.command()(status.status)
app.command()(worker.worker)
app.command()(config.config)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(migrate.migrate)
app.command()(version.version)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if show_version:
        version.version()
        raise typer.Exit


def run(words: Sequence[str]) -> int:
    """Run a command; returns the exit status."""
    try:
        app(list(words), prog_name="modelyard")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except Problem as problem:
        if "--json" in words:
            print_json({"error": problem.error})
        else:
            print(f"modelyard: {problem.message}", file=sys.stderr)
        return problem.status
    return 0
