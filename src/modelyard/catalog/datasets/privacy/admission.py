"""What a client may say of a dataset's privacy and storage, and what is the server's own."""

from __future__ import annotations

from msgspec import structs

from modelyard.catalog.datasets.privacy import durations, rules
from modelyard.catalog.datasets.privacy.carrying import discreet
from modelyard.catalog.datasets.schema import (
    Dataset,
    DatasetPrivacy,
    DatasetStorage,
    TableSchema,
)
from modelyard.catalog.datasets.sharing.rules import name_of
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs.kinds import KINDS
from modelyard.jobs.schedules import SCHEDULES, SYSTEM, set_schedule
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address, Query, position
from modelyard.protocol.errors import Failure

SCHEDULE = "dataset-retention"  # the id of each workspace's schedule
RETENTION = "dataset.retention"  # the kind of its operations
_PAGE = 1000
_EACH_HOUR = "23 * * * *"
_BY_CLIENTS = ("dataset:create", "dataset:update")


async def admit(context: Context, spec: Dataset, item: Item[Dataset] | None) -> Dataset:
    """A dataset as it is stored. Raises ``INVALID_REQUEST``, ``DATA_PRIVACY_VIOLATION``."""
    if item is None:
        spec = structs.replace(spec, owner=name_of(context.principal))
    if context.kind != "catalog/datasets" or context.permission not in _BY_CLIENTS:
        return spec
    storage = await _storage(
        context, spec.storage, DatasetStorage() if item is None else item.spec.storage
    )
    privacy = _first(spec.privacy) if item is None else await _privacy(context, spec.privacy, item)
    spec = structs.replace(spec, storage=storage, privacy=privacy)
    if item is None or not _newly(item.spec.privacy, privacy):
        return spec
    await _discreet(context, privacy, item)
    return _without_values(spec)


def _newly(before: DatasetPrivacy, after: DatasetPrivacy) -> bool:
    """Whether an owner says only now that there is personal data."""
    return bool(after.declared) and not before.declared


def _without_values(spec: Dataset) -> Dataset:
    """What a dataset tells of its newest version, without values of it."""
    if spec.schema is None or spec.privacy.anonymized:
        return spec
    fields = [structs.replace(one, values=None) for one in spec.schema.fields]
    shares = spec.statistics
    if shares is not None:
        shares = structs.replace(shares, class_distribution={})
    return structs.replace(spec, schema=TableSchema(fields=fields), statistics=shares)


def _first(sent: DatasetPrivacy) -> DatasetPrivacy:
    """What is said of a dataset without data: it holds for what comes, until it is said anew."""
    said = True if sent.contains_pii else sent.declared
    contains = sent.contains_pii if said is None else said
    return structs.replace(sent, encryption_type=None, declared=said, contains_pii=contains)


async def _privacy(context: Context, sent: DatasetPrivacy, item: Item[Dataset]) -> DatasetPrivacy:
    before = item.spec.privacy
    after = _first(sent)
    if item.spec.version is not None:
        after = await _of_data(context, sent, item)
    if _weaker(before, after) and not rules.may_use(context, item):
        raise rules.violation(context, item, "This says less of the protection of personal data")
    return after


async def _discreet(context: Context, said: DatasetPrivacy, item: Item[Dataset]) -> None:
    """Stage each version without the values that everybody would read of it."""
    kind, at = f"{item.row.address.kind}/versions", item.row.address
    query = Query(kind=kind, workspace=at.workspace, parent=item.name, size=_PAGE)
    while rows := await context.ports.store.page(query):
        for row in rows:
            one: Item[Version] = Item(context.ports.resources[kind], row)
            own = one.spec.privacy
            spec = discreet(one.spec, structs.replace(said, anonymized=False))
            if spec != one.spec and not (own is not None and own.anonymized):
                await context.update(one, spec, verb="update", unchecked=True)
        query = structs.replace(query, after=position(query, rows[-1]))


async def _of_data(context: Context, sent: DatasetPrivacy, item: Item[Dataset]) -> DatasetPrivacy:
    before = item.spec.privacy
    declared = sent.declared
    if sent.contains_pii != before.contains_pii:
        declared = sent.contains_pii
    contains = declared
    if contains is None:
        contains = before.contains_pii if before.declared is None else await _found(context, item)
    return structs.replace(
        sent, encryption_type=before.encryption_type, declared=declared, contains_pii=contains
    )


def _weaker(before: DatasetPrivacy, after: DatasetPrivacy) -> bool:
    """Whether more callers may use the data after a change."""
    said = (before.contains_pii and not after.contains_pii) or (
        after.anonymized and not before.anonymized
    )
    denied = after.declared is not before.declared and after.declared is not True
    lower = after.clearance_level is not None and (
        before.clearance_level is None or after.clearance_level < before.clearance_level
    )
    return said or denied or lower


async def _found(context: Context, item: Item[Dataset]) -> bool:
    """What the scan of the newest version found."""
    kind = f"{item.row.address.kind}/versions"
    address = Address(kind, item.row.address.workspace, item.name, item.spec.version or "")
    row = await context.ports.store.get(address)
    own = None if row is None else context.ports.resources[kind].load(row)
    privacy = own.privacy if isinstance(own, Version) else None
    return privacy is not None and privacy.contains_pii


async def _storage(
    context: Context, sent: DatasetStorage, before: DatasetStorage
) -> DatasetStorage:
    """The client's retention and partitioning, and the rest as it is."""
    before = structs.replace(before, partitioning=sent.partitioning)
    if sent.retention is None:
        return structs.replace(before, retention=None)
    try:
        kept = str(durations.parse(sent.retention))
    except ValueError as error:
        raise Failure(
            "INVALID_REQUEST",
            f"'storage.retention': {error}. Write '2 years', or 'P2Y'; null keeps all.",
            details={"field": "storage.retention", "rule": "format", "allowed": "2 years"},
        ) from None
    await _scheduled(context)
    return structs.replace(before, retention=kept)


async def _scheduled(context: Context) -> None:
    """Stage the workspace's schedule, where it has none yet."""
    address = Address(SCHEDULES, context.workspace, "", SCHEDULE)
    if await context.ports.store.get(address) is not None:
        return
    aside = Context(SYSTEM, context.request_id, context.ports)
    aside.workspace = context.workspace
    set_schedule(aside, SCHEDULE, KINDS[RETENTION], _EACH_HOUR)
    context.commit.writes += aside.commit.writes
    context.commit.events += aside.commit.events
