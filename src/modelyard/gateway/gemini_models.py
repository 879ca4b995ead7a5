"""``GET /v1beta/models`` as Google's clients read it."""

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, Struct

from modelyard.gateway.models import found
from modelyard.inference.snapshot import Model, Snapshot
from modelyard.inference.surfaces.gemini_answer import status
from modelyard.kernel.context import Context
from modelyard.kernel.route import Route
from modelyard.protocol.errors import Failure

_METHODS = ["generateContent", "countTokens", "embedContent", "batchEmbedContents"]


class GeminiModel(Struct, rename="camel"):
    """One callable model."""

    name: str
    display_name: str
    supported_generation_methods: list[str]
    input_token_limit: int | None
    output_token_limit: int | None


class GeminiModels(Struct, rename="camel", omit_defaults=True):
    """Some of the callable models."""

    models: list[GeminiModel]
    next_page_token: str | None = None


class GeminiPage(Struct):
    """Which of them."""

    pageSize: Annotated[int, Meta(ge=1)] = 50  # noqa: N815 (Google's name)
    pageToken: str | None = None  # noqa: N815


def routes(current: Callable[[], Snapshot]) -> list[Route]:
    """The model list of the snapshot in force."""

    async def listed(context: Context, query: GeminiPage) -> GeminiModels:
        models = [_entry(model) for model in current().listed]
        token = query.pageToken or "0"
        if not token.isdecimal():
            raise Failure(
                "INVALID_REQUEST",
                "The page token is none of this list: leave it out to begin anew.",
                details={"field": "pageToken"},
            )
        start = int(token)
        stop = start + min(query.pageSize, 1000)
        return GeminiModels(models[start:stop], str(stop) if stop < len(models) else None)

    async def one(context: Context, modelId: str) -> GeminiModel:  # noqa: N803 (the path's name)
        return _entry(found(current(), modelId))

    shared: dict[str, Any] = {
        "method": "GET",
        "permission": "model:read",
        "tag": "Gemini",
        "envelope": status,
        "hidden": True,  # as Anthropic's: the document has the list once
    }
    return [
        Route(
            path="/v1beta/models",
            serve=listed,
            summary="List callable models as Google has them",
            query=GeminiPage,
            response=GeminiModels,
            **shared,
        ),
        Route(
            path="/v1beta/models/{modelId*}",
            serve=one,
            summary="One callable model as Google has it",
            response=GeminiModel,
            errors=("MODEL_NOT_FOUND",),
            **shared,
        ),
    ]


def _entry(model: Model) -> GeminiModel:
    return GeminiModel(
        "models/" + model.name,
        model.name,
        _METHODS,
        model.context_window,
        model.max_output_tokens,
    )
