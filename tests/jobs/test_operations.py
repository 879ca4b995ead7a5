"""Operations as clients see them: begun, waited for, followed, cancelled, forgotten."""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from artifacts.api import Api
from e2e.client import Stream
from jobs.office import MARCH, MISBEHAVE, Office, environment, go_on, marks
from modelyard.jobs.runner import CANCEL_SECONDS
from patience import LONG, until
from serving import Server


def test_the_request_commits_the_change_the_operation_and_its_provenance(office: Office) -> None:
    work = office.work()
    begun = office.begin(MISBEHAVE, work, how="staged")
    assert office.client.get(f"/v1/works/{work}").json["count"] == -1
    assert (begun["done"], begun["metadata"]["state"]) == (False, "queued")
    assert begun["name"] == f"operations/{begun['id']}"
    assert begun["metadata"]["kind"] == "work.misbehave"
    assert begun["metadata"]["target"] == f"works/{work}"
    assert "asked" not in begun
    assert "caller" not in begun
    edges = office.client.get(f"/v1/{begun['name']}/lineage").json
    assert f"works/{work}" in json.dumps(edges)
    office.ended(begun)


def test_result_and_changes_are_there_together(office: Office, tmp_path: Path) -> None:
    work = office.work("first")
    done = office.ended(office.begin(MARCH, work, marks=str(tmp_path / "m"), steps=3))
    assert done["error"] is None
    assert done["response"] == {"total": 3, "attempt": 1}
    assert done["metadata"]["progress"]["percent"] == 100
    assert [one["name"] for one in done["metadata"]["steps"]] == ["step 1", "step 2", "step 3"]
    assert all(one["finished_at"] for one in done["metadata"]["steps"])
    assert office.client.get(f"/v1/works/{work}").json["count"] == 3
    made = office.client.get("/v1/works?filter=title%3D%22after%20first%22").json["works"]
    assert len(made) == 1
    assert made[0]["created_by"] == begun_by(office)
    lineage = json.dumps(office.client.get(f"/v1/works/{made[0]['id']}/lineage").json)
    assert done["name"] in lineage


def begun_by(office: Office) -> str:
    return str(office.client.get("/v1/operations?page_size=1").json["operations"][0]["created_by"])


def test_a_failure_is_the_inner_object_of_the_envelope(office: Office) -> None:
    done = office.ended(office.begin(MISBEHAVE, how="fail"))
    assert done["metadata"]["state"] == "failed"
    assert done["response"] is None
    error = done["error"]
    assert (error["code"], error["number"]) == ("TRAINING_JOB_FAILED", "TRAIN_001")
    assert error["details"] == {"why": "asked"}
    assert error["message"] == "It failed as asked."


def test_what_is_to_be_done_after_the_commit_is_done(office: Office, tmp_path: Path) -> None:
    office.ended(office.begin(MISBEHAVE, how=f"after {tmp_path / 'm'}"))
    until((tmp_path / "m").exists)


def test_a_mistake_shows_nothing_of_the_inside_and_is_tried_again(office: Office) -> None:
    done = office.ended(office.begin(MISBEHAVE, how="raise"))
    assert done["error"]["code"] == "INTERNAL"
    assert done["metadata"]["attempts"] == 3
    assert "a mistake" not in json.dumps(done)
    assert "ValueError: a mistake" in office.server.log()


def test_what_is_wrong_at_the_door_makes_no_operation(office: Office) -> None:
    work = office.work()
    for body in ({"how": "refused"}, {"how": 1}, {"how": "x", "unknown": 1}):
        reply = office.client.post(f"/v1/works/{work}:misbehave", body)
        assert reply.status == 400, reply.body
    found = office.client.get(f"/v1/operations?filter=metadata.target%3D%22works/{work}%22")
    assert found.json["operations"] == []


