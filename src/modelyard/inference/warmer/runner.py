"""Runs the warming of a server: one process learns and asks, all tell it what they were asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, time

from modelyard.auth.sealed import Box
from modelyard.inference.cache.warming.accounts import Account
from modelyard.inference.cache.warming.learner import Learner
from modelyard.inference.cache.warming.planner import Planner, Terms, Wish
from modelyard.inference.cache.warming.prompts import Asked
from modelyard.inference.ledger import new_id
from modelyard.inference.plane import Plane
from modelyard.inference.warmer import journal, keeping
from modelyard.inference.warmer.asking import Unaskable, ask, has_room, look, prepare
from modelyard.inference.warmer.journal import Cleared, Entry, Journal, Noted, Paid, Positions
from modelyard.inference.warmer.keeping import Figures, Kept, Lead
from modelyard.inference.warmer.noting import Notes
from modelyard.settings import WarmingSettings

log = logging.getLogger(__name__)

_SAVED = 300.0  # seconds between savings of what was learned
_LOOKS = 500  # prompts that are looked at in one turn
_SLICE = 10  # observations or looks in a row, about half a millisecond
_BATCH = 500  # observations in one entry of the log
_NANO = 1e9
_UNBOUNDED = 10**18


class Warmer:
    """The part of one process. Nothing is done, kept or noticed before ``start``."""

    def __init__(self, plane: Plane, settings: WarmingSettings, home: Path, pepper: bytes) -> None:
        self.settings = settings
        self._plane = plane
        self._folder = home / "warming"
        self._box = Box(pepper)
        self._notes = Notes(plane)
        self._journal = Journal(self._folder, self._box, settings.log_bytes)
        self._lead = Lead(self._folder)
        self._planner: Planner | None = None  # of the process that leads
        self._positions = Positions()
        self._saved = 0.0  # monotonic
        self._calls: set[asyncio.Task[None]] = set()
        self._crowded = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to notice, to learn and to warm."""
        self._plane.watch = self._notes.take
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(_ended)

    async def stop(self) -> None:
        """End the calls under way, and keep what was learned."""
        self._plane.watch = None
        if self._task is None:
            return
        self._task.cancel()
        for call in self._calls:
            call.cancel()
        await asyncio.wait([self._task, *self._calls])
        try:
            await self._note()
            if self._planner is not None:
                await self._learn(self._planner)
                await self._save(self._planner)
        except OSError as error:
            log.error("warming: what was learned cannot be kept", extra={"error": str(error)})
        self._lead.release()

    def cleared(self, workspace: str) -> None:
        """The workspace's cache was emptied: nothing of it comes back unasked."""
        self._try(Cleared(workspace, time()))
        if self._planner is not None:
            self._planner.learner.clear(workspace)

    def figures(self) -> Figures:
        """What warming did and has; a few seconds old."""
        return keeping.shown(self._folder)

    async def _run(self) -> None:
        while True:
            try:
                await self._turn()
            except OSError as error:
                log.error("warming pauses: its files cannot be used", extra={"error": str(error)})
            await asyncio.sleep(self.settings.interval)

    async def _turn(self) -> None:
        await self._note()
        if not self._lead.taken():
            return
        planner = self._planner
        if planner is None:
            planner = await self._take_over()
        await self._learn(planner)
        if monotonic() - self._saved >= _SAVED:
            await self._save(planner)
        await self._warm(planner)
        await asyncio.to_thread(keeping.show, self._folder, keeping.told(self._figures(planner)))

    async def _note(self) -> None:
        asked = await self._notes.drain()
        for start in range(0, len(asked), _BATCH):
            noted = Noted(asked[start : start + _BATCH])
            await asyncio.to_thread(self._journal.append, noted)

    # what is learned

    async def _take_over(self) -> Planner:
        settings = self.settings
        kept = await asyncio.to_thread(keeping.load, self._folder, self._box)
        planner = Planner(Learner(settings.prompts, settings.prompt_bytes), terms_of(settings))
        if kept is not None:
            planner.learner.load(kept.state)
            planner.budget.load(kept.budget)
            self._positions = kept.positions
        self._saved = monotonic()
        await self._learn(planner)
        planner.resume(time())
        self._planner = planner
        return planner

    async def _learn(self, planner: Planner) -> None:
        read, leads = journal.read, self._planner is not None
        while found := await asyncio.to_thread(read, self._folder, self._box, self._positions):
            if not leads:  # who leads knows what it spent, and was told of clearings
                _replay_money(planner, found)
            for number, one in enumerate(journal.events(found)):
                if isinstance(one, Asked):
                    planner.observe(one)
                elif not leads:
                    _recall(planner, one)
                if number % _SLICE == _SLICE - 1:
                    await asyncio.sleep(0)

    async def _save(self, planner: Planner) -> None:
        self._saved = monotonic()
        kept = Kept(1, planner.learner.dump(), self._positions, planner.budget.dump())
        await asyncio.to_thread(keeping.save, self._folder, self._box, keeping.packed(kept))
        bound = self.settings.log_bytes
        await asyncio.to_thread(journal.prune, self._folder, self._positions, bound)

    # what is asked

    async def _warm(self, planner: Planner) -> None:
        for _ in range(0, _LOOKS, _SLICE):
            room = self.settings.concurrency - len(self._calls)
            if room <= 0:
                return
            for wish in planner.plan(time(), _SLICE, room):
                self._begin(planner, wish)
            await asyncio.sleep(0)

    def _begin(self, planner: Planner, wish: Wish) -> None:
        task = asyncio.create_task(self._fetch(planner, wish))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _fetch(self, planner: Planner, wish: Wish) -> None:
        """Ask one prompt, and settle what was held for it, whatever happens."""
        plane, prompt = self._plane, planner.learner.prompts.get(wish.digest)
        if prompt is None:
            planner.dropped(wish, time())
            return
        try:
            asking = prepare(plane, prompt.ask, wish.workspace, wish.digest, wish.reserved)
        except Unaskable as reason:
            log.info("a prompt is not warmed", extra={"reason": str(reason)})
            planner.dropped(wish, time(), forget=True)
            return
        if not wish.refresh:
            kept = await look(plane, asking.lookup)
            if kept is not None:
                age = 0.0 if kept.stored is None else monotonic() - kept.stored
                left = max(prompt.lives / 20, prompt.lives - age)
                planner.found(wish, time() + left, time())
                return
        if not has_room(plane, asking.model, self.settings.busy):
            self._crowded += 1
            planner.dropped(wish, time())
            return
        name, cost, kept_it = new_id(time()), wish.reserved, False
        held = Paid(name, wish.workspace, wish.digest, time(), wish.reserved, True)
        if not self._try(held):
            planner.dropped(wish, time())  # what could not be recorded must not cost money
            return
        try:
            cost, kept_it = await ask(plane, asking, wish.refresh)
        finally:
            self._try(Paid(name, wish.workspace, wish.digest, time(), cost, False, kept_it))
            (planner.fetched if kept_it else planner.failed)(wish, cost, time())

    def _try(self, entry: Entry) -> bool:
        try:
            self._journal.append(entry)
        except OSError as error:
            log.error("warming: its log cannot be written", extra={"error": str(error)})
            return False
        return True

    def _figures(self, planner: Planner) -> Figures:
        learner, budget, now = planner.learner, planner.budget, time()
        hour, day = budget.spent(None, now)
        return Figures(
            total=total(list(learner.accounts.values())),
            workspaces=learner.accounts,
            prompts=learner.counts(),
            spent_today={name: budget.spent(name, now)[1] for name in learner.accounts},
            hour=hour or 0,
            day=day,
            at=now,
            unaffordable=planner.unaffordable,
            crowded=self._crowded,
        )


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("warming has ended by a fault", exc_info=error)


