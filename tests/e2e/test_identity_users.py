"""Users over the API: made, found, given roles, signed in, changed, ended."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from e2e.client import Client, together
from e2e.people import (
    PASSWORD,
    USERS,
    login_name,
    me,
    new_user,
    service,
    set_roles,
    sign_in,
    somebody,
    status,
)
from patience import until
from serving import Server

SECRET = "correct horse battery staple 7401"
OTHER = "another horse in another barn"


@pytest.fixture(scope="module")
def house() -> Iterator[Server]:
    """A server whose log and files nobody else writes to."""
    with Server() as server:
        yield server


def attempt(api: Client, login: str, password: str) -> Any:
    return api.with_key(None).post("/v1/auth/login", {"login": login, "password": password})


def listed(api: Client, query: str) -> list[str]:
    reply = api.get(f"{USERS}?page_size=1000&{query}")
    assert reply.status == 200, reply.body
    return [user["login"] for user in reply.json["users"]]


def change(caller: Client, old: str, new: str) -> Any:
    ask = {"password": old, "new_password": new}
    return caller.post("/v1/auth/me/set-password", ask)


# -- made and found


def test_made_shown_changed_and_deleted(api: Client) -> None:
    login = login_name()
    made = api.post(USERS, {"login": login, "display_name": "Ada", "password": SECRET})
    assert made.status == 201, made.body
    path = f"{USERS}/{made.json['id']}"
    assert api.get(path).json == made.json
    assert made.json["roles"] == [] and made.json["disabled"] is False
    changed = api.request("PATCH", path, {"display_name": "Countess"})
    assert changed.json["display_name"] == "Countess"
    moved = api.request("PATCH", path, {"login": login_name()})
    assert (moved.status, moved.json["error"]["details"]["rule"]) == (400, "immutable")
    assert attempt(api, login, SECRET).status == 200, "the password is as it was"
    assert api.request("DELETE", path).status == 204
    assert api.get(path).status == 404
    assert attempt(api, login, SECRET).status == 401


def test_found_by_filter_and_by_words(api: Client) -> None:
    word = login_name().partition("@")[0].replace("-", "")
    ada = new_user(api, "ml_ops", display_name=f"Ada {word}", attributes={"department": word})
    bob = new_user(api, display_name=f"Bob {word}", kind="service_account")
    eve = new_user(api, login=f"{word}@example.com", disabled=True)
    assert set(listed(api, f"filter={word}")) == {ada["login"], bob["login"], eve["login"]}
    for text, found in {
        f'{word} AND kind="service_account"': [bob],
        f'{word} AND roles:"ml_ops"': [ada],
        f'attributes.department="{word}"': [ada],
        f"{word} AND disabled=true": [eve],
        f'login="{eve["login"]}"': [eve],
    }.items():
        assert listed(api, f"filter={quote(text)}") == [one["login"] for one in found], text
    wrong = api.get(f"{USERS}?filter=" + quote('password_hash:"x"'))
    assert (wrong.status, wrong.code) == (400, "INVALID_REQUEST")
    assert wrong.json["error"]["details"]["field"] == "filter"


def test_a_login_is_unique_in_the_installation(api: Client) -> None:
    made = new_user(api)
    again = api.post(USERS, {"login": made["login"], "password": SECRET})
    assert (again.status, again.code) == (409, "CONFLICT")
    assert SECRET not in again.body.decode()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"login": "short@example.com", "password": "elevenchars"}, "password"),
        ({"login": "long-login@example.com", "password": "LONG-login@example.com"}, "password"),
        ({"login": "with space", "password": SECRET}, "login"),
        ({"login": "robot", "kind": "service_account", "password": SECRET}, "password"),
        ({"login": "boss", "password": SECRET, "colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_a_user(api: Client, body: dict[str, Any], field: str) -> None:
    reply = api.post(USERS, body)
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), reply.body
    assert reply.json["error"]["details"]["field"] == field
    assert body["password"] not in reply.message


def test_roles_are_not_set_where_users_are_made(api: Client) -> None:
    made = new_user(api, password=SECRET)
    reply = api.request("PATCH", f"{USERS}/{made['id']}", {"roles": ["admin"]})
    assert reply.status == 400 or reply.json["roles"] == [], reply.body
    assert me(sign_in(api, made["login"], SECRET))["roles"] == []


# -- roles


def test_nobody_grants_what_they_lack(api: Client) -> None:
    granter = api.new_key(scopes=["role:write", "dataset:*", "model:read", "experiment:write"])
    made = new_user(api)
    path = f"{USERS}/{made['id']}/roles"
    assert granter.request("PUT", path, {"roles": ["data_scientist"]}).status == 200
    refused = granter.request("PUT", path, {"roles": ["data_scientist", "admin"]})
    assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")
    assert refused.json["error"]["details"] == {"field": "roles", "permission": "*:*"}
    assert api.get(path).json["roles"] == ["data_scientist"]
    assert granter.request("PUT", path, {"roles": []}).status == 200


def test_nobody_rises_through_another(api: Client) -> None:
    """Whoever could sign in as an admin, or hold an admin's key, would be one."""
    boss = new_user(api, "admin")
    clerk = api.new_key(scopes=["user:write", "key:*", "inference:*", "model:read"])
    path = f"{USERS}/{boss['id']}"
    taken = clerk.request("PATCH", path, {"password": OTHER})
    assert (taken.status, taken.code) == (403, "PERMISSION_DENIED"), taken.body
    assert attempt(api, boss["login"], PASSWORD).status == 200
    owned = clerk.post("/v1/auth/keys", {"name": "n", "owner": boss["id"]})
    assert (owned.status, owned.json["error"]["details"]["field"]) == (403, "owner")
    key = api.post("/v1/auth/keys", {"name": "n", "owner": boss["id"]}).json
    rotated = clerk.post(f"/v1/auth/keys/{key['id']}/rotate", {})
    assert (rotated.status, rotated.json["error"]["details"]["field"]) == (403, "owner")
    assert clerk.request("PATCH", path, {"display_name": "Boss"}).status == 200


