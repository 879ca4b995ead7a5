"""A resource is a declaration: a type, and a few words for what can be done with it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Container, Mapping
from typing import Any, Generic, TypeVar, get_origin, get_type_hints

import msgspec
from msgspec import UNSET
from mypy_extensions import mypyc_attr

from modelyard.kernel import fields, names
from modelyard.kernel.context import Context, Item
from modelyard.kernel.custom import Admit, Custom, Facet, Function, Singleton
from modelyard.kernel.fields import About, Types
from modelyard.kernel.ports import Indexed, Reference, Row
from modelyard.protocol import decode, filter_grammar, shape
from modelyard.protocol.errors import Failure, stamp
from modelyard.protocol.filtering import Field, Filter, both, value_at
from modelyard.protocol.matching import SEARCHED, matches
from modelyard.protocol.states import States

T = TypeVar("T")

LIST, GET, CREATE, UPDATE = "list", "get", "create", "update"
DELETE, UNDELETE = "delete", "undelete"  # the latter where deletion is soft
ALL = (LIST, GET, CREATE, UPDATE, DELETE, UNDELETE)
KEPT_SECONDS = 30 * 86400.0  # a softly deleted resource can be brought back


@mypyc_attr(allow_interpreted_subclasses=True)
class Resource(Generic[T]):
    """A collection of stored documents of one type, at ``path`` (without its version).

    A path such as ``/catalog/datasets/{dataset_id}/versions`` puts it below another. ``area`` is
    the first half of its permissions. ``singletons`` are parts of the document that are read and
    changed at ``/{id}/{name}``; ``presets`` map a collection's word to a saved filter; ``states``
    guards a field by a state machine.
    ``newest`` is a field that shows, of another resource right below, the one made last: never
    stored, so never old. ``numbered`` ones get the ids 1, 2, 3 … below each parent.
    ``admit`` may check and complete a document before it is staged; ``visible`` is what a caller
    may see at all. An ``installation`` resource is the same in every workspace.
    """

    def __init__(
        self,
        path: str,
        type_: type[T],
        *,
        tag: str,
        singular: str = "",
        area: str = "",
        id_prefix: str = "",
        own_ids: str = "",
        standard: tuple[str, ...] = ALL,
        filterable: tuple[str, ...] = (),
        sortable: tuple[str, ...] = (),
        searchable: tuple[str, ...] = (),
        unique: tuple[str, ...] = (),
        newest: tuple[str, Resource[Any]] | None = None,
        numbered: bool = False,
        singletons: Mapping[str, Singleton] | None = None,
        presets: Mapping[str, str] | None = None,
        facets: tuple[Facet, ...] = (),
        states: States | None = None,
        soft_delete: bool = False,
        installation: bool = False,
        upsert: bool = False,
        camel: bool = False,
        kept_seconds: float = KEPT_SECONDS,
        admit: Admit | None = None,
        visible: Callable[[Context], Filter | None] | None = None,
        examples: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.type, self.tag = path, type_, tag
        self.kind = names.kind(path)
        self.plural = self.kind.rpartition("/")[2].replace("-", "_")
        self.singular = singular or self.plural.removesuffix("s")
        self.area = area or self.singular.replace("_", "-")
        self.id_prefix = id_prefix or self.singular
        self.own_ids, self.standard, self.upsert = own_ids, standard, upsert
        self.soft_delete, self.kept_seconds = soft_delete, kept_seconds
        self.installation, self.camel = installation, camel
        self.singletons, self.presets = dict(singletons or {}), dict(presets or {})
        self.facets, self.states = facets, states
        self.examples = dict(examples or {})
        self.custom: list[Custom] = []
        self._admit, self._visible = admit, visible
        self._newest, self.numbered = newest, numbered
        self._describe()
        self._declare(filterable, sortable, searchable, unique)

    def _describe(self) -> None:
        wanted: Any = self.type
        self.about: tuple[About, ...] = fields.describe(wanted)
        self._hidden = {one.wire for one in self.about if one.behavior in ("hidden", "input_only")}
        self._input = {one.wire for one in self.about if one.behavior == "input_only"}
        self.untold = [one.wire for one in self.about if one.untold]
        self._below: tuple[str, tuple[str, ...]] = ("", ())
        if self._newest is not None:
            field = next(one for one in self.about if one.name == self._newest[0])
            self._below = field.wire, tuple(shape.attributes(field.type))
            self.untold.append(field.wire)
            self._input.add(field.wire)
        self._refers = tuple(one for one in self.about if one.refers)
        standard = list(fields.STANDARD)[1:]  # all but the id
        self._standard = [shape.camel(one) for one in standard] if self.camel else standard
        self._defaults = {
            one.wire: one.default
            for one in self.about
            if one.default is not UNSET and one.wire not in self._hidden
        }
        self.types: Types = fields.derive(
            self.type, self.plural, camel=self.camel, soft=self.soft_delete, own_ids=self.own_ids
        )

    def _declare(
        self,
        filterable: tuple[str, ...],
        sortable: tuple[str, ...],
        searchable: tuple[str, ...],
        unique: tuple[str, ...],
    ) -> None:
        def made(listed: tuple[str, ...]) -> dict[str, Field]:
            found = [fields.indexed(self.type, name, camel=self.camel) for name in listed]
            return {field.name: field for field in found}

        self.filterable = made(("id", "created_at", "updated_at", "labels", *filterable))
        self.sortable = made(("id", "created_at", "updated_at", *sortable))
        every = self.filterable | self.sortable
        self.indexed = Indexed(
            kind=self.kind,
            fields=tuple(every.values()),
            unique=tuple(field.path for field in made(unique).values()),
            searchable=tuple(field.path for field in made(searchable).values()),
            refers=bool(self._refers),
            newest="" if self._newest is None else self._newest[1].kind,
            nested="{" in self.path,
        )
        self._presets = {
            word: filter_grammar.parse(text, self.filterable) for word, text in self.presets.items()
        }

    # What methods are declared with.

    def post(self, verb: str, **more: Any) -> Callable[[Function], Function]:
        """Declare a custom method that changes something: ``POST /{id}/verb`` and ``:verb``.

        It is one of an item where the function takes an ``item``, else of the collection. A
        parameter ``ask`` is the decoded body, ``query`` the query; the types are the function's.
        """
        return self._method("POST", verb, more)

    def put(self, verb: str, **more: Any) -> Callable[[Function], Function]:
        """Declare a custom method that puts something in its place: done twice, it is the same."""
        return self._method("PUT", verb, more)

    def get(self, verb: str, **more: Any) -> Callable[[Function], Function]:
        """Declare a custom method that only reads."""
        return self._method("GET", verb, more)

    def standard_method(self, verb: str, **more: Any) -> Callable[[Function], Function]:
        """Declare a standard method of this resource's own making, such as one with a secret."""
        methods = {LIST: "GET", GET: "GET", CREATE: "POST", UPDATE: "PUT", DELETE: "DELETE"}
        return self._method(methods[verb], verb, more)

    def _method(
        self, method: str, verb: str, more: dict[str, Any]
    ) -> Callable[[Function], Function]:
        def declare(function: Function) -> Function:
            hints = get_type_hints(function, include_extras=True)
            known = set(Custom.__struct_fields__)
            action = "read" if method == "GET" else verb
            response = more.pop("response", hints["return"])
            response = self.types.view if get_origin(response) is Item else response
            self.custom.append(
                Custom(
                    verb=verb,
                    method=method,
                    serve=function,
                    on_item="item" in inspect.signature(function).parameters,
                    request=hints.get("ask"),
                    query=hints.get("query"),
                    response=response,
                    permission=more.pop("permission", f"{self.area}:{action}"),
                    **{name: more.pop(name) for name in list(more) if name in known},
                    more=more,
                )
            )
            return function

        return declare

    # Between documents, rows and the wire.

    def document(self, spec: T) -> dict[str, Any]:
        """A document as it is stored."""
        made: dict[str, Any] = fields.stored(spec)
        for name in self._input:
            made.pop(name, None)
        return made

    def load(self, row: Row) -> T:
        """A stored document as the resource's type."""
        return msgspec.convert(row.spec, self.type)

    def fit(self, document: Mapping[str, Any]) -> T:
        """A client's document as the resource's type. Raises ``INVALID_REQUEST``."""
        try:
            return msgspec.convert(document, self.type)
        except msgspec.ValidationError as error:
            raise decode.invalid(error, self.type) from None

    def show(self, row: Row) -> dict[str, Any]:
        """What a client reads."""
        address = row.address
        shown: dict[str, Any] = {"id": address.id, **self._defaults, **row.spec}
        for name in self._hidden:
            shown.pop(name, None)
        labels, workspace, created_at, created_by, updated_at, updated_by, deleted = self._standard
        shown[labels], shown[workspace] = row.labels, address.workspace
        shown[created_at], shown[created_by] = stamp(row.created_at), row.created_by
        shown[updated_at], shown[updated_by] = stamp(row.updated_at), row.updated_by
        if self.soft_delete:
            shown[deleted] = None if row.deleted_at is None else stamp(row.deleted_at)
        shown["etag"] = names.etag(row)
        if self._newest is not None:
            name, wanted = self._below
            below = None if row.newest is None else self._newest[1].show(row.newest)
            shown[name] = below and {key: below[key] for key in wanted}
        return shown

    def told(self, row: Row, view: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the audit trail, and who follows it, has of a row whose ``view`` may be at hand."""
        view = self.show(row) if view is None else view
        if not self.untold:
            return view
        return {name: value for name, value in view.items() if name not in self.untold}

    def references(self, row: Row, shared: Container[str]) -> tuple[Reference, ...]:
        """What the document refers to. ``shared`` kinds are the same in every workspace."""
        found = []
        for field in self._refers:
            workspace = "" if field.refers in shared else row.address.workspace
            value = row.spec.get(field.wire)
            for one in value if isinstance(value, list) else [value] if value else []:
                target = names.resolve(field.refers, workspace, str(one))
                found.append(Reference(field.wire, target))
        return tuple(found)

    def value(self, row: Row, field: Field) -> Any:
        """A row's value of a field that it can be filtered or ordered by."""
        if field == SEARCHED:
            return self._searched(row.spec)
        if field.column in ("id", "workspace"):
            return getattr(row.address, field.column)
        if field.column:
            return getattr(row, field.column)
        return value_at(row.spec, field.path)

    def seen(self, view: Mapping[str, Any], field: Field) -> Any:
        """As ``value``, of what a client reads."""
        if field == SEARCHED:
            return self._searched(view)
        return value_at(view, field.path or (field.name,))

    def _searched(self, document: Mapping[str, Any]) -> str:
        return " ".join(_texts([value_at(document, path) for path in self.indexed.searchable]))

    # What the declaration decides.

    async def admitted(self, context: Context, spec: T, item: Item[T] | None) -> T:
        """The document after the declaration's own check."""
        if self._admit is None:
            return spec
        admitted: T = await self._admit(context, spec, item)
        return admitted

    def seen_by(self, context: Context, asked: Filter | None, verb: str = "read") -> Filter | None:
        """``asked``, and what the caller may see."""
        policies = context.ports.policies
        permission = f"{self.area}:{verb}"
        own = self._visible(context) if self._visible else None
        rights = policies.visible(context.principal, permission, self.kind, self.filterable)
        return both(asked, own, rights)

    def shown(self, context: Context, row: Row) -> bool:
        """Whether the declaration lets a caller see this one at all."""
        own = self._visible(context) if self._visible else None
        return own is None or matches(own, lambda field: self.value(row, field))

    def preset(self, word: str) -> Filter | None:
        """The saved filter of a preset; None where it lets everything through."""
        return self._presets[word]

    def new_id(self) -> str:
        """An id that the server chooses."""
        return names.new_id(self.id_prefix)

    def check_id(self, own_id: str) -> None:
        """Raise ``INVALID_REQUEST`` for an id that is none, or is a collection's method."""
        if self.own_ids and not re.search(self.own_ids, own_id):
            allowed = shape.pattern(self.own_ids)
            raise Failure(
                "INVALID_REQUEST",
                f"'id' must match {allowed}. Choose another.",
                details={"field": "id", "rule": "pattern", "allowed": allowed},
            )
        words = {one.verb for one in self.custom if not one.on_item} | set(self.presets) | {"watch"}
        if own_id in words:
            raise Failure(
                "INVALID_REQUEST",
                f"'id' cannot be '{own_id}': /{self.kind}/{own_id} is a method. Choose another.",
                details={"field": "id", "rule": "reserved", "allowed": f"not {sorted(words)}"},
            )


def _texts(value: Any) -> list[str]:
    """The strings in a value: itself, or those of a list or a map."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [text for item in inner for text in _texts(item)]
    return [value] if isinstance(value, str) else []
