"""Operations on a real Ray cluster of this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.office import MARCH, MISBEHAVE, Office, environment
from serving import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Office]:
    with Server(env=environment(MODELYARD_JOBS_RAY_ADDRESS="local")) as server:
        yield Office(server)


def test_steps_and_changes_are_kept(cluster: Office, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    work = cluster.work("on ray")
    ended = cluster.ended(cluster.begin(MARCH, work, marks=str(marks), steps=3), 120)
    assert ended["response"] == {"total": 3, "attempt": 1}, ended
    assert marks.read_text().split() == ["1", "2", "3"]
    assert cluster.client.get(f"/v1/works/{work}").json["count"] == 3


def test_an_attempt_that_dies_is_made_again_from_its_last_step(
    cluster: Office, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    asked = {"marks": str(marks), "steps": 3, "die_at": 2, "dying": 1}
    ended = cluster.ended(cluster.begin(MARCH, **asked), 60)
    assert ended["response"] == {"total": 3, "attempt": 2}, ended
    assert marks.read_text().split() == ["1", "2", "3"]


def test_cancelled_it_ends(cluster: Office) -> None:
    running = cluster.begin(MISBEHAVE, how="sleep", seconds=60)
    cluster.until(running, "running", 30)
    assert cluster.client.post(f"/v1/{running['name']}:cancel", {}).status == 200
    assert cluster.ended(running, 20)["metadata"]["state"] == "cancelled"


def test_what_the_cluster_has_not_is_refused(cluster: Office) -> None:
    asked = {"how": "sleep", "compute": {"gpu": 8}}
    reply = cluster.client.post(f"/v1/works/{cluster.work()}:{MISBEHAVE}", asked)
    assert reply.code == "GPU_UNAVAILABLE", reply.body
