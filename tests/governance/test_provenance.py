"""Provenance and lineage as clients read them."""

from typing import Any

import pytest
from msgspec import structs

from governance.office import Office
from modelyard.governance.provenance import records
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Commit, Edge, Sealed

PROVENANCE = "governance/provenance"
LINEAGE = f"{PROVENANCE}/lineage"


def event(resource: str, workspace: str = "default", **more: Any) -> Event:
    return Event(
        workspace=workspace,
        actor="key_trainer",
        verb="job.run",
        resource=resource,
        kind="test/jobs",
        request_id="req_1",
        after={"etag": "abcd-1"},
        **more,
    )


async def linked(office: Office, *pairs: tuple[str, str], relation: str = "wasDerivedFrom") -> None:
    """Each first of a pair came from its second, by one event each."""
    for source, target in pairs:
        made = event(source)
        arrow = Edge(
            workspace="default", source=source, relation=relation, target=target, event=made.id,
            detail="by a test", at=made.at,
        )  # fmt: skip
        await office.store.commit(Commit(events=[made], edges=[arrow]))


async def test_a_record_names_entity_activity_and_agent(office: Office) -> None:
    user = await office.user("ada@example.com")
    name = f"auth/users/{user['id']}"
    await office.ask("PATCH", name, {"display_name": "Ada"})
    await office.ask("DELETE", name, status=204)
    found = await office.ask("POST", f"{PROVENANCE}/query", {"entity": name})
    gone, changed, made = found["records"]
    log = (await office.get(f"governance/audit/{name}"))["entries"]
    assert [one["id"] for one in found["records"]] == [one["id"] for one in log]
    assert made["entity"] == {
        "id": f"{name}#1", "name": name, "kind": "auth/users", "revision": 1,
    }  # fmt: skip
    at = log[2]["at"]
    assert made["activity"] == {
        "id": log[2]["id"], "type": "user.create", "startedAt": at, "endedAt": at,
        "requestId": log[2]["requestId"],
    }  # fmt: skip
    admin = log[2]["actor"]
    assert made["agent"] == {"id": admin, "type": "key"}

    def arrows(record: Any) -> set[tuple[str, str, str]]:
        return {(one["type"], one["source"], one["target"]) for one in record["relations"]}

    assert arrows(made) == {
        ("wasGeneratedBy", f"{name}#1", log[2]["id"]),
        ("wasAssociatedWith", log[2]["id"], admin),
        ("wasAttributedTo", name, admin),
    }
    assert arrows(changed) == {
        ("wasGeneratedBy", f"{name}#2", log[1]["id"]),
        ("wasRevisionOf", f"{name}#2", f"{name}#1"),
        ("wasAssociatedWith", log[1]["id"], admin),
    }
    assert ("wasInvalidatedBy", f"{name}#2", log[0]["id"]) in arrows(gone)


async def test_signing_in_is_no_provenance(office: Office) -> None:
    ada = await office.user("ada@example.com", password="correct horse battery staple")
    login = {"login": "ada@example.com", "password": "correct horse battery staple"}
    await office.ask("POST", "auth/login", login)
    await office.ask("POST", "auth/login", login | {"password": "another one"}, status=401)
    records = (await office.get(f"{PROVENANCE}?pageSize=1000"))["records"]
    assert "session.create" not in {one["activity"]["type"] for one in records}
    assert "user.create" in {one["activity"]["type"] for one in records}
    hers = await office.get(f"{PROVENANCE}/{ada['id']}")
    assert {one["type"] for one in hers["activities"]} == {"user.create"}
    assert "wasInvalidatedBy" not in {one["type"] for one in hers["relations"]}


def test_what_changed_nothing_used_what_it_was_done_to() -> None:
    read = structs.replace(event("test/jobs/a"), after=None)
    told = records.record(Sealed(1, b"", read), (), {}).relations
    assert {(one.type, one.source, one.target) for one in told} == {
        ("used", read.id, "test/jobs/a"),
        ("wasAssociatedWith", read.id, "key_trainer"),
    }