def test_roles_are_those_of_the_moment(api: Client) -> None:
    made = new_user(api)
    caller = sign_in(api, made["login"])
    assert caller.get("/v1/models").status == 403
    set_roles(api, made["id"], "business_user", attributes={"clearance_level": 3})
    until(lambda: caller.get("/v1/models").status == 200)
    told = me(caller)
    assert (told["roles"], told["attributes"]) == (["business_user"], {"clearance_level": 3})
    set_roles(api, made["id"])
    until(lambda: caller.get("/v1/models").status == 403)


# -- signing in


def test_a_wrong_password_and_an_unknown_user_are_told_the_same(api: Client) -> None:
    made = new_user(api)
    wrong = attempt(api, made["login"], OTHER)
    unknown = attempt(api, login_name(), OTHER)
    assert wrong.status == unknown.status == 401
    told = {reply.message for reply in (wrong, unknown)}
    assert told == {"The login or the password is wrong."}
    assert wrong.json["error"].get("details") == unknown.json["error"].get("details")


@pytest.mark.slow
def test_an_unknown_user_takes_as_long_as_a_known_one(api: Client) -> None:
    def seconds(login: str) -> float:
        begun = time.perf_counter()
        assert attempt(api, login, OTHER).status == 401
        return time.perf_counter() - begun

    best = dict.fromkeys(("known", "disabled", "unknown"), float("inf"))
    for n in range(96):  # by turns; what else runs makes it slower, so the best of each counts
        if n % 8 == 0:  # ten wrong passwords lock a login
            logins = {"known": new_user(api)["login"]}
            logins["disabled"] = new_user(api, disabled=True)["login"]
        for name in best:
            best[name] = min(best[name], seconds(logins.get(name) or login_name()))
        if n >= 8 and max(best.values()) < 1.35 * min(best.values()):
            return
    raise AssertionError(best)


