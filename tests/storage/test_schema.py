import json
import shutil
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelyard.storage.migrate import UnusableDatabase
from modelyard.storage.migrations.apply import apply
from modelyard.storage.schema import CONTROL, Schema, prepare, revision
from storage.schemas import at_once, by_migrations, describe

FOLLOWING = f"{int(CONTROL.head) + 1:04}"
NEXT = f'''"""A column more."""
import sqlalchemy as sa
from alembic import op

revision = "{FOLLOWING}"
down_revision = "{CONTROL.head}"


def upgrade():
    op.add_column("idempotency", sa.Column("colour", sa.Text))
    op.execute("UPDATE idempotency SET colour = 'blue'")
'''

ROW = "INSERT INTO idempotency VALUES (?, 'w', x'00', 1.5, 200, x'ff')"

KEY = """INSERT INTO api_key VALUES (:id, 'default', 'ünï', 'abcd', x'0aff', :previous, :until,
'["*:*"]', '{"requests_per_minute": 5}', 1, 1.5, 'admin', :until, :rotated, :revoked)"""


def later(folder: Path, text: str = NEXT) -> Schema:
    """The schema of a next version."""
    versions = folder / "versions"
    shutil.copytree(CONTROL.versions, versions, ignore=shutil.ignore_patterns("__pycache__"))
    (versions / f"{FOLLOWING}_colour.py").write_text(text)
    return replace(CONTROL, versions=versions, head=FOLLOWING)


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def fill(path: Path, count: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for number in range(count):
            connection.execute(ROW, (b"%d" % number,))


def test_a_new_database_is_what_the_migrations_make(tmp_path: Path) -> None:
    made = describe(at_once(tmp_path / "a.db", CONTROL))
    assert made == describe(by_migrations(tmp_path / "b.db", CONTROL))
    assert made["revision"] == [(CONTROL.head,)]


def test_the_head_is_the_last_revision() -> None:
    files = sorted(path.name for path in CONTROL.versions.glob("[0-9]*.py"))
    assert files[-1].startswith(CONTROL.head + "_")


def test_a_new_database_is_private(tmp_path: Path) -> None:
    path = at_once(tmp_path / "home" / "a.db", CONTROL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["a.db"]


def test_an_older_database_is_upgraded_and_keeps_its_rows(tmp_path: Path) -> None:
    path = at_once(tmp_path / "a.db", CONTROL)
    fill(path, 5)
    before = rows(path, "SELECT * FROM idempotency ORDER BY key")
    schema = later(tmp_path)
    prepare(path, schema)
    assert revision(path) == FOLLOWING
    after = rows(path, "SELECT * FROM idempotency ORDER BY key")
    assert after == [(*row, "blue") for row in before]
    prepare(path, schema)
    assert rows(path, "SELECT * FROM idempotency ORDER BY key") == after


def test_the_keys_of_the_first_version_become_resources(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    apply(path, CONTROL.versions, "0001")
    late = 1763712345.25
    keys = [
        {"id": "key_1", "previous": None, "until": None, "rotated": None, "revoked": None},
        {"id": "key_2", "previous": b"\1\2", "until": late, "rotated": 2.5, "revoked": 3.5},
    ]
    with closing(sqlite3.connect(path)) as connection, connection:
        for number, key in enumerate(keys):
            connection.execute(KEY.replace("0aff", f"0{number}ff"), key)
    prepare(path, CONTROL)
    assert describe(path) == describe(at_once(tmp_path / "b.db", CONTROL))
    first, second = rows(path, "SELECT * FROM resource ORDER BY id")
    place = ("auth/keys", "default", "", "key_1", "key_1", 1)
    assert first[:-1] == (*place, 1.5, 1.5, "admin", "admin", None, None, "{}")
    common = {
        "name": "ünï",
        "hint": "abcd",
        "scopes": ["*:*"],
        "limits": {"requests_per_minute": 5},
        "cache_samples": True,
    }
    names = ("previous_digest", "previous_expires_at", "expires_at", "rotated_at", "revoked_at")
    assert json.loads(str(first[-1])) == {**common, "digest": "00ff", **dict.fromkeys(names)}
    assert second[6:12] == (1.5, 3.5, "admin", "admin", 3.5, None)
    assert json.loads(str(second[-1])) == {
        **common,
        "digest": "01ff",
        "previous_digest": "0102",
        "previous_expires_at": "2025-11-21T08:05:45.250Z",
        "expires_at": "2025-11-21T08:05:45.250Z",
        "rotated_at": "1970-01-01T00:00:02.500Z",
        "revoked_at": "1970-01-01T00:00:03.500Z",
    }


def test_a_failed_upgrade_changes_nothing(tmp_path: Path) -> None:
    path = at_once(tmp_path / "a.db", CONTROL)
    fill(path, 3)
    before = describe(path), rows(path, "SELECT * FROM idempotency")
    broken = later(tmp_path, NEXT + '    op.execute("SELECT nonsense FROM nowhere")\n')
    with pytest.raises(UnusableDatabase, match="nowhere"):
        prepare(path, broken)
    assert (describe(path), rows(path, "SELECT * FROM idempotency")) == before


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    schema = later(tmp_path)
    path = tmp_path / "a.db"
    prepare(path, CONTROL)
    prepare(path, schema)
    with pytest.raises(UnusableDatabase, match=rf"newer version.*{FOLLOWING}.*{CONTROL.head}"):
        prepare(path, CONTROL)


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to be read" * 50])
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(UnusableDatabase, match=r"a\.db"):
        prepare(path, CONTROL)
    assert path.read_bytes() == content


def test_processes_that_start_together_share_one_database(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: prepare(path, CONTROL), range(8)))
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]
    fill(path, 2)
    schema = later(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: prepare(path, schema), range(4)))
    assert rows(path, "SELECT count(*), min(colour) FROM idempotency") == [(2, "blue")]


def test_opening_loads_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from modelyard.storage.sqlite import Database; "
        "Database(Path(sys.argv[1])).close(); print([m for m in ('alembic', 'sqlalchemy', 'mako') "
        "if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
