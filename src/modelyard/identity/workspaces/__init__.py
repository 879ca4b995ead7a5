"""Workspaces at ``/v1/auth/workspaces``: whose everything is. No query crosses them."""

from typing import Annotated

from msgspec import Meta, Struct

from modelyard.kernel.context import Context
from modelyard.kernel.fields import indexed
from modelyard.kernel.resource import Resource
from modelyard.protocol.filtering import Compare, Filter

DEFAULT = "default"  # the workspace that an installation starts with
ID = r"^[a-z0-9][a-z0-9_-]{0,63}\Z"


class Workspace(Struct, frozen=True, kw_only=True):
    """One tenant of the installation."""

    display_name: Annotated[str, Meta(max_length=100, description="As people call it.")] = ""
    description: Annotated[str, Meta(max_length=1000)] = ""


def own(context: Context) -> Filter | None:
    """Everybody sees the own workspace; who may write workspaces sees all."""
    if context.may("workspace:write"):
        return None
    field = indexed(Workspace, "id", camel=False)
    return Compare(field, "=", context.principal.workspace)


workspaces = Resource(
    "/auth/workspaces",
    Workspace,
    tag="Identity",
    own_ids=ID,
    installation=True,
    filterable=("display_name",),
    sortable=("display_name",),
    searchable=("display_name", "description"),
    visible=own,
    examples={"request": {"id": "vision", "display_name": "Vision team"}},
)
