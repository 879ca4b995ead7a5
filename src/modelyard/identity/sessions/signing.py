"""The signing keys in the store: one document, replaced when its newest key is 30 days old."""

import time

from msgspec import structs

from modelyard.auth.sealed import Box
from modelyard.auth.signing import SigningKeys, due, from_spec, rotated, to_spec
from modelyard.kernel import names
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Address, Commit, Refused, Row, Store, Write

SIGNING = "auth/signing-keys"
_ADDRESS = Address(SIGNING, "", "", "current")
_ACTOR = "modelyard"


async def read_signing(store: Store) -> SigningKeys:
    """The keys that verify now; none before ``rotate_signing`` ran first."""
    row = await store.get(_ADDRESS)
    return SigningKeys() if row is None else from_spec(row.spec)


async def rotate_signing(store: Store, box: Box) -> bool:
    """Make the next key where it is time; whether this process did."""
    now = time.time()
    row = await store.get(_ADDRESS)
    stored = SigningKeys() if row is None else from_spec(row.spec)
    if not due(stored, now):
        return False
    after = rotated(stored, box, now)
    if row is None:
        made = Row(
            address=_ADDRESS,
            uid=names.new_uid(),
            created_at=now,
            updated_at=now,
            created_by=_ACTOR,
            updated_by=_ACTOR,
            spec=to_spec(after),
        )
        write = Write(row=made)
    else:
        made = structs.replace(row, revision=row.revision + 1, updated_at=now, spec=to_spec(after))
        write = Write(row=made, expected=row.revision)
    event = Event(
        workspace="",
        actor=_ACTOR,
        verb="signing-key.rotate",
        resource=_ADDRESS.name,
        request_id="",
        kind=SIGNING,
        after={"keys": [key.kid for key in after.keys]},
    )
    try:
        await store.commit(Commit(writes=[write], events=[event]))
    except Refused:  # another process was first
        return False
    return True
