"""What an installation starts with: its pepper, its first workspace and its first key."""

import os
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, structs

from modelyard.auth.keys import UNLIMITED, Key, digest, new_secret
from modelyard.identity.keys import keys
from modelyard.identity.keys.schema import ApiKey, KeyLimits
from modelyard.identity.workspaces import DEFAULT, Workspace, workspaces
from modelyard.kernel import names
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Address, Commit, Refused, Row, Store, Write
from modelyard.kernel.resource import Resource
from modelyard.protocol import errors
from modelyard.storage import files

T = TypeVar("T")

ADMIN = "admin"
ADMIN_FILE = "admin.key"  # in the home folder: the secret of the key made at the first start
EVERYTHING = "*:*"
PEPPER_BYTES = 32
SHORTEST_SECRET = 16  # characters


class UnusableHome(Exception):
    """A file of the home folder is damaged; the message tells the operator what to do."""


class Secrets(Struct, frozen=True):
    """What an installation keeps outside its database.

    ``fixed`` are keys that are not stored: the ring holds them beside the live ones.
    """

    pepper: bytes
    fixed: dict[bytes, Key]


def read_secrets(home: Path, admin_key: str | None = None) -> Secrets:
    """The pepper of the installation in ``home``, made on the first start.

    ``admin_key`` (the setting) is valid as long as it is set, and is not stored. Raises
    ``UnusableHome``.
    """
    files.sweep(home)
    pepper = files.write_once(home / "pepper", os.urandom(PEPPER_BYTES))
    if len(pepper) != PEPPER_BYTES:
        raise UnusableHome(
            f"{home / 'pepper'} is damaged: it has {len(pepper)} bytes instead of {PEPPER_BYTES}. "
            "Restore it from a backup; without it no stored key can be recognised."
        )
    return Secrets(pepper, {digest(pepper, admin_key): _admin()} if admin_key else {})


async def bootstrap(home: Path, store: Store, secrets: Secrets) -> str | None:
    """Make the first workspace, and the first key unless one is fixed; its secret if made now.

    The secret is left in ``home/admin.key``, which may be deleted. Several processes may start at
    once: one of them is given the secret. Raises ``UnusableHome``.
    """
    known = {row.address.workspace for row in await store.everywhere(keys.kind)} | {DEFAULT}
    for workspace in sorted(known):
        await _make(store, workspaces, Workspace(), workspace, "")
    return None if secrets.fixed else await _generate(home, store, secrets.pepper)


def _admin() -> Key:
    return Key(id=ADMIN, workspace=DEFAULT, scopes=(EVERYTHING,), name=ADMIN, limits=UNLIMITED)


async def _generate(home: Path, store: Store, pepper: bytes) -> str | None:
    """The secret is written first: a start that is killed in between loses no key."""
    if await store.get(Address(keys.kind, DEFAULT, "", ADMIN)) is not None:
        return None  # known, or revoked
    path = home / ADMIN_FILE
    secret = (
        files.write_once(path, (new_secret() + "\n").encode()).decode("ascii", "replace").strip()
    )
    if len(secret) < SHORTEST_SECRET:
        raise UnusableHome(f"{path} holds no key. Delete it, and the next start makes one.")
    spec = ApiKey(
        name=ADMIN,
        hint=secret[-4:],
        scopes=[EVERYTHING],
        limits=KeyLimits(**structs.asdict(UNLIMITED)),
        digest=digest(pepper, secret).hex(),
    )
    return secret if await _make(store, keys, spec, ADMIN, DEFAULT) else None


async def _make(store: Store, resource: Resource[T], spec: T, own_id: str, workspace: str) -> bool:
    """Store what no request asks for; whether it is new."""
    address = Address(resource.kind, workspace, "", own_id)
    if await store.get(address) is not None:
        return False
    now = errors.now()
    row = Row(
        address=address,
        uid=names.new_uid(),
        created_at=now,
        updated_at=now,
        created_by=ADMIN,
        updated_by=ADMIN,
        spec=resource.document(spec),
    )
    event = Event(
        workspace=workspace,
        actor=ADMIN,
        verb=f"{resource.area}.create",
        resource=address.name,
        request_id="",
        kind=resource.kind,
        after=resource.show(row),
    )
    try:
        await store.commit(Commit(writes=[Write(row=row)], events=[event]))
    except Refused:  # another process was first
        return False
    return True
