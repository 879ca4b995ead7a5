"""Every link of the documentation leads somewhere, and every page is reached from its index."""

import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from findings import Finding, report, root, tracked
from markdown import anchors, links

INDEX = Path("docs/README.md")


def pages(tree: Path) -> dict[Path, str]:
    """The Markdown files of the tree, with their text."""
    found = [path for path in tracked(tree) if path.suffix == ".md"]
    return {path: (tree / path).read_text(encoding="utf-8") for path in found}


def resolve(page: Path, target: str) -> tuple[Path, str] | None:
    """The file and the anchor that a link on ``page`` means; None for one that leads outside."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return None
    if not parts.path:
        return page, parts.fragment
    steps: list[str] = []
    for step in PurePosixPath(page.parent.as_posix(), unquote(parts.path)).parts:
        if step == ".." and steps and steps[-1] != "..":
            steps.pop()
        else:
            steps.append(step)
    return Path(*steps), parts.fragment


def broken(tree: Path, texts: dict[Path, str]) -> Iterator[Finding]:
    """Links to files that are not there and to headings that are not there."""
    for page, text in texts.items():
        for link in links(text):
            found = resolve(page, link.target)
            if found is None:
                continue
            file, anchor = found
            where = f"{page}:{link.line}"
            if not (tree / file).exists():
                yield Finding(where, f"{link.target} leads nowhere.", "Write or mend its target.")
            elif anchor and file in texts and anchor not in anchors(texts[file]):
                mend = f"Name one of its headings: {', '.join(sorted(anchors(texts[file])))}."
                yield Finding(where, f"{file} has no heading #{anchor}.", mend)


def unreached(tree: Path, texts: dict[Path, str]) -> Iterator[Finding]:
    """Pages of docs/ that no chain of links from the index leads to."""
    seen: set[Path] = set()
    ahead = [INDEX]
    while ahead:
        page = ahead.pop()
        if (tree / page).is_dir():
            page = page / "README.md"
        if page in seen or page not in texts:
            continue
        seen.add(page)
        found = (resolve(page, link.target) for link in links(texts[page]))
        ahead += [target[0] for target in found if target]
    for page in texts:
        if page.parts[0] == "docs" and page not in seen:
            yield Finding(str(page), f"not reached from {INDEX}.", "Link to it where it belongs.")


def check(tree: Path) -> Iterator[Finding]:
    """Everything wrong with the links."""
    texts = pages(tree)
    yield from broken(tree, texts)
    yield from unreached(tree, texts)


if __name__ == "__main__":
    sys.exit(report(check(root())))