def _recall(planner: Planner, one: Cleared | Paid) -> None:
    """What was done before this process began to lead."""
    if isinstance(one, Cleared):
        planner.learner.clear(one.workspace)
    else:
        planner.recall(one.workspace, one.digest, one.money, one.kept, one.at)


def _replay_money(planner: Planner, found: Sequence[Entry]) -> None:
    """Count what was spent before; a call that was not settled counts in full."""
    paid = {one.id: one for one in found if isinstance(one, Paid)}
    for one in paid.values():
        planner.budget.replay(one.workspace, one.money, one.at)


def terms_of(settings: WarmingSettings) -> Terms:
    """The settings in the planner's units."""
    own = settings.workspace_daily_budget
    return Terms(
        hourly=round(settings.hourly_budget * _NANO),
        daily=round(settings.daily_budget * _NANO),
        workspace_daily=_UNBOUNDED if own is None else round(own * _NANO),
        second=round(settings.waiting_value * _NANO / 3600),
        least_chance=settings.least_chance,
        ahead=settings.refresh_ahead,
    )


def total(accounts: list[Account]) -> Account:
    """The sum of several accounts."""
    made = Account()
    for account in accounts:
        for name in Account.__struct_fields__:
            setattr(made, name, getattr(made, name) + getattr(account, name))
    return made
