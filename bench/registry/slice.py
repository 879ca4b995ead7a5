"""A model registry as any slice declares one: what MLflow keeps of a model and of its versions."""

from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from modelyard.kernel import names
from modelyard.kernel.context import Context, Item
from modelyard.kernel.fields import IMMUTABLE, OUTPUT_ONLY, Labels, Time
from modelyard.kernel.resource import Resource

Text = Annotated[str, Meta(max_length=5000)]
_FOR_EVER = 100 * 365 * 86_400.0  # seconds: a deleted version's number is not given again


class ModelVersion(Struct, kw_only=True):
    """A version of a model; they are numbered from 1."""

    source: Annotated[str, IMMUTABLE, Meta(max_length=1000)]
    run_id: Annotated[str, IMMUTABLE, Meta(max_length=64)] = ""
    description: Text = ""


class Latest(Struct, kw_only=True):
    """The newest version, as a model shows it."""

    id: str
    source: str
    run_id: str
    description: Text
    labels: Labels
    created_at: Time


class RegisteredModel(Struct, kw_only=True):
    """A model under a name that never changes; its tags are its labels."""

    name: Annotated[str, IMMUTABLE, Meta(max_length=256)]
    description: Text = ""
    latest: Annotated[Latest | None, OUTPUT_ONLY] = None
    aliases: Annotated[dict[str, str], OUTPUT_ONLY] = {}


class Alias(Struct, kw_only=True, forbid_unknown_fields=True):
    """A name for one of the versions."""

    alias: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
    version: str


versions = Resource(
    "/bench/models/{model_id}/versions",
    ModelVersion,
    tag="Bench",
    area="model",
    numbered=True,
    soft_delete=True,  # an alias names a number
    kept_seconds=_FOR_EVER,
    filterable=("source", "run_id"),
)
models = Resource(
    "/bench/models",
    RegisteredModel,
    tag="Bench",
    own_ids=names.CHOSEN,
    filterable=("name",),
    sortable=("name",),
    searchable=("name", "description"),
    unique=("name",),
    newest=("latest", versions),
)


@models.post("set-alias", response=models.types.view, permission="model:update")
async def set_alias(context: Context, item: Item[RegisteredModel], ask: Alias) -> Any:
    """Let an alias mean a version."""
    await context.get(versions, ask.version, item.name)
    aliases = item.spec.aliases | {ask.alias: ask.version}
    return await context.update(item, structs.replace(item.spec, aliases=aliases), verb="set-alias")


RESOURCES = (models, versions)
