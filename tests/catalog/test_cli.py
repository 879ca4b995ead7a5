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
    again = json.loads(run(warehouse, "upload", str(file), "--json")[1])
    assert (again["dataset"], again["id"]) == (dataset, done["id"]), "the same command goes on"
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
    status, out, err = run(warehouse, "undelete", dataset)
    assert (status, "is back: churn, 1.0.0" in out) == (0, True), err
    assert run(warehouse, "get", dataset)[0] == 0


def test_a_broken_file_is_told_row_by_row(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "broken.csv"
    file.write_bytes(churn(20) + b"too,few\n")
    status, out, err = run(warehouse, "upload", str(file), "--name", "made-for-it")
    assert (status, "DATA_VALIDATION_FAILED" in err) == (1, True), err
    assert "made-for-it" not in run(warehouse, "list")[1], "nothing is kept"
    dataset = warehouse.make("broken")
    status, out, err = run(warehouse, "upload", str(file), "--to", dataset)
    assert status == 1
    assert "2 fields instead of 6" in out
    assert "DATA_VALIDATION_FAILED" in err
    status, out, err = run(warehouse, "upload", str(file), "--to", dataset, "--max-faults", "1")
    assert (status, "1 were left out" in out) == (0, True), err
    assert run(warehouse, "split", dataset, "--part", "train")[0] == 2


def test_of_many_columns_the_first_are_shown(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    names = ["same", "same", "", *(f"column{at}" for at in range(147))]
    file.write_text(",".join(names) + "\n" + ",".join("1" * 150) + "\n")
    status, out, err = run(warehouse, "upload", str(file))
    assert (status, "… and 50 more columns (--all)" in out, "column146" in out) == (0, True, False)
    dataset = out.split()[0]
    found = json.loads(run(warehouse, "versions", dataset, "--json")[1])["versions"][0]["dialect"]
    assert found["found"][-2:] == ["'same' again: same_2", "a column without a name: column_3"], err
    for more, shown in (((), False), (("--all",), True)):
        assert ("column146" in run(warehouse, "profile", dataset, *more)[1]) == shown


def test_from_a_secret_to_everybody_s_use(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("mail,age\n" + "".join(f"p{at}@example.org,{at + 18}\n" for at in range(50)))
    status, out, err = run(warehouse, "upload", str(file), "--progress", "--json")
    assert status == 0, err
    dataset = json.loads(out)["dataset"]
    grant = ("--grant", "role:data_scientist=write")
    status, out, err = run(warehouse, "share", dataset, "--level", "private", *grant)
    assert (status, "private" in out, "data_scientist" in out) == (0, True, True), err
    assert "data_scientist" in run(warehouse, "share", dataset)[1], "without options it shows"
    status, out, err = run(warehouse, "scan", dataset)
    assert (status, "email" in out, "in 50 of 50 rows" in out) == (0, True, True), err
    ages = ("--column", "age=generalise,width=20")
    status, out, err = run(warehouse, "anonymise", dataset, "--method", "generalise", *ages)
    assert (status, f"{dataset} 2.0.0, of 1.0.0" in out) == (0, True), err
    target = tmp_path / "shared.csv"
    assert run(warehouse, "download", dataset, str(target), "--format", "csv")[0] == 0
    assert target.read_text().splitlines()[1] == "*@example.org,0-19"
    status, out, err = run(warehouse, "purge", dataset, "--version", "1.0.0", "--yes")
    assert (status, "1 version and" in out) == (0, True), err
    assert warehouse.versions(dataset) == ["2.0.0"]
    assert run(warehouse, "anonymise", dataset, "--column", "age")[0] == 2
    assert run(warehouse, "share", dataset, "--grant", "somebody")[0] == 2