def test_ten_wrong_passwords_lock_a_login_for_a_while(api: Client) -> None:
    made, other = new_user(api), new_user(api)
    for _ in range(9):
        assert attempt(api, made["login"], OTHER).status == 401
    assert attempt(api, made["login"], PASSWORD).status == 200, "the right one begins anew"
    for _ in range(10):
        assert attempt(api, made["login"], OTHER).status == 401
    for password in (OTHER, PASSWORD):
        locked = attempt(api, made["login"], password)
        assert (locked.status, locked.code) == (429, "RATE_LIMITED"), locked.body
        assert 600 < int(locked.headers["retry-after"]) <= 900
    assert attempt(api, other["login"], PASSWORD).status == 200


def test_an_unknown_login_is_locked_as_well(api: Client) -> None:
    login = login_name()
    statuses = [attempt(api, login, OTHER).status for _ in range(11)]
    assert statuses == [401] * 10 + [429]


def test_tries_at_the_same_moment_are_all_counted(api: Client) -> None:
    made = new_user(api)
    replies = together(30, lambda _: attempt(api, made["login"], OTHER).status)
    assert sorted(replies) == [401] * 10 + [429] * 20


def test_a_disabled_or_deleted_user_stops_within_a_second(api: Client) -> None:
    for end in (
        lambda path: api.request("PATCH", path, {"disabled": True}),
        lambda path: api.request("DELETE", path),
    ):
        made = new_user(api, "admin")
        caller = sign_in(api, made["login"])
        assert status(caller) == (200, 200)
        assert end(f"{USERS}/{made['id']}").status in (200, 204)
        until(lambda caller=caller: status(caller) == (401, 401))
        assert attempt(api, made["login"], PASSWORD).status == 401


def test_the_keys_of_a_disabled_or_deleted_account_stop(api: Client) -> None:
    account, made = service(api)
    path = f"{USERS}/{account}"
    caller = api.with_key(made["key"])
    assert status(caller) == (200, 200)
    assert api.request("PATCH", path, {"disabled": True}).status == 200
    until(lambda: status(caller) == (401, 401))
    assert api.request("PATCH", path, {"disabled": False}).status == 200
    until(lambda: status(caller) == (200, 200))
    kept = api.request("DELETE", path)
    assert (kept.status, kept.code) == (409, "CONFLICT"), "its key is in use"
    assert made["id"] in kept.body.decode()
    assert api.request("DELETE", f"/v1/auth/keys/{made['id']}").status == 204
    until(lambda: status(caller) == (401, 401))
    assert api.request("DELETE", path).status == 204


def test_a_user_who_is_brought_back_signs_in_again(api: Client) -> None:
    made = new_user(api)
    path = f"{USERS}/{made['id']}"
    assert api.request("DELETE", path).status == 204
    taken = api.post(USERS, {"login": made["login"], "password": SECRET})
    assert taken.status == 201, "the login of who is gone is free"
    assert api.post(f"{path}/undelete", {}).status == 409
    assert api.request("DELETE", f"{USERS}/{taken.json['id']}").status == 204
    assert api.post(f"{path}/undelete", {}).status == 200
    assert attempt(api, made["login"], PASSWORD).status == 200


def test_sign_ins_and_wrong_passwords_are_in_the_audit_trail(house: Server) -> None:
    api = Client(house.url, house.key)
    made = new_user(api)
    assert attempt(api, made["login"], OTHER).status == 401
    caller = sign_in(api, made["login"])
    assert change(caller, OTHER, SECRET).status == 400
    assert change(caller, PASSWORD, OTHER).status == 200

    def verbs() -> list[str]:
        with closing(sqlite3.connect(house.home / "modelyard.db")) as database:
            sql = "SELECT verb FROM event WHERE resource = ? ORDER BY at, id"
            return [verb for (verb,) in database.execute(sql, (f"auth/users/{made['id']}",))]

    wanted = ["user.create", "session.refuse", "session.create", "session.refuse"]
    until(lambda: verbs() == [*wanted, "user.set-password"])


