"""A policy that would do nothing is refused; one that was stored stays."""

from pathlib import Path
from typing import Any

import pytest

from identity.house import House
from modelyard.routes import permissions
from modelyard.server import routes

POLICIES = "/v1/auth/policies"
NAMES = permissions(routes())


def forbid(action: str) -> dict[str, Any]:
    return {"id": "p", "policy": f"forbid (principal, action {action}, resource);"}


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An installation that knows what its routes ask for."""
    return House(tmp_path, permissions=NAMES)


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (
            '== Action::"dataset:raed"',
            "'dataset:raed'; did you mean 'dataset:read'? There are",
        ),
        ('in [Action::"key:*", Action::"kee:*"]', "'kee:*'; "),
        ('in Action::"*:raed"', "'*:raed'"),
        ('== Action::"key:write"', "'key:write'; did you mean"),
    ],
)
async def test_an_action_that_nothing_asks_for_is_refused(
    house: House, action: str, told: str
) -> None:
    await house.installation.open()
    reply = await house.client().post(POLICIES, forbid(action))
    assert reply.status == 400, reply.body
    error = reply.json["error"]
    assert error["code"] == "INVALID_REQUEST"
    assert (error["details"]["field"], error["details"]["rule"]) == ("policy", "action")
    assert f"no request asks for {told}" in error["message"]
    await house.installation.close()


@pytest.mark.parametrize(
    "action",
    ["", '== Action::"dataset-pii:use"', 'in [Action::"key:write", Action::"*:read"]']
    + [f'== Action::"{name}"' for name in ("key:rotate", "workspace:write")],
)
async def test_others_are_taken(house: House, action: str) -> None:
    await house.installation.open()
    text = forbid(action)
    if action.startswith('in [Action::"key:write'):
        text["policy"] = text["policy"].replace("forbid", "permit")
    reply = await house.client().post(POLICIES, text)
    assert reply.status == 201, reply.body
    await house.installation.close()


async def test_one_that_was_stored_hinders_no_start_and_can_be_turned_off(
    house: House, tmp_path: Path
) -> None:
    older = await House.open(tmp_path)  # it checked nothing
    assert (await older.client().post(POLICIES, forbid('== Action::"a:b"'))).status == 201
    await older.installation.close()
    await house.installation.open()
    client = house.client()
    reply = await client.request("PATCH", f"{POLICIES}/p", {"enabled": False})
    assert (reply.status, reply.json["enabled"]) == (200, False), reply.body
    other = forbid('== Action::"b:c"')["policy"]
    assert (await client.request("PATCH", f"{POLICIES}/p", {"policy": other})).status == 400
    await house.installation.close()
