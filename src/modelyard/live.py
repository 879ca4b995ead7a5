"""The running data plane as the control plane sees it, over all processes of the server."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from time import monotonic

from msgspec import Struct

from modelyard.board import Board, Figures
from modelyard.gateway.cache import CLEARED
from modelyard.gateway.caches import cache_states, level_gauges
from modelyard.gateway.live import CacheState, SemanticState, TargetState, Workers
from modelyard.gateway.warming import warming_gauges
from modelyard.identity.workspaces import workspaces
from modelyard.inference.cache.levels import Levels
from modelyard.inference.health import Health
from modelyard.inference.metrics import Metrics, merge, render
from modelyard.inference.plane import Plane
from modelyard.inference.semantic.cache import SEMANTIC
from modelyard.inference.series import Counts
from modelyard.inference.snapshot import Target
from modelyard.inference.warmer import keeping as warmed
from modelyard.inference.warmer.runner import Warmer
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Commit, Sealed

_NEVER_CALLED = Health()
_GAUGES = (
    ("running", "modelyard_running_requests", "Requests being answered."),
    ("flights", "modelyard_flights", "Upstream calls that may be shared."),
    ("l1_entries", "modelyard_l1_entries", "Answers in the memory caches."),
    ("l1_bytes", "modelyard_l1_bytes", "Bytes of the memory caches."),
    ("connections", "modelyard_connections", "Open client connections."),
)


class Seat(Struct, frozen=True):
    """A process's place among the workers; without a board it is alone."""

    number: int = 0
    parent: int = 0  # process id of the one that forked it
    board: Board | None = None


class Running:
    """This process's plane; with a board, its siblings' figures beside it.

    What a sibling told is at most a second old. The cache is this process's alone.
    """

    def __init__(
        self, plane: Plane, metrics: Metrics, connections: Callable[[], int], seat: Seat
    ) -> None:
        self._plane = plane
        self._metrics = metrics
        self._connections = connections
        self._board = seat.board
        self._number = seat.number
        self.warmer: Warmer | None = None  # None: it is off

    def pending_requests(self) -> int | None:
        """None: there is no queue."""
        return None

    def processing_requests(self) -> int:
        """Requests that any process is answering."""
        return sum(one.running for one in self._figures())

    def workers(self) -> Workers:
        """The processes."""
        total = 1 if self._board is None else self._board.workers
        return Workers(total=total, active=sum(one.running > 0 for one in self._figures()))

    def cache_levels(self) -> list[str]:
        """The names of the cache's levels that are turned on."""
        return self._plane.cache.names()

    async def cache(self, workspace: str) -> dict[str, CacheState]:
        """The cache's levels: the memory is this process's, what was counted is of all."""
        counts = self._counts().levels
        return await cache_states(self._plane.cache, workspace, counts)

    async def clear_cache(self, level: str, workspace: str) -> int | None:
        """Forget the workspace's entries; of L1 those of this process."""
        return await self._plane.cache.clear(level, workspace)

    async def semantic(self, workspace: str) -> SemanticState | None:
        """The semantic cache; None where it is off."""
        semantic = self._plane.semantic
        if semantic is None:
            return None
        counts = self._counts().levels[SEMANTIC]
        return SemanticState(
            error=self._plane.settings.cache.semantic.error,
            trouble=semantic.line.trouble,
            verifier=semantic.line.verifier,
            hits=counts.hits,
            misses=counts.misses,
            errors=counts.errors,
            skipped=counts.skipped,
            told=await semantic.state(workspace),
        )

    async def warming(self) -> warmed.Figures | None:
        """What cache warming did; None where it is off."""
        return None if self.warmer is None else await asyncio.to_thread(self.warmer.figures)

    def targets(self) -> list[TargetState]:
        """Every target of the listed models, and others that have answered; each once."""
        states = self._plane.router.states()
        now, seconds = monotonic(), self._plane.settings.gateway.circuit_seconds
        found: dict[str, TargetState] = {}
        for target, longest in (*self._listed(), *self._answered(states)):
            if target.name in found and longest is None:
                continue
            health = states.get(target.name, _NEVER_CALLED)
            found[target.name] = TargetState(
                provider=target.provider.name,
                model=target.model,
                price=target.price,
                circuit=health.state(now, seconds),
                latency=health.latency,
                max_output_tokens=longest,
            )
        return list(found.values())

    def tell(self) -> None:
        """Let the siblings know what this process has counted until now."""
        self._plane.cache.counted(self._metrics.levels)
        if self._plane.semantic is not None:
            self._metrics.levels[SEMANTIC] = self._plane.semantic.counts
        if self._board is not None:
            self._board.write(self._number, self._own(), self._metrics.counts())

    def exposition(self) -> str:
        """The metrics of all processes together, as Prometheus' text.

        What is shown is told first: it stays counted though this process be killed.
        """
        counts = self._counts()
        figures = self._figures()
        gauges: list[tuple[str, str, float]] = []
        gauges.append(("modelyard_workers", "Server processes.", len(figures)))
        for field, name, text in _GAUGES:
            gauges.append((name, text, sum(getattr(one, field) for one in figures)))
        gauges += level_gauges(self._plane.cache.lower)
        if self.warmer is not None:
            gauges += warming_gauges(self.warmer.figures())
        return render(counts, gauges)

    def _counts(self) -> Counts:
        """What all processes have counted; this one's is told first."""
        self.tell()
        counts = self._metrics.counts()
        if (board := self._board) is not None:
            others = (board.counts(number) for number in board.others(self._number))
            counts = merge([counts, *others])
        return counts

    def _own(self) -> Figures:
        plane = self._plane
        return Figures(
            pid=os.getpid(),
            running=plane.admission.running(),
            flights=len(plane.flights),
            l1_entries=plane.cache.memory.entries,
            l1_bytes=plane.cache.memory.bytes,
            connections=self._connections(),
        )

    def _figures(self) -> list[Figures]:
        """Of every process that lives."""
        board = self._board
        if board is None:
            return [self._own()]
        others = (board.figures(number) for number in board.others(self._number))
        return [self._own(), *(one for one in others if one is not None)]

    def _answered(self, states: Mapping[str, Health]) -> Iterator[tuple[Target, int | None]]:
        snapshot = self._plane.snapshot
        for name, health in states.items():
            provider, _, model = name.partition("/")
            if health.successes and provider in snapshot.providers:
                yield snapshot.target(provider, model), None

    def _listed(self) -> Iterator[tuple[Target, int | None]]:
        for model in self._plane.snapshot.listed:
            for target in model.targets():
                yield target, model.max_output_tokens


