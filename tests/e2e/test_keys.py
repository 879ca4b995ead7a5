"""Keys over the API: created, listed, limited, rotated, revoked; in effect within a second."""

import time
from typing import Any

import pytest

from e2e.client import Client
from patience import quick, until, waited
from serving import Server

KEYS = "/v1/auth/keys"


def stamp(seconds: float) -> str:
    """RFC 3339, so many seconds from now."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def create(api: Client, **more: Any) -> dict[str, Any]:
    reply = api.post(KEYS, {"name": "a key"} | more)
    assert reply.status == 201, reply.body
    return dict(reply.json)


def test_a_new_key_works_at_once(api: Client) -> None:
    for _ in range(3):
        made = create(api)
        assert api.with_key(made["key"]).chat("sandbox").status == 200


def test_the_secret_is_shown_once(api: Client, server: Server) -> None:
    made = create(api, name="shown once")
    assert len(made["key"]) > 40
    listed = api.get(KEYS)
    assert made["key"] not in listed.body.decode()
    assert made["id"] in [key["id"] for key in listed.json["keys"]]
    assert made["key"] not in server.log()
    kept = b"".join(path.read_bytes() for path in server.home.rglob("*") if path.is_file())
    assert made["key"].encode() not in kept, "the secret is on disk"
    assert str(api.key).encode() not in kept, "the admin key is on disk"


def test_what_was_asked_for_is_shown(api: Client) -> None:
    limits = {"requests_per_minute": 7, "tokens_per_minute": None}
    wishes = {"name": "n", "scopes": ["inference:create"], "cache_samples": True}
    ends = stamp(3600)
    made = create(api, limits=limits, expires_at=ends, **wishes)
    shown = next(key for key in api.get(KEYS).json["keys"] if key["id"] == made["id"])
    for entry in (made, shown):
        assert {name: entry[name] for name in wishes} == wishes
        assert entry["limits"]["requests_per_minute"] == 7
        assert entry["limits"]["tokens_per_minute"] is None
        assert entry["limits"]["concurrent_requests"] == 50
        assert entry["expires_at"][:19] == ends[:19]
        assert entry["workspace"] == "default"


def test_another_workspace(api: Client) -> None:
    assert create(api, workspace="team-b")["workspace"] == "team-b"


def test_revoked(api: Client) -> None:
    made = create(api)
    client = api.with_key(made["key"])
    assert client.chat("sandbox").status == 200
    assert api.request("DELETE", f"{KEYS}/{made['id']}").status in (200, 204)
    until(lambda: client.chat("sandbox").status == 401)
    assert api.request("DELETE", f"{KEYS}/{made['id']}").status in (200, 204, 404)
    assert api.request("DELETE", f"{KEYS}/no-such-key").status == 404


def test_rotated_with_an_overlap(api: Client) -> None:
    made = create(api, limits={"requests_per_minute": 77})
    reply = api.post(f"{KEYS}/{made['id']}/rotate", {"overlap_seconds": 3600})
    assert reply.status in (200, 201), reply.body
    old, new = api.with_key(made["key"]), api.with_key(reply.json["key"])
    assert old.key != new.key
    assert old.chat("sandbox").status == 200, "the old one still works in the overlap"
    assert new.chat("sandbox").headers["x-ratelimit-limit"] == "77"
    reply = api.post(f"{KEYS}/{made['id']}/rotate", {"overlap_seconds": 1})
    until(lambda: new.chat("sandbox").status == 401)
    assert api.with_key(reply.json["key"]).chat("sandbox").status == 200


def test_rotated_without_an_overlap(api: Client) -> None:
    made = create(api)
    reply = api.post(f"{KEYS}/{made['id']}/rotate", {"overlap_seconds": 0})
    assert api.with_key(reply.json["key"]).chat("sandbox").status == 200
    until(lambda: api.with_key(made["key"]).chat("sandbox").status == 401)


def test_rotation_does_not_double_the_limits(api: Client) -> None:
    made = create(api, limits={"requests_per_minute": 2})
    new = api.post(f"{KEYS}/{made['id']}/rotate", {"overlap_seconds": 60}).json["key"]
    statuses = [api.with_key(k).chat("sandbox").status for k in (made["key"], new, new)]
    assert statuses == [200, 200, 429]


def test_scopes_decide(api: Client) -> None:
    caller = api.with_key(create(api, scopes=["inference:create"])["key"])
    assert caller.chat("sandbox").status == 200
    denied = caller.post(KEYS, {"name": "x"})
    assert (denied.status, denied.code) == (403, "PERMISSION_DENIED")
    assert "key:create" in denied.body.decode() or "key:write" in denied.body.decode()


def test_nobody_gives_away_more_than_they_have(api: Client) -> None:
    narrow = api.with_key(create(api, scopes=["key:write", "inference:create"])["key"])
    wider = narrow.post(KEYS, {"name": "x", "scopes": ["*:*"]})
    assert wider.status == 403, wider.body
    other = narrow.post(KEYS, {"name": "x", "workspace": "another"})
    assert other.status == 403, other.body


def test_a_workspace_sees_its_own_keys_only(api: Client) -> None:
    scopes = ["key:write", "inference:create"]
    one, two = (
        api.with_key(create(api, workspace=f"keys-{n}", scopes=scopes)["key"]) for n in (1, 2)
    )
    mine = create(one, name="mine", scopes=["inference:create"])
    assert mine["id"] in [key["id"] for key in one.get(KEYS).json["keys"]]
    assert mine["id"] not in [key["id"] for key in two.get(KEYS).json["keys"]]
    assert two.request("DELETE", f"{KEYS}/{mine['id']}").status == 404
    assert two.post(f"{KEYS}/{mine['id']}/rotate", {}).status == 404
    assert one.with_key(mine["key"]).chat("sandbox").status == 200


def test_a_key_outlives_the_server(serve: Any) -> None:
    server = serve("")
    api = Client(server.url, server.key)
    key = api.new_key()
    server.stop()
    server.start()
    assert key.chat("sandbox").status == 200
    assert api.chat("sandbox").status == 200


@pytest.mark.slow
def test_other_workers_know_within_a_second(serve: Any) -> None:
    server = serve("", workers=2)
    api = Client(server.url, server.key)

    def seconds() -> float:
        made = create(api)
        client = api.with_key(made["key"])
        # Each request is a connection of its own, so that both workers are asked.
        good = waited(lambda: all(client.chat("sandbox").status == 200 for _ in range(10)))
        api.request("DELETE", f"{KEYS}/{made['id']}")
        bad = waited(lambda: all(client.chat("sandbox").status == 401 for _ in range(10)))
        return max(good, bad)

    quick(2.0, seconds)  # ten requests take their time, too
