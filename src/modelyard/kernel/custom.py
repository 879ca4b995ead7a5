"""What a declaration is made of beside its type: custom methods, parts, and facets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from modelyard.kernel.context import Context

Function = Callable[..., Awaitable[Any]]
Admit = Callable[[Context, Any, Any], Awaitable[Any]]  # context, new spec, item or None


class Custom(Struct, frozen=True, kw_only=True):
    """A custom method (AIP-136), a facet, or a standard method of its own making."""

    verb: str
    method: str
    serve: Function
    on_item: bool
    permission: str
    request: Any = None
    query: Any = None
    response: Any = None
    status: int = 200
    errors: tuple[str, ...] = ()
    more: dict[str, Any] = {}  # fields of the route


class Singleton(Struct, frozen=True, kw_only=True):
    """A part of a document that is read and written by itself, under a right of its own.

    Its fields are output-only for the resource's other methods. ``check`` may refuse a new part.
    """

    fields: tuple[str, ...]
    permission: str
    check: Admit | None = None  # context, the new document, the item


class Facet(Struct, frozen=True, kw_only=True):
    """The same read on many resources: ``lineage``, ``history``."""

    name: str
    serve: Function
    response: Any
    query: Any = None
    permission: str = ""  # the resource's own read when empty