def test_an_idempotent_request_begins_one(office: Office) -> None:
    work = office.work()
    headers = {"Idempotency-Key": f'"{work}"'}
    first, second = (
        office.client.post(f"/v1/works/{work}:misbehave", {"how": "ok"}, headers=headers)
        for _ in range(2)
    )
    assert first.json["id"] == second.json["id"]


def test_cancelling_one_that_waits_ends_it_at_once(office: Office, tmp_path: Path) -> None:
    busy = [office.begin(MISBEHAVE, how="sleep", seconds=600) for _ in range(2)]
    for one in busy:
        office.until(one, "running")
    waiting = office.begin(MARCH, marks=str(tmp_path / "m"))
    reply = office.client.post(f"/v1/{waiting['name']}:cancel", {})
    assert reply.json["metadata"]["state"] == "cancelled"
    assert reply.json["done"] is True
    took = []
    for one in busy:
        began = time.monotonic()
        assert office.client.post(f"/v1/{one['name']}:cancel", {}).status == 200
        done = office.ended(one)
        took.append(time.monotonic() - began)
        assert done["metadata"]["state"] == "cancelled"
        assert done["error"]["code"] == "CONFLICT", "as docs/how-to/operations.md tells"
        assert done["error"]["details"]["state"] == "cancelled"
    assert min(took) < CANCEL_SECONDS, "before it is killed"
    assert not (tmp_path / "m").exists()


def test_cancelling_one_that_runs_stops_at_the_next_step(office: Office, tmp_path: Path) -> None:
    work = office.work()
    begun = office.begin(MARCH, work, marks=str(tmp_path / "m"), steps=1000, seconds=0.1)
    marks(tmp_path / "m", 2)
    assert office.client.post(f"/v1/{begun['name']}:cancel", {}).status == 200
    done = office.ended(begun)
    taken = len(marks(tmp_path / "m"))
    assert done["metadata"]["state"] == "cancelled"
    assert taken < 1000
    time.sleep(0.5)
    assert len(marks(tmp_path / "m")) == taken
    assert office.client.get(f"/v1/works/{work}").json["count"] == 0
    again = office.client.post(f"/v1/{begun['name']}:cancel", {})
    assert (again.status, again.json["error"]["code"]) == (409, "CONFLICT")


def test_one_that_does_not_listen_is_killed(office: Office) -> None:
    begun = office.begin(MISBEHAVE, how="block", seconds=100)
    office.until(begun, "running")
    time.sleep(1.0)  # it is in its sleep by now, or will be
    assert office.client.post(f"/v1/{begun['name']}:cancel", {}).status == 200
    assert office.ended(begun)["metadata"]["state"] == "cancelled"


def test_a_finished_one_can_be_forgotten(office: Office) -> None:
    begun = office.begin(MISBEHAVE, how="sleep", seconds=600)
    refused = office.client.request("DELETE", f"/v1/{begun['name']}")
    assert (refused.status, refused.json["error"]["code"]) == (409, "CONFLICT")
    office.client.post(f"/v1/{begun['name']}:cancel", {})
    office.ended(begun)
    assert office.client.request("DELETE", f"/v1/{begun['name']}").status == 204
    assert office.client.get(f"/v1/{begun['name']}").status == 404


def test_waiting_ends_with_its_time(office: Office) -> None:
    begun = office.begin(MISBEHAVE, how="sleep", seconds=600)
    began = time.monotonic()
    reply = office.client.post(f"/v1/{begun['name']}:wait", {"timeout_seconds": 0.5})
    assert reply.json["done"] is False
    assert 0.4 < time.monotonic() - began < LONG
    assert office.client.post(f"/v1/{begun['name']}:wait", {"timeout_seconds": 61}).status == 400
    office.client.post(f"/v1/{begun['name']}:cancel", {})


