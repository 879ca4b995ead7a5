"""From a resource's declaration to its routes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import wraps
from typing import Any

import msgspec

from modelyard.kernel import fields, watch
from modelyard.kernel.context import Context, Item
from modelyard.kernel.custom import Custom, Facet, Singleton
from modelyard.kernel.methods import Change, ListQuery, Methods, Modify, Scope
from modelyard.kernel.resource import (
    CREATE,
    DELETE,
    GET,
    LIST,
    UNDELETE,
    UPDATE,
    Resource,
)
from modelyard.kernel.route import Place, Route
from modelyard.protocol import shape

CHANGE_ERRORS = ("CONFLICT", "SYSTEM_OVERLOADED", "STORAGE_FULL")
_IDEMPOTENT = ("IDEMPOTENCY_IN_PROGRESS", "IDEMPOTENCY_KEY_REUSED")
_KEY_HEADER = {"Idempotency-Key": "A string of your own: the same request is answered once."}
_MATCH_HEADER = {"If-Match": "The etag that was read: the change is refused if it is not so now."}


def routes(resource: Resource[Any], facets: tuple[Facet, ...] = ()) -> list[Route]:
    """Every route that a declaration makes; ``facets`` are those that every resource has."""
    return [*_Compiler(resource, facets).compile()]


class _Compiler:
    """From a declaration to routes."""

    def __init__(self, resource: Resource[Any], facets: tuple[Facet, ...]) -> None:
        self.one = resource
        self.facets = (*resource.facets, *facets)
        self.own = Methods(resource)
        self.made = {custom.verb for custom in resource.custom}
        self.base = "/v1" + resource.path
        self.param = resource.singular + "_id"
        many = "*" if "/" in resource.own_ids else ""
        self.item = f"{self.base}/{{{self.param}{many}}}"
        above = [part[1:-4] for part in resource.path.split("/") if part.startswith("{")]
        self.above = "".join(shape.title(part) for part in above)
        self.parent = resource.path.strip("/").rpartition("/")[0] if above else ""

    def compile(self) -> Iterator[Route]:
        """The standard methods, what else the declaration names, and the custom methods."""
        one, own, types = self.one, self.own, self.one.types
        plural, single = (
            self.above + shape.title(one.plural),
            self.above + shape.title(one.singular),
        )
        for verb, make in {LIST: self._lists, GET: self._get, CREATE: self._create}.items():
            if verb in one.standard and verb not in self.made:
                yield make(plural if verb == LIST else single)
        if LIST in one.standard:
            for word in one.presets:
                serve = own.listing(word)
                yield self._lists(shape.title(word) + plural, f"{self.base}/{word}", serve)
            yield self._watch(plural)
        if UPDATE in one.standard and UPDATE not in self.made:
            yield self._write("PUT", own.replace, types.put, single, fresh=one.upsert)
            yield self._write("PATCH", own.modify, types.patch, single, query=Modify)
        if DELETE in one.standard and DELETE not in self.made:
            yield self._delete(single)
        if one.soft_delete and UNDELETE in one.standard:
            yield self._undelete(single)
        for name, part in one.singletons.items():
            yield from self._singleton(name, part, single)
        for verb in one.states.moves if one.states else ():
            if verb not in self.made:
                yield self._move(verb, single)
        for facet in self.facets:
            yield self._facet(facet, single)
        for custom in one.custom:
            yield self._custom(custom, plural, single)

    def _route(self, method: str, path: str, serve: Any, **more: Any) -> Route:
        changes = method != "GET"
        query = more.pop("query", None) or (Change if changes else Scope)
        place = {"kind": self.one.kind, "parent": self.parent} | more.pop("place", {})
        if self.param + "}" in path or self.param + "*}" in path:
            place = {"item": self.param} | place
        errors = ("NOT_FOUND", *more.pop("errors", ()), "SYSTEM_OVERLOADED")
        if changes:
            errors = (*errors, *CHANGE_ERRORS, *_IDEMPOTENT)
            more["headers"] = _KEY_HEADER | more.get("headers", {})
            more["audit"] = more.get("audit") or f"{self.one.area}.{more.pop('verb')}"
            given = shape.attributes(more["request"]) if more.get("request") else {}
            more["ignored"] = self.one.types.ignored.difference(given)
        more.pop("verb", None)
        return Route(
            method=method,
            path=path,
            serve=_fitted(serve),
            tag=self.one.tag,
            query=_cased(query, self.one.camel),
            place=Place(installation=self.one.installation, **place),
            errors=tuple(dict.fromkeys(errors)),
            **more,
        )

    def _lists(self, name: str, path: str = "", serve: Any = None) -> Route:
        return self._route(
            "GET",
            path or self.base,
            serve or self.own.listing(),
            query=ListQuery,
            permission=f"{self.one.area}:read",
            summary=f"List {shape.words(name)}",
            response=self.one.types.listing,
            operation="list" + name,
            place={"across": True},
        )

    def _get(self, name: str) -> Route:
        return self._route(
            "GET",
            self.item,
            self.own.get,
            permission=f"{self.one.area}:read",
            summary=f"Get one {shape.words(name)}",
            response=self.one.types.view,
            operation="get" + name,
        )

    def _create(self, name: str) -> Route:
        return self._route(
            "POST",
            self.base,
            self.own.create,
            verb="create",
            permission=f"{self.one.area}:create",
            summary=f"Create {shape.one(name)}",
            request=self.one.types.create,
            response=self.one.types.view,
            status=201,
            operation="create" + name,
            examples=self.one.examples,
        )

    def _write(self, method: str, serve: Any, request: Any, name: str, **more: Any) -> Route:
        word = "Replace" if method == "PUT" else "Update"
        fresh = more.pop("fresh", False)
        return self._route(
            method,
            self.item,
            serve,
            verb="update",
            permission=f"{self.one.area}:update",
            summary=f"{word} {shape.one(name)}",
            request=request,
            response=self.one.types.view,
            operation=word.lower() + name,
            errors=("ETAG_MISMATCH",),
            headers=_MATCH_HEADER,
            place={"fresh": fresh},
            examples=_without_id(self.one.examples) if method == "PUT" else {},
            **more,
        )

    def _delete(self, name: str) -> Route:
        return self._route(
            "DELETE",
            self.item,
            self.own.delete,
            verb="delete",
            permission=f"{self.one.area}:delete",
            summary=f"Delete {shape.one(name)}",
            status=204,
            operation="delete" + name,
            errors=("ETAG_MISMATCH",),
            headers=_MATCH_HEADER,
        )

    def _undelete(self, name: str) -> Route:
        return self._route(
            "POST",
            self.item + "/undelete",
            self.own.undelete,
            verb="undelete",
            permission=f"{self.one.area}:delete",
            summary=f"Bring back a deleted {shape.words(name)}",
            response=self.one.types.view,
            operation="undelete" + name,
            place={"deleted": True},
        )

    def _watch(self, name: str) -> Route:
        return self._route(
            "GET",
            self.base + "/watch",
            watch.serve(self.one),
            query=watch.WatchQuery,
            permission=f"{self.one.area}:read",
            summary=f"Follow the changes of {shape.words(name)}",
            stream=watch.Change,
            operation="watch" + name,
            headers={"Last-Event-ID": "The last event seen: those after it follow."},
            place={"across": True},
        )

    def _singleton(self, name: str, part: Singleton, single: str) -> Iterator[Route]:
        path, title = f"{self.item}/{name}", single + shape.title(name)
        put, patch, view = fields.part(self.one.type, title, part.fields, camel=self.one.camel)
        yield self._route(
            "GET",
            path,
            self.own.read_part(part, view),
            permission=f"{self.one.area}:read",
            summary=f"Get the {name} of {shape.one(single)}",
            response=view,
            operation="get" + title,
        )
        for method, serve, request, word, query in (
            ("PUT", self.own.write_part(part, view), put, "Set", Change),
            ("PATCH", self.own.modify_part(part, view, patch), patch, "Update", Modify),
        ):
            yield self._route(
                method,
                path,
                serve,
                query=query,
                verb=f"set-{name}",
                permission=part.permission,
                summary=f"{word} the {name} of {shape.one(single)}",
                request=request,
                response=view,
                operation=word.lower() + title,
                errors=("ETAG_MISMATCH",),
                headers=_MATCH_HEADER,
            )

    def _move(self, verb: str, single: str) -> Route:
        return self._route(
            "POST",
            f"{self.item}/{verb}",
            self.own.move(verb),
            verb=verb,
            permission=f"{self.one.area}:{verb}",
            summary=f"{verb.capitalize()} {shape.one(single)}",
            response=self.one.types.view,
            operation=shape.camel(verb) + single,
            errors=("ETAG_MISMATCH",),
        )

    def _facet(self, facet: Facet, single: str) -> Route:
        return self._route(
            "GET",
            f"{self.item}/{facet.name}",
            _bound(facet.serve, self.one),
            query=facet.query,
            permission=facet.permission or f"{self.one.area}:read",
            summary=f"Get the {facet.name} of {shape.one(single)}",
            response=facet.response,
            operation="get" + single + shape.title(facet.name),
        )

    def _custom(self, custom: Custom, plural: str, single: str) -> Route:
        standard = {LIST: self.base, CREATE: self.base, GET: self.item, DELETE: self.item}
        path = standard.get(custom.verb) or (
            self.item if custom.verb == UPDATE else f"{self._above(custom)}/{custom.verb}"
        )
        name = plural if custom.verb == LIST else single
        verb = custom.verb.replace("-", " ").capitalize()
        text = (inspect.getdoc(custom.serve) or "").partition("\n")[0].rstrip(".")
        more = {
            "operation": shape.camel(custom.verb.replace("-", "_")) + name,
            "summary": text or f"{verb} {shape.one(name)}",
        } | custom.more
        serve = _bound(custom.serve, self.one)
        if self.one.states is not None and custom.verb in self.one.states.moves:
            serve = _moved(serve, self.one, custom.verb)
        return self._route(
            custom.method,
            path,
            serve,
            verb=custom.verb,
            permission=custom.permission,
            request=custom.request,
            query=custom.query,
            response=None if custom.response is type(None) else custom.response,
            status=custom.status if custom.response is not type(None) else 204,
            errors=custom.errors,
            description=inspect.getdoc(custom.serve) or "",
            **more,
        )

    def _above(self, custom: Custom) -> str:
        return self.item if custom.on_item else self.base


def _fitted(function: Any) -> Any:
    """A function that is given every query takes only what it asks for."""
    if "query" in inspect.signature(function, follow_wrapped=False).parameters:
        return function

    @wraps(function)
    async def serve(context: Context, query: Any, **given: Any) -> Any:
        return await function(context, **given)

    return serve


def _bound(function: Any, resource: Resource[Any]) -> Any:
    """A method with its item, and with only those arguments that it takes."""
    takes = inspect.signature(function).parameters

    @wraps(function)
    async def serve(context: Context, query: Any, **given: Any) -> Any:
        if "item" in takes:
            given["item"] = context.item(resource)
        if "query" in takes:
            given["query"] = query
        value = await function(context, **given)
        return value.show() if isinstance(value, Item) else value

    return serve


def _moved(serve: Any, resource: Resource[Any], verb: str) -> Any:
    """A method that is allowed in some states only (AIP-216)."""

    @wraps(serve)
    async def guarded(context: Context, query: Any, **given: Any) -> Any:
        states = resource.states
        if states is not None and context.found is not None:
            states.check(verb, str(context.found.spec.get(states.field)))
        return await serve(context, query=query, **given)

    return guarded


_CAMELLED: dict[Any, Any] = {}


def _cased(query: Any, camel: bool) -> Any:
    """A query type, with its names in camelCase for a resource that has them so."""
    if not camel:
        return query
    if query not in _CAMELLED:
        _CAMELLED[query] = msgspec.defstruct(
            query.__name__ + "Camel",
            [one.given for one in fields.describe(query)],
            bases=(query,),
            rename="camel",
            frozen=True,
            kw_only=True,
        )
    return _CAMELLED[query]


def _without_id(examples: dict[str, Any]) -> dict[str, Any]:
    """What is put is at its path already."""
    sent = {name: value for name, value in examples.get("request", {}).items() if name != "id"}
    return examples | ({"request": sent} if sent else {})
