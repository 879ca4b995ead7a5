"""What is written when access changes: the dataset, and who sees its versions and reports."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from modelyard.catalog.datasets.schema import Dataset
from modelyard.catalog.datasets.sharing.rules import owner_of, shared_with, term
from modelyard.catalog.datasets.sharing.schema import Access
from modelyard.catalog.datasets.validating import validations
from modelyard.catalog.datasets.versions import versions
from modelyard.kernel import names
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address, Query, Row, Write, position
from modelyard.kernel.resource import Resource

BELOW: tuple[Resource[Any], ...] = (versions, validations)
_KINDS = frozenset(one.kind for one in BELOW)
_PAGE = 1000


async def changed(context: Context, spec: Dataset, item: Item[Dataset]) -> Dataset:
    """A dataset with another access, as it is stored; what is below it is staged."""
    kept = {term(one): one for one in spec.access.grants}  # the last word about each
    access = Access(level=spec.access.level, grants=list(kept.values()))
    seen_by = shared_with(access, owner_of(item.row))
    if seen_by != item.spec.shared_with:
        for resource in BELOW:
            await _restage(context, resource, item, seen_by)
    return structs.replace(spec, access=access, shared_with=seen_by)


async def _restage(
    context: Context, resource: Resource[Any], item: Item[Dataset], seen_by: list[str]
) -> None:
    query = Query(
        kind=resource.kind, workspace=item.row.address.workspace, parent=item.name, size=_PAGE
    )
    while rows := await context.ports.store.page(query):
        context.commit.writes += [_shared(resource, row, seen_by) for row in rows]
        query = structs.replace(query, after=position(query, rows[-1]))


def _shared(resource: Resource[Any], row: Row, seen_by: list[str]) -> Write:
    spec = row.spec | {"sharedWith": seen_by}
    return Write(
        row=structs.replace(row, revision=row.revision + 1, spec=spec),
        expected=row.revision,
        before=row,
        references=resource.references(row, frozenset()),
    )


async def inherited(context: Context) -> None:
    """Let those see what is staged below a dataset who see it, now and at the commit."""
    for at, write in enumerate(list(context.commit.writes)):
        address = write.row.address
        if address.kind not in _KINDS or write.expected is not None:
            continue
        dataset = await _dataset(context, address)
        spec = write.row.spec | {"sharedWith": dataset.spec.get("sharedWith", [])}
        row = structs.replace(write.row, spec=spec)
        context.commit.writes[at] = structs.replace(write, row=row)


async def _dataset(context: Context, below: Address) -> Row:
    """The dataset above, as it is to be when the commit is made."""
    kind, _, own_id = below.parent.rpartition("/")
    address = Address(kind, below.workspace, "", own_id)
    for write in context.commit.writes:
        if write.row.address == address:
            return write.row
    row = await context.ports.store.get(address)
    if row is None:
        raise names.missing(address)
    after = structs.replace(row, revision=row.revision + 1)
    context.commit.writes.append(Write(row=after, expected=row.revision, before=row))
    return after
