"""``make run``: the first answer, the second from the cache, and a server that ends with it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving import alive, free_port, worker_pids

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "first_light.py"


def environment(home: Path, **more: str) -> dict[str, str]:
    unwanted = ("MODELYARD_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "OTEL_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    return env | {"MODELYARD_HOME": str(home), "PYTHONUNBUFFERED": "1"} | more


@contextmanager
def running(home: Path, **more: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        cwd=home,
        env=environment(home, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        children = worker_pids(process.pid)
        process.kill()
        process.wait()
        for pid in filter(alive, children):
            os.kill(pid, signal.SIGKILL)


def until_serving(process: "subprocess.Popen[str]") -> str:
    """What it says up to the line that it serves."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if line.startswith("Serving until"):
            return said
    raise AssertionError(f"it ended:\n{said}")


def ends(pids: list[int]) -> bool:
    deadline = time.monotonic() + 60
    while any(map(alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_light(tmp_path: Path, number: int) -> None:
    port = str(free_port())
    with running(tmp_path, MODELYARD_PORT=port) as process:
        said = until_serving(process)
        key = (tmp_path / "admin.key").read_text().strip()
        url = f"http://127.0.0.1:{port}"
        for part in (
            "Sandbox answer to",
            "no model was called",
            "$0.00 for",
            "overhead",
            "miss",
            "from the cache (L1)",
            f"{url}/docs",
            f"Admin key  {key}",
            f"'Authorization: Bearer {key}'",
            f'base_url="{url}/v1"',
            "OPENAI_API_KEY=sk-… make run",
        ):
            assert part in said
        assert "\x1b" not in said
        with urllib.request.urlopen(url + "/health/ready", timeout=60) as answer:
            assert answer.status == 200
        children = worker_pids(process.pid)
        assert children
        process.send_signal(number)
        assert process.wait(60) == 0
        assert not any(map(alive, children))


def test_the_key_of_the_environment_and_any_free_port(tmp_path: Path) -> None:
    key = "my-own-admin-key-0123456789"
    for left in reversed(range(5)):
        with running(tmp_path, MODELYARD_PORT="0", MODELYARD_ADMIN_KEY=key) as process:
            try:
                said = until_serving(process)
            except AssertionError:  # a port that is free belongs to somebody else a moment later
                if not left:
                    raise
                continue
        break
    assert f"Admin key  {key}" in said
    assert "from the cache (L1)" in said


def test_the_server_dies_with_it(tmp_path: Path) -> None:
    with running(tmp_path, MODELYARD_PORT=str(free_port())) as process:
        until_serving(process)
        children = worker_pids(process.pid)
        process.kill()
        process.wait()
        assert children
        assert ends(children)


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(tmp_path, MODELYARD_PORT=str(port)) as process:
            said, _ = process.communicate(timeout=60)
            assert process.returncode == 1
    assert f"Port {port} is taken" in said
    assert f"MODELYARD_PORT={port + 1} make run" in said


def test_wrong_settings(tmp_path: Path) -> None:
    with running(tmp_path, MODELYARD_PORT="x", MODELYARD_WORKERS="0") as process:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 2
    assert "port = x" in said
    assert "workers = 0" in said


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    settings = {"MODELYARD_PORT": str(free_port()), "MODELYARD_HOME": str(tmp_path / "home")}
    with running(tmp_path, **settings) as process:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1
    assert "cannot start" in said


def test_a_provider_that_fails_is_told_and_the_sandbox_answers(tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}/v1"
    models = '[{"name": "m", "targets": ["dead/m"]}]'
    settings = {"MODELYARD_PROVIDERS_DEAD_BASE_URL": dead, "MODELYARD_MODELS": models}
    with running(tmp_path, MODELYARD_PORT=str(free_port()), **settings) as process:
        said = until_serving(process)
    assert "It failed" in said
    assert "PROVIDER_UNAVAILABLE" in said
    assert "Sandbox answer to" in said
