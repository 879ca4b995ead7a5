"""What may be spent on warming: by the hour and the day, in all and by workspace."""

from __future__ import annotations

from msgspec import Struct

from modelyard.inference.cache.warming.rhythm import DAY, HOUR


class Purse(Struct):
    """One sum for each period. Money in nano-dollars; periods begin at whole hours or days, UTC."""

    limit: int
    seconds: float
    period: int = -1
    spent: int = 0
    reserved: int = 0  # of calls under way; they count in the period in which they end

    def left(self, now: float) -> int:
        """What may still be promised."""
        if (period := int(now // self.seconds)) > self.period:
            self.period, self.spent = period, 0
        return self.limit - self.spent - self.reserved


class Budget:
    """Reserves before a call and settles after it, so that no sum of calls passes a limit.

    A call must not cost more than was reserved for it. The workspaces' purses are bounded in
    number: those with nothing in them go first.
    """

    MOST = 10_000

    def __init__(self, hourly: int, daily: int, workspace_daily: int) -> None:
        self._all = (Purse(hourly, HOUR), Purse(daily, DAY))
        self._workspace_daily = workspace_daily
        self._own: dict[str, Purse] = {}

    def left(self, workspace: str, now: float) -> int:
        """What may be promised for this workspace now."""
        return min(purse.left(now) for purse in self._purses(workspace))

    def reserve(self, workspace: str, money: int, now: float) -> bool:
        """Hold ``money`` for a call; False, and nothing is held, when it is not there."""
        purses = self._purses(workspace)
        if money > min(purse.left(now) for purse in purses):
            return False
        for purse in purses:
            purse.reserved += money
        return True

    def settle(self, workspace: str, reserved: int, spent: int, now: float) -> None:
        """The call is over and cost ``spent``."""
        for purse in self._purses(workspace):
            purse.left(now)  # which begins a new period where one is due
            purse.reserved -= reserved
            purse.spent += spent

    def replay(self, workspace: str, spent: int, at: float) -> None:
        """Count what was spent before a restart, where its hour or day still runs."""
        for purse in self._purses(workspace):
            purse.left(at)
            if int(at // purse.seconds) == purse.period:
                purse.spent += spent

    def spent(self, workspace: str | None, now: float) -> tuple[int | None, int]:
        """Spent in this hour (None of one workspace) and in this day."""
        if workspace is None:
            for purse in self._all:
                purse.left(now)
            return self._all[0].spent, self._all[1].spent
        own = self._own.get(workspace)
        if own is None:
            return None, 0
        own.left(now)
        return None, own.spent

    def dump(self) -> dict[str, tuple[int, int]]:
        """Period and sum of each purse; the server's are "hour:" and "day:".

        What is held counts as spent: nobody may be left to tell what it cost.
        """
        named = {"hour:": self._all[0], "day:": self._all[1]}
        named |= {f"of:{name}": purse for name, purse in self._own.items()}
        return {name: (purse.period, purse.spent + purse.reserved) for name, purse in named.items()}

    def load(self, sums: dict[str, tuple[int, int]]) -> None:
        """Go on from what was spent before."""
        for name, (period, spent) in sums.items():
            kind, _, workspace = name.partition(":")
            purse = self._all[0] if kind == "hour" else self._all[1]
            if kind == "of":
                purse = self._purse(workspace)
            purse.period, purse.spent = period, spent

    def _purses(self, workspace: str) -> tuple[Purse, Purse, Purse]:
        return (*self._all, self._purse(workspace))

    def _purse(self, workspace: str) -> Purse:
        own = self._own.get(workspace)
        if own is None:
            if len(self._own) >= self.MOST:
                today = max(one.period for one in self._own.values())
                self._own = {
                    name: one
                    for name, one in self._own.items()
                    if one.reserved or (one.spent and one.period == today)
                }
            own = self._own[workspace] = Purse(self._workspace_daily, DAY)
        return own