def test_lists_are_filtered_by_state_kind_and_target(office: Office) -> None:
    work = office.work()
    done = office.ended(office.begin(MISBEHAVE, work, how="ok"))
    for question in (
        f'metadata.target = "works/{work}"',
        f'metadata.state = succeeded AND metadata.target = "works/{work}"',
        f'done = true AND metadata.kind = "work.misbehave" AND metadata.target = "works/{work}"',
    ):
        found = office.client.get(f"/v1/operations?filter={quote(question)}").json
        assert [one["id"] for one in found["operations"]] == [done["id"]], question


def test_everybody_sees_their_own_alone(office: Office) -> None:
    mine = office.begin(MISBEHAVE, how="ok")
    other = Office(office.server, office.client.new_key(scopes=["work:*", "inference:*"]))
    theirs = other.begin(MISBEHAVE, how="ok")
    seen = [one["id"] for one in other.client.get("/v1/operations").json["operations"]]
    assert seen == [theirs["id"]]
    assert other.ended(theirs)["response"]["group"] is True
    for method, path in (("GET", ""), ("POST", ":cancel"), ("DELETE", ""), ("POST", ":wait")):
        reply = other.client.request(method, f"/v1/{mine['name']}{path}", {})
        assert reply.status == 403, (method, path, reply.body)
    admins = office.client.get("/v1/operations?page_size=1000").json["operations"]
    assert {mine["id"], theirs["id"]} <= {one["id"] for one in admins}


def test_a_job_has_the_rights_that_its_caller_has_by_then(office: Office, tmp_path: Path) -> None:
    client = office.client.new_key(scopes=["work:*"])
    key = next(
        one
        for one in office.client.get("/v1/auth/keys").json["keys"]
        if one["scopes"] == ["work:*"]
    )
    busy = [office.begin(MISBEHAVE, how="sleep", seconds=600) for _ in range(2)]
    for one in busy:
        office.until(one, "running")
    begun = Office(office.server, client).begin(MARCH, marks=str(tmp_path / "m"))
    assert office.client.request("DELETE", f"/v1/auth/keys/{key['id']}").status == 204
    for one in busy:
        office.client.post(f"/v1/{one['name']}:cancel", {})
    done = office.ended(begun)
    assert done["error"]["code"] == "UNAUTHENTICATED"
    assert not (tmp_path / "m").exists()


def test_following_one_tells_of_progress_and_can_be_taken_up_again(
    office: Office, tmp_path: Path
) -> None:
    begun = office.begin(MARCH, marks=str(tmp_path / "m"), steps=8, seconds=0.4, hold_at=8)
    found: list[tuple[int, dict[str, Any]]] = []
    for number, state in office_events(office, begun, ""):
        found.append((number, state))
        if state["metadata"]["progress"]["eta_seconds"]:
            break
    go_on(tmp_path / "m")
    for number, state in office_events(office, begun, str(found[-1][0])):
        found.append((number, state))
    percents = [state["metadata"]["progress"]["percent"] for _, state in found]
    assert percents == sorted(percents)
    assert any(0 < percent < 100 for percent in percents)
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    assert found[-1][1]["done"] is True


