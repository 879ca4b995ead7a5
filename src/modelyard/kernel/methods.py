"""The standard methods (AIP-131 to 135, 164)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from modelyard.kernel import fields, names
from modelyard.kernel.context import Context, Item
from modelyard.kernel.custom import Singleton
from modelyard.kernel.ports import Query, Row, position
from modelyard.kernel.resource import Resource
from modelyard.protocol import fieldmask, filter_grammar, ordering, paging, shape
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import both

Workspace = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z",
        description="The workspace that is meant; another than the caller's needs "
        "`workspace:write`.",
    ),
]


class Scope(Struct, frozen=True, kw_only=True):
    """Query parameters of every resource's route."""

    workspace: Workspace | None = None


class Change(Scope, frozen=True, kw_only=True):
    """Query parameters of every change of a resource."""

    validate_only: Annotated[
        bool, Meta(description="Check everything and answer as if it were done; change nothing.")
    ] = False


class Modify(Change, frozen=True, kw_only=True):
    """Query parameters of PATCH."""

    update_mask: Annotated[
        str, Meta(max_length=2000, description="Fields to change, by commas; those sent if empty.")
    ] = ""


class ListQuery(paging.Paging, frozen=True, kw_only=True):
    """Query parameters of a list."""

    filter: Annotated[
        str, Meta(max_length=2000, description="An AIP-160 filter; bare words search the texts.")
    ] = ""
    order_by: Annotated[
        str, Meta(max_length=500, description="`created_at desc, name`; the newest first if empty.")
    ] = ""
    show_deleted: Annotated[bool, Meta(description="With softly deleted ones.")] = False
    workspace: Workspace | None = None


