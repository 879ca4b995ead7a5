"""Archives of pictures and sounds: what is read of them, and what is refused."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.archives import PHOTOS, flac, jpeg, mp3, opus, png, tarred, wav, zipped
from modelyard.catalog.datasets.media import index, pictures, sounds
from modelyard.catalog.datasets.media.gathering import Gathered, gathered
from modelyard.catalog.datasets.media.layout import meaning
from modelyard.ml.intake.sniffing import Unreadable


def gather(folder: Path, data: bytes, most: int | None = 0) -> tuple[Gathered, pl.DataFrame]:
    source, target = folder / "archive", folder / "table.parquet"
    source.write_bytes(data)
    found = gathered(source, target, lambda _: None, most)
    assert found is not None
    return found, pl.read_parquet(target)


def refused(folder: Path, data: bytes, *words: str) -> None:
    with pytest.raises(Unreadable) as caught:
        gather(folder, data)
    assert all(word in str(caught.value) for word in words), caught.value
    left = {one.name for one in folder.iterdir()} - {"archive", "unpacked.tar", "table.index"}
    assert not left


@pytest.mark.parametrize("form", ["zip", "stored", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_folders_are_classes(tmp_path: Path, form: str) -> None:
    made = {
        "zip": lambda: zipped(PHOTOS),
        "stored": lambda: zipped(PHOTOS, zipfile.ZIP_STORED),
        "tar": lambda: tarred(PHOTOS),
    }.get(form, lambda: tarred(PHOTOS, f"w:{form.removeprefix('tar.')}"))
    found, table = gather(tmp_path, made())
    assert (found.type, found.fault_count) == ("Image", 0)
    assert table["path"].to_list() == ["photos/cat/1.png", "photos/cat/2.png", "photos/dog/1.jpg"]
    assert table["label"].to_list() == ["cat", "cat", "dog"]
    assert table["width"].to_list() == [30, 31, 640]
    assert table["mode"].to_list() == ["RGB", "RGB", "RGB"]
    assert table["bytes"][2] == len(PHOTOS["photos/dog/1.jpg"])
    assert any("1 files are no pictures or sounds: photos/README.txt" in one for one in found.said)


def test_sounds_and_their_metadata(tmp_path: Path) -> None:
    about = 'file_name,text,width\na.wav,"hello, you",7\nsub/b.flac,ciao,8\nnowhere.wav,x,9\n'
    files = {
        "metadata.csv": about.encode(),
        "a.wav": wav(1.5, 16_000, 2),
        "sub/b.flac": flac(32_000),
        "c.mp3": mp3(100),
        "d.opus": opus(96_000),
    }
    found, table = gather(tmp_path, zipped(files))
    assert found.type == "Audio"
    assert table["duration"].round(3).to_list() == [1.5, 2.0, 2.612, 2.0]
    assert table["sample_rate"].to_list() == [16_000, 16_000, 44_100, 44_100]
    assert table["channels"].to_list() == [2, 1, 2, 2]
    assert table["text"].to_list() == ["hello, you", "ciao", None, None]
    assert "metadata_width" in table.columns
    assert "label" not in table.columns


def test_broken_files_are_told_by_row(tmp_path: Path) -> None:
    files = {
        "a.png": png(3, 3),
        "b.png": png(4, 4)[:-20],
        "c.jpg": b"no picture",
        "d.png": png(5, 5),
    }
    found, table = gather(tmp_path, tarred(files), most=9)
    assert table["path"].to_list() == ["a.png", "d.png"]
    assert [(one.row, one.sample) for one in found.faults] == [(2, "b.png"), (3, "c.jpg")]
    assert "cut off" in found.faults[0].reason


def test_a_checksum_that_is_wrong_is_a_fault(tmp_path: Path) -> None:
    data = zipped({"a.png": png(3, 3), "b.png": png(4, 4)}, zipfile.ZIP_STORED)
    at = data.index(b"IDAT") + 6
    found, table = gather(tmp_path, data[:at] + b"\xff" + data[at + 1 :], most=9)
    assert [one.sample for one in found.faults] == ["a.png"]
    assert "checksum" in found.faults[0].reason
    assert table.height == 1


def test_what_leads_out_is_refused(tmp_path: Path) -> None:
    for name in ("../evil.png", "/etc/evil.png", "a/../../evil.png", "C:/evil.png"):
        refused(tmp_path, zipped({name: png(2, 2)}), "leads out")
        if not name.startswith("/"):  # tar strips those itself
            refused(tmp_path, tarred({name: png(2, 2)}), "leads out")


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as out:
            about = tarfile.TarInfo("a.png")
            about.type, about.linkname = kind, "/etc/passwd"
            out.addfile(about)
        refused(tmp_path, buffer.getvalue(), "link or a device")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        link = zipfile.ZipInfo("a.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
    refused(tmp_path, buffer.getvalue(), "link or a device")


def test_what_is_encrypted_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.png": png(2, 2)}))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    refused(tmp_path, bytes(data), "encrypted", "password")


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.catalog.datasets.media.archives.FREE_BYTES", 1 << 18)
    bomb = png(2, 2)[:-12] + bytes(8 << 20)
    refused(tmp_path, zipped({"a.png": bomb}), "zip bomb")
    refused(tmp_path, tarred({"a.png": bomb}, "w:xz"), "hundred times")
    data = bytearray(zipped({"a.png": bomb}))
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<L", data, at + 24, 1000)  # it lies about its size
    refused(tmp_path, bytes(data), "unpacks to more than the 1000 bytes")
    monkeypatch.setattr("modelyard.catalog.datasets.media.archives.MOST_FILES", 2)
    refused(tmp_path, zipped({f"{at}.png": png(2, 2) for at in range(3)}), "more than 2 files")


def test_headers_that_ask_for_memory_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as out:
        about = tarfile.TarInfo("a.png")
        about.pax_headers = {"comment": "x" * (3 << 20)}
        out.addfile(about)
    refused(tmp_path, buffer.getvalue(), "extended header")


def test_what_holds_nothing_of_use_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, zipped({"a.csv": b"x,y\n1,2\n"}), "without pictures or sounds", "a.csv")
    refused(tmp_path, zipped({}), "there is nothing")
    refused(tmp_path, zipped({"[Content_Types].xml": b"<x/>", "b.png": png(1, 1)}), "office")
    refused(tmp_path, zipped(PHOTOS)[:-30], "directory")
    refused(tmp_path, tarred({"a.png": png(2, 2), "./a.png": png(2, 2)}), "there twice")
    refused(tmp_path, zipped({"metadata.csv": b"a,b\n1,2\n", "b.png": png(1, 1)}), "file_name")


@pytest.mark.parametrize(
    ("folders", "split", "label"),
    [
        (["a/cat", "a/dog"], {}, {"a/cat": "cat", "a/dog": "dog"}),
        (
            ["train/cat", "train/dog", "val/cat"],
            {"train/cat": "train", "train/dog": "train", "val/cat": "validation"},
            {"train/cat": "cat", "train/dog": "dog", "val/cat": "cat"},
        ),
        (["x/train", "x/test"], {"x/train": "train", "x/test": "test"}, {}),
        (["photos"], {}, {}),
        ([""], {}, {}),
        (["", "cat", "dog"], {}, {}),
        (["a/b/c", "a/d"], {}, {}),
    ],
)
def test_what_folders_mean(
    folders: list[str], split: dict[str, str], label: dict[str, str]
) -> None:
    assert meaning(folders) == (split, label)


@given(
    st.binary(max_size=300), st.sampled_from([png(3, 3), jpeg(9, 9), wav(0.1), flac(9), opus(9)])
)
@settings(max_examples=100)
def test_no_bytes_break_the_readers(noise: bytes, whole: bytes) -> None:
    """Whatever is in a file: it is told of, or told to be broken."""
    for data in (whole[: len(noise)] + noise, whole[:12] + noise, noise + whole):
        frames = sounds.Counting()
        frames.feed(data)
        try:
            if pictures.media_type(data[:12]):
                pictures.picture(data, data[-100:], len(data))
            elif sounds.media_type(data[:12]):
                sounds.sound(data, data[-100:], len(data), frames)
        except pictures.Broken:
            pass


async def test_a_file_is_found_by_its_path(tmp_path: Path) -> None:
    files = {f"{at % 7}/größe {at}.png": png(1 + at % 9, 2) for at in range(400)}
    found, _ = gather(tmp_path, zipped(files))
    data, reads = found.index.read_bytes(), []

    async def read(start: int, end: int) -> Any:
        reads.append(end - start)
        yield data[start:end]

    packed = zipfile.ZipFile(found.archive)
    for path, content in files.items():
        entry = await index.find(read, path)
        assert entry is not None
        assert (entry.path, entry.size) == (path, len(content))
        assert entry.stored == packed.getinfo(path).compress_size
    assert await index.find(read, "nothing.png") is None
    assert max(reads) < len(data) / 4, "no read is of the whole"
