"""What clients send and read of users and service accounts (snake_case)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from modelyard.kernel.fields import HIDDEN, IMMUTABLE, INPUT_ONLY, OUTPUT_ONLY

Role = Literal["admin", "ml_engineer", "data_scientist", "ml_ops", "data_engineer", "business_user"]
Word = Annotated[str, Meta(min_length=1, max_length=100)]


class Attributes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What policies may ask of a caller (seed 002)."""

    department: Word | None = None
    project: Word | None = None
    clearance_level: Annotated[int, Meta(ge=0, le=100)] | None = None
    cost_center: Word | None = None


def known(attributes: Attributes) -> dict[str, str | int]:
    """Those that are set."""
    found = structs.asdict(attributes)
    return {name: value for name, value in found.items() if value is not None}


class User(Struct, frozen=True, kw_only=True):
    """Somebody who calls this server: a person with a password, or a service with keys."""

    kind: Annotated[
        Literal["user", "service_account"],
        IMMUTABLE,
        Meta(description="A service account has no password; it signs in with its keys."),
    ] = "user"
    login: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            pattern=r"^[^\s\x00-\x1f]+\Z",
            description="Unique in the installation; an e-mail address, say.",
        ),
        IMMUTABLE,
    ]
    display_name: Annotated[str, Meta(max_length=100)] = ""
    disabled: Annotated[
        bool, Meta(description="Nothing is allowed, and tokens stop working within a second.")
    ] = False
    signing_key: Annotated[
        dict[str, str] | None,
        Meta(description="Public JWK that verifies this caller's signed requests (RFC 9421)."),
    ] = None
    password: Annotated[
        Annotated[str, Meta(max_length=1000)] | None,
        INPUT_ONLY,
        Meta(description="12 to 128 characters."),
    ] = None
    roles: Annotated[list[Role], OUTPUT_ONLY, Meta(description="Set at `/{id}/roles`.")] = []
    attributes: Annotated[Attributes, OUTPUT_ONLY, Meta(description="Set at `/{id}/roles`.")] = (
        Attributes()
    )
    password_hash: Annotated[str, HIDDEN] = ""
    epoch: Annotated[int, HIDDEN] = 0  # how often the password was changed
