"""The SQLite database by its former name."""

from modelyard.storage.sqlite import BUSY_SECONDS as BUSY_SECONDS
from modelyard.storage.sqlite import Database as Database
