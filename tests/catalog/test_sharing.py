"""A dataset that is shared with some is not there for others, wherever they look for it."""

import json
from typing import Any

import pytest

from artifacts.api import until
from catalog.test_privacy import Person, done
from catalog.warehouse import BASE, Warehouse, churn
from e2e.client import Stream

ALONE = {"level": "private"}


@pytest.fixture(scope="module")
def ada(warehouse: Warehouse) -> Person:
    return Person(warehouse, "data_scientist")


@pytest.fixture(scope="module")
def bob(warehouse: Warehouse) -> Person:
    return Person(warehouse, "data_scientist", department="risk")


def private(ada: Person, name: str, **ask: Any) -> str:
    """A dataset of Ada's with a version of a file of that name, shared as is asked."""
    dataset = ada.house.make(name)
    ada.house.version(dataset, b"a,b\n1,x\n2,y\n3,z\n4,w\n", name=name, analyze="false")
    reply = ada.send("POST", f"/{dataset}/share", ALONE | ask)
    assert reply.status == 200, reply
    return dataset


def listed(person: Person, tail: str = "") -> str:
    reply = person.house.api.send("GET", BASE + tail, query={"page_size": 1000})
    assert reply.status == 200, reply
    return reply.body.decode()


def test_what_is_private_is_not_there_for_others(
    ada: Person, bob: Person, warehouse: Warehouse
) -> None:
    dataset, rows = private(ada, "secret"), '"fileName":"secret"'
    for method, tail in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/versions"),
        ("GET", "/versions/1.0.0"),
        ("GET", "/versions/1.0.0/lineage"),
        ("GET", "/download"),
        ("GET", "/access"),
        ("GET", "/lineage"),
        ("GET", "/history"),
        ("POST", "/split"),
        ("POST", "/scan"),
        ("POST", "/share"),
        ("POST", "/upload"),
        ("POST", "/purge"),
        ("POST", "/versions"),
    ):
        body: Any = None if method in ("GET", "DELETE") else {}
        if tail == "/versions" and body is not None:
            body = {"artifact": "0" * 64}
        reply = bob.send(method, f"/{dataset}{tail}", body)
        assert reply.status == 404, (method, tail, reply)
    assert dataset not in listed(bob) and dataset in listed(ada)
    assert rows not in listed(bob, "/-/versions") and rows in listed(ada, "/-/versions")
    found = bob.house.api.send("GET", BASE, query={"filter": "secret"})
    assert found.json["datasets"] == []
    shown = warehouse.read(dataset)  # an admin
    assert (shown["access"], shown["owner"]) == ({"level": "private", "grants": []}, ada.id)
    split = done(ada, dataset, "split", fractions={"l": 0.5, "r": 0.5})
    assert split["error"] is None
    assert "1.0.0-l" not in listed(bob, "/-/versions"), "parts are as private"
    assert ada.send("GET", f"/{dataset}/versions/1.0.0-l").json["sharedWith"] == [ada.id]


@pytest.mark.parametrize(
    "whose", ["user", "role", "department"], ids=["a user", "a role", "a department"]
)
def test_it_is_there_for_those_it_is_shared_with(ada: Person, bob: Person, whose: str) -> None:
    name = {"user": bob.id, "role": "data_scientist", "department": "risk"}[whose]
    dataset = private(ada, f"with {whose}", grants=[{"type": whose, "id": name}])
    assert bob.house.download(dataset).status == 200
    assert dataset in listed(bob) and f'"with {whose}"' in listed(bob, "/-/versions")
    refused = bob.send("POST", f"/{dataset}/split", {})
    assert (refused.status, refused.code) == (403, "PERMISSION_DENIED"), refused
    assert refused.json["error"]["details"]["access"] == "write"
    assert bob.send("DELETE", f"/{dataset}").status == 403
    more = [{"type": whose, "id": name, "permission": "write"}]
    assert ada.send("POST", f"/{dataset}/share", {"grants": more}).status == 200
    assert done(bob, dataset, "split", fractions={"l": 0.5, "r": 0.5})["error"] is None
    assert bob.send("POST", f"/{dataset}/share", {"level": "workspace"}).status == 403
    assert ada.send("POST", f"/{dataset}/share", {"revoke": [name]}).status == 200
    assert bob.send("GET", f"/{dataset}").status == 404
    assert bob.send("GET", f"/{dataset}/versions/1.0.0-l").status == 404


def test_roles_are_not_added_to(ada: Person, warehouse: Warehouse) -> None:
    manager = Person(warehouse, "business_user")
    grant = {"type": "user", "id": manager.id, "permission": "admin"}
    dataset = private(ada, "for a manager", grants=[grant])
    assert manager.send("GET", f"/{dataset}").status == 403, "the role may read no dataset"


