"""Recipes: what clients send of them, and what is kept of them on the versions that they made."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from modelyard.ml.steps import Step

MOST_STEPS, MOST_TABLES = 100, 16
Steps = Annotated[
    list[Step],
    Meta(max_length=MOST_STEPS, description="What is done to the rows, one after the other."),
]


class Recipe(Struct, frozen=True, kw_only=True, rename="camel"):
    """How a version was made of others. `recipeOf` repeats it."""

    source: Annotated[str, Meta(description="The name of the version that it was applied to.")]
    steps: Steps
    tables: Annotated[
        dict[str, str], Meta(description="The names of the versions that were joined.")
    ] = {}
    learnt: Annotated[
        list[dict[str, Any]],
        Meta(
            description="What each step took from the rows: a mean, the values of a category. "
            "Not told where those were personal data."
        ),
    ] = []
