"""What clients send and read of a dataset's access (camelCase)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Level = Literal["private", "readable", "workspace"]
Right = Literal["read", "write", "admin"]
Whose = Literal["user", "service_account", "key", "role", "department", "project"]
MOST_GRANTS = 200


class Grant(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What somebody may do with a dataset that not everybody may see or change."""

    type: Annotated[
        Whose,
        Meta(
            description="`role`, `department` and `project` are all those who have it; the latter "
            "two are attributes of users."
        ),
    ]
    id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=255,
            description="Of the user, service account or key (`user_1f`), or the name.",
        ),
    ]
    permission: Annotated[
        Right,
        Meta(
            description="`write` is with `read`; `admin` is with both, and may share, delete and "
            "purge."
        ),
    ] = "read"


class Access(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Who may see and change a dataset, as far as their roles let them."""

    level: Annotated[
        Level,
        Meta(
            description="`private`: the owner, those in `grants` and admins; to others it is not "
            "there. `readable`: the workspace may read. `workspace`: roles alone decide."
        ),
    ] = "workspace"
    grants: Annotated[
        list[Grant],
        Meta(max_length=MOST_GRANTS, description="What some may beyond the level, each once."),
    ] = field(default_factory=list)


class Share(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A change of who has access: what is not named stays."""

    level: Annotated[Level | None, Meta(description="Another level; unset: as it is.")] = None
    grants: Annotated[
        list[Grant], Meta(max_length=MOST_GRANTS, description="Added, or changed where they are.")
    ] = field(default_factory=list)
    revoke: Annotated[
        list[Annotated[str, Meta(max_length=255)]],
        Meta(max_length=MOST_GRANTS, description="Ids of those that have none any more."),
    ] = field(default_factory=list)