def office_events(
    office: Office, operation: dict[str, Any], last: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The events of an operation's stream until it ends."""
    headers = {"Last-Event-ID": last} if last else {}
    connection = office.client.open("GET", f"/v1/{operation['name']}/watch", None, headers)
    stream = Stream(connection)
    try:
        for event in stream.events():
            yield int(event.id), json.loads(event.data)
    finally:
        stream.close()


def test_the_most_urgent_is_taken_up_first(tmp_path: Path) -> None:
    config = "[jobs]\nconcurrency = 1\n"
    with Server(config, env=environment()) as server:
        office, path, begun = Office(server), tmp_path / "m", []
        busy = office.begin(MISBEHAVE, how="sleep", seconds=600)
        office.until(busy, "running")
        for priority in (1, 9, 5, 7, 3):
            ask = {"marks": str(path), "steps": 1}
            begun.append(office.begin(MARCH, query=f"?priority={priority}", **ask))
        until(lambda: queued(office) == len(begun))
        office.client.post(f"/v1/{busy['name']}:cancel", {})
        ends = [office.ended(one)["metadata"] for one in begun]
    in_order = sorted(ends, key=lambda one: one["started_at"])
    assert [one["priority"] for one in in_order] == [9, 7, 5, 3, 1]


def queued(office: Office) -> int:
    """How many operations wait in the queue, whatever the order they were heard of in."""
    with closing(sqlite3.connect(office.server.home / "jobs.db")) as connection:
        found = connection.execute("SELECT count(*) FROM workflow_status WHERE status = 'ENQUEUED'")
        return int(found.fetchone()[0])


@pytest.mark.parametrize("how", ["ok", "eat", "eat in Rust"])
def test_a_job_is_held_to_its_share(office: Office, how: str) -> None:
    share = {"cpu": 1, "memory_bytes": 256 << 20}
    done = office.ended(office.begin(MISBEHAVE, how=how, compute=share))
    if how.startswith("eat"):
        assert done["error"]["code"] == "INSUFFICIENT_RESOURCES", done
        given = {"field": "compute.memory_bytes", "given": 256 << 20}
        assert given.items() <= done["error"]["details"].items()
        assert done["metadata"]["attempts"] == 1
    else:
        nice = os.nice(0) + 5  # as its worker is, which is as much nicer than we are
        assert done["response"] == {"cores": 1, "nice": nice, "gpus": "", "group": True}


def test_what_removes_its_item_ends_well_though_it_died_behind_that(office: Office) -> None:
    done = office.ended(office.begin("vanish"))
    assert done["error"] is None and done["response"] == {"gone": True, "attempt": 2}, done


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"cpu": 1000}, "INSUFFICIENT_RESOURCES"),
        ({"memory_bytes": 1 << 45}, "INSUFFICIENT_RESOURCES"),
        ({"gpu": 64}, "GPU_UNAVAILABLE"),
    ],
)
def test_what_nobody_has_is_refused_at_the_door(
    office: Office, asked: dict[str, Any], code: str
) -> None:
    reply = office.client.post(
        f"/v1/works/{office.work()}:misbehave", {"how": "ok", "compute": asked}
    )
    assert (reply.status, reply.json["error"]["code"]) == (503, code)
    assert reply.json["error"]["details"]["largest_worker"]


def test_events_tell_of_beginning_and_end(office: Office) -> None:
    done = office.ended(office.begin(MISBEHAVE, how="ok"))

    def told() -> list[str]:
        entries = office.client.get(f"/v1/{done['name']}/history").json["entries"]
        return [one["verb"] for one in reversed(entries)]

    until(lambda: told() == ["operation.create", "operation.start", "operation.succeed"], told=told)


def test_many_at_once_all_end(office: Office) -> None:
    begun: list[dict[str, Any]] = []

    def ask() -> None:
        begun.append(office.begin(MISBEHAVE, how="ok"))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert all(office.ended(one)["metadata"]["attempts"] == 1 for one in begun)


def test_what_a_request_refers_to_is_kept_until_its_operation_has_ended(office: Office) -> None:
    api = Api(office.server.url, office.server.key)
    own_id = api.put(b"needed", retention="referenced")["id"]
    begun = office.begin(MISBEHAVE, how="sleep", seconds=600, artifact=own_id)
    office.until(begun, "running")
    refused = office.client.request("DELETE", f"/v1/artifacts/{own_id}")
    assert (refused.status, refused.code) == (409, "CONFLICT"), refused.body
    office.client.post(f"/v1/{begun['name']}:cancel", {})
    office.ended(begun)
    assert office.client.request("DELETE", f"/v1/artifacts/{own_id}").status == 204


def test_work_that_fills_the_disk_says_so(office: Office) -> None:
    done = office.ended(office.begin(MISBEHAVE, how="fill"))
    assert (done["error"]["code"], done["metadata"]["attempts"]) == ("STORAGE_FULL", 1)
    assert done["error"]["details"]["free"] > 0