def test_readable_is_read_by_all_and_changed_by_few(ada: Person, bob: Person) -> None:
    dataset = private(ada, "published", level="readable")
    assert bob.house.download(dataset).status == 200
    for method, tail in (("PATCH", ""), ("DELETE", ""), ("POST", "/upload"), ("POST", "/purge")):
        body = b"a,b\n1,2\n" if tail == "/upload" else {}
        reply = bob.send(method, f"/{dataset}{tail}", body)
        assert (reply.status, reply.code) == (403, "PERMISSION_DENIED"), (method, tail, reply)
    assert ada.send("PATCH", f"/{dataset}", {"description": "by its owner"}).status == 200
    own = bob.house.make("joins what is readable")
    bob.house.version(own, b"a,c\n1,p\n2,q\n", analyze="false")
    ask = {
        "steps": [{"step": "join", "table": "other", "on": ["a"]}],
        "tables": {"other": {"dataset": dataset}},
    }
    joined = bob.send("POST", f"/{own}/transform", ask)
    assert joined.status == 202, joined
    into = bob.send("POST", f"/{own}/transform", {"steps": [], "target": dataset})
    assert (into.status, into.code) == (403, "PERMISSION_DENIED"), into


def test_the_access_list_is_read_and_put(ada: Person, bob: Person, warehouse: Warehouse) -> None:
    dataset = private(ada, "listed")
    read = ada.send("GET", f"/{dataset}/access").json
    assert read["access"] == {"level": "private", "grants": []}
    grants = [
        {"type": "user", "id": bob.id, "permission": "read"},
        {"type": "user", "id": bob.id, "permission": "admin"},
    ]
    put = {"access": {"level": "private", "grants": grants}}
    reply = ada.send("PUT", f"/{dataset}/access", put, If_Match=f'"{read["etag"]}"')
    assert reply.status == 200, reply
    assert reply.json["access"] == {"level": "private", "grants": grants[1:]}
    stale = ada.send("PUT", f"/{dataset}/access", put, If_Match=f'"{read["etag"]}"')
    assert (stale.status, stale.code) == (412, "ETAG_MISMATCH")
    assert bob.send("PUT", f"/{dataset}/access", {"access": {"level": "private"}}).status == 200
    assert bob.send("GET", f"/{dataset}").status == 404, "who may share may leave"
    for wrong in ({"level": "world"}, {"grants": [{"type": "planet", "id": "mars"}]}):
        assert ada.send("PUT", f"/{dataset}/access", {"access": wrong}).status == 400

    def actors() -> list[str]:
        query = {"filter": 'verb = "dataset.set-access"'}
        log = warehouse.api.send("GET", "/v1/governance/audit", query=query)
        return [one["actor"] for one in log.json["entries"] if dataset in json.dumps(one)]

    until(lambda: actors() == [bob.id, ada.id])  # once it is sealed


def test_who_follows_sees_what_is_shared(ada: Person, bob: Person) -> None:
    stream = Stream(bob.admin.with_key(bob.house.api.key).open("GET", BASE + "/watch", timeout=60))
    try:
        hidden = private(ada, "hidden later")
        never = ada.house.make("x")
        assert ada.send("POST", f"/{never}/share", ALONE).status == 200
        assert ada.send("PATCH", f"/{hidden}", {"description": "unseen words"}).status == 200
        plain = ada.house.make("the last")
        told = b""
        for line in stream.lines():
            told += line
            if plain.encode() in told:
                break
        assert b"unseen words" not in told and hidden.encode() in told
    finally:
        stream.close()


def test_a_private_upload_is_as_before_for_its_owner(ada: Person) -> None:
    dataset = private(ada, "grows")
    ada.house.version(dataset, churn(30), name="b.csv")
    assert ada.house.versions(dataset) == ["1.0.0", "2.0.0"]
    until(lambda: ada.send("GET", f"/{dataset}").status == 200)


def test_a_lineage_does_not_lead_to_what_is_private(ada: Person, bob: Person) -> None:
    hidden, shown = private(ada, "source of another"), ada.house.make("made of it")
    ask = {"steps": [{"step": "drop", "columns": ["b"]}], "target": shown, "analyze": False}
    assert done(ada, hidden, "transform", **ask)["error"] is None
    tail = f"/{shown}/versions/1.0.0/lineage"
    assert hidden in ada.send("GET", tail).body.decode()
    reply = bob.send("GET", tail)
    assert reply.status == 200 and hidden not in reply.body.decode()
    for path in ("lineage/", ""):
        whole = f"/v1/governance/provenance/{path}catalog/datasets/{hidden}"
        assert bob.house.api.send("GET", whole).status in (403, 404)
