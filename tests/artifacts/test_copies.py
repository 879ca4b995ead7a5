"""``backup`` and ``restore`` take the bytes of artifacts along."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from artifacts.api import PART, Api, noise
from artifacts.conftest import CREDENTIALS
from serving import Server


def modelyard(server: Server, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "modelyard", *words],
        env=server.environment(),
        cwd=server.directory,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def told(server: Server, *words: str) -> Any:
    done = modelyard(server, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_backup_holds_the_bytes(tmp_path: Path) -> None:
    archive, data = tmp_path / "all.zip", noise(PART + 9, "backup")
    with Server() as server:
        api = Api(server.url, server.key)
        digest = api.put(data, name="kept")["id"]
        upload = api.start(name="unfinished")
        api.part(upload, 1, data[:PART])
        assert told(server, "backup", str(archive))["artifact_files"] == 3
    with Server() as server:
        server.stop()
        assert told(server, "restore", str(archive), "--force")["artifact_files"] == 3
        server.start()
        api = Api(server.url, server.key)
        assert api.get(digest).body == data
        api.part(upload, 2, data[PART:])
        assert api.complete(upload).json["id"] == digest


def test_damage_is_told(tmp_path: Path) -> None:
    archive, broken = tmp_path / "all.zip", tmp_path / "broken.zip"
    with Server() as server:
        Api(server.url, server.key).put(b"one")
        (file,) = (one for one in (server.home / "artifacts").rglob("0*"))
        file.write_bytes(b"two")
        assert len(told(server, "backup", str(archive))["damaged_artifact_files"]) == 1
        with zipfile.ZipFile(archive) as old, zipfile.ZipFile(broken, "w") as new:
            for name in old.namelist():
                new.writestr(name, b"six" if name.startswith("artifacts/") else old.read(name))
        server.stop()
        done = modelyard(server, "restore", str(broken), "--force")
        assert done.returncode == 1 and "is damaged or missing" in done.stderr


def test_those_of_a_bucket_stay_there(tmp_path: Path, s3: str) -> None:
    config = f'artifacts_url = "s3://modelyard/copies"\n[artifacts]\nendpoint = "{s3}"\n'
    archive = tmp_path / "all.zip"
    with Server(config, env=CREDENTIALS) as server:
        digest = Api(server.url, server.key).put(b"in a bucket")["id"]
        made = told(server, "backup", str(archive))
        assert made["artifact_files"] == 0 and "s3://modelyard/copies" in made["artifacts"]
    with Server(config, env=CREDENTIALS) as server:
        server.stop()
        told(server, "restore", str(archive), "--force")
        server.start()
        assert Api(server.url, server.key).get(digest).body == b"in a bucket"
