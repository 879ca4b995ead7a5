"""Personal data is found as a file comes, protected, taken out and deleted for good."""

import hashlib
import io
import time
from typing import Any

import polars as pl
import pytest

from artifacts.api import Api, Reply, until
from catalog.warehouse import BASE, Warehouse
from e2e.client import Client
from e2e.people import new_user, set_roles, sign_in
from serving import Server

ROWS = 300


def people(rows: int = ROWS) -> bytes:
    """Customers with what tells who they are: by the form of values, and by names of columns."""
    lines = ["id,Surname,mail,card,dob,zip,age,segment"]
    for at in range(rows):
        card = "4111111111111111" if at % 3 == 0 else ""
        lines.append(
            f"{at},Nguyen{at % 40},ada{at}@example.org,{card},19{50 + at % 50}-0{1 + at % 9}-17,"
            f"{94100 + at % 90:05d}-1,{18 + at % 60},{'ab'[at % 2]}"
        )
    return ("\n".join(lines) + "\n").encode()


class Person:
    """Somebody of the workspace, with roles and attributes."""

    def __init__(self, warehouse: Warehouse, *roles: str, **attributes: Any) -> None:
        self.admin = Client(warehouse.server.url, warehouse.server.key)
        made = new_user(self.admin, *roles, attributes=attributes)
        self.id, self.login = str(made["id"]), str(made["login"])
        self.roles = roles
        self.warehouse = warehouse
        self.sign_in()

    def sign_in(self) -> None:
        key = sign_in(self.admin, self.login).key
        assert key is not None
        self.house = Warehouse(self.warehouse.server, Api(self.warehouse.server.url, key))

    def cleared(self, level: int) -> None:
        set_roles(self.admin, self.id, *self.roles, attributes={"clearance_level": level})
        self.sign_in()

    def send(self, method: str, tail: str, body: Any = None, **headers: str) -> Reply:
        return self.house.api.send(method, BASE + tail, body, **headers)


@pytest.fixture(scope="module")
def ada(warehouse: Warehouse) -> Person:
    return Person(warehouse, "data_scientist")


@pytest.fixture(scope="module")
def bob(warehouse: Warehouse) -> Person:
    return Person(warehouse, "data_engineer")


@pytest.fixture(scope="module")
def customers(ada: Person) -> str:
    dataset = ada.house.make("customers")
    ada.house.version(dataset, people(), name="people.csv")
    return dataset


def shared(person: Person, dataset: str, **ask: Any) -> Any:
    reply = person.send("POST", f"/{dataset}/share", ask)
    assert reply.status == 200, reply
    return reply.json


def done(person: Person, dataset: str, verb: str, **ask: Any) -> Any:
    reply = person.send("POST", f"/{dataset}/{verb}", ask)
    assert reply.status == 202, reply
    return person.house.ended(reply.json)


def said(person: Person, dataset: str, **privacy: Any) -> Reply:
    """Say something of a dataset's privacy, and nothing else of it."""
    mask = ",".join(f"privacy.{name}" for name in privacy)
    return person.send("PATCH", f"/{dataset}?updateMask={mask}", {"privacy": privacy})


def test_what_comes_is_looked_at(ada: Person, customers: str) -> None:
    shown = ada.house.read(customers)
    assert shown["privacy"]["containsPII"] is True
    assert (shown["privacy"]["anonymized"], shown["privacy"]["encryptionType"]) == (False, None)
    version = ada.send("GET", f"/{customers}/versions/1.0.0").json
    found = {(one["column"], one["kind"], one["by"]) for one in version["privacy"]["findings"]}
    assert found == {
        ("Surname", "name", "column"),
        ("mail", "email", "value"),
        ("card", "credit_card", "value"),
        ("dob", "birth_date", "column"),
    }
    mail = next(one for one in version["privacy"]["findings"] if one["column"] == "mail")
    assert (mail["rows"], mail["share"]) == (ROWS, 1.0)
    assert mail["examples"][0] == "****@*******.***", "nothing is told that was found"
    assert b"ada7@" not in ada.send("GET", f"/{customers}").body
    plain = ada.house.make("plain")
    ada.house.version(plain, b"a,b\n1,x\n2,y\n")
    assert ada.house.read(plain)["privacy"]["containsPII"] is False


