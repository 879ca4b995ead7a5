"""``backup``, ``restore`` and ``migrate`` with a real server."""

import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres
from modelyard.storage.copies.opening import connected
from modelyard.storage.postgres import Postgres
from patience import LONG, until
from serving import Server


def modelyard(server: Server, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelyard", *words],
        env=server.environment() | env,
        cwd=server.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def call(server: Server, path: str, body: Any = None, key: str = "") -> Any:
    request = urllib.request.Request(
        server.url + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {key or server.key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def used(server: Server) -> str:
    """Make a key, call a model with it, and return its secret."""
    made = call(server, "/v1/auth/keys", {"name": "kept", "scopes": ["*:*"]})
    body = {"model": "sandbox", "messages": [{"role": "user", "content": "hi"}]}
    call(server, "/v1/chat/completions", body, made["key"])
    return str(made["key"])


def check(server: Server, key: str) -> None:
    """The key and the log of requests are there."""
    assert call(server, "/v1/auth/keys", key=key)["keys"][0]["name"] == "kept"
    log = call(server, "/v1/ai-inference/requests", key=key)
    assert [one["model"] for one in log["requests"]] == ["sandbox"]


@contextlib.contextmanager
def working(server: Server, **env: str) -> Iterator[None]:
    """``modelyard worker`` beside a server, or without one."""
    log = server.directory / "worker.log"
    with log.open("wb") as file:
        worker = subprocess.Popen(
            [sys.executable, "-m", "modelyard", "worker"],
            env=server.environment() | env,
            cwd=server.directory,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        until(lambda: "worker ready" in log.read_text(), told=log.read_text)
        yield
    finally:
        worker.terminate()
        worker.wait(LONG)


def test_a_backup_taken_while_serving_is_restored(
    postgresql: postgres.Server, tmp_path: Path
) -> None:
    archive = tmp_path / "all.zip"
    with Server() as server:
        key = used(server)
        done = modelyard(server, "backup", str(archive), "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["tables"]["ledger/request"] + told["home_files"] >= 2
        again = modelyard(server, "backup", str(archive))
        assert (again.returncode, again.stdout) == (1, "")
        assert again.stderr == f"modelyard: {archive} exists; it is replaced with --force only.\n"
        for port in (str(server.port), "1"):  # whichever it was started with
            there = modelyard(server, "restore", str(archive), "--force", MODELYARD_PORT=port)
            assert there.returncode == 1
            assert "Stop it first" in there.stderr
        server.stop()
        refused = modelyard(server, "restore", str(archive))
        assert refused.returncode == 1
        assert "--force" in refused.stderr
    for env in ({}, {"MODELYARD_DATABASE_URL": postgresql.create()}):
        new = Server(env=env)
        done = modelyard(new, "restore", str(archive))
        assert done.returncode == 0, done.stderr
        assert "control/resource" in done.stdout
        with new:
            check(new, key)


def test_an_installation_moves_to_postgresql(postgresql: postgres.Server, tmp_path: Path) -> None:
    url = postgresql.create()
    server = Server()
    with server:
        key = used(server)
        for port in (str(server.port), "1"):
            there = modelyard(server, "migrate", "--to", url, MODELYARD_PORT=port)
            assert (there.returncode, "Stop it first" in there.stderr) == (1, True)
        server.stop()
        with working(server):
            there = modelyard(server, "migrate", "--to", url)
            assert (there.returncode, "a worker is running" in there.stderr) == (1, True)
        file = server.home / "modelyard.db"
        other = {"MODELYARD_HOME": str(tmp_path), "MODELYARD_DATABASE_URL": f"sqlite:///{file}"}
        with working(server, **other):
            there = modelyard(server, "restore", "no.zip", "--force")
            assert (there.returncode, f"has {file} open" in there.stderr) == (1, True)
        wrong = modelyard(server, "migrate", "--to", "mysql://x/y")
        assert (wrong.returncode, "postgresql://" in wrong.stderr) == (2, True)
        done = modelyard(server, "migrate", MODELYARD_MIGRATE_TO=url)
        assert done.returncode == 0, done.stderr
        assert "MODELYARD_DATABASE_URL" in done.stdout
        again = modelyard(server, "migrate", "--to", url)
        assert (again.returncode, "is not empty" in again.stderr) == (1, True)
        server._env["MODELYARD_DATABASE_URL"] = url
        (server.home / "modelyard.db").unlink()
        server.start()
        check(server, key)


def test_who_works_with_a_database_of_others_is_noticed(
    postgresql: postgres.Server, tmp_path: Path
) -> None:
    url = postgresql.create()

    async def counted() -> tuple[int, int]:
        driver = Postgres(url)  # as a server or a worker on any machine has it
        await driver.open()
        during = await connected(url)
        await driver.shut()
        return during, await connected(url)

    during, after = asyncio.run(counted())
    assert (during > 0, after) == (True, 0)
    assert asyncio.run(connected(str(tmp_path / "modelyard.db"))) == 0