@pytest.mark.parametrize(
    ("ask", "names"),
    [
        ({"activity": "job.*"}, ["test/jobs/b", "test/jobs/a"]),
        ({"agent": "key_trainer", "orderBy": "at"}, ["test/jobs/a", "test/jobs/b"]),
        ({"agent": "key_other"}, []),
        ({"kind": "test/jobs", "entity": "a"}, ["test/jobs/a"]),
        ({"target": "test/jobs/a"}, ["test/jobs/b"]),
        ({"target": "test/data/d"}, ["test/jobs/a"]),
        ({"target": "test/data/nothing"}, []),
        ({"filter": 'resource = "test/jobs/b"'}, ["test/jobs/b"]),
    ],
)
async def test_a_query(office: Office, ask: dict[str, str], names: list[str]) -> None:
    await linked(office, ("test/jobs/a", "test/data/d"))
    await linked(office, ("test/jobs/b", "test/jobs/a"), relation="used")
    found = (await office.ask("POST", f"{PROVENANCE}/query", ask))["records"]
    assert [one["entity"]["name"] for one in found] == names


async def test_pages_of_records(office: Office) -> None:
    await linked(office, *((f"test/jobs/{n}", "test/data/d") for n in range(5)))
    found: list[Any] = []
    token = ""
    for expected in (2, 4, 5):
        ask = {"activity": "job.run", "pageSize": 2, "pageToken": token}
        page = await office.ask("POST", f"{PROVENANCE}/query", ask)
        found += [one["entity"]["name"] for one in page["records"]]
        token = page["nextPageToken"]
        assert len(found) == expected
    assert token is None
    assert found == [f"test/jobs/{n}" for n in range(4, -1, -1)]


async def test_an_artifact_with_what_it_came_from_and_went_into(office: Office) -> None:
    await linked(office, ("test/jobs/a", "test/data/d"), ("test/jobs/b", "test/jobs/a"))
    found = await office.get(f"{PROVENANCE}/test/jobs/a")
    assert (found["artifactId"], found["kind"]) == ("test/jobs/a", "")
    assert found["nextPageToken"] is None
    derived = [one for one in found["relations"] if one["type"] == "wasDerivedFrom"]
    assert {(one["source"], one["target"]) for one in derived} == {
        ("test/jobs/a", "test/data/d"), ("test/jobs/b", "test/jobs/a"),
    }  # fmt: skip
    assert {one["id"] for one in found["entities"]} == {"test/jobs/a", "test/jobs/a#1"}
    assert await office.get(f"{PROVENANCE}/a") == found
    await office.get(f"{PROVENANCE}/test/jobs/c", status=404)


async def test_one_id_of_several_resources_is_ambiguous(office: Office) -> None:
    await linked(office, ("test/jobs/a", "test/data/d"), ("test/others/a", "test/data/d"))
    reply = await office.get(f"{PROVENANCE}/a", status=400)
    assert reply["error"]["details"]["allowed"] == ["test/others/a", "test/jobs/a"]


async def test_lineage_has_ancestors_and_descendants_and_no_siblings(office: Office) -> None:
    await linked(
        office, ("t/b", "t/a"), ("t/c", "t/b"), ("t/d", "t/c"), ("t/sibling", "t/a"), ("t/x", "t/y")
    )  # fmt: skip

    async def nodes(query: str) -> dict[str, tuple[str, int]]:
        found = await office.get(f"{LINEAGE}/t/b?{query}")
        return {one["id"]: (one["direction"], one["depth"]) for one in found["nodes"]}

    up, down = {"t/a": ("upstream", 1)}, {"t/c": ("downstream", 1), "t/d": ("downstream", 2)}
    own = {"t/b": ("self", 0)}
    assert await nodes("") == own | up | down
    assert await nodes("direction=upstream") == own | up
    assert await nodes("direction=downstream") == own | down
    assert await nodes("direction=downstream&depth=1") == own | {"t/c": ("downstream", 1)}
    found = await office.get(f"{LINEAGE}/t/b?direction=upstream")
    [edge] = found["edges"]
    assert (edge["source"], edge["target"], edge["relation"]) == ("t/b", "t/a", "wasDerivedFrom")
    assert edge["activity"].startswith("evt_")
    assert (found["id"], found["depth"], found["truncated"]) == ("t/b", 5, False)


async def test_a_circle_ends(office: Office) -> None:
    await linked(office, ("t/a", "t/b"), ("t/b", "t/a"), relation="used")
    found = await office.get(f"{LINEAGE}/t/a?depth=10")
    assert [one["id"] for one in found["nodes"]] == ["t/a", "t/b"]
    assert len(found["edges"]) == 2


