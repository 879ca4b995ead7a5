"""Analyses as they are kept: read again, waited for, and said what to do where there is none."""

from __future__ import annotations

import asyncio
import time

import msgspec

from modelyard.catalog.datasets.analysis.schema import Analysis, AnalysisQuery
from modelyard.catalog.datasets.schema import Dataset
from modelyard.catalog.datasets.versions import versions
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs.operations import operations
from modelyard.jobs.routes import Waits
from modelyard.jobs.schema import Operation
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address, Query
from modelyard.kernel.watch import POLL_SECONDS
from modelyard.protocol.errors import Failure

_RECENT = 50  # versions among which the last analysis is looked for
_RETRY_SECONDS = 5.0


async def read(context: Context, version: Item[Version]) -> Analysis | None:
    """What is kept of a version; None where nothing is, or what another release has kept."""
    if version.spec.analysis is None:
        return None
    parts = [part async for part in context.artifacts.open(version.spec.analysis)]
    try:
        return msgspec.json.decode(b"".join(parts), type=Analysis)
    except msgspec.ValidationError:
        return None


async def last(context: Context, item: Item[Dataset], version: Item[Version]) -> Analysis | None:
    """The last analysis of a version, else of the newest version that has one."""
    if version.spec.analysis is not None:
        return await read(context, version)
    query = Query(
        kind=versions.kind,
        workspace=item.row.address.workspace,
        parent=item.name,
        size=_RECENT,
    )
    for row in await context.ports.store.page(query):
        if (one := Item(versions, row)).spec.analysis is not None:
            return await read(context, one)
    return None


async def waited(
    context: Context, version: Item[Version], query: AnalysisQuery
) -> tuple[Analysis, str | None]:
    """The last analysis, and the name of one that goes on.

    Waits for the first one. Raises ``CONFLICT`` with the way out where there is none by then.
    """
    ends, waits = time.monotonic() + query.wait, context.of(Waits)
    found = await read(context, version)
    at_work = await _at_work(context, version)
    while found is None and _open(at_work) and not waits.over and time.monotonic() < ends:
        await asyncio.sleep(min(POLL_SECONDS, max(0.0, ends - time.monotonic())))
        row = await context.ports.store.get(version.row.address)
        version = version if row is None else Item(versions, row)
        found, at_work = await read(context, version), await _at_work(context, version)
    if found is None:
        raise _missing(version, at_work)
    return found, version.spec.analysis_operation if _open(at_work) else None


async def _at_work(context: Context, version: Item[Version]) -> Operation | None:
    """The analysis that was begun last; None where none was, or it is forgotten."""
    own_id = version.spec.analysis_operation.rpartition("/")[2]
    if not own_id:
        return None
    address = Address(operations.kind, version.row.address.workspace, "", own_id)
    row = await context.ports.store.get(address)
    return None if row is None else operations.load(row)


def _open(one: Operation | None) -> bool:
    return one is not None and not one.done


def _missing(version: Item[Version], at_work: Operation | None) -> Failure:
    dataset = version.row.address.parent
    again = f"POST /v1/{dataset}/analyze with the version {version.id}"
    state = "none" if at_work is None else at_work.metadata.state
    details = {"field": "version", "resource": version.name, "state": state}
    if at_work is None:
        return Failure(
            "CONFLICT", f"{version.name} was not analyzed yet. {again} does it.", details=details
        )
    details["operation"] = at_work.name
    if _open(at_work):
        return Failure(
            "CONFLICT",
            f"{version.name} is being analyzed by {at_work.name}, which is {state}. Wait for it "
            f"(POST /v1/{at_work.name}:wait), or ask again with a longer 'wait'.",
            details=details,
            retry_after=_RETRY_SECONDS,
        )
    why = (at_work.error or {}).get("message", "its figures are of another release.")
    return Failure(
        "CONFLICT",
        f"The last analysis of {version.name} gave nothing ({state}): {why} {again} begins "
        "another.",
        details=details,
    )
