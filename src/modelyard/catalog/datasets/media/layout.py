"""What the folders of an archive mean, and what tables within it tell of its files.

As Hugging Face's ``imagefolder``: folders are the classes, above them the parts of a split, and a
``metadata.csv`` or ``metadata.jsonl`` has a column ``file_name``, relative to its own folder.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import polars as pl
from polars import DataFrame, LazyFrame

from modelyard.ml.intake.sniffing import SAMPLE, Unreadable, sniff
from modelyard.ml.intake.taking import take

SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
}
_MOST_FOLDERS = 100_000
_RESERVED = frozenset(
    ("bytes", "sha256", "media_type", "width", "height", "mode", "duration", "sample_rate")
) | {"channels", "folder"}


class Folders:
    """The folders in which files are."""

    def __init__(self) -> None:
        self._found: set[str] = set()

    def add(self, folder: str) -> None:
        """Take in the folder of a file."""
        if len(self._found) <= _MOST_FOLDERS:
            self._found.add(folder)

    def told(self, rows: LazyFrame) -> tuple[LazyFrame, list[str], tuple[str, ...]]:
        """The rows with what their ``folder`` means, the names of those columns, and words."""
        if len(self._found) > _MOST_FOLDERS:
            return rows, [], (f"no labels: there are more than {_MOST_FOLDERS:,} folders",)
        split, label = meaning(sorted(self._found))
        names = [name for name, found in (("split", split), ("label", label)) if found]
        if not names:
            return rows, [], ("no labels: the folders do not tell classes",)
        table = DataFrame(
            {
                "folder": sorted(self._found),
                "split": [split.get(one) for one in sorted(self._found)],
                "label": [label.get(one) for one in sorted(self._found)],
            },
            schema={"folder": pl.String, "split": pl.String, "label": pl.String},
        )
        joined = rows.join(table.lazy(), on="folder", how="left", maintain_order="left")
        return joined, names, tuple(f"'{name}': by the names of folders" for name in names)


def meaning(folders: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The part of a split and the class that folders tell; empty where they tell none.

    Folders that all files share mean nothing. Classes are folders of the same depth, two or more.
    """
    parts = {one: PurePosixPath(one).parts if one else () for one in folders}
    while all(parts.values()) and len({one[0] for one in parts.values()}) == 1:
        parts = {name: one[1:] for name, one in parts.items()}
    split: dict[str, str] = {}
    if parts and all(one and one[0].lower() in SPLITS for one in parts.values()):
        split = {name: SPLITS[one[0].lower()] for name, one in parts.items()}
        parts = {name: one[1:] for name, one in parts.items()}
    depths = {len(one) for one in parts.values()}
    label = {name: one[-1] for name, one in parts.items() if one}
    if len(depths) != 1 or len(set(label.values())) < 2:
        label = {}
    return split, label


def about(tables: list[tuple[str, Path]]) -> tuple[DataFrame, tuple[str, ...]]:
    """The tables about files as one, by ``path``, and what is to be said of them.

    Columns with the name of one of ours get ``metadata_`` before theirs. Raises ``Unreadable``.
    """
    frames = [_table(folder, file) for folder, file in tables]
    whole = pl.concat(frames, how="diagonal_relaxed")
    if whole["path"].is_duplicated().any():
        twice = whole.filter(pl.col("path").is_duplicated())["path"][0]
        raise Unreadable(f"the metadata tells of {twice!r} twice")
    taken = {name: f"metadata_{name}" for name in whole.columns if name in _RESERVED}
    names = ", ".join(file.name.partition("-")[2] for _, file in tables[:5])
    return whole.rename(taken), (f"columns of {names}, by 'file_name'",)


def _table(folder: str, file: Path) -> DataFrame:
    target = file.with_suffix(".parquet")
    name = file.name.partition("-")[2]
    with file.open("rb") as stream:
        head = stream.read(SAMPLE)
        stream.seek(0)
        taken = take(stream, sniff(head, name, whole=len(head) < SAMPLE), target)
    if taken.fault_count:
        one = taken.faults[0]
        raise Unreadable(f"{folder}{name}, row {one.row}: {one.reason}")
    table = pl.read_parquet(target)
    if "file_name" not in table.columns:
        raise Unreadable(f"{folder}{name} has no column 'file_name'")
    path = pl.concat_str(pl.lit(folder), pl.col("file_name").cast(pl.String)).alias("path")
    return table.select(path, pl.exclude("file_name", "path"))
