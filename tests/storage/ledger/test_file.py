import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from modelyard.storage.ledger import file as ledger_file
from modelyard.storage.ledger.file import LedgerFile, LedgerUnwritable, create, encode
from modelyard.storage.ledger.record import Record
from storage.ledger.records import record

# Runs in a process of its own, as the limit of a file's size cannot be raised again for a while
# everywhere: at 20,000 bytes writes come short, then fail, as on a full disk.
FULL_DISK = """
import resource, sys
from pathlib import Path
from modelyard.storage.ledger.file import LedgerFile, LedgerUnwritable

SOFT, HARD = resource.getrlimit(resource.RLIMIT_FSIZE)
file = LedgerFile.open(Path(sys.argv[1]))
line = b"x" * 99 + b"\\n"
resource.setrlimit(resource.RLIMIT_FSIZE, (20_050, HARD))
written = failed = 0
for _ in range(203):
    try:
        file.append(line)
        written += 1
    except LedgerUnwritable as error:
        failed += 1
size = file.segment.path.stat().st_size
print(written, failed, size, file.healthy, file.probe(), file.segment.path.stat().st_size)
resource.setrlimit(resource.RLIMIT_FSIZE, (SOFT, HARD))
print(file.healthy, file.probe(), file.healthy, file.segment.path.stat().st_size)
file.append(b"last\\n")
print(file.segment.path.read_bytes() == line * 200 + b"last\\n")
"""


def test_append_is_one_line_at_the_end(tmp_path: Path) -> None:
    file = LedgerFile.open(tmp_path / "ledger")
    records = [record(number, metadata={"text": "a\nb\u2028 ü"}) for number in range(3)]
    for one in records:
        file.append(encode(one))
    lines = file.segment.path.read_bytes().splitlines(keepends=True)
    assert lines == [encode(one) for one in records]
    assert file.segment.size == file.segment.path.stat().st_size


def test_the_file_is_private_and_locked_while_it_is_open(tmp_path: Path) -> None:
    file = LedgerFile.open(tmp_path / "a" / "ledger")
    assert stat.S_IMODE(file.segment.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.folder.stat().st_mode) == 0o700
    with file.segment.path.open("rb") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.discard(file.segment)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_each_opening_makes_a_file_of_its_own(tmp_path: Path) -> None:
    files = [LedgerFile.open(tmp_path) for _ in range(20)]
    assert len({file.segment.path for file in files}) == 20
    names = [file.segment.name for file in files]
    assert [name[:13] for name in names] == sorted(name[:13] for name in names)
    for file in files:
        file.discard(file.segment)


def test_a_new_file_that_was_deleted_before_its_lock_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    deleted: list[Path] = []

    def late(fd: int, operation: int) -> None:
        if not deleted:  # another process took it for a dead one's
            deleted.extend(tmp_path.iterdir())
            deleted[0].unlink()
        flock(fd, operation)

    monkeypatch.setattr(ledger_file.fcntl, "flock", late)
    segment = create(tmp_path)
    assert deleted
    assert segment.path not in deleted
    assert segment.path.exists()


def test_a_full_file_is_retired_and_nothing_is_lost(tmp_path: Path) -> None:
    file = LedgerFile.open(tmp_path, rotate_bytes=1000)
    line = b"x" * 299 + b"\n"
    for _ in range(9):
        file.append(line)
    assert [segment.size for segment in file.retired] == [1200, 1200]
    assert [segment.path.stat().st_size for segment in file.segments()] == [1200, 1200, 300]
    assert len(list(tmp_path.iterdir())) == 3


def test_where_no_new_file_can_be_made_the_old_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LedgerFile.open(tmp_path, rotate_bytes=1000)

    def refuse(folder: Path) -> None:
        raise OSError(24, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(ledger_file, "create", refuse)
        for _ in range(15):
            file.append(b"x" * 99 + b"\n")
    assert file.healthy
    assert file.segment.size == 1500
    assert not file.retired
    for _ in range(5):
        file.append(b"x" * 99 + b"\n")
    assert [segment.size for segment in file.retired] == [2000]


def test_sync_reaches_every_file_and_is_idle_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(ledger_file, "_datasync", synced.append)
    file = LedgerFile.open(tmp_path, rotate_bytes=100)
    file.sync()
    assert synced == []
    file.append(b"x" * 99 + b"\n")
    file.append(b"y\n")
    file.sync()
    assert synced == [segment.fd for segment in file.segments()]
    file.sync()
    assert len(synced) == 2


def test_a_full_disk_refuses_and_leaves_nothing_torn(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "200 3 20000 False False 20000",  # the probe fails too, and leaves nothing
        "False True True 20000",  # there is room again
        "True",
    ]


def test_a_device_that_is_full_is_unwritable() -> None:
    path = Path("/dev/full")
    if not path.exists():
        pytest.skip("there is no /dev/full here")
    fd = os.open(path, os.O_RDWR)
    file = LedgerFile(path.parent, ledger_file.Segment(path, fd), 1000)
    for _ in range(2):
        with pytest.raises(LedgerUnwritable):
            file.append(b"line\n")
        assert not file.healthy
        assert not file.probe()
    os.close(fd)


def test_what_is_encoded_is_read_back() -> None:
    one = record(7, cost=None, metadata={"deep": [{"a": "\x00\ud7ff"}]}, shared=True)
    assert encode(one).count(b"\n") == 1
    assert msgspec.json.decode(encode(one), type=Record) == one
