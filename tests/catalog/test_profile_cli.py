"""``modelyard datasets analyze``, ``profile``, ``quality`` and ``statistics``."""

import json
from pathlib import Path

from catalog.test_cli import run
from catalog.warehouse import Warehouse, churn
from modelyard.cli.dataset_profile import sparkline


def test_what_is_in_a_version(warehouse: Warehouse, tmp_path: Path) -> None:
    dataset, page = warehouse.make("shown"), tmp_path / "page.html"
    warehouse.version(dataset, churn(300), name="churn.csv")
    status, out, err = run(warehouse, "analyze", dataset, "--target", "Exited", "--unique", "Age")
    assert (status, "0      80.0%" in out, "consistency" in out) == (0, True, True), err
    status, out, err = run(warehouse, "profile", dataset)
    assert (status, "version 1.0.0: 300 rows" in out) == (0, True), err
    lines = {line.split()[0]: line for line in reversed(out.splitlines()) if line}
    assert "France 33%, Germany 33%, Spain 33%" in lines["Geography"]
    assert "10.0%" in lines["Balance"] and "18 … 47 … 77" in lines["Age"]
    assert "repeats a key" in run(warehouse, "quality", dataset)[1]
    assert json.loads(run(warehouse, "statistics", dataset, "--json")[1])["target"] == "Exited"
    assert run(warehouse, "profile", dataset, "--html", str(page))[0] == 0
    assert page.read_text().startswith("<!doctype html>")


def test_bars_of_a_histogram() -> None:
    assert sparkline([]) == "" and sparkline([0, 0]) == "  "
    bars = sparkline([0, 1, 50, 100])
    assert (bars[0], len(bars), len(set(bars))) == (" ", 4, 4)
