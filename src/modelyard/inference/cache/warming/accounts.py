"""What warming did: told apart from what would have happened without it."""

from __future__ import annotations

from msgspec import Struct

from modelyard.inference.cache.warming.prompts import Asked, Prompt


class Account(Struct):
    """Of one workspace, since warming was turned on. Money in nano-dollars.

    A hit counts as ``saved`` only where the cache alone would have missed: of each prompt it is
    known until when it would be there if nobody had warmed it. A warm answer saves one call at
    most: the cache alone would have had the answer of that call from then on.
    """

    warmed: int = 0  # answers fetched
    failed: int = 0  # calls that brought none
    used: int = 0  # warm answers that answered a request when the cache alone had nothing
    wasted: int = 0  # those that did not, until they expired or were replaced
    spent: int = 0
    saved: int = 0  # cost of the calls that those requests would have been
    wasted_money: int = 0
    seconds: float = 0.0  # of waiting that those calls would have taken

    def asked(self, prompt: Prompt, asked: Asked) -> None:
        """A client asked for it. Call before the prompt is told."""
        at = asked.at
        if at < prompt.alone:
            return  # the cache alone would have had it
        prompt.alone = at + asked.lives  # it would have been fetched now
        if prompt.warmed < 0:
            return
        if not asked.hit or at >= prompt.covered:
            self.gone(prompt)  # evicted, expired, or somebody else has brought it since
            return
        prompt.warmed = -1
        self.used += 1
        self.seconds += prompt.seconds
        self.saved += round(prompt.cost or 0.0)

    def fetched(self, prompt: Prompt, cost: int) -> None:
        """It was warmed for ``cost``."""
        self.gone(prompt)
        self.warmed += 1
        self.spent += cost
        prompt.warmed = cost

    def unknown(self, cost: int) -> None:
        """A prompt was warmed that nobody knows any more."""
        self.warmed += 1
        self.spent += cost
        self.wasted += 1
        self.wasted_money += cost

    def gone(self, prompt: Prompt) -> None:
        """Its warm answer, if it has one, is there no longer."""
        if prompt.warmed >= 0:
            self.wasted += 1
            self.wasted_money += prompt.warmed
            prompt.warmed = -1

    def failure(self, cost: int) -> None:
        """A call that brought no answer to keep; it may have cost something."""
        self.failed += 1
        self.spent += cost