def test_personal_data_is_not_used_without_a_right_to_it(
    ada: Person, bob: Person, customers: str
) -> None:
    assert ada.house.download(customers).status == 200, "the owner may"
    for method, tail, body in (
        ("GET", "download", None),
        ("GET", "download?format=csv&columns=age", None),
        ("POST", "split", {}),
        ("POST", "anonymise", {}),
    ):
        reply = bob.send(method, f"/{customers}/{tail}", body)
        assert (reply.status, reply.code) == (403, "DATA_PRIVACY_VIOLATION"), (tail, reply)
        error = reply.json["error"]
        assert error["number"] == "DATA_005"
        assert error["details"]["permission"] == "dataset-pii:use"
        assert f"{customers}/anonymise" in error["message"]
    assert bob.send("GET", f"/{customers}").status == 200, "that it is there is no secret"
    sha256 = bob.send("GET", f"/{customers}/versions/1.0.0").json["original"]
    own = bob.house.make("a copy")
    copy = bob.house.api.send("POST", f"{BASE}/{own}/upload", query={"artifact": sha256})
    assert copy.status == 404, "nor is it had by its digest"
    made = bob.send("POST", f"/{own}/versions", {"artifact": sha256})
    assert made.status == 404, made
    tricks: tuple[dict[str, Any], ...] = (
        {"containsPII": False},
        {"anonymized": True},
        {"clearanceLevel": 0},
        {"declared": False},
    )
    for trick in tricks:
        reply = said(bob, customers, **trick)
        assert reply.code == "DATA_PRIVACY_VIOLATION", (trick, reply)
    admin = bob.warehouse.download(customers)
    assert admin.status == 200


def test_clearance_lets_who_has_it(ada: Person, warehouse: Warehouse, customers: str) -> None:
    carl = Person(warehouse, "ml_engineer", clearance_level=2)
    assert carl.house.download(customers).status == 403
    reply = said(ada, customers, clearanceLevel=3)
    assert reply.status == 200, reply
    refused = carl.house.download(customers)
    assert refused.json["error"]["details"]["clearance_level"] == 3
    carl.cleared(3)
    assert carl.house.download(customers).body == people()


def test_a_policy_may_let_some(ada: Person, warehouse: Warehouse, customers: str) -> None:
    dora = Person(warehouse, "ml_engineer", department="audit")
    assert dora.house.download(customers).status == 403
    text = (
        'permit (principal, action == Action::"dataset-pii:use", resource) when '
        '{ principal has department && principal.department == "audit" };'
    )
    made = warehouse.api.send("POST", "/v1/auth/policies", {"id": "audit-pii", "policy": text})
    assert made.status == 201, made
    assert dora.house.download(customers).status == 200
    assert warehouse.api.send("DELETE", "/v1/auth/policies/audit-pii").status == 204


def test_the_owner_has_the_last_word(ada: Person, bob: Person) -> None:
    dataset = ada.house.make("said", privacy={"containsPII": True})
    ada.house.version(dataset, b"who,what\nThe tall one,a\nThe other,b\n")
    assert ada.house.read(dataset)["privacy"]["containsPII"] is True
    assert bob.house.download(dataset).status == 403, "though a scan found nothing"
    reply = said(ada, dataset, containsPII=False)
    assert (reply.status, reply.json["privacy"]["declared"]) == (200, False), reply
    assert bob.house.download(dataset).status == 200
    ada.house.version(dataset, b"who,what\nx@example.com,a\ny@example.com,b\n")
    assert ada.house.read(dataset)["privacy"]["containsPII"] is True, "that was not known then"
    assert bob.house.download(dataset).status == 403


