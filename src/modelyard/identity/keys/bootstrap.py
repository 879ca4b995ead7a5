"""The first key: what an installation starts with."""

import os
import time
from pathlib import Path

from msgspec import Struct, structs

from modelyard.auth.keys import UNLIMITED, Key, digest, new_secret
from modelyard.kernel.events import Event
from modelyard.storage import files
from modelyard.storage.database import Database
from modelyard.storage.keys import KeyRow, KeyStore, insert

ADMIN = "admin"
ADMIN_FILE = "admin.key"  # in the home folder: the secret of the key made at the first start
WORKSPACE = "default"
EVERYTHING = "*:*"
PEPPER_BYTES = 32
SHORTEST_SECRET = 16  # characters


class UnusableHome(Exception):
    """A file of the home folder is damaged; the message tells the operator what to do."""


class Start(Struct, frozen=True):
    """What a process needs to know keys.

    ``fixed`` are keys that are not stored: the ring holds them beside the live ones.
    ``generated`` is the secret of an admin key made just now, to be shown once.
    """

    pepper: bytes
    fixed: dict[bytes, Key]
    generated: str | None


def bootstrap(home: Path, database: Database, admin_key: str | None = None) -> Start:
    """The pepper and the admin key of the installation in ``home``; made on the first start.

    ``admin_key`` (the setting) is valid as long as it is set, and is not stored. Without it the
    first start makes a key, stores its digest and leaves the secret in ``home/admin.key``, which
    may be deleted. Several processes may start at once: one of them is given ``generated``.
    Raises ``UnusableHome``.
    """
    pepper = files.write_once(home / "pepper", os.urandom(PEPPER_BYTES))
    if len(pepper) != PEPPER_BYTES:
        raise UnusableHome(
            f"{home / 'pepper'} is damaged: it has {len(pepper)} bytes instead of {PEPPER_BYTES}. "
            "Restore it from a backup; without it no stored key can be recognised."
        )
    if admin_key:
        return Start(pepper, {digest(pepper, admin_key): _admin()}, None)
    return Start(pepper, {}, _generate(home, database, pepper))


def _admin() -> Key:
    return Key(id=ADMIN, workspace=WORKSPACE, scopes=(EVERYTHING,), name=ADMIN, limits=UNLIMITED)


def _generate(home: Path, database: Database, pepper: bytes) -> str | None:
    """The secret is written first: a start that is killed in between loses no key."""
    if KeyStore(database).known(WORKSPACE, ADMIN):
        return None
    path = home / ADMIN_FILE
    secret = (
        files.write_once(path, (new_secret() + "\n").encode()).decode("ascii", "replace").strip()
    )
    if len(secret) < SHORTEST_SECRET:
        raise UnusableHome(f"{path} holds no key. Delete it, and the next start makes one.")
    row = KeyRow(
        id=ADMIN,
        workspace=WORKSPACE,
        name=ADMIN,
        hint=secret[-4:],
        digest=digest(pepper, secret),
        scopes=[EVERYTHING],
        limits=structs.asdict(UNLIMITED),
        created_at=time.time(),
        created_by=ADMIN,
    )
    event = Event(
        workspace=WORKSPACE,
        actor=ADMIN,
        verb="key.create",
        resource=f"auth/keys/{ADMIN}",
        request_id="",
        after={"id": ADMIN, "name": ADMIN, "scopes": row.scopes},
    )
    made = database.write_now(lambda connection: insert(connection, row, event))
    return secret if made else None
