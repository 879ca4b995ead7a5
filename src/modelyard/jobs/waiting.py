"""Which operations of the workers have not ended, in all workspaces."""

from __future__ import annotations

from modelyard.jobs.operations import operations
from modelyard.jobs.schema import SERVED
from modelyard.kernel.context import WORKSPACES
from modelyard.kernel.ports import Query, Row, Store
from modelyard.protocol import filter_grammar
from modelyard.protocol.filtering import Order

MOST = 1000  # of one workspace at a time


async def open_operations(store: Store, most: int = MOST) -> list[Row]:
    """Those that have not ended, the oldest first, ``most`` of each workspace.

    Without those that servers run themselves.
    """
    asked = "".join(f' AND metadata.kind != "{kind}"' for kind in sorted(SERVED))
    where = filter_grammar.parse("done = false" + asked, operations.filterable)
    oldest = (Order(operations.sortable["created_at"], descending=False),)
    found: list[Row] = []
    for workspace in await store.everywhere(WORKSPACES):
        query = Query(
            kind=operations.kind,
            workspace=workspace.address.id,
            filter=where,
            order=oldest,
            size=most,
        )
        found += await store.page(query)
    return found
