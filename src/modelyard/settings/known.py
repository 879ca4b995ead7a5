"""Well-known providers: their addresses are data (``known.tsv``), not code."""

from functools import cache
from pathlib import Path
from typing import NamedTuple


class KnownProvider(NamedTuple):
    """One row of ``known.tsv``: a server that needs no ``base_url``."""

    name: str
    base_url: str
    key_variable: str  # the vendor's own environment variable; "" where none is needed
    url_variable: str
    added_by_key: bool  # whether the key variable alone adds the provider
    dialect: str


@cache
def known_providers() -> dict[str, KnownProvider]:
    """Every well-known provider by its name, in the table's order."""
    # Not importlib.resources: it loads 4 MB of modules into the serving process.
    text = Path(__file__).with_name("known.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()[1:] if line]
    return {
        name: KnownProvider(name, base_url, key, url, added == "yes", dialect)
        for name, base_url, key, url, added, dialect in rows
    }
