"""Write a slice: ``new.py marketplace/reviews`` declares ``/v1/marketplace/reviews``.

It writes the declaration and a first test, and names the resource where all are listed. The
conformance suite runs over it from then on; ``make docs`` writes the documents again.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = re.compile(r"([a-z]+)/([a-z]+(?:-[a-z]+)*s)")
USAGE = "Give an area and a plural of English words: make new NAME=marketplace/reviews"

DECLARATION = '''"""{Title} at ``/v1/{area}/{path}``."""

from typing import Annotated

from msgspec import Meta, Struct

from modelyard.kernel.resource import Resource


class {Type}(Struct, frozen=True, kw_only=True):
    """One {word}."""

    display_name: Annotated[
        str, Meta(min_length=1, max_length=100, description="As people call it.")
    ]
    description: Annotated[str, Meta(max_length=1000)] = ""


{module} = Resource(
    "/{area}/{path}",
    {Type},
    tag="{Area}",{singular}
    filterable=("display_name",),
    sortable=("display_name",),
    searchable=("display_name", "description"),
    examples={{"request": {{"display_name": "My first {word}"}}}},
)
'''

TEST = """from pathlib import Path

from identity.house import living


async def test_one_is_made_and_read(tmp_path: Path) -> None:
    async with living(tmp_path) as house:
        made = await house.client().post("/v1/{area}/{path}", {{"display_name": "mine"}})
        assert made.status == 201, made.body
        read = await house.client().get(f"/v1/{area}/{path}/{{made.json['id']}}")
        assert read.json == made.json
        assert read.json["display_name"] == "mine"
"""


def words(area: str, path: str) -> dict[str, str]:
    """What the templates ask for."""
    singular = path.removesuffix("s")
    told = ""
    if path.endswith("ies"):
        singular = path.removesuffix("ies") + "y"
        told = f'\n    singular="{singular.replace("-", "_")}",'
    return {
        "singular": told,
        "area": area,
        "Area": area.capitalize(),
        "path": path,
        "module": path.replace("-", "_"),
        "word": singular.replace("-", " "),
        "Title": path.replace("-", " ").capitalize(),
        "Type": "".join(part.capitalize() for part in singular.split("-")),
    }


def slices(root: Path) -> list[str]:
    """The areas that there are: a layer of ``pyproject.toml``."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    [found] = re.findall(r'^    "(identity \|[^"]*)",$', text, re.MULTILINE)
    return str(found).split(" | ")


def register(root: Path, area: str, module: str) -> None:
    """Name the resource in ``resources.py``, and a new package where slices are listed."""
    path = root / "src/modelyard/resources.py"
    text = path.read_text(encoding="utf-8")
    line = f"from modelyard.{area}.{module} import {module}\n"
    text = text.replace("\nRESOURCES: ", line + "\nRESOURCES: ", 1)
    text = re.sub(r"(RESOURCES: .*?= \([^)]*?),?(\s*\)\n)", rf"\1, {module}\2", text, count=1)
    path.write_text(text, encoding="utf-8")
    layers = root / "pyproject.toml"
    text = layers.read_text(encoding="utf-8")
    found = slices(root)
    if area not in found:
        text = text.replace(f'"{" | ".join(found)}"', f'"{" | ".join((*found, area))}"')
        layers.write_text(text, encoding="utf-8")
        rules = root / "scripts/check_imports.py"
        text = rules.read_text(encoding="utf-8")
        text = re.sub(r"^(SLICES = \([^)]*)\)$", rf'\1    "{area}",\n)', text, flags=re.MULTILINE)
        rules.write_text(text, encoding="utf-8")
    ruff = (sys.executable, "-m", "ruff")
    for command in (("check", "--quiet", "--fix", "--select", "I"), ("format", "--quiet")):
        subprocess.run([*ruff, *command, str(path)], check=True, cwd=root)


def write(root: Path, area: str, path: str) -> list[Path]:
    """Write the slice; the new files.

    Raises FileExistsError where there is one, or where the area is a package of something else.
    """
    given = words(area, path)
    package = root / "src/modelyard" / area
    if any(package.glob("*.py")) and area not in slices(root):
        raise FileExistsError(f"{package} is no area of resources")
    tests = root / "tests" / area
    made = {
        package / given["module"] / "__init__.py": DECLARATION.format(**given),
        tests / f"test_{given['module']}.py": TEST.format(**given),
    }
    for file in made:
        if file.exists():
            raise FileExistsError(f"There is one already: {file}")
    made |= {
        one: "" for one in (package / "__init__.py", tests / "__init__.py") if not one.exists()
    }
    for file, text in made.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    register(root, area, given["module"])
    return list(made)


def main(names: list[str]) -> int:
    """Write the slice that is named."""
    name = NAME.fullmatch(names[0]) if len(names) == 1 else None
    if name is None:
        print(USAGE)
        return 2
    try:
        made = write(ROOT, *name.groups())
    except FileExistsError as error:
        print(error)
        return 1
    print("\n".join(str(path.relative_to(ROOT)) for path in made))
    area, plural = name.groups()
    named = f'"{plural} or {plural.replace("-", "_")}"' if "-" in plural else plural
    print(f"Try it: make test ARGS='tests/{area} tests/conformance/resources -k {named}'")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
