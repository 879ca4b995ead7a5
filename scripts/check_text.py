"""What no committed file may hold: notes to do, paths of one machine, addresses of registries."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from findings import Finding, report, root, tracked


class Rule(NamedTuple):
    """A pattern that must not occur, in files whose name matches ``files``."""

    pattern: re.Pattern[str]
    what: str
    mend: str
    files: re.Pattern[str] = re.compile("")


RULES = (
    Rule(
        re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"),
        "a note of something to do.",
        "Do it, or open an issue.",
    ),
    Rule(
        re.compile(r"(?<![\w.~$}/:-])/(home|Users|root|work|opt|mnt)/[\w.-]"),
        "an absolute path of one machine.",
        "Make it relative, or a setting.",
    ),
    Rule(
        re.compile(r"\bpy(pi|thonhosted)\.(org|io)\b|\bregistry\.(npm|yarn)\w*\.\w+|\bnpmjs\.\w+"),
        "the address of a package registry.",
        "Leave it to the configuration of pip or npm.",
    ),
    Rule(
        re.compile(r'"resolved": "|--(extra-)?index-url|--find-links|_authToken|^.+ @ \w+:'),
        "a lock file that names where packages came from.",
        "Write the lock without addresses (npm: omit-lockfile-registry-resolved).",
        re.compile(r"(\.lock|package-lock\.json|requirements[\w-]*\.txt|\.npmrc)$"),
    ),
)


def check(tree: Path) -> Iterator[Finding]:
    """Every line that breaks a rule; files that are not text are passed over."""
    for path in tracked(tree):
        try:
            text = (tree / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        rules = [rule for rule in RULES if rule.files.search(path.name)]
        for number, line in enumerate(text.splitlines(), start=1):
            for rule in rules:
                if rule.pattern.search(line):
                    yield Finding(f"{path}:{number}", rule.what, rule.mend)


if __name__ == "__main__":
    sys.exit(report(check(root())))
