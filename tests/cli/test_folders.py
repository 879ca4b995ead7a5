"""A folder as a tar that is made as it is read."""

import os
import tarfile
from pathlib import Path

import pytest

from modelyard.cli.folders import Folder
from modelyard.cli.problem import Problem


def fill(folder: Path) -> dict[str, bytes]:
    files = {
        "b/größe.png": b"x" * 512,
        "a/1.png": b"",
        "a/" + "n" * 120 + ".png": b"y" * 700_000,
        "c.txt": b"text",
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / ".hidden").write_bytes(b"z")
    (folder / "link.png").symlink_to(folder / "c.txt")
    return files


def test_a_tar_reads_it(tmp_path: Path) -> None:
    files = fill(tmp_path / "photos")
    folder = Folder(tmp_path / "photos")
    whole = folder.open("rb").read()
    assert (len(whole), folder.name) == (folder.size, "photos.tar")
    target = tmp_path / "packed.tar"
    target.write_bytes(whole)
    with tarfile.open(target) as tar:
        found = {one.name: tar.extractfile(one) for one in tar}
        read = {name: one.read() for name, one in found.items() if one is not None}
    assert read == {f"photos/{name}": data for name, data in files.items()}
    assert list(read) == sorted(read)
    stream, parts = folder.open("rb"), []
    for at in range(0, folder.size, 99_991):
        stream.seek(at)
        parts.append(stream.read(99_991))
    assert b"".join(parts) == whole
    os.utime(tmp_path / "photos/c.txt", (1, 1))
    assert Folder(tmp_path / "photos").open("rb").read() == whole, "times are not in it"


def test_nothing_to_send(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no files"):
        Folder(tmp_path)
