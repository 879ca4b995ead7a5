"""``python -m modelyard.catalog.datasets.trial``: what a recipe makes of a few rows, or of none.

A question in JSON comes from standard input, the answer goes to standard output.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import polars as pl
from polars import DataType, LazyFrame

from modelyard.catalog.datasets.trying import MEMORY, Answer, Question, Tables, Trouble
from modelyard.ml import recipe
from modelyard.ml.constraints import Unusable, compiled
from modelyard.ml.reading import opened
from modelyard.ml.recipe import BadStep

_TYPES: dict[str, DataType] = {
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us", "UTC"),
    "string": pl.String(),
    "list": pl.List(pl.String()),
    "object": pl.Struct({"": pl.String()}),
    "binary": pl.Binary(),
}


def answer(question: Question) -> Answer:
    """What comes of the question."""
    source = _table(question.source)
    tables = {name: _table(one) for name, one in question.tables.items()}
    try:
        compiled(opened(source), question.constraints)
        if question.shown is None:
            recipe.checked(source, question.steps, tables, question.learnt)
            return Answer()
        return _shown(question, source, tables, question.shown)
    except Unusable as error:
        field = f"constraints[{error.at}].{error.field}"
        return Answer(trouble=Trouble(message=str(error), field=field, number=error.at + 1))
    except BadStep as error:
        field = f"steps[{error.at}].{error.field}"
        return Answer(trouble=Trouble(message=str(error), field=field, number=error.at + 1))
    except pl.exceptions.PolarsError as error:  # told by the rows
        reason = str(error).partition("\n")[0]
        return Answer(trouble=Trouble(message=reason, field="steps", number=0))


def _shown(
    question: Question, source: LazyFrame, tables: Mapping[str, LazyFrame], shown: int
) -> Answer:
    found = recipe.preview(
        source, question.steps, tables, question.learnt, question.source.most or 0, shown
    )
    return Answer(columns=found.columns, rows=found.rows, sampled=found.sampled, made=found.made)


def _table(of: Tables) -> LazyFrame:
    if of.file:
        return pl.scan_parquet(Path(of.file))
    return LazyFrame(schema={one.name: _TYPES[one.type] for one in of.columns})


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.json.encode(answer(asked)))
