"""What is written of artifacts, beside their bytes: all of it in the commit of the request.

An artifact refers to its bytes as any resource refers to another, so the store itself refuses to
let bytes go that an artifact of any workspace needs, also one that is just being committed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar

from msgspec import structs

from modelyard.artifacts import artifacts, blobs, trash, uploads, usage
from modelyard.artifacts.depot import Depot
from modelyard.artifacts.schema import Artifact, Blob, Trash, Upload, Usage
from modelyard.kernel import names
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address, Commit, Query, Refused, Row, Store, Write, position
from modelyard.kernel.resource import Resource
from modelyard.protocol import errors
from modelyard.protocol.errors import Failure
from modelyard.storage.artifacts.places import Bytes

T = TypeVar("T")
_PAGE = 200  # uploads that are read at a time
ONE_REQUEST_SECONDS = 3600.0  # what an upload in one request leaves behind when it is killed


async def begin(context: Context, depot: Depot, upload: Upload) -> Item[Upload]:
    """Store an upload before its bytes come, so that they are never without an owner."""
    await affordable(context, depot, upload.size or 0)
    row = _row(uploads, admitted(depot, upload, ONE_REQUEST_SECONDS), context.workspace, context)
    await context.ports.store.commit(Commit(writes=[Write(row=row)]))
    return Item(uploads, row)


def admitted(depot: Depot, upload: Upload, idle_seconds: float) -> Upload:
    """An upload with what the server decides."""
    return structs.replace(
        upload,
        place=names.new_id("place"),
        sealed=depot.places.seals,
        idle_seconds=idle_seconds,
        expires_at=errors.timestamp(errors.now() + idle_seconds),
    )


async def discard(store: Store, depot: Depot, item: Item[Upload]) -> None:
    """Remove an upload that came to nothing, with its bytes."""
    row = structs.replace(item.row, revision=item.row.revision + 1)
    gone = Write(row=row, expected=item.row.revision, remove=True)
    try:
        await store.commit(Commit(writes=[gone, thrown(item.spec.place)]))
    except Refused:
        return  # it was completed, or another removed it
    await throw(store, depot, item.spec.place)


def thrown(place: str) -> Write:
    """The record that a place is not needed any more, for the commit that says so."""
    return Write(row=row_of(trash, Trash(), place, "", ""))


async def throw(store: Store, depot: Depot, place: str) -> None:
    """Remove the bytes of a place that was thrown away."""
    await depot.drop(place)
    row = await store.get(Address(trash.kind, "", "", place))
    if row is not None:
        gone = structs.replace(row, revision=row.revision + 1)
        with suppress(Refused):  # another process was first
            await store.commit(Commit(writes=[Write(row=gone, expected=1, remove=True)]))


def throw_after(context: Context, depot: Depot, place: str) -> None:
    """Stage the end of a place: its bytes go once the commit is made."""

    async def tidy() -> None:
        await throw(context.ports.store, depot, place)

    context.commit.writes.append(thrown(place))
    context.afterwards.append(tidy)


async def keep(
    context: Context,
    depot: Depot,
    item: Item[Upload],
    made: Bytes,
    sha256: str,
    *,
    unchecked: bool = False,
) -> Item[Artifact]:
    """Stage the artifact of a whole upload. The same bytes are kept once in an installation.

    A client cannot tell whether others have them: it has sent all of them in any case.
    """
    context.wanted = sha256  # where another makes it at the same time, it is decided anew
    unneeded = await _blob(context, item.spec, made, sha256)
    address = Address(artifacts.kind, context.workspace, "", sha256)
    row = await context.ports.store.get(address)
    upload = item.spec
    if row is None:
        spec = Artifact(
            name=upload.name,
            media_type=upload.media_type,
            retention=upload.retention,
            size=made.size,
            blob=sha256,
        )
        kept = await context.create(artifacts, spec, own_id=sha256, unchecked=unchecked)
        await count(context, depot, made.size, 1)
    else:
        kept = await _again(context, Item(artifacts, row), upload)
    gone = structs.replace(item.row, revision=item.row.revision + 1)
    context.commit.writes.append(Write(row=gone, expected=item.row.revision, remove=True))

    if unneeded:
        throw_after(context, depot, unneeded)
    return kept


async def _again(context: Context, item: Item[Artifact], upload: Upload) -> Item[Artifact]:
    """An artifact that was here already: it is mended, and kept if either says so."""
    before = item.spec
    spec = structs.replace(
        before,
        name=before.name or upload.name,
        retention="kept" if "kept" in (before.retention, upload.retention) else "referenced",
        damaged_at=None,
        idle_since=None,
    )
    return await context.update(item, spec, verb="upload", unchecked=True)


async def _blob(context: Context, upload: Upload, made: Bytes, sha256: str) -> str:
    """Stage the bytes; the place that is not needed then, "" where all are."""
    address = Address(blobs.kind, "", "", sha256)
    row = await context.ports.store.get(address)
    if row is None:
        fresh = _row(blobs, Blob(place=upload.place, bytes=made), "", context, sha256)
        context.commit.writes.append(Write(row=fresh))
        return ""
    before = blobs.load(row)
    if before.damaged:
        context.commit.writes.append(changed(blobs, row, Blob(place=upload.place, bytes=made)))
        return before.place
    # Also where nothing changes: who is about to remove them sees that somebody came.
    context.commit.writes.append(changed(blobs, row, structs.replace(before, freed_at=0.0)))
    return upload.place


async def free(context: Context, item: Item[Artifact]) -> None:
    """Stage the end of an artifact: its bytes are looked at after the grace period."""
    context.delete(item)
    context.commit.writes.append(
        await counted(context.ports.store, context.workspace, -item.spec.size, -1)
    )
    context.commit.writes += await freed(context.ports.store, item.id, errors.now())


async def freed(store: Store, sha256: str, now: float) -> list[Write]:
    """The mark of bytes that an artifact less needs since a time."""
    row = await store.get(Address(blobs.kind, "", "", sha256))
    if row is None:
        return []
    return [changed(blobs, row, structs.replace(blobs.load(row), freed_at=now))]


async def count(context: Context, depot: Depot, size: int, number: int) -> None:
    """Stage what the workspace holds with another artifact.

    Raises ``QUOTA_EXCEEDED``, also where others came at the same time: only one of them is
    committed, the others are decided anew.
    """
    made = await counted(context.ports.store, context.workspace, size, number)
    _within(depot, usage.load(made.row).bytes - size, 0, size)
    context.commit.writes.append(made)


async def counted(store: Store, workspace: str, size: int, number: int) -> Write:
    """The write of what a workspace holds now."""
    row = await store.get(Address(usage.kind, "", "", workspace))
    if row is None:
        return Write(row=row_of(usage, Usage(bytes=size, artifacts=number), workspace, "", ""))
    held = usage.load(row)
    spec = Usage(bytes=held.bytes + size, artifacts=held.artifacts + number)
    return changed(usage, row, spec)


async def held(context: Context, depot: Depot, *, without: str = "") -> tuple[Usage, int]:
    """What the workspace holds, and what its unfinished uploads declared, or hold already.

    The upload at the place ``without`` is left out.
    """
    store, coming = context.ports.store, 0
    row = await store.get(Address(usage.kind, "", "", context.workspace))
    query = Query(kind=uploads.kind, workspace=context.workspace, size=_PAGE)
    while page := await store.page(query):
        for one in map(uploads.load, page):
            if one.place != without:
                coming += max(one.size or 0, await depot.stored(one.place))
        query = structs.replace(query, after=position(query, page[-1]))
    return (Usage() if row is None else usage.load(row)), coming


async def affordable(context: Context, depot: Depot, size: int, *, place: str = "") -> None:
    """Raise ``PAYLOAD_TOO_LARGE``, ``QUOTA_EXCEEDED`` or ``STORAGE_FULL`` for so many bytes.

    ``place`` is that of the upload which they are, of which nothing else is counted.
    """
    depot.check_size(size)
    if depot.settings.workspace_bytes is not None:
        now, coming = await held(context, depot, without=place)
        _within(depot, now.bytes, coming, size)
    await depot.places.objects.room(size)


async def part_affordable(context: Context, depot: Depot, upload: Upload, size: int) -> None:
    """Raise as ``affordable`` for a part of so many bytes."""
    if depot.settings.workspace_bytes is not None:
        now, coming = await held(context, depot, without=upload.place)
        whole = max(upload.size or 0, await depot.stored(upload.place) + size)
        _within(depot, now.bytes, coming, whole)


def _within(depot: Depot, used: int, coming: int, size: int) -> None:
    limit = depot.settings.workspace_bytes
    if limit is not None and used + coming + size > limit:
        raise Failure(
            "QUOTA_EXCEEDED",
            f"The workspace may hold {limit} bytes of artifacts (artifacts.workspace_bytes), "
            f"and holds {used}. Delete some.",
            details={"limit_bytes": limit, "used_bytes": used, "uploading_bytes": coming},
        )


def changed(one: Resource[T], row: Row, spec: T) -> Write:
    """A change of what no client sees."""
    after = structs.replace(
        row, revision=row.revision + 1, updated_at=errors.now(), spec=one.document(spec)
    )
    return Write(row=after, expected=row.revision, before=row, references=_references(one, after))


def _references(one: Resource[Any], row: Row) -> Any:
    return one.references(row, {blobs.kind})


def _row(one: Resource[T], spec: T, workspace: str, context: Context, own_id: str = "") -> Row:
    return row_of(one, spec, own_id or one.new_id(), workspace, context.principal.id)


def row_of(one: Resource[T], spec: T, own_id: str, workspace: str, actor: str) -> Row:
    """A new row of what no client sees."""
    now = errors.now()
    return Row(
        address=Address(one.kind, workspace, "", own_id),
        uid=names.new_uid(),
        created_at=now,
        updated_at=now,
        created_by=actor,
        updated_by=actor,
        spec=one.document(spec),
    )