# -- one's own password


def test_one_changes_the_own_password(api: Client) -> None:
    made = new_user(api, "admin")
    before, elsewhere = (sign_in(api, made["login"]) for _ in range(2))
    reply = change(before, PASSWORD, OTHER)
    assert reply.status == 200, reply.body
    after = api.with_key(reply.json["access_token"])
    assert status(after) == (200, 200)
    for old in (before, elsewhere):
        until(lambda old=old: status(old) == (401, 401))
        assert old.get("/v1/auth/me").json["error"]["details"]["reason"] == "password"
    assert attempt(api, made["login"], PASSWORD).status == 401
    assert attempt(api, made["login"], OTHER).status == 200


def test_the_old_password_is_needed(api: Client) -> None:
    made = new_user(api)
    caller = sign_in(api, made["login"])
    wrong = change(caller, OTHER, SECRET)
    assert (wrong.status, wrong.json["error"]["details"]["field"]) == (400, "password")
    short = change(caller, PASSWORD, "short")
    details = short.json["error"]["details"]
    assert (short.status, details["field"], details["rule"]) == (400, "new_password", "length")
    assert status(caller)[0] == 200, "nothing has changed"
    assert {change(caller, OTHER, SECRET).status for _ in range(10)} == {400}
    assert change(caller, OTHER, SECRET).status == 429
    assert attempt(api, made["login"], PASSWORD).status == 429, "one count for both"


def test_an_admin_sets_another_ones_password_but_not_the_own(api: Client) -> None:
    boss, made = somebody(api, "admin"), new_user(api)
    caller = sign_in(api, made["login"])
    reply = boss.request("PATCH", f"{USERS}/{made['id']}", {"password": OTHER})
    assert reply.status == 200, reply.body
    until(lambda: caller.get("/v1/auth/me").status == 401)
    assert attempt(api, made["login"], OTHER).status == 200
    own = boss.request("PATCH", f"{USERS}/{me(boss)['id']}", {"password": OTHER})
    assert (own.status, own.json["error"]["details"]["rule"]) == (400, "own")


def test_who_has_no_password_is_told(api: Client) -> None:
    _, key = service(api)
    for caller in (api, api.with_key(key["key"])):
        reply = change(caller, PASSWORD, OTHER)
        assert (reply.status, reply.code) == (409, "CONFLICT")


# -- secrets


def test_a_password_is_nowhere_to_be_read(house: Server) -> None:
    api = Client(house.url, house.key)
    secrets = [SECRET + str(n) for n in range(4)]
    login = login_name()
    fields = {"idempotency-key": "one"}
    made = api.post(USERS, {"login": login, "password": secrets[0]}, fields)
    answers = [made, api.post(USERS, {"login": login, "password": secrets[0]}, fields)]
    answers += [attempt(api, login, one) for one in (secrets[0], secrets[1])]
    path = f"{USERS}/{made.json['id']}"
    answers.append(api.request("PATCH", path, {"password": secrets[1]}))
    caller = sign_in(api, login, secrets[1])
    answers += [change(caller, secrets[1], secrets[2]), change(caller, secrets[3], secrets[2])]
    answers += [api.get(path), api.get(USERS)]
    answers += [api.post(USERS, {"login": [secrets[3]], "password": {"x": secrets[3]}})]
    answers += [api.get(f"{USERS}?filter={quote(secrets[0])}")]
    house.stop()
    kept = b"".join(file.read_bytes() for file in house.home.rglob("*") if file.is_file())
    texts = {f"answer {n}": reply.body.decode() for n, reply in enumerate(answers)}
    texts |= {"log": house.log(), "files": kept.decode("latin-1")}
    for name, text in texts.items():
        for one in secrets:
            assert one not in text, f"a password is in: {name}"
    assert "argon2id" in texts["files"], "its hash alone is kept"
    assert all("argon2id" not in text for name, text in texts.items() if name != "files")
    assert str(caller.key) not in texts["files"] + texts["log"], "a token is kept"
