"""What can be done with workspaces, beside reading and changing them."""

from modelyard.identity.workspaces import Workspace, workspaces
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Query
from modelyard.protocol.errors import Failure


@workspaces.standard_method("delete", errors=("ETAG_MISMATCH",))
async def delete(context: Context, item: Item[Workspace]) -> None:
    """Delete a workspace.

    It must be empty, so that nothing in it is lost, and not the caller's own.
    """
    if item.id == context.principal.workspace:
        raise _in_use(item.id, "you are in it")
    for kind, one in context.ports.resources.items():
        if not one.installation:
            query = Query(kind=kind, workspace=item.id, parent=None, size=1)
            if found := await context.ports.store.page(query):
                raise _in_use(item.id, f"it holds {found[0].address.name}")
    context.delete(item)


def _in_use(own_id: str, reason: str) -> Failure:
    return Failure(
        "CONFLICT",
        f"The workspace '{own_id}' cannot be deleted: {reason}. Empty it first, from another one.",
        details={"field": "id", "rule": "empty"},
    )
