"""Resources with everything that can be declared, for the conformance suite alone."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, structs

from modelyard.kernel.context import Context, Item
from modelyard.kernel.custom import Facet, Singleton
from modelyard.kernel.fields import HIDDEN, IMMUTABLE, INPUT_ONLY, OUTPUT_ONLY, refers
from modelyard.kernel.names import CHOSEN
from modelyard.kernel.resource import Resource
from modelyard.protocol.states import States

Name = Annotated[str, Meta(min_length=1, max_length=100)]
ShelfId = Annotated[str, refers("test/shelves")]


class Shelf(Struct, frozen=True, kw_only=True):
    """As plain as a resource can be."""

    title: Name
    height: Annotated[int, Meta(ge=0)] = 0


shelves = Resource(
    "/test/shelves",
    Shelf,
    tag="Test",
    singular="shelf",
    own_ids=CHOSEN,
    upsert=True,
    filterable=("title", "height"),
    sortable=("title", "height"),
    searchable=("title",),
    examples={"request": {"title": "The upper one"}},
)


class Engine(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A part of a widget's document."""

    horse_power: Annotated[int, Meta(ge=0, le=10_000)] = 1
    fuel: Literal["steam", "wind"] = "wind"


class Edition(Struct, frozen=True, kw_only=True, rename="camel"):
    """Below a widget, and numbered."""

    page_count: Annotated[int, Meta(ge=1)]
    remark: Annotated[str, Meta(max_length=100)] = ""


class LatestEdition(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a widget shows of its newest edition."""

    id: str
    page_count: int
    labels: dict[str, str]
    created_at: str


editions = Resource(
    "/test/widgets/{widget_id}/editions",
    Edition,
    tag="Test",
    camel=True,
    numbered=True,
    soft_delete=True,
    filterable=("page_count",),
    sortable=("page_count",),
    examples={"request": {"pageCount": 12}},
)


class Widget(Struct, frozen=True, kw_only=True, rename="camel"):
    """In camelCase, with a field of every kind."""

    display_name: Name
    serial_number: Annotated[str, Meta(max_length=64)] | None = None
    colour: Literal["red", "green", "blue"] = "red"
    size: Annotated[int, Meta(ge=0)] = 0
    weight: float | None = None
    shiny: bool = False
    due_at: datetime | None = None
    tags: Annotated[list[Name], Meta(max_length=8)] = []
    notes: dict[str, str] = {}
    engine: Engine = Engine()
    shelf: Annotated[str | None, refers("test/shelves")] = None
    other_shelves: list[ShelfId] = []
    tenant: Annotated[str | None, refers("auth/workspaces")] = None
    made_of: Annotated[str, IMMUTABLE, Meta(max_length=100)] = "wood"
    secret_pin: Annotated[Annotated[str, Meta(max_length=100)] | None, INPUT_ONLY] = None
    pin_kept: Annotated[str, HIDDEN] = ""
    state: Annotated[Literal["draft", "active", "retired"], OUTPUT_ONLY] = "draft"
    polished_times: Annotated[int, OUTPUT_ONLY] = 0
    keepers: Annotated[list[Name], OUTPUT_ONLY] = []
    latest_edition: Annotated[LatestEdition | None, OUTPUT_ONLY] = None


class Polish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often."""

    times: Annotated[int, Meta(ge=1, le=10)] = 1


class Tally(Struct, frozen=True, kw_only=True):
    """How many widgets there are."""

    count: int


class History(Struct, frozen=True, kw_only=True):
    """A facet's answer."""

    kind: str
    id: str


async def admit(context: Context, widget: Widget, item: Item[Widget] | None) -> Widget:
    """Keep what a pin became, and not the pin."""
    if widget.secret_pin is None:
        return widget
    return structs.replace(widget, secret_pin=None, pin_kept="kept " + widget.secret_pin[::-1])


async def history(context: Context, item: Item[Any]) -> History:
    """Whose history."""
    return History(kind=item.resource.kind, id=item.id)


widgets = Resource(
    "/test/widgets",
    Widget,
    tag="Test",
    own_ids=CHOSEN,
    camel=True,
    soft_delete=True,
    filterable=(
        "colour",
        "size",
        "weight",
        "shiny",
        "due_at",
        "tags",
        "notes",
        "engine.horse_power",
        "shelf",
        "state",
    ),
    sortable=("display_name", "size", "weight", "due_at"),
    searchable=("display_name", "tags"),
    unique=("serial_number",),
    newest=("latest_edition", editions),
    singletons={"keepers": Singleton(fields=("keepers",), permission="widget-keeper:write")},
    presets={"shiny": "shiny = true", "heavy": "weight > 10 OR size > 10"},
    states=States(
        initial="draft",
        moves={
            "activate": (("draft",), "active"),
            "retire": (("draft", "active"), "retired"),
            "revive": (("retired",), "draft"),
        },
    ),
    facets=(Facet(name="history", serve=history, response=History),),
    admit=admit,
    examples={"request": {"displayName": "A widget", "colour": "blue"}},
)


@widgets.post("polish", permission="widget:shine")
async def polish(context: Context, item: Item[Widget], ask: Polish) -> Item[Widget]:
    """Polish a widget."""
    times = item.spec.polished_times + ask.times
    return await context.update(item, structs.replace(item.spec, polished_times=times))


@widgets.post("count-shiny", permission="widget:read")
async def count_shiny(context: Context) -> Tally:
    """Count those that shine."""
    found = await context.list(widgets)
    return Tally(count=sum(item.spec.shiny for item in found))


class Screw(Struct, frozen=True, kw_only=True, rename="camel"):
    """Below a widget."""

    thread_length: Annotated[int, Meta(ge=1)]
    head: Literal["flat", "round"] = "flat"


screws = Resource(
    "/test/widgets/{widget_id}/screws",
    Screw,
    tag="Test",
    own_ids=CHOSEN,
    camel=True,
    filterable=("thread_length", "head"),
    sortable=("thread_length",),
    examples={"request": {"threadLength": 4}},
)

FAMILY: tuple[Resource[Any], ...] = (shelves, widgets, screws, editions)
