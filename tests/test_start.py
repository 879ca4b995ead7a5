"""What keeps the server from starting is told in one line; what is right from then on."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.client import Client
from modelyard.live import Seat
from modelyard.server import Server as Serving
from modelyard.server import listen
from modelyard.settings import Settings
from serving import Server


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    try:
        yield made
    finally:
        made.__exit__(None, None, None)


def start(server: Server) -> tuple[int, str]:
    """Start it; the exit status and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "modelyard", "serve"],
        cwd=server.directory,
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def home_is_a_file(home: Path) -> None:
    home.rmdir()
    home.write_text("")


def damaged(name: str) -> Callable[[Path], None]:
    return lambda home: (home / name).write_bytes(b"no database" * 1000) and None


def a_file_instead_of(name: str) -> Callable[[Path], None]:
    return lambda home: (home / name).write_text("") and None


def short_pepper(home: Path) -> None:
    (home / "pepper").write_bytes(b"short")


def a_folder_among_the_ledgers_files(home: Path) -> None:
    (home / "ledger" / "0000000000001-1-aaaa.jsonl").mkdir(parents=True)


@pytest.mark.parametrize(
    "spoil",
    [
        home_is_a_file,
        damaged("modelyard.db"),
        damaged("ledger.db"),
        a_file_instead_of("ledger"),
        short_pepper,
        a_folder_among_the_ledgers_files,
    ],
)
def test_a_home_that_cannot_be_used(server: Server, spoil: Callable[[Path], None]) -> None:
    spoil(server.home)
    status, said = start(server)
    assert status == 1, said
    told = [line for line in said.splitlines() if "cannot start" in line]
    assert len(told) == 1, said
    assert str(server.home) in told[0]
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["modelyard.db", "ledger.db"])
def test_a_database_with_damaged_tables(server: Server, name: str) -> None:
    server.start()
    assert Client(server.url, server.key).new_key().chat("sandbox").status == 200
    server.kill()  # records are left, which the next start has to load
    database = server.home / name
    with database.open("r+b") as file:
        file.seek(2 * 4096)  # behind the schema and its revision
        file.write(b"?" * (database.stat().st_size - 2 * 4096))
    for log in server.home.glob(f"{name}-*"):
        log.unlink()
    status, said = start(server)
    assert status == 1, said
    told = [line for line in said.splitlines() if "cannot start" in line]
    assert len(told) == 1, said
    assert str(server.home) in told[0]
    assert "Traceback" not in said


def test_a_port_that_is_taken(server: Server) -> None:
    with socket.create_server(("127.0.0.1", server.port)):
        status, said = start(server)
    assert status == 1
    assert f"port {server.port}" in said
    assert "MODELYARD_PORT" in said


@pytest.mark.parametrize(
    ("name", "way_out"),
    [("sandbx", "did you mean 'sandbox'?"), ("nowhere/model", "provider/model"), ("", "known")],
)
def test_a_default_model_that_is_none(server: Server, name: str, way_out: str) -> None:
    config = f'default_model = "{name}"\n[providers.main]\nbase_url = "http://127.0.0.1:9/v1"\n'
    (server.directory / "modelyard.toml").write_text(config)
    status, said = start(server)
    assert status == 2, said
    [told] = [line for line in said.splitlines() if "default_model" in line]
    assert f"default_model = '{name}' (file modelyard.toml:1)" in told
    assert way_out in told


@pytest.mark.parametrize("name", ["main/anything", "mine", "also", "listed", "sandbox"])
def test_a_default_model_that_is_one(name: str) -> None:
    config = (
        f'default_model = "{name}"\n'
        '[providers.main]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["listed"]\n'
        '[[models]]\nname = "mine"\naliases = ["also"]\ntargets = ["main/x"]\n'
    )
    with Server(config) as server:
        reply = Client(server.url, server.key).infer()
    assert reply.status == (200 if name == "sandbox" else 503), reply.body


def test_head_has_the_length_of_get() -> None:
    with Server() as server:
        api = Client(server.url, server.key)
        for path in ("/v1/models", "/health/live", "/docs", "/v1/nothing"):
            full, bare = api.get(path), api.request("HEAD", path)
            assert (bare.status, bare.body) == (full.status, b"")
            assert bare.headers["content-length"] == full.headers["content-length"]
            assert int(bare.headers["content-length"]) == len(full.body) > 0
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert api.with_key(None).get(path).status == 200


async def test_readiness_reads_the_database_and_the_ledger(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port=0)
    server = Serving(settings, tmp_path, Seat())
    assert (await server.checks())["server"] != "ok"
    await server.open(listen(settings))
    assert set((await server.checks()).values()) == {"ok"}
    stopping = asyncio.Event()
    running = asyncio.create_task(server.run(stopping))
    database, moved = tmp_path / "modelyard.db", tmp_path / "moved.db"
    database.rename(moved)
    assert await server.checks() == {"server": "ok", "database": "cannot be read", "ledger": "ok"}
    moved.rename(database)
    assert (await server.checks())["database"] == "ok"
    stopping.set()
    await running
    assert (await server.checks())["server"] != "ok"
    assert (await server.checks())["database"] == "cannot be read"  # it is closed
