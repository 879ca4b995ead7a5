"""The published table of permissions holds: each role, and a key with each single scope."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from e2e.client import Client, Reply, Stream
from e2e.people import me, somebody
from serving import Server

TABLE = Path(__file__).parents[2] / "docs/reference/permissions.md"
ROLES = ("ml_engineer", "data_scientist", "ml_ops", "data_engineer", "business_user", "admin")
# Seed 002, and what it means: write implies read.
SEED = {
    "ml_engineer": ["model:*", "dataset:*", "experiment:*"],
    "data_scientist": ["model:read", "dataset:*", "experiment:write"],
    "ml_ops": ["endpoint:*", "deployment:*", "monitoring:*"],
    "data_engineer": ["dataset:*", "feature:*", "pipeline:*"],
    "business_user": ["model:read", "endpoint:read", "report:*"],
    "admin": ["*:*"],
}


class Need(NamedTuple):
    permission: str
    method: str
    path: str
    roles: frozenset[str]


def table() -> list[Need]:
    """What the page says: each route, the permission that it needs, and the roles with it."""
    found = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or ":" not in cells[0]:
            continue
        roles = frozenset(re.findall(r"`(\w+)`", cells[2]))
        for method, path in re.findall(r"`([A-Z]+) (/\S+?)`", cells[1]):
            found.append(Need(cells[0].strip("`"), method, path, roles))
    return found


NEEDS = table()


OWN = "operation:"  # everybody has these for what they asked for themselves, and nothing else


@pytest.fixture(scope="module")
def house() -> Iterator[Client]:
    """A server of its own: an admin's calls are made for real."""
    with Server() as server:
        yield Client(server.url, server.key)


@contextmanager
def asked(caller: Client, need: Need) -> Iterator[Reply]:
    """A route's answer to a caller; of a stream its beginning. Names in the path name nothing."""
    path = re.sub(r"{[^}]*}", "none-such", need.path)
    body = None if need.method in ("GET", "DELETE") else {}
    stream = Stream(caller.open(need.method, path, body, timeout=30))
    try:
        endless = stream.headers["content-type"].startswith("text/event-stream")
        yield Reply(stream.status, stream.headers, b"") if endless else stream.read()
    finally:
        stream.close()


def check(caller: Client, need: Need, allowed: bool) -> None:
    with asked(caller, need) as reply:
        if allowed:
            assert reply.status not in (401, 403), (need, reply.body)
            return
        if need.permission.startswith(OWN) and reply.status != 403:
            nothing = not reply.body or b'"operations":[]' in reply.body
            assert reply.status == 404 or nothing, (need, reply.body)
            return
        assert reply.status == 403, (need, reply.body)
        assert need.permission in reply.body.decode(), "the missing permission is named"


def test_the_page_has_the_roles_of_the_seed() -> None:
    text = TABLE.read_text(encoding="utf-8")
    for role, has in SEED.items():
        assert f"| `{role}` | {', '.join(f'`{one}`' for one in has)} |" in text
    assert len(NEEDS) > 30
    for need in NEEDS:
        area, action = need.permission.split(":")
        having = {
            role
            for role, has in SEED.items()
            if {f"{area}:{action}", f"{area}:*", f"{area}:write", "*:*"} & set(has)
        }
        assert need.roles == having, need


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_the_table_says(house: Client, role: str) -> None:
    caller = somebody(house, role)
    for need in NEEDS:
        check(caller, need, role in need.roles)
    wanted = {need.permission for need in NEEDS if role in need.roles}
    assert wanted == set(me(caller)["permissions"]) & {need.permission for need in NEEDS}


def test_a_user_without_a_role_may_do_nothing(house: Client) -> None:
    caller = somebody(house)
    for need in NEEDS:
        check(caller, need, False)
    assert me(caller)["permissions"] == []


def test_each_permission_is_enough_for_what_needs_it(house: Client) -> None:
    """And for nothing that needs another."""
    keys = {name: house.new_key(scopes=[name]) for name in {need.permission for need in NEEDS}}
    for name, caller in keys.items():
        for need in NEEDS:
            implied = name.endswith(":write") and need.permission.startswith(name[:-5])
            if name == need.permission or implied:
                check(caller, need, True)
    reader = house.new_key(scopes=["*:read"])
    for need in NEEDS:
        check(reader, need, need.permission.endswith(":read"))


def test_a_refusal_says_what_is_missing_and_who_has_it(house: Client) -> None:
    reply = somebody(house, "ml_ops").get("/v1/models")
    assert (reply.status, reply.code) == (403, "PERMISSION_DENIED")
    assert reply.json["error"]["details"] == {"permission": "model:read", "roles": ["ml_ops"]}
    for role in ("ml_engineer", "data_scientist", "business_user", "admin"):
        assert role in reply.message
    denied = somebody(house, "ml_ops").chat("sandbox")
    assert denied.status == 403
    assert "inference:create" in denied.message
