"""``modelyard operations`` and ``modelyard worker`` against a real server."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from jobs.office import MARCH, MISBEHAVE, Office, marks


def run(office: Office, *words: str, within: float = 60.0) -> "subprocess.CompletedProcess[str]":
    """One command, as the server's admin."""
    return subprocess.run(
        [sys.executable, "-m", "modelyard", *words],
        env=office.server.environment() | {"MODELYARD_URL": office.server.url},
        cwd=office.server.directory,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )


def test_wait_gives_the_result_and_its_status(office: Office) -> None:
    begun = office.begin(MISBEHAVE, how="ok")
    done = run(office, "operations", "wait", begun["id"], "--json")
    assert (done.returncode, json.loads(done.stdout)["metadata"]["state"]) == (0, "succeeded")
    failed = run(office, "operations", "wait", office.begin(MISBEHAVE, how="fail")["id"])
    assert failed.returncode == 1
    assert "TRAINING_JOB_FAILED" in failed.stdout


def test_waiting_can_be_given_up(office: Office) -> None:
    begun = office.begin(MISBEHAVE, how="sleep", seconds=60)
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
    begun = office.begin(MARCH, marks=str(tmp_path / "m"), steps=40, seconds=0.3)
    marks(tmp_path / "m", 2)
    terminal, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "modelyard", "operations", "attach", begun["id"]],
        env=office.server.environment() | {"MODELYARD_URL": office.server.url, "TERM": "xterm"},
        stdin=inner,
        stdout=inner,
        stderr=inner,
    )
    os.close(inner)
    seen = read_until(terminal, "of 40", 30)
    assert "work.march" in seen
    process.send_signal(signal.SIGINT)
    assert "attach " + begun["id"] in read_until(terminal, "attach " + begun["id"], 30)
    assert process.wait(30) == 130
    os.close(terminal)
    assert office.read(begun)["metadata"]["state"] == "running"
    again = run(office, "operations", "attach", begun["id"])
    assert again.returncode == 0, again.stderr
    assert "succeeded" in again.stdout


def read_until(terminal: int, wanted: str, within: float) -> str:
    """What a program prints on its terminal, until it has printed ``wanted``."""
    found, ends = "", time.monotonic() + within
    while wanted not in found:
        assert time.monotonic() < ends, found
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                found += os.read(terminal, 65_536).decode(errors="replace")
            except OSError:  # it has ended
                raise AssertionError(found) from None
    return found


def test_attach_outlives_a_restart_of_the_server(office: Office, tmp_path: Path) -> None:
    begun = office.begin(MARCH, marks=str(tmp_path / "m"), steps=10, seconds=0.5)
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
    out, told = process.communicate(timeout=90)
    assert process.returncode == 0, told
    assert json.loads(out)["response"]["total"] == 10
