"""The checks of what the control plane costs, and of what is compiled, each with one fault."""

import subprocess
from pathlib import Path

import pytest

import check_compiled
import check_growth

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def write(tree: Path, name: str, text: str) -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def whats(findings) -> list[tuple[str, str]]:
    return [(finding.where, finding.what) for finding in findings]


class TestGrowth:
    SLICE = "src/modelyard/catalog/things/"

    def found(self, tree: Path) -> list[tuple[str, str]]:
        return whats(check_growth.check(check_growth.files(tree)))

    def test_a_kernel_within_its_limit(self, tree):
        write(tree, "src/modelyard/kernel/a.py", "x = 1\n" * 2000)
        write(tree, "src/modelyard/kernel/pages/b.py", "x = 1\n" * 1000)
        write(tree, "src/modelyard/gateway/c.py", "x = 1\n" * 9000)
        assert self.found(tree) == []

    def test_a_kernel_that_is_too_long(self, tree):
        write(tree, "src/modelyard/kernel/a.py", "x = 1\n" * 2000)
        write(tree, "src/modelyard/kernel/pages/b.py", "x = 1\n" * 1001)
        assert self.found(tree) == [
            ("src/modelyard/kernel", "3001 lines, the limit is 3000."),
        ]

    def test_a_plain_resource(self, tree):
        write(tree, self.SLICE + "__init__.py", "things = Resource(\n)\n" + "x = 1\n" * 28)
        write(tree, self.SLICE + "schema.py", "x = 1\n" * 10)
        assert self.found(tree) == []
        write(tree, self.SLICE + "schema.py", "x = 1\n" * 11)
        assert self.found(tree) == [
            ("src/modelyard/catalog/things", "a plain resource has 41 lines, the limit is 40."),
        ]

    @pytest.mark.parametrize("name", ["methods.py", ""])
    def test_a_slice_that_is_no_plain_resource(self, tree, name):
        declared = "things = Resource(\n)\n" if name else ""
        write(tree, self.SLICE + "__init__.py", declared + "x = 1\n" * 50)
        write(tree, self.SLICE + (name or "ring.py"), "x = 1\n")
        assert self.found(tree) == []

    def test_the_lines_of_a_route(self, tree):
        write(
            tree,
            "api/openapi.json",
            '{"paths": {"/a": {"get": {}, "post": {"x-permission": "inference:create"}}, '
            '"/b": {"get": {"x-permission": "a:read"}}}}',
        )
        write(tree, "src/modelyard/kernel/a.py", "x = 1\n" * 200)
        write(tree, "src/modelyard/gateway/a.py", "x = 1\n" * 1000)
        write(tree, "src/modelyard/inference/a.py", "x = 1\n" * 5000)
        assert check_growth.figures(tree, check_growth.files(tree)) == (
            "500 lines per route: 1,000 lines in the slices (gateway) for 2 routes, above "
            "200 lines of kernel (at most 3,000)"
        )


class TestCompiled:
    def found(self, tree: Path, text: str) -> list[tuple[str, str]]:
        write(tree, "setup.py", 'ROOT = "x"\nMODULES = [\n    "inference/a",\n]\n')
        write(tree, "src/modelyard/inference/a.py", text)
        write(tree, "src/modelyard/inference/b.py", "class A(Struct):\n    pass\n")
        return whats(check_compiled.check(tree))

    @pytest.mark.parametrize(
        ("head", "what"),
        [
            ("class A(Struct):", "A is a msgspec Struct"),
            ("class A(msgspec.Struct, frozen=True):", "A is a msgspec Struct"),
            ("@dataclass(slots=True)\nclass A:", "A is a dataclass with slots"),
            ("@dataclasses.dataclass(frozen=True, slots=True)\nclass A:", "A is a dataclass with"),
        ],
    )
    def test_a_class_that_cannot_be_compiled(self, tree, head, what):
        ((where, said),) = self.found(tree, f"x = 1\n{head}\n    x: int\n")
        assert where == f"src/modelyard/inference/a.py:{2 + head.count('@')}"
        assert said.startswith(f"compiled, yet {what}")

    @pytest.mark.parametrize(
        "head", ["class A:", "class A(NamedTuple):", "@dataclass\nclass A:", "class A(Structure):"]
    )
    def test_a_class_that_can(self, tree, head):
        assert self.found(tree, f"{head}\n    x: int\n") == []

    def test_a_module_that_is_not_there(self, tree):
        write(tree, "setup.py", 'MODULES = ["inference/a"]\n')
        assert whats(check_compiled.check(tree)) == [
            ("setup.py", "compiles src/modelyard/inference/a.py, which is not there."),
        ]

    def test_the_modules_of_this_tree_are_found(self):
        assert len(check_compiled.modules(ROOT)) > 20
        assert whats(check_compiled.check(ROOT)) == []
