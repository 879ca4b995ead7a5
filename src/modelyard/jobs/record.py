"""An operation in the hands of those who work at it: every change expects what it read.

An attempt that another worker has taken over can change nothing any more: each change is refused
with ``Lost`` unless the stored operation is still in that attempt.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from modelyard.jobs.operations import KEPT_SECONDS, cancelled, ended, operations, problem
from modelyard.jobs.schema import Operation, Progress, Step
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Address, Commit, Refused, Row, Store, Write
from modelyard.kernel.purge import ACTOR
from modelyard.protocol import errors
from modelyard.protocol.errors import Failure, timestamp

Edit = Callable[[Operation], Operation | None]  # None: nothing is to change
KEPT_STEPS = 50


class Lost(Exception):
    """The operation is not this attempt's any more: ended, forgotten, or taken over."""


class Cancelled(Exception):
    """The operation is to be cancelled: nothing more of it is kept."""


class Record:
    """One operation of the store, for one attempt (0: before there is one)."""

    def __init__(self, store: Store, workspace: str, own_id: str, attempt: int = 0) -> None:
        self.store = store
        self.address = Address(operations.kind, workspace, "", own_id)
        self.attempt = attempt
        self.kept_seconds = KEPT_SECONDS  # from its end on

    async def read(self) -> Operation | None:
        """As it is stored; None once it was forgotten."""
        row = await self.store.get(self.address)
        return None if row is None else operations.load(row)

    async def begin(self, worker: str, most: int, known: int | None = None) -> Operation | None:
        """Begin an attempt; None where there is nothing to do any more.

        After ``most`` attempts that died without a new step it is set aside. With ``known``, how
        many attempts there were when it was taken on, it is left to who began one since.
        """

        def edit(spec: Operation) -> Operation | None:
            if spec.metadata.state == "cancelling":
                return cancelled(spec, ACTOR)
            if spec.crashes >= most:
                return _set_aside(spec)
            metadata = structs.replace(
                spec.metadata,
                state="running",
                attempts=spec.metadata.attempts + 1,
                started_at=spec.metadata.started_at or timestamp(),
                worker=worker,
                steps=[],
            )
            return structs.replace(spec, metadata=metadata, crashes=spec.crashes + 1)

        first = await self.read()
        if first is None or first.done:
            return None
        if known is not None and first.metadata.attempts != known:
            return None
        self.attempt = first.metadata.attempts
        verb = "" if first.metadata.attempts else "start"
        made = await self._change(edit, verb=verb)
        if made is None or made.done:
            return None
        self.attempt = made.metadata.attempts
        return made

    async def tell(self, progress: Progress, steps: list[Step], *, alive: bool) -> None:
        """Keep how far it is. ``alive``: a step was finished, so it does not just die again."""

        def edit(spec: Operation) -> Operation | None:
            metadata = structs.replace(spec.metadata, progress=progress, steps=steps[-KEPT_STEPS:])
            crashes = 0 if alive else spec.crashes
            after = structs.replace(spec, metadata=metadata, crashes=crashes)
            return None if after == spec else after

        await self._change(edit)

    async def release(self) -> None:
        """Give it back unfinished, for another worker to go on: the attempt does not count."""

        def edit(spec: Operation) -> Operation | None:
            if spec.metadata.state != "running":
                return None
            metadata = structs.replace(spec.metadata, state="queued")
            return structs.replace(spec, metadata=metadata, crashes=max(0, spec.crashes - 1))

        await self._change(edit)

    async def succeed(self, response: object, commit: Commit) -> None:
        """End it well: the result and all of ``commit`` are kept together.

        Raises ``Cancelled`` where it was cancelled meanwhile, ``Refused`` for what the commit
        itself meets.
        """

        def edit(spec: Operation) -> Operation:
            if spec.metadata.state == "cancelling":
                raise Cancelled
            return ended(spec, "succeeded", response=response)

        await self._change(edit, verb="succeed", commit=commit)

    async def keep(self, commit: Commit) -> None:
        """Commit a part of the work while it goes on. As ``succeed``."""

        def edit(spec: Operation) -> Operation:
            if spec.metadata.state == "cancelling":
                raise Cancelled
            return spec

        await self._change(edit, commit=commit)

    async def fail(self, failure: Failure) -> None:
        """End it with an error."""

        def edit(spec: Operation) -> Operation:
            return ended(spec, "failed", error=problem(failure, spec.request_id))

        await self._change(edit, verb="fail")

    async def cancel(self) -> None:
        """End it as cancelled."""
        await self._change(lambda spec: cancelled(spec, ACTOR), verb="cancelled")

    async def _change(
        self, edit: Edit, *, verb: str = "", commit: Commit | None = None
    ) -> Operation | None:
        """Apply ``edit`` to what is stored, anew where somebody else changed it in between."""
        while True:
            row = await self.store.get(self.address)
            spec = None if row is None else operations.load(row)
            if row is None or spec is None or spec.done:
                raise Lost(self.address.name)
            if spec.metadata.attempts != self.attempt:
                raise Lost(self.address.name)
            after = edit(spec)
            if after is None:
                return spec
            try:
                await self.store.commit(self._commit(row, after, verb, commit))
            except Refused as refused:
                if refused.reason == "stale" and refused.address == self.address:
                    continue
                raise
            return after

    def _commit(self, row: Row, after: Operation, verb: str, given: Commit | None) -> Commit:
        now = errors.now()
        changed = structs.replace(
            row,
            revision=row.revision + 1,
            updated_at=now,
            updated_by=ACTOR,
            purge_at=now + self.kept_seconds if after.done else None,
            spec=operations.document(after),
        )
        refers = operations.references(changed, ())
        made = Commit(
            writes=[Write(row=changed, expected=row.revision, before=row, references=refers)]
        )
        if given is not None:
            made.writes += given.writes
            made.events += given.events
            made.edges += given.edges
        if verb:
            made.events.append(self._event(verb, row, changed))
        return made

    def _event(self, verb: str, before: Row, after: Row) -> Event:
        caller = after.spec.get("caller") or {}
        return Event(
            workspace=self.address.workspace,
            actor=str(caller.get("id", ACTOR)),
            verb=f"{operations.area}.{verb}",
            kind=operations.kind,
            resource=self.address.name,
            request_id=str(after.spec.get("request_id", "")),
            before=operations.told(before),
            after=operations.told(after),
        )


def _set_aside(spec: Operation) -> Operation:
    failure = Failure(
        "INTERNAL",
        f"The work ended its process {spec.crashes} times and was set aside. The log of "
        f"{spec.metadata.worker or 'the worker'} tells of each; ask again once that is mended.",
        details={"attempts": spec.metadata.attempts, "set_aside": True},
    )
    return ended(spec, "failed", error=problem(failure, spec.request_id))