class Clearings:
    """Makes the clearing of one process's cache take effect in all: by the audit trail.

    Each process follows the trail, so a clearing reaches them all within a second, those of
    another server with the same database too. The end of a workspace clears every level: another
    one may get its name.
    """

    def __init__(self, cache: Levels) -> None:
        self._cache = cache
        self._own: set[str] = set()  # made in this process: their cache has been cleared

    def made(self, commit: Commit) -> None:
        """A commit of this process."""
        for event in commit.events:
            if event.verb == CLEARED:
                self._own.add(event.id)
            elif (workspace := _ended(event)) is not None:
                self._own.add(event.id)
                self._cache.forget(workspace)

    def follow(self, found: list[Sealed]) -> None:
        """Clear what other processes have cleared."""
        for one in found:
            event = one.event
            if event.id in self._own:
                self._own.remove(event.id)
            elif event.verb == CLEARED:
                told = event.after or {}
                level, pending = told.get("level", "all"), told.get("pending", ())
                self._cache.follow(event.workspace, event.at, level, pending)
            elif (workspace := _ended(event)) is not None:
                self._cache.forget(workspace)


def forget_questions(plane: Plane, found: list[Sealed]) -> None:
    """Clear the semantic cache of what any process has cleared: its answers are gone already.

    Not with L1 alone: what lies below it still answers.
    """
    if plane.semantic is None:
        return
    if plane.cache.lower:
        found = [one for one in found if not _of_memory_alone(one.event)]
    for workspace in _emptied(found):
        plane.semantic.clear(workspace)


def _of_memory_alone(event: Event) -> bool:
    return event.verb == CLEARED and (event.after or {}).get("level") == "l1"


def forget_prompts(warmer: Warmer, found: list[Sealed]) -> None:
    """Warm nothing of what any process has cleared, before it is asked for again."""
    for workspace in _emptied(found):
        warmer.cleared(workspace)


def _emptied(found: list[Sealed]) -> Iterator[str]:
    """The workspaces whose answers were cleared, or that ended."""
    for one in found:
        if one.event.verb == CLEARED:
            yield one.event.workspace
        elif (workspace := _ended(one.event)) is not None:
            yield workspace


def _ended(event: Event) -> str | None:
    """The workspace that an event tells the end of."""
    if event.kind != workspaces.kind or event.verb != "workspace.delete":
        return None
    return event.resource.rpartition("/")[2]
