"""How SQLite counts its memory: in processes of their own, for it is said once."""

import subprocess
import sys

SERVING = """
import ctypes, sys
import modelyard.cli.main
from modelyard.storage.allocation import uncounted

assert "_sqlite3" not in sys.modules, "the command has begun to use SQLite before it is told"
assert uncounted()
import _sqlite3, sqlite3
sqlite3.connect(":memory:").execute("CREATE TABLE thing (id)")
assert ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used() == 0
"""
TOO_LATE = """
import ctypes, sqlite3, _sqlite3
from modelyard.storage.allocation import uncounted

assert not uncounted()
one = sqlite3.connect(":memory:")
one.execute("CREATE TABLE thing (id)")
assert ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used() > 0
"""


def test_who_serves_tells_sqlite_before_it_is_used() -> None:
    subprocess.run([sys.executable, "-c", SERVING], check=True, timeout=60)


def test_where_it_is_in_use_all_stays_as_it_was() -> None:
    subprocess.run([sys.executable, "-c", TOO_LATE], check=True, timeout=60)
