"""What is computed for a card and for Croissant: columns, parts and their sizes."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from modelyard.catalog.datasets.schema import Dataset
from modelyard.catalog.datasets.versions import versions
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Query
from modelyard.protocol.filtering import And, Compare

_TYPES = {
    "integer": "int64",
    "number": "float64",
    "boolean": "bool",
    "date": "date32",
    "datetime": "timestamp[us, tz=UTC]",
    "string": "string",
    "binary": "binary",
}
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
_MOST_PARTS = 32


class Told(Struct, frozen=True, kw_only=True):
    """A version, the parts of its last split, and the bytes of each one's table."""

    dataset: Item[Dataset]
    version: Item[Version]
    parts: list[Item[Version]]
    bytes: dict[str, int]  # by the version's id


async def told(context: Context, dataset: Item[Dataset], version: Item[Version]) -> Told:
    """What there is to tell of a version."""
    parts = [] if version.spec.part else await _parts(context, dataset, version)
    sizes = {one.id: await context.artifacts.size(one.spec.data) for one in (version, *parts)}
    return Told(dataset=dataset, version=version, parts=parts, bytes=sizes)


async def _parts(
    context: Context, dataset: Item[Dataset], version: Item[Version]
) -> list[Item[Version]]:
    """The parts of the version's newest split, in their order."""
    of = Compare(versions.filterable["parent"], "=", version.id)
    split = Compare(versions.filterable["origin"], "=", "split")
    query = Query(
        kind=versions.kind,
        workspace=dataset.row.address.workspace,
        parent=dataset.name,
        filter=And((of, split)),
        size=1000,
    )
    rows = [one for one in await context.ports.store.page(query) if one.deleted_at is None]
    found = [Item(versions, one) for one in rows]
    if not found:
        return []
    newest = max(found, key=lambda one: one.row.created_at)
    mine = [one for one in found if one.spec.operation == newest.spec.operation][:_MOST_PARTS]
    order = list(dataset.spec.splits)
    return sorted(
        mine, key=lambda one: order.index(one.spec.part) if one.spec.part in order else 99
    )


def info(about: Told) -> dict[str, Any]:
    """``dataset_info`` as Hugging Face's cards have it; features where each has a plain type."""
    spec = about.version.spec
    fields = spec.schema.fields
    made: dict[str, Any] = {}
    if fields and all(one.type in _TYPES for one in fields):
        made["features"] = [{"name": one.name, "dtype": _TYPES[one.type]} for one in fields]
    parts = [(one.spec.part, one) for one in about.parts] or [("train", about.version)]
    made["splits"] = [
        {
            "name": name,
            "num_bytes": about.bytes[one.id],
            "num_examples": one.spec.record_count,
        }
        for name, one in parts
    ]
    size = sum(about.bytes[one.id] for _, one in parts)
    return made | {"download_size": size, "dataset_size": size}


def size_category(rows: int) -> str:
    """Hugging Face's word for so many rows."""
    return next((word for below, word in _SIZES if rows < below), "n>1B")
