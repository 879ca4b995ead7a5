"""``GET /v1/models``: everything that can be called, in OpenAI's list shape with our fields."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from modelyard.inference.snapshot import Model, Snapshot
from modelyard.inference.surfaces.openai import error_object
from modelyard.kernel.context import Context
from modelyard.kernel.route import Route
from modelyard.protocol.errors import Failure, envelope

_CREATED = 1_700_000_000  # OpenAI's clients want a time; a configured model has none


class ModelPrice(Struct):
    """USD per 1,000,000 tokens, with where and when it was seen."""

    input: float
    output: float
    cached_input: float | None
    source: str
    checked: str | None


class ModelEntry(Struct):
    """One callable model."""

    id: str
    object: str
    created: int
    owned_by: str
    targets: list[str]
    price: ModelPrice | None
    default: bool
    sandbox: bool
    max_output_tokens: int | None
    context_window: int | None


class ModelList(Struct):
    """All callable models."""

    object: str
    data: list[ModelEntry]


def routes(current: Callable[[], Snapshot]) -> list[Route]:
    """The model list of the snapshot in force."""

    async def listed(context: Context) -> ModelList:
        snapshot = current()
        return ModelList("list", [_entry(model, snapshot) for model in snapshot.listed])

    async def one(context: Context, modelId: str) -> ModelEntry:  # noqa: N803 (the path's name)
        snapshot = current()
        return _entry(found(snapshot, modelId), snapshot)

    return [
        Route(
            method="GET",
            path="/v1/models",
            serve=listed,
            permission="model:read",
            summary="List callable models",
            tag="Models",
            response=ModelList,
            envelope=_envelope,
        ),
        Route(
            method="GET",
            path="/v1/models/{modelId*}",
            serve=one,
            permission="model:read",
            summary="One callable model",
            tag="Models",
            response=ModelEntry,
            errors=("MODEL_NOT_FOUND",),
            envelope=_envelope,
        ),
    ]


def found(snapshot: Snapshot, name: str) -> Model:
    """The model of that name. Raises MODEL_NOT_FOUND."""
    model = snapshot.models.get(name)
    if model is not None:
        return model
    provider, slash, _ = name.partition("/")
    if provider not in snapshot.providers or not slash:
        raise Failure(
            "MODEL_NOT_FOUND",
            f"There is no model {name[:256]!r}.",
            details={
                "field": "model",
                "available": [entry.name for entry in snapshot.listed[:50]],
            },
        )
    return snapshot.find(name)


def _envelope(failure: Failure, request_id: str) -> dict[str, Any]:
    """Ours with what OpenAI's clients read beside it."""
    body = envelope(failure, request_id)
    theirs = error_object(failure, request_id)
    body["error"] |= {"type": theirs["type"], "param": theirs["param"]}
    return body


def _entry(model: Model, snapshot: Snapshot) -> ModelEntry:
    first = model.first
    price = first.price
    return ModelEntry(
        model.name,
        "model",
        _CREATED,
        first.provider.name,
        [target.name for target in model.targets()],
        None
        if price is None
        else ModelPrice(
            price.input / 1e3,
            price.output / 1e3,
            None if price.cached_input is None else price.cached_input / 1e3,
            price.source,
            price.checked,
        ),
        model.name == snapshot.default_model,
        first.provider.name == "sandbox",
        model.max_output_tokens,
        model.context_window,
    )
