"""A model registry as any slice declares one: what MLflow keeps of a model and of its versions."""

import time
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from modelyard.kernel import names
from modelyard.kernel.context import Context, Item
from modelyard.kernel.fields import IMMUTABLE, OUTPUT_ONLY, Time
from modelyard.kernel.resource import CREATE, DELETE, GET, LIST, UPDATE, Resource
from modelyard.protocol.errors import timestamp

Text = Annotated[str, Meta(max_length=5000)]


class Latest(Struct, kw_only=True):
    """The newest version, as a model shows it."""

    version: str
    source: str
    run_id: str
    description: Text
    labels: dict[str, str]
    created_at: Time


class RegisteredModel(Struct, kw_only=True):
    """A model under a name that never changes; its tags are its labels."""

    name: Annotated[str, IMMUTABLE, Meta(max_length=256)]
    description: Text = ""
    versions: Annotated[int, OUTPUT_ONLY] = 0
    latest: Annotated[Latest | None, OUTPUT_ONLY] = None
    aliases: Annotated[dict[str, str], OUTPUT_ONLY] = {}


class ModelVersion(Struct, kw_only=True):
    """A version of a model; they are numbered from 1."""

    source: Annotated[str, IMMUTABLE, Meta(max_length=1000)]
    run_id: Annotated[str, IMMUTABLE, Meta(max_length=64)] = ""
    description: Text = ""


class NewVersion(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a client says of a new version."""

    source: Annotated[str, Meta(max_length=1000)]
    run_id: Annotated[str, Meta(max_length=64)] = ""
    description: Text = ""
    labels: dict[str, str] = {}


class Alias(Struct, kw_only=True, forbid_unknown_fields=True):
    """A name for one of the versions."""

    alias: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
    version: str


models = Resource(
    "/bench/models",
    RegisteredModel,
    tag="Bench",
    own_ids=names.CHOSEN,
    filterable=("name",),
    sortable=("name",),
    searchable=("name", "description"),
    unique=("name",),
)
versions = Resource(
    "/bench/models/{model_id}/versions",
    ModelVersion,
    tag="Bench",
    area="model",
    standard=(LIST, GET, UPDATE, DELETE),
    filterable=("source", "run_id"),
)


@versions.standard_method(CREATE, status=201, response=versions.types.view, permission="model:add")
async def add(context: Context, ask: NewVersion) -> Any:
    """Add the next version to a model."""
    item = await context.get(models, (context.parent or "").rpartition("/")[2])
    number = item.spec.versions + 1
    latest = Latest(
        version=str(number),
        source=ask.source,
        run_id=ask.run_id,
        description=ask.description,
        labels=ask.labels,
        created_at=timestamp(time.time()),
    )
    # The model first: where two add at a time the second finds it changed, and decides anew.
    await context.update(item, structs.replace(item.spec, versions=number, latest=latest))
    spec = ModelVersion(source=ask.source, run_id=ask.run_id, description=ask.description)
    return await context.create(
        versions, spec, own_id=str(number), parent=item.name, labels=ask.labels
    )


@models.post("set-alias", response=models.types.view, permission="model:update")
async def set_alias(context: Context, item: Item[RegisteredModel], ask: Alias) -> Any:
    """Let an alias mean a version."""
    await context.get(versions, ask.version, item.name)
    aliases = item.spec.aliases | {ask.alias: ask.version}
    return await context.update(item, structs.replace(item.spec, aliases=aliases), verb="set-alias")


RESOURCES = (models, versions)
