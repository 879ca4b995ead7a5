"""The policies of the how-to can be added, and do what the page says."""

import json
import re
from pathlib import Path

import pytest

from auth.callers import DATASETS, FIELDS, dataset, key, user
from markdown import blocks
from modelyard.auth.permissions import asked
from modelyard.auth.policy import PolicySet
from modelyard.auth.validation import validate
from modelyard.kernel.ports import Row
from modelyard.kernel.principal import Principal
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import Fields
from modelyard.routes import permissions
from modelyard.server import routes

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/policies.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECRECY, PROJECT, WEBHOOKS, VISITORS = [
    block.text for block in blocks(TEXT) if block.language == "cedar"
]
ADMIN = user(roles=("admin",))
SECRET, OURS = dataset(labels={"class": "confidential"}), dataset(labels={"project": "p"})


def kinds(kind: str) -> Fields:
    return {DATASETS: FIELDS}.get(kind, {})


@pytest.mark.parametrize("text", [SECRECY, PROJECT, WEBHOOKS, VISITORS])
def test_each_can_be_added(text: str) -> None:
    validate(text, kinds, asked(permissions(routes())))


def test_the_request_holds_the_first_policy() -> None:
    sent = next(block.text for block in blocks(TEXT) if "curl" in block.text)
    body = json.loads(sent.partition("-d '")[2].rpartition("'")[0])
    assert body["id"] == "secrecy"
    assert body["policy"].split() == SECRECY.split()


def test_the_condition_about_a_field_can_be_added() -> None:
    condition = re.search(r"`(resource\.kind == [^`]+)`", TEXT)
    assert condition is not None
    validate(f"forbid (principal, action, resource) when {{ {condition[1]} }};", kinds)


@pytest.mark.parametrize(
    ("text", "principal", "permission", "row", "allowed"),
    [
        (SECRECY, ADMIN, "dataset:read", SECRET, False),
        (SECRECY, user(roles=("admin",), attributes={"clearance_level": 3}), "a:b", SECRET, True),
        (SECRECY, ADMIN, "dataset:read", OURS, True),
        (PROJECT, key("*:*"), "dataset:read", OURS, False),
        (PROJECT, key("*:*", attributes={"project": "p"}), "dataset:read", OURS, True),
        (PROJECT, key("*:*", attributes={"project": "q"}), "dataset:read", OURS, False),
        (PROJECT, key("*:*"), "dataset:read", SECRET, True),
        (PROJECT, ADMIN, "dataset:write", OURS, True),
        (WEBHOOKS, user(), "webhook:read", dataset(created_by="user_2"), True),
        (WEBHOOKS, user(), "webhook:create", None, True),
        (WEBHOOKS, user(), "webhook:update", dataset(created_by="user_1"), True),
        (WEBHOOKS, user(), "webhook:update", dataset(created_by="user_2"), False),
        (WEBHOOKS, ADMIN, "webhook:delete", dataset(created_by="user_2"), False),
        (WEBHOOKS, key(), "webhook:read", None, False),
        (VISITORS, key("*:*", attributes={"department": "visitors"}), "key:read", None, False),
        (VISITORS, key("*:*", attributes={"department": "visitors"}), "model:read", None, True),
        (VISITORS, key("*:*"), "inference:create", None, True),
    ],
)
def test_each_does_what_the_page_says(
    text: str, principal: Principal, permission: str, row: Row | None, allowed: bool
) -> None:
    policies = PolicySet({"p": text})
    if allowed:
        policies.check(principal, permission, row)
    else:
        with pytest.raises(Failure):
            policies.check(principal, permission, row)
