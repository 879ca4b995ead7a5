"""Policies that an admin adds at run time: in force on both planes, for lists as well."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from e2e.client import Client
from e2e.people import USERS, me, new_user, service, set_roles, sign_in, somebody
from patience import until
from serving import Server

POLICIES = "/v1/auth/policies"


@pytest.fixture(scope="module")
def house() -> Iterator[Client]:
    """A server whose policies disturb no other test."""
    with Server() as server:
        yield Client(server.url, server.key)


@contextmanager
def added(api: Client, policy: str, **more: Any) -> Iterator[str]:
    """A policy that is there meanwhile; its id."""
    made = api.post(POLICIES, {"id": "p-" + secrets.token_hex(6), "policy": policy} | more)
    assert made.status == 201, made.body
    try:
        yield made.json["id"]
    finally:
        path = f"{POLICIES}/{made.json['id']}"
        assert api.request("DELETE", path).status in (204, 404)


# -- attributes


@pytest.mark.parametrize(
    ("condition", "with_it", "without"),
    [
        ('principal.department == "visitors"', {"department": "visitors"}, {"department": "care"}),
        ('principal.project == "apollo"', {"project": "apollo"}, {}),
        ("principal.clearance_level < 3", {"clearance_level": 2}, {"clearance_level": 3}),
        ('principal.cost_center like "DE-*"', {"cost_center": "DE-17"}, {"cost_center": "FR-17"}),
    ],
)
def test_each_attribute_decides_on_both_planes(
    house: Client, condition: str, with_it: Any, without: Any
) -> None:
    name = condition.partition(".")[2].partition(" ")[0]
    person = new_user(house, "admin", attributes=with_it)
    account, key = service(house, scopes=["*:*"])
    set_roles(house, account, attributes=with_it)
    callers = [sign_in(house, person["login"]), house.with_key(key["key"])]
    others = [somebody(house, "admin", attributes=without), house]
    text = (
        'forbid (principal, action in [Action::"inference:create", Action::"monitoring:read"], '
        f"resource) when {{ principal has {name} && {condition} }};"
    )

    def statuses(some: list[Client]) -> set[int]:
        return {
            status
            for one in some
            for status in (
                one.chat("sandbox").status,
                one.get("/v1/ai-inference/status").status,
            )
        }

    until(lambda: statuses(callers) == {200})
    with added(house, text) as policy:
        until(lambda: statuses(callers) == {403})
        for one in callers:
            chat, status = one.chat("sandbox"), one.get("/v1/ai-inference/status")
            assert chat.code == status.code == "PERMISSION_DENIED"
            assert policy in chat.message and policy in status.message
            assert status.json["error"]["details"]["policy"] == policy
            assert status.json["error"]["details"]["permission"] == "monitoring:read"
            assert "inference:create" in chat.message
        assert statuses(others) == {200}
        assert "monitoring:read" not in me(callers[0])["permissions"]
        set_roles(house, person["id"], "admin", attributes=without)
        until(lambda: statuses(callers[:1]) == {200})
    until(lambda: statuses(callers) == {200})


def test_a_permit_gives_what_no_role_gave(house: Client) -> None:
    caller = somebody(house, attributes={"department": "support"})
    text = (
        'permit (principal is User, action == Action::"inference:create", resource) '
        'when { principal has department && principal.department == "support" };'
    )
    assert caller.chat("sandbox").status == 403
    with added(house, text):
        until(lambda: caller.chat("sandbox").status == 200)
        assert caller.get("/v1/models").status == 403
        assert me(caller)["permissions"] == ["inference:create"]
        assert somebody(house).chat("sandbox").status == 403
    until(lambda: caller.chat("sandbox").status == 403)


def test_a_policy_is_changed_disabled_and_removed(house: Client) -> None:
    caller = somebody(house, "admin", attributes={"department": "leavers"})
    text = (
        "forbid (principal, action, resource) "
        'when { principal has department && principal.department == "leavers" };'
    )
    with added(house, text) as policy:
        path = f"{POLICIES}/{policy}"
        until(lambda: caller.chat("sandbox").status == 403)
        assert house.request("PATCH", path, {"enabled": False}).status == 200
        until(lambda: caller.chat("sandbox").status == 200)
        assert house.request("PATCH", path, {"enabled": True}).status == 200
        until(lambda: caller.chat("sandbox").status == 403)
        other = text.replace("leavers", "joiners")
        assert house.request("PATCH", path, {"policy": other}).status == 200
        until(lambda: caller.chat("sandbox").status == 200)
        assert house.request("PATCH", path, {"policy": text}).status == 200
        until(lambda: caller.chat("sandbox").status == 403)
        assert caller.request("DELETE", path).status == 204, "whoever has policy:* can mend it"
    until(lambda: caller.chat("sandbox").status == 200)


# -- resources


def users(caller: Client, query: str = "") -> list[str]:
    """The ids in a list, of all its pages."""
    found: list[str] = []
    token = ""
    while True:
        reply = caller.get(f"{USERS}?page_size=2&page_token={token}{query}")
        assert reply.status == 200, reply.body
        found += [user["id"] for user in reply.json["users"]]
        token = reply.json["next_page_token"] or ""
        if not token:
            return found


PERMIT = """permit (principal, action == Action::"user:read", resource)
when { principal has department && resource.labels has team
       && resource.labels["team"] == principal.department };"""


def test_a_permit_for_some_resources_is_a_filter_of_lists(house: Client) -> None:
    team = "t" + secrets.token_hex(4)
    mine = [new_user(house, labels={"team": team})["id"] for _ in range(5)]
    theirs = new_user(house, labels={"team": "other"})["id"]
    nobodys = new_user(house)["id"]
    caller = somebody(house, attributes={"department": team})
    assert caller.get(USERS).status == 403
    with added(house, PERMIT):
        until(lambda: caller.get(USERS).status == 200)
        assert users(caller) == mine[::-1], "the newest first, and no page is short of any"
        for one in mine:
            assert caller.get(f"{USERS}/{one}").status == 200
        for other in (theirs, nobodys, me(caller)["id"]):
            reply = caller.get(f"{USERS}/{other}")
            assert (reply.status, reply.code) == (403, "PERMISSION_DENIED")
            assert reply.json["error"]["details"]["permission"] == "user:read"
        assert caller.get(f"{USERS}/user_none").status == 404
        changed = caller.request("PATCH", f"{USERS}/{mine[0]}", {"display_name": "x"})
        assert (changed.status, "user:update" in changed.message) == (403, True)
        by_filter = quote(f'id="{theirs}" OR id="{mine[0]}"')
        assert users(caller, f"&filter={by_filter}") == [mine[0]]
        assert set(users(house)) >= {theirs, nobodys, *mine}, "the admin sees all"
        assert house.request("PATCH", f"{USERS}/{mine[0]}", {"labels": {}}).status == 200
        assert users(caller) == mine[:0:-1]
        assert caller.get(f"{USERS}/{mine[0]}").status == 403
    until(lambda: caller.get(USERS).status == 403)
    assert caller.get(f"{USERS}/{mine[1]}").status == 403


def test_a_forbid_for_some_resources_hides_them_from_an_admin(house: Client) -> None:
    mark = "m" + secrets.token_hex(4)
    text = (
        'forbid (principal, action in Action::"user:*", resource) '
        f'when {{ resource.labels has secrecy && resource.labels.secrecy == "{mark}" }} '
        "unless { principal has clearance_level && principal.clearance_level >= 3 };"
    )
    hidden = new_user(house, labels={"secrecy": mark, "team": mark})["id"]
    shown = new_user(house, labels={"team": mark})["id"]
    cleared = somebody(house, "admin", attributes={"clearance_level": 3})
    query = "&filter=" + quote(f'labels.team="{mark}"')
    with added(house, text) as policy:
        until(lambda: users(house, query) == [shown])
        assert users(cleared, query) == [shown, hidden]
        for call in (
            lambda: house.get(f"{USERS}/{hidden}"),
            lambda: house.request("PATCH", f"{USERS}/{hidden}", {"display_name": "x"}),
            lambda: house.request("DELETE", f"{USERS}/{hidden}"),
        ):
            reply = call()
            assert (reply.status, reply.json["error"]["details"]["policy"]) == (403, policy)
        made = house.post(USERS, {"login": mark, "labels": {"secrecy": mark}})
        assert (made.status, made.json["error"]["details"]["policy"]) == (403, policy)
        moved = house.request("PATCH", f"{USERS}/{shown}", {"labels": {"secrecy": mark}})
        assert moved.status == 403, "nothing is changed into what one may not change"
        assert cleared.get(f"{USERS}/{hidden}").status == 200
    until(lambda: users(house, query) == [shown, hidden])


# -- whose policies, and which


def test_a_workspaces_policies_are_its_own(house: Client) -> None:
    place = "w-" + secrets.token_hex(4)
    key = {"name": "n", "workspace": place, "scopes": ["*:*"]}
    there = house.with_key(house.post("/v1/auth/keys", key).json["key"])
    text = 'forbid (principal, action == Action::"inference:create", resource);'
    with added(there, text):
        until(lambda: there.chat("sandbox").status == 403)
        assert house.chat("sandbox").status == 200
        assert house.get(POLICIES).json["policies"] == []


def test_no_policy_shuts_out_who_can_mend_it(house: Client) -> None:
    caller = somebody(house, "admin")
    with added(house, "forbid (principal, action, resource);") as policy:
        until(lambda: caller.chat("sandbox").status == 403 == house.get(USERS).status)
        assert house.get(f"{POLICIES}/{policy}").status == 200
        assert me(caller)["permissions"] == [
            "policy:create",
            "policy:delete",
            "policy:read",
            "policy:update",
        ]
        assert caller.request("DELETE", f"{POLICIES}/{policy}").status == 204
    until(lambda: caller.chat("sandbox").status == 200 == house.get(USERS).status)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("permit (principal, action", "cedar"),
        ("// nothing", "cedar"),
        ('permit (principal == Robot::"x", action, resource);', "entity"),
        ('permit (principal, action == Action::"read", resource);', "permission"),
        (
            'permit (principal, action, resource) when { principal.department == "x" };',
            "guard",
        ),
        (
            'permit (principal, action, resource) when { resource.kind == "no/kind" && '
            'resource has x && resource.x == "y" };',
            "kind",
        ),
        (
            'permit (principal, action, resource) when { resource.kind == "auth/users" && '
            'resource has password_hash && resource.password_hash == "y" };',
            "field",
        ),
    ],
)
def test_what_cannot_be_decided_is_refused_when_it_is_added(
    house: Client, text: str, rule: str
) -> None:
    for reply in (
        house.post(POLICIES, {"id": "wrong", "policy": text}),
        house.post(POLICIES, {"id": "wrong", "policy": "// a comment\n\n" + text}),
    ):
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), reply.body
        details = reply.json["error"]["details"]
        assert (details["field"], details["rule"]) == ("policy", rule), reply.body
        assert details["line"] >= 1
    assert house.get(f"{POLICIES}/wrong").status == 404
