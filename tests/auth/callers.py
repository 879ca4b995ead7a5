"""Callers, resources and fields for the tests of policies."""

from pathlib import Path
from typing import Any

from modelyard.auth import policy
from modelyard.auth.policy import PolicySet
from modelyard.kernel.ports import Address, Row
from modelyard.kernel.principal import Principal
from modelyard.protocol.filtering import Field, Fields

ROLES = Path(policy.__file__).with_name("roles.cedar").read_text()
PLAIN = PolicySet()
DATASETS = "catalog/datasets"
FIELDS: Fields = {
    "type": Field("type", "string", ("type",)),
    "spec.head": Field("spec.head", "string", ("spec", "head")),
    "size": Field("size", "integer", ("size",)),
    "public": Field("public", "boolean", ("public",)),
    "tags": Field("tags", "strings", ("tags",)),
    "rating": Field("rating", "number", ("rating",)),
    "createdAt": Field("createdAt", "time", (), "created_at"),
    "createdBy": Field("createdBy", "string", (), "created_by"),
    "labels": Field("labels", "labels", column="labels"),
}


def fields_of(kind: str) -> Fields:
    return FIELDS if kind == DATASETS else {}


def user(**given: Any) -> Principal:
    return Principal(**{"id": "user_1", "workspace": "team", "scopes": (), "kind": "user", **given})


def key(*scopes: str, **given: Any) -> Principal:
    return Principal(id="key_1", workspace="team", scopes=scopes, **given)


def dataset(
    *, kind: str = DATASETS, name: str = "ds_1", workspace: str = "team", **given: Any
) -> Row:
    times = {"created_at": 0.0, "updated_at": 0.0, "created_by": "user_9", "updated_by": "user_9"}
    return Row(address=Address(kind, workspace, "", name), uid="u", **(times | given))
