"""Each check of ``make check`` can fail: a small tree with one fault, and the finding it gives."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import check
import check_docs
import check_imports
import check_limits
import check_links
import check_text

ROOT = Path(__file__).resolve().parent.parent
Write = Callable[[str, str], Path]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


@pytest.fixture
def write(tree: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def whats(findings) -> list[tuple[str, str]]:
    return [(finding.where, finding.what) for finding in findings]


class TestLimits:
    def test_a_tree_within_the_limits_has_no_finding(self, tree, write):
        body = "    x = 1\n" * 49
        write("src/a.py", "def f():\n" + body + "y = 1\n" * 350)
        write("src/b.c", "/* " + "c" * 94 + " */\n")
        assert whats(check_limits.check(tree)) == []

    def test_a_long_file(self, tree, write):
        write("src/a.py", "x = 1\n" * 401)
        write("bench/b.c", "int x;\n" * 401)
        assert whats(check_limits.check(tree)) == [
            ("bench/b.c", "401 lines, the limit is 400."),
            ("src/a.py", "401 lines, the limit is 400."),
        ]

    def test_a_wide_line(self, tree, write):
        write("tests/a.py", "x = 1\n# " + "w" * 99 + "\n")
        assert whats(check_limits.check(tree)) == [
            ("tests/a.py:2", "101 columns, the limit is 100.")
        ]

    @pytest.mark.parametrize("kind", ["def", "async def"])
    def test_a_long_function(self, tree, write, kind):
        write("scripts/a.py", f"class A:\n    {kind} f(self):\n" + "        x = 1\n" * 50)
        assert whats(check_limits.check(tree)) == [
            ("scripts/a.py:2", "function f has 51 lines, the limit is 50.")
        ]

    def test_what_git_ignores_is_not_checked(self, tree, write):
        write(".gitignore", "/bench/out/\n")
        write("bench/out/a.py", "x = 1\n" * 500)
        assert whats(check_limits.check(tree)) == []


class TestImports:
    def found(self, tree) -> list[str]:
        return [f"{where} {what}" for where, what in whats(check_imports.check(tree))]

    def test_a_relative_import(self, tree, write):
        write("src/other/a.py", "import os\nfrom . import b\n")
        assert self.found(tree) == ["src/other/a.py:2 relative import."]

    def test_an_import_inside_a_function(self, tree, write):
        write("tests/a.py", "def f():\n    if f:\n        from os import path\n")
        assert self.found(tree) == ["tests/a.py:3 os is imported inside a function."]

    def test_a_listed_import_inside_a_function(self, tree, write, monkeypatch):
        write("tests/a.py", "def f():\n    import numpy.linalg\n")
        monkeypatch.setattr(check_imports, "LATE", {"numpy": {"tests/a.py"}})
        assert self.found(tree) == []
        monkeypatch.setattr(check_imports, "LATE", {"numpy": {"tests/b.py"}})
        assert self.found(tree) == ["tests/a.py:2 numpy.linalg is imported inside a function."]

    @pytest.mark.parametrize(
        "clause", ["except:", "except Exception:", "except (OSError, BaseException) as e:"]
    )
    def test_a_broad_except(self, tree, write, clause):
        text = f"try:\n    x = 1\n{clause}\n    pass\n"
        write("bench/a.py", text)
        write(sorted(check_imports.EDGES)[0], text)
        assert self.found(tree) == ["bench/a.py:3 catches everything."]

    def test_a_broad_except_that_raises_again(self, tree, write):
        text = "try:\n    x = 1\nexcept BaseException:\n    y = 2\n    "
        write("src/other/a.py", text + "raise\n")
        assert self.found(tree) == []
        write("src/other/a.py", text + "raise ValueError\n")
        assert self.found(tree) == ["src/other/a.py:3 catches everything."]

    def test_there_are_no_more_edges(self):
        """HTTP of both planes, a worker, the thread that writes, webhooks, the command line."""
        assert len(check_imports.EDGES) <= 6
        assert [edge for edge in check_imports.EDGES if not (ROOT / edge).exists()] == []

    def test_code_in_an_init_above_the_slices(self, tree, write):
        write("src/modelyard/kernel/__init__.py", '"""A."""\n\nfrom os import path\n')
        write("src/modelyard/identity/keys/__init__.py", "from os import path\n")
        write("src/modelyard/auth/__init__.py", '"""A."""\n\n__version__ = "1"\n')
        assert self.found(tree) == [
            "src/modelyard/kernel/__init__.py:3 an __init__ above the slices holds code."
        ]

    def test_a_cycle(self, tree, write):
        write("src/modelyard/__init__.py", "")
        write("src/modelyard/a.py", "from modelyard import b\n")
        write("src/modelyard/b.py", "import modelyard.c\n")
        write("src/modelyard/c.py", "import modelyard.a\n")
        done = subprocess.run(
            [sys.executable, "scripts/check_imports.py", "--root", tree],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "src/modelyard: modules import each other: modelyard." in done.stdout
        assert "Cut one of them." in done.stdout


class TestContracts:
    """import-linter's contracts, against a copy of the sources with one import too many."""

    def run(self, tmp_path: Path, changed: str = "", line: str = "") -> str:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", tmp_path)
        if changed:
            path = tmp_path / "src/modelyard" / changed
            with path.open("a") as file:
                file.write(f"\n{line}\n")
        done = subprocess.run(
            [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path / "src"), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == (not changed), done.stdout + done.stderr
        return done.stdout

    def test_as_it_is(self, tmp_path):
        assert "0 broken" in self.run(tmp_path)

    @pytest.mark.parametrize(
        ("changed", "line", "broken"),
        [
            (
                "protocol/errors.py",
                "import modelyard.storage.keys",
                "Imports point downwards BROKEN",
            ),
            ("auth/keys.py", "import modelyard.storage.keys", "Imports point downwards BROKEN"),
            ("inference/call.py", "import modelyard.kernel.http", "control plane's kernel BROKEN"),
            ("kernel/http.py", "import pydantic", "stays light BROKEN"),
            ("cli/serve.py", "import rich", "stays light BROKEN"),
            ("newcomer.py", "", "newcomer"),
        ],
    )
    def test_one_import_too_many(self, tmp_path, changed, line, broken):
        assert broken in self.run(tmp_path, changed, line)


class TestText:
    @pytest.mark.parametrize(
        ("name", "line", "what"),
        [
            ("a.py", "# TO" + "DO: later", "a note of something to do."),
            ("a.md", "see FIX" + "ME", "a note of something to do."),
            ("a.toml", 'path = "/ho' + 'me/ann/x"', "an absolute path of one machine."),
            ("run", "cd /wo" + "rk/tree", "an absolute path of one machine."),
            ("a.txt", "https://py" + "pi.org/simple", "the address of a package registry."),
            ("a.txt", "registry.npm" + "js.org", "the address of a package registry."),
            ("b.lock", "a @ file" + ":///x/a.whl", "a lock file that names where"),
            ("package-lock.json", '"resol' + 'ved": "x"', "a lock file that names where"),
        ],
    )
    def test_a_line_that_must_not_be_committed(self, tree, write, name, line, what):
        write(name, f"first\n{line}\n")
        (where, said), *rest = whats(check_text.check(tree))
        assert (where, rest) == (f"{name}:2", [])
        assert said.startswith(what)

    @pytest.mark.parametrize(
        "line",
        [
            "https://example.com/home/page",
            "$HOME/work/x and ~/work/y and ${dir}/root/z",
            "the to-do list; method; autodoc",
            "/v1/models /health/live /etc/ssl/certs",
        ],
    )
    def test_a_line_that_may(self, tree, write, line):
        write("a.md", line + "\n")
        assert whats(check_text.check(tree)) == []

    def test_a_file_that_is_not_text_is_passed_over(self, tree):
        (tree / "a.bin").write_bytes(b"\xff\xfe /ho" + b"me/ann")
        assert whats(check_text.check(tree)) == []


class TestLinks:
    def test_links_that_lead_somewhere(self, tree, write):
        write("README.md", "[docs](docs/README.md#two--words) ![p](docs/p.svg)\n")
        write("docs/README.md", "# Two & words\n[up](../README.md) [a](a/) [w](https://x.y/z)\n")
        write("docs/a/README.md", "```\n[no](link.md)\n```\n`[no](link.md)` [b](b.md#one)\n")
        write("docs/a/b.md", "# One\n[ref]\n\n[ref]: ../README.md\n")
        write("docs/p.svg", "<svg/>")
        assert whats(check_links.check(tree)) == []

    def test_a_broken_link(self, tree, write):
        write("README.md", 'a\n[x](docs/gone.md)\n<img src="gone.svg">\n\n[r]: gone.txt\n')
        assert whats(check_links.check(tree)) == [
            ("README.md:2", "docs/gone.md leads nowhere."),
            ("README.md:3", "gone.svg leads nowhere."),
            ("README.md:5", "gone.txt leads nowhere."),
        ]

    def test_a_broken_anchor(self, tree, write):
        write("README.md", "# One\n[x](#two)\n")
        assert whats(check_links.check(tree)) == [("README.md:2", "README.md has no heading #two.")]

    def test_a_page_that_is_not_reached(self, tree, write):
        write("docs/README.md", "[a](a.md)\n")
        write("docs/a.md", "")
        write("docs/b.md", "[a](a.md)\n")
        assert whats(check_links.check(tree)) == [("docs/b.md", "not reached from docs/README.md.")]


class TestDocs:
    """The product's facts against a copy of the documentation with one of them taken out."""

    @pytest.mark.parametrize(
        ("page", "word", "what"),
        [
            ("docs/reference/settings.md", "`l1_ttl`", "the setting `l1_ttl`"),
            ("docs/reference/settings.md", "`[gateway]`", "the setting `[gateway]`"),
            ("docs/reference/errors/README.md", "RATE_LIMITED.md", "the error code RATE_LIMITED"),
            ("docs/reference/permissions.md", "`key:rotate`", "the permission `key:rotate`"),
            ("docs/reference/permissions.md", "`workspace:write`", "the permission `workspace:"),
            ("docs/reference/cli.md", "## modelyard keys rotate", "the command ## modelyard keys"),
            ("docs/reference/cli.md", "`--max-tokens", "the option `--max-tokens"),
            ("docs/reference/endpoints.md", "`POST /v1/embeddings`", "the endpoint `POST /v1/emb"),
        ],
    )
    def test_what_a_page_does_not_name(self, tree, page, word, what):
        shutil.copytree(ROOT / "docs", tree / "docs")
        shutil.copytree(ROOT / "api", tree / "api")
        shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__"))
        assert whats(check_docs.check(tree)) == []
        path = tree / page
        path.write_text(path.read_text().replace(word, "gone"))
        found = whats(check_docs.check(tree))
        assert found
        assert all(where == page and what in said for where, said in found)

    def test_an_error_without_a_page(self, tree):
        shutil.copytree(ROOT / "docs", tree / "docs")
        shutil.copytree(ROOT / "api", tree / "api")
        (tree / "docs/reference/errors/INTERNAL.md").unlink()
        found = whats(check_docs.check(tree))
        assert ("docs/reference/errors/INTERNAL.md", MISSING) in found

    @pytest.mark.parametrize("name", ["settings", "errors", "endpoints", "cli"])
    def test_a_generated_page_that_was_changed_by_hand(self, tmp_path, name):
        shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
        shutil.copytree(ROOT / "docs", tmp_path / "docs")
        shutil.copytree(ROOT / "api", tmp_path / "api")
        command = [sys.executable, f"scripts/document_{name}.py", "--check"]
        run = partial(subprocess.run, command, cwd=tmp_path, capture_output=True, text=True)
        assert run(check=False).returncode == 0
        for page in (tmp_path / "docs/reference").rglob("*.md"):
            page.write_text(page.read_text() + "by hand\n")
        done = run(check=False)
        assert done.returncode == 1
        assert "make docs" in done.stdout


MISSING = "is missing; it has to tell of the error code INTERNAL."


class TestRunner:
    def test_a_command_that_fails_is_told_with_its_words_and_the_way_out(self, capfd):
        command = (sys.executable, "-c", "import sys; print('it is broken'); sys.exit(3)")
        outcome = check.run(check.Check("example", command, "Mend it."))
        check.tell(outcome)
        said = capfd.readouterr().out
        assert outcome.status == 3
        assert "FAILED" in said
        assert "it is broken" in said
        assert "Mend it." in said

    def test_what_a_check_tells_is_printed_where_it_passes(self, capfd):
        command = (sys.executable, "-c", "print('7 lines per route')")
        for told in (True, False):
            check.tell(check.run(check.Check("example", command, "Mend it.", told=told)))
            said = capfd.readouterr().out
            assert ("  | 7 lines per route\n" in said) == told
            assert "ok" in said
            assert "Mend it." not in said

    def test_an_unknown_check_is_refused(self, capfd):
        assert check.main(["format", "nothing"]) == 2
        assert "No such check: nothing" in capfd.readouterr().out

    def test_every_script_that_it_runs_is_there(self):
        scripts = [
            part for each in check.CHECKS for part in each.command if part.startswith("scripts/")
        ]
        assert len(scripts) >= 8
        assert [name for name in scripts if not (ROOT / name).is_file()] == []


class TestFindPython:
    def run(self, path: str, **env: str) -> subprocess.CompletedProcess[str]:
        bash = shutil.which("bash")
        assert bash
        return subprocess.run(
            [bash, ROOT / "scripts/find_python.sh"],
            env={"PATH": path, **env},
            capture_output=True,
            text=True,
            check=False,
        )

    def python(self, folder: Path, status: int, name: str = "python3.11") -> Path:
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(f"#!/bin/sh\nexit {status}\n")
        path.chmod(0o755)
        return path

    def test_one_that_does_not_start_is_passed_over(self, tmp_path):
        broken = self.python(tmp_path / "a", 127)
        works = self.python(tmp_path / "b", 0)
        done = self.run(f"{broken.parent}:{works.parent}")
        assert (done.returncode, done.stdout) == (0, f"{works}\n")

    def test_one_that_is_named_comes_first(self, tmp_path):
        named = self.python(tmp_path / "a", 0, "mine")
        other = self.python(tmp_path / "b", 0)
        done = self.run(str(other.parent), PYTHON=str(named))
        assert done.stdout == f"{named}\n"

    def test_none_is_told_with_the_way_out(self, tmp_path):
        broken = self.python(tmp_path / "a", 1)
        done = self.run(str(broken.parent))
        assert (done.returncode, done.stdout) == (1, "")
        assert "Modelyard needs Python 3.11" in done.stderr
        assert "PYTHON=" in done.stderr


def test_make_lists_its_targets():
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(["make"], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    targets = {line.split()[1] for line in done.stdout.splitlines()}
    assert targets >= {"setup", "run", "test", "test-quick", "check", "bench", "docs", "openapi"}
