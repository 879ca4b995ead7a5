"""Versions that a request names beside its own: of the same dataset, or of another."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.schema import Dataset, VersionId
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.kernel.context import Context, Item

DatasetId = Annotated[str, Meta(max_length=100, description="Of the same workspace.")]


class VersionRef(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A version."""

    dataset: Annotated[
        DatasetId | None, Meta(description="Its dataset's id; the same one where left out.")
    ] = None
    version: Annotated[VersionId | None, Meta(description="The newest where left out.")] = None


async def referred(context: Context, item: Item[Dataset], ref: VersionRef) -> Item[Version]:
    """What is named. Raises ``NOT_FOUND``, ``DATASET_NOT_FOUND``, ``PERMISSION_DENIED``."""
    dataset = item
    if ref.dataset is not None and ref.dataset != item.id:
        dataset = await context.get(datasets, ref.dataset)
    return await keeping.found(context, dataset, ref.version)


def pinned(version: Item[Version]) -> VersionRef:
    """What names just this version, wherever it is asked for."""
    return VersionRef(dataset=version.row.address.parent.rpartition("/")[2], version=version.id)
