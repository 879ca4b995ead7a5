"""``GET /v1/models`` as Anthropic's clients read it.

The data plane leads here whoever sends ``anthropic-version`` (``app.of_dialect``).
"""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

from modelyard.gateway.models import found
from modelyard.inference.snapshot import Model, Snapshot
from modelyard.inference.surfaces.messages_answer import envelope
from modelyard.kernel.context import Context
from modelyard.kernel.route import Route

_CREATED = "1970-01-01T00:00:00Z"  # as the API has it where the date is unknown


class ModelInfo(Struct):
    """One callable model."""

    type: str
    id: str
    display_name: str
    created_at: str
    lifecycle: str
    max_input_tokens: int | None
    max_tokens: int | None


class ModelPage(Struct):
    """Some of the callable models."""

    data: list[ModelInfo]
    has_more: bool
    first_id: str | None
    last_id: str | None


class PageQuery(Struct):
    """Which of them."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    after_id: str | None = None
    before_id: str | None = None


def routes(current: Callable[[], Snapshot]) -> list[Route]:
    """The model list of the snapshot in force."""

    async def listed(context: Context, query: PageQuery) -> ModelPage:
        models = [_info(model) for model in current().listed]
        names = [model.id for model in models]
        if query.before_id in names:
            models = models[: names.index(query.before_id)]
            more, shown = len(models) > query.limit, models[-query.limit :]
        else:
            if query.after_id in names:
                models = models[names.index(query.after_id) + 1 :]
            more, shown = len(models) > query.limit, models[: query.limit]
        ends = (shown[0].id, shown[-1].id) if shown else (None, None)
        return ModelPage(shown, more, *ends)

    async def one(context: Context, modelId: str) -> ModelInfo:  # noqa: N803 (the path's name)
        return _info(found(current(), modelId))

    return [
        Route(
            method="GET",
            path="/anthropic/v1/models",
            serve=listed,
            permission="model:read",
            summary="List callable models as Anthropic has them",
            tag="Anthropic",
            query=PageQuery,
            response=ModelPage,
            envelope=envelope,
            hidden=True,
        ),
        Route(
            method="GET",
            path="/anthropic/v1/models/{modelId*}",
            serve=one,
            permission="model:read",
            summary="One callable model as Anthropic has it",
            tag="Anthropic",
            response=ModelInfo,
            errors=("MODEL_NOT_FOUND",),
            envelope=envelope,
            hidden=True,
        ),
    ]


def _info(model: Model) -> ModelInfo:
    return ModelInfo(
        "model",
        model.name,
        model.name,
        _CREATED,
        "active",
        model.context_window,
        model.max_output_tokens,
    )
