"""Sharing a dataset with others. Its access list is a part of the resource: ``/access``."""

from __future__ import annotations

from msgspec import structs

from modelyard.catalog.datasets import datasets
from modelyard.catalog.datasets.schema import Dataset
from modelyard.catalog.datasets.sharing.keeping import changed
from modelyard.catalog.datasets.sharing.schema import Access, Share
from modelyard.kernel.context import Context, Item


@datasets.post(
    "share",
    response=datasets.types.view,
    examples={
        "request": {
            "level": "private",
            "grants": [{"type": "role", "id": "data_scientist", "permission": "read"}],
        }
    },
)
async def share(context: Context, item: Item[Dataset], ask: Share) -> Item[Dataset]:
    """Share a dataset.

    What is not named stays as it is. Sharing lets nobody do what their roles do not let them do.
    """
    before, gone = item.spec.access, set(ask.revoke)
    kept = [one for one in before.grants if one.id not in gone]
    access = Access(level=ask.level or before.level, grants=[*kept, *ask.grants])
    spec = await changed(context, structs.replace(item.spec, access=access), item)
    return await context.update(item, spec, verb="share")