def test_anonymised_it_is_for_everybody(ada: Person, bob: Person, customers: str) -> None:
    columns = [
        {"name": "age", "method": "generalise", "width": 20},
        {"name": "zip", "method": "generalise", "keep": 3},
        {"name": "card", "method": "drop"},
        {"name": "dob", "method": "generalise", "unit": "year"},
    ]
    ended = done(ada, customers, "anonymise", method="hash", columns=columns)
    assert ended["error"] is None, ended
    result = ended["response"]
    assert (result["source"], result["version"], result["anonymized"]) == ("1.0.0", "2.0.0", True)
    treated = {one["name"]: one for one in result["columns"]}
    assert (treated["mail"]["method"], treated["mail"]["rows"]) == ("hash", ROWS)
    reply = bob.house.download(customers, {"format": "parquet"})
    assert reply.status == 200, reply
    table, before = pl.read_parquet(reply.body), pl.read_csv(io.BytesIO(people()))
    assert b"example.org" not in reply.body and table.columns == [
        "id", "Surname", "mail", "dob", "zip", "age", "segment",
    ]  # fmt: skip
    assert table["id"].to_list() == before["id"].to_list()
    assert table["segment"].to_list() == before["segment"].to_list()
    assert set(table["age"]) == {"0-19", "20-39", "40-59", "60-79"}
    assert set(table["zip"]) == {"941*"}
    assert {str(one) for one in table["dob"]} == {f"{year}-01-01" for year in range(1950, 2000)}
    pairs = set(zip(before["Surname"], table["Surname"], strict=True))
    assert len(pairs) == 40 == len({one for _, one in pairs}), "equal values stay equal"
    guess = hashlib.blake2b(b"Nguyen1", digest_size=16).hexdigest()
    assert guess not in set(table["Surname"]), "without the key a guess cannot be tested"
    shown = bob.house.read(customers)["privacy"]
    assert (shown["containsPII"], shown["anonymized"]) == (True, True)
    assert bob.house.download(customers, {"version": "1.0.0"}).status == 403
    graph = bob.send("GET", f"/{customers}/versions/2.0.0/lineage").body.decode()
    assert f"{customers}/versions/1.0.0" in graph and "wasDerivedFrom" in graph
    split = done(bob, customers, "split", fractions={"a": 0.5, "b": 0.5})
    assert split["error"] is None
    assert bob.house.download(customers, {"version": "2.0.0-a", "format": "csv"}).status == 200


def test_masks_and_what_cannot_be_done(ada: Person) -> None:
    dataset = ada.house.make("masks")
    ada.house.version(dataset, b'text,n\n"mail bo@example.org, please",1\n"nothing",2\n')
    ended = done(ada, dataset, "anonymise")
    assert ended["response"]["anonymized"] is True
    body = ada.house.download(dataset, {"format": "csv"}).body
    assert body == b'text,n\n"mail **@*******.***, please",1\nnothing,2\n'
    wrong = ada.send(
        "POST", f"/{dataset}/anonymise", {"columns": [{"name": "x", "method": "drop"}]}
    )
    assert (wrong.status, wrong.json["error"]["details"]["allowed"]) == (400, ["text", "n"])
    kept = {"version": "1.0.0", "columns": [{"name": "text", "method": "keep"}]}
    ended = done(ada, dataset, "anonymise", **kept)
    assert ended["response"]["anonymized"] is False, "it is as it was"
    plain = ada.house.make("nothing")
    ada.house.version(plain, b"a,b\n1,x\n2,y\n")
    ended = done(ada, plain, "anonymise")
    assert ended["error"]["code"] == "INVALID_REQUEST"


