"""What is read of the audit trail. Nothing here changes anything."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

from msgspec import structs

from modelyard.governance.audit import pages, trail
from modelyard.governance.audit.schema import (
    AuditLog,
    AuditQuery,
    AuditReport,
    ChainState,
    Denied,
    Period,
    ReportQuery,
    SearchAudit,
    Tally,
)
from modelyard.kernel.context import Context
from modelyard.kernel.ports import EventPart, EventQuery
from modelyard.kernel.route import Raw
from modelyard.protocol import filter_grammar
from modelyard.protocol.errors import Failure, timestamp

HOUR = 3600.0
DAY = 24 * HOUR
PERIOD = 30 * DAY  # of a report, where none is named
LONGEST = 366 * DAY
CHECKED = 10_000  # entries of the chain that a report looks at
REFUSED = "session.refuse"
_VALUES = 10_000  # different actors, verbs or kinds of one hour
WORKSPACES = "auth/workspaces"


async def log(context: Context, query: AuditQuery) -> AuditLog:
    """The trail, the newest first: every change of a resource and every sign-in.

    A filter looks at `actor`, `verb`, `resource`, `kind`, `requestId`, `at`, `id` and `workspace`
    (`verb = "key.*" AND at > "2026-01-01"`); bare words search what was changed.
    """
    asked = trail.wanted(query, trail.meant(context, query.workspace))
    page = await trail.read(context, asked, query)
    return AuditLog(entries=[trail.entry(one) for one in page.found], next_page_token=page.token)


async def entity(context: Context, entityId: str, query: AuditQuery) -> AuditLog:  # noqa: N803
    """What happened to one resource and to what lies below it, also after its deletion.

    It is named as it is read (`auth/users/user_1`), or by its id alone.
    """
    workspace = trail.meant(context, query.workspace)
    page = await trail.read(context, trail.told_of(entityId, trail.wanted(query, workspace)), query)
    if not page.found:
        at_all = trail.told_of(entityId, EventQuery(workspace=workspace, size=1))
        if not await context.ports.store.events(at_all):
            raise trail.unknown(entityId)
    return AuditLog(entries=[trail.entry(one) for one in page.found], next_page_token=page.token)


async def search(context: Context, ask: SearchAudit) -> AuditLog:
    """Search the trail by what is known of an entry; everything given must match."""
    asked = structs.replace(
        trail.wanted(ask, trail.meant(context, ask.workspace)),
        words=ask.words,
        actor=ask.actor,
        verb=ask.verb,
        resource=ask.resource,
        below=True,
        kind=ask.kind,
        request_id=ask.request_id,
    )
    page = await trail.read(context, asked, ask)
    return AuditLog(entries=[trail.entry(one) for one in page.found], next_page_token=page.token)


async def report(context: Context, query: ReportQuery) -> AuditReport | Raw:
    """A period in figures: who did most, what was done to which kinds, refused sign-ins.

    Beside them the state of the chain. `format=csv` and `format=html` give the same to keep
    and to print.
    """
    workspace = trail.meant(context, query.workspace)
    since, until = _period(query)
    asked = EventQuery(
        workspace=workspace,
        filter=filter_grammar.parse(query.filter, trail.FIELDS),
        size=_VALUES,
    )
    sums = _Sums()
    for own in await _workspaces(context, workspace):
        for first, end in _hours(since, until):
            hour = structs.replace(asked, workspace=own, since=first, until=end)
            await sums.add(context, timestamp(first)[:10], hour)
            await asyncio.sleep(0)  # others are served meanwhile
    made = AuditReport(
        generated_at=timestamp(),
        workspace=context.workspace,
        period=Period(since=timestamp(since), until=timestamp(until)),
        filter=query.filter,
        total=sums.days.total(),
        by_actor=_most(sums.of["actor"], query.top),
        by_verb=_most(sums.of["verb"], query.top),
        by_kind=_most(sums.of["kind"], query.top),
        by_day=[Tally(value=day, count=count) for day, count in sorted(sums.days.items())],
        denied=Denied(total=sums.refused.total(), by_resource=_most(sums.refused, query.top)),
        chain=await chain(context),
    )
    return pages.rendered(made, query.format)


async def chain(context: Context) -> ChainState:
    """Whether the newest entries of the installation are what was sealed."""
    store = context.ports.store
    after = max(0, await store.sealed() - CHECKED)
    found = await store.examine(after=after)
    return ChainState(
        intact=not found.broken_at,
        verified_from=found.first,
        verified_to=found.last,
        digest=found.digest.hex(),
        broken_at=found.broken_at or None,
        reason=found.reason or None,
    )


class _Sums:
    """Figures that grow hour by hour, so that no question to the database takes long."""

    def __init__(self) -> None:
        self.days: Counter[str] = Counter()
        self.of: dict[EventPart, Counter[str]] = {
            "verb": Counter(), "actor": Counter(), "kind": Counter()
        }  # fmt: skip
        self.refused: Counter[str] = Counter()

    async def add(self, context: Context, day: str, hour: EventQuery) -> None:
        store, empty = context.ports.store, True
        for part, sums in self.of.items():
            found = await store.tally(hour, part)
            if not found:
                return
            sums.update(dict(found))
            if part == "verb":
                self.days[day] += sum(count for _, count in found)
                empty = REFUSED not in dict(found)
        if not empty:
            refusals = structs.replace(hour, verb=REFUSED)
            self.refused.update(dict(await store.tally(refusals, "resource")))


def _period(query: ReportQuery) -> tuple[float, float]:
    until = time.time() if query.until is None else query.until.timestamp()
    since = until - PERIOD if query.since is None else query.since.timestamp()
    if not 0 < until - since <= LONGEST:
        raise Failure(
            "INVALID_REQUEST",
            "'since' must lie before 'until', by 366 days at most. Ask for several reports.",
            details={"field": "since", "rule": "period", "allowed": "366 days"},
        )
    return since, until


def _hours(since: float, until: float) -> Iterator[tuple[float, float]]:
    """The hours of a period, the first and last cut to it."""
    while since < until:
        end = min((since // HOUR + 1) * HOUR, until)
        yield since, end
        since = end


async def _workspaces(context: Context, asked: str | None) -> list[str]:
    """Those of a report: entries are counted along an index that begins with the workspace."""
    if asked is not None:
        return [asked]
    rows = await context.ports.store.everywhere(WORKSPACES)
    own = {"", context.principal.workspace, *(row.address.id for row in rows)}
    return sorted(own)


def _most(found: Counter[str], top: int) -> list[Tally]:
    ordered = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    return [Tally(value=value, count=count) for value, count in ordered[:top]]
