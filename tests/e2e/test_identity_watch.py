"""Whoever follows changes is known anew: a stream ends with the rights, and with the server."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from e2e.client import Client, Stream
from e2e.people import USERS, new_user, set_roles, sign_in
from patience import until
from serving import Server


class Follower:
    """What a watch has told until now."""

    def __init__(self, caller: Client) -> None:
        self._stream = Stream(caller.open("GET", f"{USERS}/watch"))
        assert self._stream.status == 200
        self.seen: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError, ValueError, AttributeError):  # we have hung up
            for event in self._stream.events():
                self.seen.append(json.loads(event.data)["name"].rpartition("/")[2])

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def close(self) -> None:
        if not self.ended:
            self._stream.close()
        self._thread.join(10)


@contextmanager
def following(caller: Client) -> Iterator[Follower]:
    made = Follower(caller)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def house() -> Iterator[Client]:
    with Server() as server:
        yield Client(server.url, server.key)


def ends(house: Client, end: Callable[[str], Any]) -> None:
    made = new_user(house, "admin")
    with following(sign_in(house, made["login"])) as follower:
        first = new_user(house)["id"]
        until(lambda: first in follower.seen)
        assert end(made["id"]).status in (200, 201, 204)
        last = new_user(house)["id"]
        until(lambda: follower.ended)
        assert last not in follower.seen


def test_a_stream_ends_with_its_caller(house: Client) -> None:
    ends(house, lambda own_id: house.request("PATCH", f"{USERS}/{own_id}", {"disabled": True}))
    ends(house, lambda own_id: house.request("DELETE", f"{USERS}/{own_id}"))
    ends(house, lambda own_id: house.request("PUT", f"{USERS}/{own_id}/roles", {"roles": []}))
    policy = 'forbid (principal == User::"{}", action == Action::"user:read", resource);'
    ends(
        house,
        lambda own_id: house.post(
            "/v1/auth/policies",
            {"id": own_id.replace("_", "-"), "policy": policy.format(own_id)},
        ),
    )


def test_a_stream_shows_what_a_list_would(house: Client) -> None:
    """Though the caller's attributes, or the policies, change while it is open."""
    mark = "m" + secrets.token_hex(4)
    made = new_user(house, "admin", attributes={"clearance_level": 3})
    text = (
        'forbid (principal, action == Action::"user:read", resource) '
        f'when {{ resource.labels has secrecy && resource.labels.secrecy == "{mark}" }} '
        "unless { principal has clearance_level && principal.clearance_level >= 3 };"
    )
    assert house.post("/v1/auth/policies", {"id": mark, "policy": text}).status == 201
    with following(sign_in(house, made["login"])) as follower:
        first = new_user(house, labels={"secrecy": mark})["id"]
        until(lambda: first in follower.seen)
        set_roles(house, made["id"], "admin", attributes={"clearance_level": 2})
        hidden = new_user(house, labels={"secrecy": mark})["id"]
        plain = new_user(house)["id"]
        until(lambda: plain in follower.seen)
        assert hidden not in follower.seen


def test_open_streams_do_not_hold_up_the_end_of_the_server() -> None:
    with Server() as server:
        api = Client(server.url, server.key)
        followers = [Follower(api) for _ in range(3)]
        new_user(api)
        until(lambda: all(one.seen for one in followers))
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 25, "less than requests get that run"
        until(lambda: all(one.ended for one in followers))
