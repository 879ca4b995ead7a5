"""``modelyard artifacts upload`` and ``download`` against a real server."""

import json
import subprocess
import sys
from pathlib import Path

from artifacts.api import PART, Api, noise, sha256, until
from commands import Ended, modelyard
from serving import Server


def started(server: Server, *words: str) -> "subprocess.Popen[str]":
    env = server.environment() | {"MODELYARD_URL": server.url, "MODELYARD_API_KEY": server.key}
    return subprocess.Popen(
        [sys.executable, "-m", "modelyard", "artifacts", *words],
        env=env,
        cwd=server.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(server: Server, *words: str) -> Ended:
    return modelyard(server, "artifacts", *words)


def seconds(server: Server) -> set[Path]:
    """The second parts of all uploads."""
    return set((server.home / "artifacts").rglob("000002-*"))


def test_up_and_down_and_away(server: Server, tmp_path: Path) -> None:
    file, data = tmp_path / "weights.bin", noise(PART + 5, "command line")
    file.write_bytes(data)
    status, out, err = run(server, "upload", str(file), "--json")
    assert status == 0, err
    made = json.loads(out)
    assert (made["id"], made["name"]) == (sha256(data), "weights.bin")
    assert run(server, "upload", str(file))[0] == 0, "it is there already"
    assert "weights" in run(server, "list")[1]
    target = tmp_path / "copy"
    status, out, err = run(server, "download", made["id"], str(target))
    assert (status, target.read_bytes()) == (0, data), err
    assert run(server, "download", made["id"], str(target))[0] == 1, "it exists"
    assert run(server, "delete", made["id"])[0] == 0
    status, _, err = run(server, "download", made["id"], str(tmp_path / "gone"))
    assert status == 1 and "There is no" in err
    assert run(server, "upload", str(tmp_path / "none"))[0] == 2


def test_an_upload_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    api, data = Api(server.url, server.key), noise(3 * PART, "goes on")
    file = tmp_path / "large"
    file.write_bytes(data)
    upload, others = api.start(size=len(data), sha256=sha256(data), name="large"), seconds(server)
    api.part(upload, 2, data[PART : 2 * PART])
    (kept,) = seconds(server) - others
    before = kept.stat()
    assert run(server, "upload", str(file))[0] == 0
    assert kept.stat().st_mtime_ns == before.st_mtime_ns, "what was here was not sent again"
    assert api.get(sha256(data)).body == data


def test_an_upload_outlives_a_killed_server(server: Server, tmp_path: Path) -> None:
    api, data = Api(server.url, server.key), noise(12 * PART, "outlives")
    file = tmp_path / "large"
    file.write_bytes(data)
    others = seconds(server)
    process = started(server, "upload", str(file))
    until(lambda: seconds(server) - others)
    server.kill()
    server.start()
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert api.get(sha256(data)).body == data


def test_a_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    api, data = Api(server.url, server.key), noise(2 * PART, "download")
    digest = api.put(data)["id"]
    target = tmp_path / "copy"
    part = tmp_path / f".copy.{digest[:12]}.part"
    part.write_bytes(data[: PART + 3])
    status, _, err = run(server, "download", digest, str(target))
    assert (status, target.read_bytes()) == (0, data), err
    part.write_bytes(b"x" + data[1:PART])
    status, _, err = run(server, "download", digest, str(tmp_path / "copy"), "--force")
    assert status == 1 and "damaged on its way" in err
    assert target.read_bytes() == data and not part.exists()