def test_a_scan_of_all_rows_finds_what_a_sample_missed(ada: Person) -> None:
    dataset = ada.house.make("needle")
    lines = ["text"] + [f"row {at}" for at in range(60_000)]
    lines[31_415] = "write to needle@example.org"
    ada.house.version(dataset, ("\n".join(lines) + "\n").encode())
    version = ada.send("GET", f"/{dataset}/versions/1.0.0").json["privacy"]
    assert 19_000 < version["scannedRows"] < 21_000
    ended = done(ada, dataset, "scan")
    assert ended["error"] is None, ended
    assert (ended["response"]["containsPII"], ended["response"]["scannedRows"]) == (True, 60_000)
    assert [one["rows"] for one in ended["response"]["findings"]] == [1]
    assert ada.house.read(dataset)["privacy"]["containsPII"] is True


def test_nothing_of_it_is_told_beside_the_data(ada: Person, bob: Person) -> None:
    dataset = ada.house.make("patients")
    file = people() + b"900,Nguyen7,ada900@example.org,,,,,a,one more\n"
    version = ada.house.version(dataset, file, name="people.csv", max_faults=1)
    assert version["faults"]["count"] == 1
    checks = [
        {"check": "pattern", "column": "mail", "pattern": "none"},
        {"check": "range", "column": "age", "maximum": 18},
    ]
    report = done(ada, dataset, "validate", constraints=checks)["response"]
    assert report["verdicts"][0]["samples"][0] == {"row": 1, "values": {}}, "rows, not who they are"
    assert report["verdicts"][1]["samples"][0] == {"row": 2, "values": {"age": 19}}
    steps = [
        {"step": "fill", "column": "Surname", "by": "mode"},
        {"step": "drop", "columns": ["mail", "card", "dob"]},
        {"step": "rename", "columns": {"Surname": "who"}},
        {"step": "derive", "column": "whose", "expression": "concat(who, '!')"},
    ]
    made = done(ada, dataset, "transform", steps=steps)
    assert made["error"] is None, made
    newest = made["response"]["id"]
    found = {one["column"] for one in made["response"]["privacy"]["findings"]}
    assert found == {"who", "whose"}, "by another name it is personal data, too"
    for tail in ("", "/versions", "/versions/1.0.0", f"/versions/{newest}", "/validations"):
        told = bob.send("GET", f"/{dataset}{tail}")
        assert told.status == 200, told
        assert b"Nguyen" not in told.body, tail
        assert b"@example.org" not in told.body, tail
    for tail in ("download?format=csv", "rows", "profile"):
        reply = bob.send("GET", f"/{dataset}/{tail}")
        assert (reply.status, reply.code) == (403, "DATA_PRIVACY_VIOLATION"), (tail, reply)
    again = ada.house.make("more patients")
    ada.house.version(again, people(), name="people.csv")
    of = {"dataset": dataset, "version": newest}
    repeated = done(ada, again, "transform", recipeOf=of)
    assert repeated["error"] is None, repeated


