"""A list of the store holds exactly the rows that a check of each lets through."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from auth.callers import DATASETS, FIELDS, dataset, fields_of, key, user
from modelyard.auth.policy import PolicySet
from modelyard.auth.validation import validate
from modelyard.kernel.ports import Commit, Indexed, Query, Row, Write
from modelyard.kernel.principal import Principal
from modelyard.protocol.errors import Failure
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store

ROWS = [
    dataset(name="plain", created_by="user_1"),
    dataset(name="secret", labels={"class": "confidential"}, spec={"type": "image"}),
    dataset(name="open", labels={"class": "open", "team": "a/b"}, spec={"type": "image/png"}),
    dataset(name="small", spec={"size": 1, "public": True, "tags": ["a", "b"]}),
    dataset(name="large", spec={"size": 9, "public": False, "tags": []}),
    dataset(name="star", labels={"class": "*"}, spec={"type": "*", "tags": ["*"]}),
    dataset(name="headed", created_by="user_1", spec={"spec": {"head": "3"}, "tags": ["b"]}),
    dataset(name="empty", labels={"class": ""}, spec={"type": "", "spec": {}}),
]
OF_DATASETS = f'resource.kind == "{DATASETS}" && '
CONDITIONS = [
    'resource.labels has class && resource.labels.class == "confidential"',
    'resource.labels has class && resource.labels.class != "confidential"',
    "resource.labels has class",
    'resource has labels.class && resource.labels.class like "*"',
    'resource.labels has team && resource.labels.team like "*/b"',
    "resource.created_by == principal.id",
    '["plain", "star"].contains(resource.id) || resource.id like "s*"',
    OF_DATASETS + 'resource has type && resource.type like "image*"',
    OF_DATASETS + 'resource has type && resource.type != "image"',
    OF_DATASETS + "resource has type",
    OF_DATASETS + 'resource has spec.head && resource.spec.head == "3"',
    OF_DATASETS + "resource has spec.head",
    OF_DATASETS + "resource has size && resource.size > 1",
    OF_DATASETS + "resource has size && !(resource.size > 1)",
    OF_DATASETS + "resource has public && resource.public",
    OF_DATASETS + "resource has public && !resource.public",
    OF_DATASETS + "resource has tags",
    OF_DATASETS + 'resource has tags && resource.tags.containsAll(["a", "b"])',
    OF_DATASETS + 'resource has tags && !resource.tags.contains("a")',
    'resource.workspace != principal.workspace || resource.kind like "cat*"',
]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    driver = Database(tmp_path / "a.db")
    store = Store(driver)
    await store.declare([Indexed(kind=DATASETS, fields=tuple(FIELDS.values()))])
    await store.commit(Commit(writes=[Write(row=row) for row in ROWS]))
    yield store
    await driver.shut()


def allowed(policies: PolicySet, principal: Principal, row: Row) -> bool:
    try:
        policies.check(principal, "dataset:read", row)
    except Failure:
        return False
    return True


async def test_lists_hold_what_checks_let_through(store: Store) -> None:
    partly = 0
    for condition in CONDITIONS:
        for effect, principal in (("forbid", key("*:*")), ("permit", user())):
            text = f"{effect} (principal, action, resource) when {{ {condition} }};"
            validate(text, fields_of)
            policies = PolicySet({"p": text}, fields_of)
            rights = policies.visible(principal, "dataset:read", DATASETS, FIELDS)
            listed = await store.page(Query(kind=DATASETS, workspace="team", filter=rights))
            found = {row.address.id for row in listed}
            expected = {row.address.id for row in ROWS if allowed(policies, principal, row)}
            assert found == expected, text
            partly += 0 < len(found) < len(ROWS)
    assert partly >= len(CONDITIONS)
