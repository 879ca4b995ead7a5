"""Where a Redis or Valkey is, as ``redis_url`` says."""

from __future__ import annotations

import ssl
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import certifi
from msgspec import Struct

PORT: Final = 6379


class Address(Struct, frozen=True, kw_only=True):
    """A server, how it is reached, and who asks. ``path`` is that of a Unix socket."""

    host: str = "127.0.0.1"
    port: int = PORT
    path: str | None = None
    tls: bool = False
    ca_file: str | None = None
    user: str | None = None
    password: str | None = None
    database: int = 0

    @property
    def shown(self) -> str:
        """The address without its secrets."""
        if self.path is not None:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' * self.tls}://{host}:{self.port}/{self.database}"


def parse(url: str, ca_file: str | None = None) -> Address:
    """Read ``redis://``, ``rediss://`` (TLS) or ``unix://`` with user, password and database.

    The database is the path's, of a Unix socket ``?db=``. Raises ``ValueError`` for any other.
    """
    parts = urlsplit(url)
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if parts.scheme == "unix":
        database = _number((parse_qs(parts.query).get("db") or ["0"])[0])
        path = unquote(parts.path)
        return Address(path=path, user=user, password=password, database=database)
    if parts.scheme not in ("redis", "rediss"):
        raise ValueError("it begins with redis://, rediss:// or unix://")
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or PORT,
        tls=parts.scheme == "rediss",
        ca_file=ca_file,
        user=user,
        password=password,
        database=_number(parts.path.strip("/") or "0"),
    )


def context(address: Address) -> ssl.SSLContext | None:
    """What TLS needs; reads files. Raises ``OSError`` for a CA that cannot be used."""
    if not address.tls:
        return None
    made = ssl.create_default_context()
    made.load_verify_locations(certifi.where())
    if address.ca_file is not None:
        made.load_verify_locations(address.ca_file)
    return made


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the database must be a number, not {text!r}")
    return int(text)