async def test_who_made_it_is_a_leaf(office: Office) -> None:
    user = await office.user("ada@example.com")
    await office.user("other@example.com")
    found = await office.get(f"auth/users/{user['id']}/lineage")
    kinds = {(one["type"], one["direction"]) for one in found["nodes"]}
    assert kinds == {("entity", "self"), ("agent", "upstream")}
    assert len(found["nodes"]) == 2


async def test_a_reference_leads_to_what_it_names(office: Office) -> None:
    user = await office.user("service", kind="service_account")
    made = await office.key("key:read", owner=user["id"])
    found = await office.get(f"auth/users/{user['id']}/lineage?direction=downstream")
    [edge] = found["edges"]
    assert (edge["source"], edge["relation"], edge["detail"]) == (
        f"auth/keys/{made['id']}", "refersTo", "owner",
    )  # fmt: skip
    assert {one["kind"] for one in found["nodes"]} == {"auth/users", "auth/keys"}


async def test_a_large_graph_is_cut_and_says_so(office: Office) -> None:
    made = event("t/all")
    arrows = [
        Edge(workspace="default", source=f"t/{n}", relation="used", target="t/all", event=made.id)
        for n in range(1200)
    ]
    await office.store.commit(Commit(events=[made], edges=arrows))
    found = await office.get(f"{LINEAGE}/t/all")
    assert (len(found["nodes"]), len(found["edges"]), found["truncated"]) == (1000, 999, True)


async def test_prov_json(office: Office) -> None:
    user = await office.user("ada@example.com")
    await office.ask("PATCH", f"auth/users/{user['id']}", {"display_name": "Ada"})
    await linked(office, (f"auth/users/{user['id']}", "t/a"), relation="used")
    name = f"my:auth/users/{user['id']}"
    for path in (PROVENANCE, LINEAGE):
        found = await office.get(f"{path}/auth/users/{user['id']}?format=prov-json")
        assert found["prefix"] == {"my": "urn:modelyard:"}
        assert name in found["entity"]
        [used] = found["used"].values()
        assert used["prov:entity"] == "my:t/a"
        assert used["prov:activity"] in found["activity"]
        for section in ("used", "wasAssociatedWith", "wasAttributedTo"):
            for one in found[section].values():
                ends = {key: value for key, value in one.items() if str(value).startswith("my:")}
                for end, value in ends.items():
                    assert value in found[end.removeprefix("prov:")], (section, end)
    found = await office.get(f"{PROVENANCE}/auth/users/{user['id']}?format=prov-json")
    [revision] = found["wasDerivedFrom"].values()
    assert revision["prov:generatedEntity"] == f"{name}#2"
    assert revision["prov:usedEntity"] == f"{name}#1"
    assert revision["prov:type"] == {"$": "prov:Revision", "type": "prov:QUALIFIED_NAME"}


async def test_mermaid(office: Office) -> None:
    await linked(office, ('t/"quoted"', "t/a"))
    text = (await office.get(f"{LINEAGE}/t/a?format=mermaid")).decode()
    assert text == (
        "flowchart LR\n"
        '  n0["t/a"]\n'
        '  n1["t/#34;quoted#34;"]\n'
        '  n0 -->|"wasDerivedFrom by a test"| n1\n'
        "  style n0 stroke-width:3px\n"
    )


async def test_who_may_read_it(office: Office) -> None:
    await linked(office, ("t/b", "t/a"))
    reader = (await office.key("provenance:read"))["key"]
    nobody = (await office.key("audit:read"))["key"]
    foreign = (await office.key("provenance:read", workspace="other"))["key"]
    for path in (PROVENANCE, f"{PROVENANCE}/t/b", f"{LINEAGE}/t/b"):
        assert await office.get(path, key=reader)
        denied = await office.get(path, key=nobody, status=403)
        assert denied["error"]["details"]["permission"] == "provenance:read"
        await office.get(path, key="none", status=401)
    for path in (f"{PROVENANCE}/t/b", f"{LINEAGE}/t/b"):
        await office.get(path, key=foreign, status=404)
        await office.get(f"{path}?workspace=default", key=foreign, status=403)
        assert await office.get(f"{path}?workspace=default")
