"""The audit trail as clients read it."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from governance.office import Office
from modelyard.storage.driver import Statement, Work

AUDIT = "governance/audit"


async def changed(office: Office) -> dict[str, Any]:
    """A user that was made, changed twice and given a role."""
    user = await office.user("ada@example.com", display_name="Ada")
    path = f"auth/users/{user['id']}"
    await office.ask("PATCH", path, {"display_name": "Ada L."})
    await office.ask("PATCH", path, {"disabled": True, "labels": {"team": "x"}})
    await office.ask("PUT", f"{path}/roles", {"roles": ["ml_ops"], "attributes": {"project": "p"}})
    return user


async def test_an_entry_says_who_changed_what_to_what(office: Office) -> None:
    user = await changed(office)
    log = await office.get(f"{AUDIT}?filter=kind%3D%22auth/users%22")
    assert [one["verb"] for one in log["entries"]] == [
        "user.set-roles", "user.update", "user.update", "user.create",
    ]  # fmt: skip
    roles, second, first, made = log["entries"]
    assert log["nextPageToken"] is None
    assert set(made) == {
        "id", "sequence", "digest", "at", "actor", "verb", "resource", "kind", "requestId",
        "workspace", "before", "after", "changes",
    }  # fmt: skip
    assert made["resource"] == f"auth/users/{user['id']}"
    assert (made["before"], made["after"], made["changes"]) == (None, user, [])
    assert (made["workspace"], made["kind"]) == ("default", "auth/users")
    assert re.fullmatch(r"req_[0-9a-f]{24}", made["requestId"])
    assert re.fullmatch(r"[0-9a-f]{64}", made["digest"])
    assert first["changes"] == [{"field": "display_name", "before": "Ada", "after": "Ada L."}]
    assert second["changes"] == [
        {"field": "disabled", "before": False, "after": True},
        {"field": "labels.team", "before": None, "after": "x"},
    ]
    assert roles["changes"] == [
        {"field": "roles", "before": [], "after": ["ml_ops"]},
        {"field": "attributes.project", "before": None, "after": "p"},
    ]
    assert [one["sequence"] for one in log["entries"]] == sorted(
        (one["sequence"] for one in log["entries"]), reverse=True
    )


async def test_a_secret_is_in_no_entry(office: Office) -> None:
    made = await office.key("*:*")
    await office.user("bob@example.com", password="correct horse battery staple")
    log = await office.ask("GET", AUDIT)
    assert made["key"] not in str(log)
    assert "staple" not in str(log)
    assert "argon2" not in str(log)


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ('verb = "user.*"', 4),
        ('verb = "user.update" AND kind = "auth/users"', 2),
        ('verb = "user.update" OR verb = "user.create"', 3),
        ('NOT kind = "auth/users" AND verb = "user.*"', 0),
        ('resource = "auth/users/*"', 4),
        ("requestId = REQUEST", 1),
        ("request_id = REQUEST", 1),
        ('actor = "nobody"', 0),
        ('kind = "auth/users" AND at > "2020-01-01T00:00:00Z"', 4),
        ('kind = "auth/users" AND at < "2020-01-01T00:00:00Z"', 0),
        ("ml_ops", 1),
        ('ada "create"', 1),
        ("nowhere", 0),
        ('workspace = "default" AND kind = "auth/users"', 4),
    ],
)
async def test_a_filter(office: Office, asked: str, count: int) -> None:
    await changed(office)
    one = await office.ask("POST", f"{AUDIT}/search", {"verb": "user.create"})
    asked = asked.replace("REQUEST", one["entries"][0]["requestId"])
    found = await office.ask("POST", f"{AUDIT}/search", {"filter": asked})
    assert len(found["entries"]) == count


async def test_an_unknown_field_is_refused(office: Office) -> None:
    reply = await office.ask("POST", f"{AUDIT}/search", {"filter": "actr = x"}, status=400)
    assert reply["error"]["details"]["rule"] == "unknown_field"
    assert "did you mean 'actor'" in reply["error"]["message"]


@pytest.mark.parametrize("order", ["at desc", "at"])
async def test_pages_hold_everything_once_whatever_comes_meanwhile(
    office: Office, order: str
) -> None:
    for number in range(7):
        await office.user(f"user{number}@example.com")
    whole = (await office.get(f"{AUDIT}?filter=verb%3Duser.create"))["entries"]
    found: list[Any] = []
    token: str | None = ""
    while token is not None and len(found) < 7:
        ask = {"filter": "verb=user.create", "pageSize": 3, "orderBy": order, "pageToken": token}
        page = await office.ask("POST", f"{AUDIT}/search", ask)
        found += page["entries"]
        token = page["nextPageToken"]
        await office.user(f"late{len(found)}@example.com")
    assert found[:7] == (whole if order == "at desc" else whole[::-1])
    assert len(found) == (7 if order == "at desc" else 9)


async def test_a_token_of_another_search_is_refused(office: Office) -> None:
    await changed(office)
    page = await office.ask("POST", f"{AUDIT}/search", {"verb": "user.*", "pageSize": 1})
    ask = {"verb": "key.*", "pageToken": page["nextPageToken"]}
    assert (await office.ask("POST", f"{AUDIT}/search", ask, status=400))["error"]["details"] == {
        "field": "page_token", "rule": "page_token",
    }  # fmt: skip


async def test_the_trail_of_an_entity_by_name_and_by_id(office: Office) -> None:
    user = await changed(office)
    await office.user("other@example.com")
    by_name = await office.get(f"{AUDIT}/auth/users/{user['id']}")
    by_id = await office.get(f"{AUDIT}/{user['id']}")
    encoded = await office.get(f"{AUDIT}/auth%2Fusers%2F{user['id']}")
    assert by_name == by_id == encoded
    assert len(by_name["entries"]) == 4
    await office.ask("DELETE", f"auth/users/{user['id']}", status=204)
    gone = (await office.get(f"{AUDIT}/{user['id']}"))["entries"][0]
    assert (gone["verb"], gone["after"]) == ("user.delete", None)
    empty = await office.get(f"{AUDIT}/{user['id']}?until=2020-01-01T00:00:00Z")
    assert empty == {"entries": [], "nextPageToken": None}


async def test_an_entity_that_never_was(office: Office) -> None:
    for name in ("user_0000000000000000", "auth/users/user_1", "%"):
        reply = await office.ask("GET", f"{AUDIT}/{name}", status=404)
        assert reply["error"]["code"] == "NOT_FOUND"


async def test_who_may_read_the_trail(office: Office) -> None:
    await changed(office)
    auditor = (await office.key("audit:read"))["key"]
    nobody = (await office.key("key:read"))["key"]
    foreign = (await office.key("audit:read", workspace="other"))["key"]
    assert (await office.get(AUDIT, key=auditor))["entries"]
    for path in (AUDIT, f"{AUDIT}/report", f"{AUDIT}/user_1"):
        denied = await office.get(path, key=nobody, status=403)
        assert denied["error"]["details"]["permission"] == "audit:read"
        assert (await office.get(path, key="none", status=401))["error"][
            "code"
        ] == "UNAUTHENTICATED"
    entries = (await office.get(AUDIT, key=foreign))["entries"]
    assert {one["workspace"] for one in entries} <= {"other"}
    user = (await office.ask("POST", f"{AUDIT}/search", {"verb": "user.create"}))["entries"][0]
    await office.get(f"{AUDIT}/{user['resource']}", key=foreign, status=404)


async def test_another_workspace_needs_the_right_to_write_workspaces(office: Office) -> None:
    auditor = (await office.key("audit:read"))["key"]
    await office.key("audit:read", workspace="other")
    for asked in ("other", "-"):
        denied = await office.get(f"{AUDIT}?workspace={asked}", key=auditor, status=403)
        assert denied["error"]["details"]["permission"] == "workspace:write"
    entries = (await office.get(f"{AUDIT}?workspace=other"))["entries"]
    assert {one["workspace"] for one in entries} == {"other"}
    everywhere = (await office.get(f"{AUDIT}?workspace=-&pageSize=1000"))["entries"]
    assert {"", "default", "other"} <= {one["workspace"] for one in everywhere}
    assert [one["sequence"] for one in everywhere] == list(range(len(everywhere), 0, -1))


async def test_history_is_a_facet_of_every_resource(office: Office) -> None:
    user = await changed(office)
    path = f"auth/users/{user['id']}/history"
    first = await office.get(f"{path}?page_size=3")
    assert set(first) == {"entries", "next_page_token"}
    assert set(first["entries"][0]) >= {"request_id", "changes", "digest"}
    rest = await office.get(f"{path}?page_size=3&page_token={first['next_page_token']}")
    assert rest["next_page_token"] is None
    verbs = [one["verb"] for one in first["entries"] + rest["entries"]]
    assert verbs == ["user.set-roles", "user.update", "user.update", "user.create"]
    nobody = (await office.key("key:read"))["key"]
    denied = await office.get(path, key=nobody, status=403)
    assert denied["error"]["details"]["permission"] == "user:read"
    for kind, item in (("workspaces", "default"),):
        await office.ask("PATCH", f"auth/{kind}/{item}", {"display_name": "D"})
        assert (await office.get(f"auth/{kind}/{item}/history"))["entries"][0]["workspace"] == ""


async def test_the_report_adds_up(office: Office) -> None:
    await changed(office)
    login = {"login": "ada@example.com", "password": "wrong password here"}
    await office.ask("POST", "auth/login", login, status=401)
    for _ in range(200):  # it is recorded after the answer
        refused = await office.ask("POST", f"{AUDIT}/search", {"verb": "session.refuse"})
        if refused["entries"]:
            break
    report = await office.get(f"{AUDIT}/report")
    log = (await office.get(f"{AUDIT}?pageSize=1000"))["entries"]
    assert report["total"] == len(log)
    for part in ("actor", "verb", "kind"):
        sums: dict[str, int] = {}
        for one in log:
            sums[one[part]] = sums.get(one[part], 0) + 1
        found = {one["value"]: one["count"] for one in report[f"by{part.capitalize()}"]}
        assert found == sums
    counts = [one["count"] for one in report["byVerb"]]
    assert counts == sorted(counts, reverse=True)
    assert sum(one["count"] for one in report["byDay"]) == len(log)
    assert {one["value"] for one in report["byDay"]} == {one["at"][:10] for one in log}
    assert report["denied"]["total"] == 1
    assert report["denied"]["byResource"][0]["value"].startswith("auth/users/")
    newest = (await office.get(f"{AUDIT}?workspace=-&pageSize=1"))["entries"][0]
    assert report["chain"] == {
        "intact": True, "verifiedFrom": 1, "verifiedTo": newest["sequence"],
        "digest": newest["digest"], "brokenAt": None, "reason": None,
    }  # fmt: skip


async def test_the_report_of_all_workspaces(office: Office) -> None:
    await office.key("audit:read", workspace="other")
    everywhere = await office.get(f"{AUDIT}/report?workspace=-")
    assert everywhere["total"] == (await office.store.sealed())
    assert everywhere["workspace"] == "-"


async def test_the_report_of_a_part(office: Office) -> None:
    await changed(office)
    report = await office.get(f"{AUDIT}/report?filter=verb%3D%22user.update%22&top=1")
    assert report["total"] == 2
    assert report["byVerb"] == [{"value": "user.update", "count": 2}]
    past = (datetime.now(UTC) - timedelta(days=40)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (await office.get(f"{AUDIT}/report?until={past}"))["total"] == 0
    late = "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"
    assert (await office.get(f"{AUDIT}/report?{late}", status=400))["error"]["details"] == {
        "field": "since", "rule": "period", "allowed": "366 days",
    }  # fmt: skip


async def test_the_report_finds_a_changed_entry(office: Office) -> None:
    await changed(office)
    await office.store.seal()
    await tamper(office, "UPDATE event SET actor = 'eve' WHERE sequence = 3")
    chain = (await office.get(f"{AUDIT}/report"))["chain"]
    assert (chain["intact"], chain["brokenAt"], chain["reason"]) == (False, 3, "changed")
    assert chain["verifiedTo"] == 2


async def tamper(office: Office, sql: str) -> None:
    """Change the database behind the server's back."""

    def work() -> Work[None]:
        yield Statement(sql)

    await office.store.driver.transact(work)


async def test_the_report_as_csv(office: Office) -> None:
    await office.ask("POST", "auth/policies", {"policy": "permit (principal, action, resource);"},
                     status=201)  # fmt: skip
    text = (
        await office.get(f"{AUDIT}/report?format=csv&filter=kind%3D%22auth/policies%22")
    ).decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["section", "name", "value"]
    assert ["report", "entries", "1"] in rows
    assert ["verb", "policy.create", "1"] in rows
    assert all(len(row) == 3 for row in rows)


async def test_no_cell_is_a_formula(office: Office) -> None:
    ask = "filter=verb%3D%22%3D1%2B1%22"
    text = (await office.get(f"{AUDIT}/report?format=csv&filter=-verb%3Dx")).decode()
    assert ["report", "filter", "'-verb=x"] in list(csv.reader(io.StringIO(text)))
    assert (await office.get(f"{AUDIT}/report?{ask}"))["total"] == 0


async def test_the_report_as_a_page(office: Office) -> None:
    await changed(office)
    ask = "format=html&filter=NOT%20verb%3D%22%3Cscript%3E%22"
    page = (await office.get(f"{AUDIT}/report?{ask}")).decode()
    assert "<td>4</td>" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "intact from 1 to" in page