def bytes_of(server: Server) -> dict[str, bytes]:
    """Every file that holds bytes of artifacts."""
    folder = server.home / "artifacts"
    return {str(one): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def holds(server: Server, text: bytes) -> bool:
    return any(text in one for one in bytes_of(server).values())


def test_purged_is_gone_from_the_disk(ada: Person, bob: Person, warehouse: Warehouse) -> None:
    server = warehouse.server
    dataset, other = ada.house.make("purged"), ada.house.make("neighbour")
    first, second = b"who,n\nzebra-in-first,1\n", b"who,n\nzebra-in-second,1\n"
    ada.house.version(dataset, first, analyze="false")
    ada.house.version(dataset, second, analyze="false")
    ada.house.version(other, second, analyze="false")
    assert holds(server, b"zebra-in-first") and holds(server, b"zebra-in-second")
    for version in ("1.0.0", "1.0.1"):
        one = {"check": "pattern", "column": "who", "pattern": "none"}
        assert done(ada, dataset, "validate", version=version, constraints=[one])["done"]
    ended = done(ada, dataset, "purge", version="1.0.0")
    left = [
        one["version"] for one in ada.send("GET", f"/{dataset}/validations").json["validations"]
    ]
    assert left == ["1.0.1"], "a report shows rows"
    assert ended["error"] is None, ended
    assert ended["response"]["versions"] == [f"catalog/datasets/{dataset}/versions/1.0.0"]
    assert ended["response"]["artifacts"] == 2 and ended["response"]["bytes"] > len(first)
    assert not holds(server, b"zebra-in-first")
    assert ada.house.versions(dataset) == ["1.0.1"]
    assert ada.house.read(dataset)["version"] == "1.0.1"
    newest = done(ada, dataset, "purge", version="1.0.1")["response"]
    assert (newest["artifacts"], len(newest["kept"])) == (0, 2), "the neighbour needs the bytes"
    assert ada.house.download(other).body == second
    assert (ada.house.read(dataset)["status"], ada.house.read(dataset)["version"]) == (
        "empty",
        None,
    )
    again = ada.house.version(dataset, first, analyze="false")
    assert again["id"] == "1.0.0"
    assert done(ada, dataset, "purge")["error"] is None
    assert ada.send("GET", f"/{dataset}").status == 404
    assert ada.send("POST", f"/{dataset}/undelete", {}).status == 404
    assert not holds(server, b"zebra-in-first")
    assert done(ada, other, "purge")["response"]["kept"] == []
    assert not holds(server, b"zebra-in-second")

    def trail() -> str:
        query = {"filter": 'verb = "dataset.purge"'}
        return warehouse.api.send("GET", "/v1/governance/audit", query=query).body.decode()

    until(lambda: dataset in trail())  # once it is sealed


def test_what_is_older_than_its_retention_goes(ada: Person, warehouse: Warehouse) -> None:
    dataset = ada.house.make("kept a while", storage={"retention": "P1DT1S"})
    assert ada.house.read(dataset)["storage"]["retention"] == "1 day 1 second"
    wrong = ada.send("PATCH", f"/{dataset}", {"storage": {"retention": "a while"}})
    assert (wrong.status, wrong.json["error"]["details"]["field"]) == (400, "storage.retention")
    ada.house.version(dataset, b"who,n\nquagga,1\n", analyze="false")
    assert done(ada, dataset, "purge", expired=True)["response"]["versions"] == []
    reply = ada.send("PATCH", f"/{dataset}", {"storage": {"retention": "1 second"}})
    assert reply.status == 200, reply
    assert reply.json["storage"]["location"].startswith("artifacts/"), "that is the server's"
    made = time.monotonic()
    until(lambda: time.monotonic() > made + 1.1)
    gone = done(ada, dataset, "purge", expired=True)["response"]
    assert (len(gone["versions"]), gone["artifacts"]) == (1, 2)
    assert not holds(warehouse.server, b"quagga")
    assert ada.house.read(dataset)["status"] == "empty"


def test_what_is_declared_later_protects_what_was_told(ada: Person, bob: Person) -> None:
    dataset = ada.house.make("declared later", storage={"partitioning": "by_date"})
    for extra in ("", "3,y,n\n"):
        ada.house.version(dataset, b"a,who,left\n1,x,y\n2,z,n\n" + extra.encode(), name="a.csv")
    asked = {"version": "1.0.0", "steps": [{"step": "encode", "column": "who"}], "analyze": False}
    assert '"values":["x","z"]' in bob.send("GET", f"/{dataset}/versions").body.decode()
    reply = ada.send("PATCH", f"/{dataset}", {"privacy": {"declared": True}})
    assert reply.status == 200 and reply.json["storage"]["partitioning"] == "by_date", reply
    for tail in ("", "/versions", "/versions/1.0.0"):
        told = bob.send("GET", f"/{dataset}{tail}")
        assert told.status == 200 and '"values":[' not in told.body.decode(), tail
    refused = ada.send("POST", f"/{dataset}/transform", asked)
    assert refused.code == "DATA_PRIVACY_VIOLATION", "values would be names"
    asked["steps"] = [{"step": "encode", "column": "who", "by": "ordinal"}]
    assert done(ada, dataset, "transform", **asked)["error"] is None
