"""``modelyard datasets`` against a real server."""

import json
import subprocess
import sys
from pathlib import Path

from catalog.warehouse import Warehouse, churn


def run(warehouse: Warehouse, *words: str) -> tuple[int, str, str]:
    server = warehouse.server
    env = server.environment() | {"MODELYARD_URL": server.url, "MODELYARD_API_KEY": server.key}
    command = [sys.executable, "-m", "modelyard", "datasets", *words]
    done = subprocess.run(
        command, env=env, cwd=server.directory, capture_output=True, text=True, timeout=90
    )
    return done.returncode, done.stdout, done.stderr


def test_from_a_file_to_parts(warehouse: Warehouse, tmp_path: Path) -> None:
    file, data = tmp_path / "churn.csv", churn(500)
    file.write_bytes(data)
    status, out, err = run(warehouse, "upload", str(file), "--progress", "--json")
    assert status == 0, err
    done = json.loads(out)
    dataset = done["dataset"]
    assert (done["response"]["id"], done["response"]["fileName"]) == ("1.0.0", "churn.csv")
    status, out, err = run(
        warehouse, "split", dataset, "--method", "stratified", "--column", "Exited",
        "--part", "train=0.8", "--part", "test=0.2", "--seed", "3",
    )  # fmt: skip
    assert (status, "1.0.0-train" in out, "400" in out) == (0, True, True), err
    assert "1.0.0-test" in run(warehouse, "versions", dataset)[1]
    target = tmp_path / "copy.csv"
    assert run(warehouse, "download", dataset, str(target))[0] == 0
    assert target.read_bytes() == data
    some = ("--format", "jsonl", "--columns", "Age", "--version", "1.0.0-test", "--force")
    assert run(warehouse, "download", dataset, str(target), *some)[0] == 0
    assert len(target.read_text().splitlines()) == 100
    status, out, err = run(warehouse, "list", "--filter", f'id = "{dataset}"', "--json")
    assert [one["name"] for one in json.loads(out)["datasets"]] == ["churn"], err
    assert run(warehouse, "delete", dataset)[0] == 0
    assert run(warehouse, "get", dataset)[0] == 1


def test_a_broken_file_is_told_row_by_row(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "broken.csv"
    file.write_bytes(churn(20) + b"too,few\n")
    dataset = warehouse.make("broken")
    status, out, err = run(warehouse, "upload", str(file), "--to", dataset)
    assert status == 1
    assert "2 fields instead of 6" in out
    assert "DATA_VALIDATION_FAILED" in err
    status, out, err = run(warehouse, "upload", str(file), "--to", dataset, "--max-faults", "1")
    assert (status, "1 were left out" in out) == (0, True), err
    assert run(warehouse, "split", dataset, "--part", "train")[0] == 2
