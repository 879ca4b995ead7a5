"""A stored resource in the hands of a method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from modelyard.kernel.ports import Row

if TYPE_CHECKING:
    from modelyard.kernel.resource import Resource

T = TypeVar("T")


class Item(Generic[T]):
    """A stored resource in the hands of a method; ``spec`` is its document."""

    __slots__ = ("resource", "row", "spec")

    def __init__(self, resource: Resource[T], row: Row) -> None:
        self.resource = resource
        self.row = row
        self.spec: T = resource.load(row)

    @property
    def id(self) -> str:
        """Its id within its parent."""
        return self.row.address.id

    @property
    def name(self) -> str:
        """The path it is read at, without the version."""
        return self.row.address.name