class Methods:
    """The functions behind a resource's standard routes."""

    def __init__(self, resource: Resource[Any]) -> None:
        self.resource = resource

    def listing(self, word: str = "") -> Callable[..., Awaitable[dict[str, Any]]]:
        """A list, of what a preset lets through."""
        one = self.resource
        preset = one.preset(word) if word else None

        async def serve(context: Context, query: ListQuery) -> dict[str, Any]:
            """A page of them, the newest first unless ordered otherwise."""
            asked = filter_grammar.parse(query.filter, one.filterable)
            order = ordering.parse(query.order_by, one.sortable)
            where = (one.kind, context.workspace, str(context.parent), word)
            about = "\n".join((*where, query.filter, query.order_by, str(query.show_deleted)))
            wanted = Query(
                kind=one.kind,
                workspace="" if one.installation else context.workspace,
                parent=context.parent,
                filter=one.seen_by(context, both(asked, preset)),
                order=order,
                after=paging.position(query.page_token, about, tuple[Any, ...]),
                size=query.size + 1,
                deleted=query.show_deleted and one.soft_delete,
            )
            rows = await context.ports.store.page(wanted)
            following = None
            if len(rows) > query.size:
                following = paging.token(position(wanted, rows[query.size - 1]), about)
            shown = [one.show(row) for row in rows[: query.size]]
            token = "nextPageToken" if one.camel else "next_page_token"
            return {self.word(one.plural): shown, token: following}

        return serve

    async def get(self, context: Context) -> dict[str, Any]:
        """One of them."""
        return context.item(self.resource).show()

    async def create(self, context: Context, ask: Any) -> dict[str, Any]:
        """Make one; what the server sets is ignored where it is sent."""
        one, document = self.resource, fields.stored(ask)
        labels, own_id = document.pop("labels"), document.pop("id", None)
        spec = one.fit(document)
        item = await context.create(
            one, spec, own_id=own_id or "", parent=context.parent or "", labels=labels
        )
        return item.show()

    async def replace(self, context: Context, ask: Any) -> dict[str, Any]:
        """Put these in the place of all fields that a client may set (AIP-134)."""
        one, document = self.resource, fields.stored(ask)
        document.pop("id", None)
        labels = document.pop("labels")
        context.match(context.wanted, document.pop("etag"))
        if context.found is None:
            spec, parent = one.fit(document), context.parent or ""
            made = await context.create(
                one, spec, own_id=context.wanted, parent=parent, labels=labels
            )
            return made.show()
        return await self._change(context, context.found, document, labels)

    async def modify(self, context: Context, ask: Any, query: Modify) -> dict[str, Any]:
        """Change some fields: those in the mask, or those that were sent."""
        one, row, sent = self.resource, context.item(self.resource).row, fields.stored(ask)
        context.match(row.address.name, sent.pop("etag", ""))
        settable = {about.wire for about in one.about if about.behavior in ("", "immutable")}
        before = {name: value for name, value in row.spec.items() if name in settable}
        after = fieldmask.apply(
            before | {"labels": row.labels},
            sent,
            fieldmask.parse(query.update_mask, one.types.patch),
        )
        labels = after.pop("labels", None) or {}
        return await self._change(context, row, after, labels)

    async def delete(self, context: Context) -> None:
        """Remove it. What others refer to, or have below it, stays."""
        context.delete(context.item(self.resource))

    async def undelete(self, context: Context) -> dict[str, Any]:
        """Bring back what was softly deleted."""
        return context.restore(context.item(self.resource)).show()

    def move(self, verb: str) -> Callable[..., Awaitable[dict[str, Any]]]:
        """A custom method that only leads to another state (AIP-216)."""
        one = self.resource

        async def serve(context: Context) -> dict[str, Any]:
            """The resource in its new state."""
            item, states = context.item(one), one.states
            assert states is not None
            after = states.check(verb, getattr(item.spec, states.field))
            spec = structs.replace(item.spec, **{states.field: after})
            return (await context.update(item, spec, verb=verb)).show()

        return serve

    def read_part(self, part: Singleton, type_: Any) -> Callable[..., Awaitable[Any]]:
        """The GET of a singleton."""

        async def serve(context: Context) -> Any:
            """This part of it."""
            item = context.item(self.resource)
            return _part(item, part, type_)

        return serve

    def write_part(self, part: Singleton, type_: Any) -> Callable[..., Awaitable[Any]]:
        """The PUT of a singleton."""

        async def serve(context: Context, ask: Any) -> Any:
            """Put this in the place of the part."""
            return await self._put_part(context, part, type_, fields.stored(ask))

        return serve

    def modify_part(self, part: Singleton, type_: Any, patch: Any) -> Callable[..., Awaitable[Any]]:
        """The PATCH of a singleton."""

        async def serve(context: Context, ask: Any, query: Modify) -> Any:
            """Change some of this part: what is in the mask, or what was sent."""
            sent, before = fields.stored(ask), self._within(part, context.item(self.resource))
            etag, mask = sent.pop("etag", ""), fieldmask.parse(query.update_mask, patch)
            after = fieldmask.apply(before, sent, mask) | {"etag": etag}
            return await self._put_part(context, part, type_, after)

        return serve

    async def _put_part(
        self, context: Context, part: Singleton, type_: Any, given: dict[str, Any]
    ) -> Any:
        item = context.item(self.resource)
        context.match(item.name, given.pop("etag", ""))
        rest = item.row.spec.keys() - self._within(part, item)
        spec = self.resource.fit({name: item.row.spec[name] for name in rest} | given)
        if part.check is not None:
            spec = await part.check(context, spec, item)
        verb = context.verb.partition(".")[2]  # set-roles
        return _part(await context.update(item, spec, verb=verb), part, type_)

    def _within(self, part: Singleton, item: Item[Any]) -> dict[str, Any]:
        """The part of a document, as it is stored."""
        names = [about.wire for about in self.resource.about if about.name in part.fields]
        return {name: item.row.spec[name] for name in names if name in item.row.spec}

    async def _change(
        self, context: Context, row: Row, document: dict[str, Any], labels: dict[str, str]
    ) -> dict[str, Any]:
        one = self.resource
        for about in one.about:
            if about.behavior in ("output_only", "hidden") and about.wire in row.spec:
                document[about.wire] = row.spec[about.wire]
            elif about.behavior == "immutable":
                _refuse_change(about.wire, row.spec.get(about.wire), document)
        spec = one.fit(document)
        return (await context.update(Item(one, row), spec, labels=labels)).show()

    def word(self, name: str) -> str:
        """A field of an envelope in the resource's case."""
        return shape.camel(name) if self.resource.camel else name


def _part(item: Item[Any], part: Singleton, type_: Any) -> Any:
    given = {name: getattr(item.spec, name) for name in part.fields}
    return type_(**given, etag=names.etag(item.row))


def _refuse_change(name: str, before: Any, document: dict[str, Any]) -> None:
    if document.setdefault(name, before) != before:
        raise Failure(
            "INVALID_REQUEST",
            f"'{name}' cannot be changed once it is set. Leave it out, or make another resource.",
            details={"field": name, "rule": "immutable", "allowed": before},
        )
