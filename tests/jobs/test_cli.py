"""``modelyard operations`` and ``modelyard worker`` against a real server."""

import json
import subprocess
import sys
from pathlib import Path

from commands import Ended, modelyard
from jobs.office import MARCH, MISBEHAVE, Office, go_on
from terminal import CTRL_C, Terminal


def run(office: Office, *words: str) -> Ended:
    """One command, as the server's admin."""
    return modelyard(office.server, *words)


def test_wait_gives_the_result_and_its_status(office: Office) -> None:
    begun = office.begin(MISBEHAVE, how="ok")
    done = run(office, "operations", "wait", begun["id"], "--json")
    assert (done.returncode, json.loads(done.stdout)["metadata"]["state"]) == (0, "succeeded")
    failed = run(office, "operations", "wait", office.begin(MISBEHAVE, how="fail")["id"])
    assert failed.returncode == 1
    assert "TRAINING_JOB_FAILED" in failed.stdout


def test_waiting_can_be_given_up(office: Office) -> None:
    begun = office.begin(MISBEHAVE, how="sleep", seconds=600)
    given_up = run(office, "operations", "wait", begun["id"], "--timeout", "0.5", "--json")
    assert given_up.returncode == 1
    assert json.loads(given_up.stdout)["done"] is False
    cancelled = run(office, "operations", "cancel", begun["id"])
    assert cancelled.returncode == 0
    assert office.ended(begun)["metadata"]["state"] == "cancelled"
    assert run(office, "operations", "delete", begun["id"]).returncode == 0
    missing = run(office, "operations", "get", begun["id"])
    assert missing.returncode == 1
    assert "NOT_FOUND" in missing.stderr


def test_lists_show_kind_state_and_target(office: Office) -> None:
    work = office.work()
    done = office.ended(office.begin(MISBEHAVE, work, how="ok"))
    shown = run(office, "operations", "list", "--filter", f'metadata.target = "works/{work}"')
    line = next(line for line in shown.stdout.splitlines() if done["id"] in line)
    assert all(word in line for word in ("work.misbehave", "succeeded", "100", f"works/{work}"))


def test_attach_shows_progress_and_ctrl_c_only_detaches(office: Office, tmp_path: Path) -> None:
    begun = office.begin(MARCH, marks=str(tmp_path / "m"), steps=900, seconds=0.1)
    env = office.server.environment() | {"MODELYARD_URL": office.server.url}
    command = ("operations", "attach", begun["id"])
    with Terminal(*command, env=env, columns=60) as terminal:
        terminal.until(r"work\.march · running · .* [1-9]\d? % · .* left")
        terminal.type(CTRL_C)
        assert terminal.ended() == 130
        assert f" modelyard operations attach {begun['id']}\r\n" in terminal.seen  # one line
    assert office.read(begun)["metadata"]["state"] == "running"
    with Terminal(*command, env=env, columns=100) as terminal:
        terminal.until(r"work\.march · running · \d+ of 900 .* \d+ % · .* left")
        office.client.post(f"/v1/{begun['name']}:cancel", {})
        assert terminal.ended() == 1
        assert "cancelled" in terminal.seen


def test_attach_outlives_a_restart_of_the_server(office: Office, tmp_path: Path) -> None:
    begun = office.begin(MARCH, marks=str(tmp_path / "m"), steps=6, hold_at=3)
    process = subprocess.Popen(
        [sys.executable, "-m", "modelyard", "operations", "attach", begun["id"], "--json"],
        env=office.server.environment() | {"MODELYARD_URL": office.server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert b"work.march" in process.stderr.readline()  # it follows
    office.server.kill()
    office.server.start()
    go_on(tmp_path / "m")
    out, told = process.communicate(timeout=90)
    assert process.returncode == 0, told
    assert json.loads(out)["response"]["total"] == 6
