"""The workload: several weeks made from an hour of a trace, asked with questions of QQP.

It is synthetic, and this file states how. From the trace come the moments within an hour (bursts
and gaps as they were) and the sizes of prompts and answers. From QQP come the texts. Made up are
the rhythm of day and week, who asks what how often, and what returns: the trace does not tell.
"""

import csv
import gzip
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path

HOUR, DAY = 3600.0, 86_400.0
START = 1_704_067_200.0  # Monday, 2024-01-01, 00:00 UTC
TRACE = "azure_llm_trace_conv.csv.gz"
QUESTIONS = "qqp_pairs.jsonl.gz"
USERS = 40
PEAK = 45.0  # requests in the busiest hour of a working day, before what is scheduled
NIGHT = 0.05  # of the peak
WEEKEND = 0.3  # of a working day
INPUT, OUTPUT = 2_500, 10_000  # nano-dollars a token: 2.50 and 10 USD a million
FIRST_TOKEN, EACH_TOKEN = 0.5, 0.02  # seconds: what an answer takes


@dataclass(frozen=True)
class Kind:
    """How much of what there is; the shares are of the requests that are not scheduled."""

    name: str
    popular: float  # of a fixed set, by Zipf's law
    sequences: float  # a question that others tend to follow
    bursts: float  # asked again and again for some minutes, then never
    daily: int  # prompts that come each working day at their time
    weekly: int  # … once a week

    @property
    def once(self) -> float:
        """The share of questions that never return."""
        return 1.0 - self.popular - self.sequences - self.bursts


MIXED = Kind("mixed", popular=0.4, sequences=0.15, bursts=0.1, daily=80, weekly=60)
POPULAR = Kind("popularity only", popular=0.5, sequences=0.0, bursts=0.1, daily=0, weekly=0)
SCHEDULED = Kind("schedules only", popular=0.0, sequences=0.0, bursts=0.0, daily=80, weekly=60)
ONCE = Kind("nothing returns", popular=0.0, sequences=0.0, bursts=0.0, daily=0, weekly=0)
ZIPF, POPULATION = 0.9, 2_000
CHAINS = 120  # sequences of three questions
THEN = (0.75, 0.6)  # chance that the second follows the first, and the third the second
LATER = (20.0, 300.0)  # seconds between them
AGAIN = 600.0  # seconds that a burst lasts on the average
MISSED = 0.05  # chance that what is scheduled does not come
JITTER = 180.0  # seconds (standard deviation) by which it is early or late
READERS = 3  # different users who ask it within ten minutes, at most


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question, and what its answer takes."""

    digest: bytes
    text: str
    cost: int  # nano-dollars
    seconds: float


@dataclass(frozen=True, slots=True)
class Request:
    """That somebody asks it."""

    at: float
    prompt: Prompt
    user: str
    why: str


@dataclass(frozen=True)
class Data:
    """What was measured by others."""

    moments: list[float]  # seconds within the hour, ascending
    sizes: list[tuple[int, int]]  # tokens of prompts and answers
    questions: list[str]


def read(folder: Path, most: int = 60_000) -> Data:
    """The trace and the questions. Raises OSError where they are not."""
    moments, sizes = [], []
    with gzip.open(folder / TRACE, "rt", newline="") as lines:
        for row in csv.DictReader(lines):
            moments.append(datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp())
            sizes.append((int(row["ContextTokens"]), int(row["GeneratedTokens"])))
    first, length = moments[0], moments[-1] - moments[0]
    questions: dict[str, None] = {}
    with gzip.open(folder / QUESTIONS, "rt", encoding="utf-8") as pairs:
        for line in pairs:
            pair = json.loads(line)
            questions |= {pair["text_a"]: None, pair["text_b"]: None}
            if len(questions) >= most:
                break
    scaled = [(at - first) * HOUR / (length + 1.0) for at in moments]
    return Data(scaled, sizes, list(questions))


def busy(at: float) -> float:
    """The stated rhythm: 1 at two in the afternoon of a working day, UTC."""
    hour, day = (at % DAY) / HOUR, int((at - START) // DAY) % 7
    curve = max(NIGHT, ((1 + math.cos(2 * math.pi * (hour - 14) / 24)) / 2) ** 1.5)
    return curve * (WEEKEND if day >= 5 else 1.0)


class Maker:
    """Makes one workload; the same seed makes the same."""

    def __init__(self, data: Data, kind: Kind, days: int, seed: int) -> None:
        self._data, self._kind, self._days = data, kind, days
        self._random = random.Random(seed)
        self._unused = list(data.questions)
        self._random.shuffle(self._unused)
        self._burst: tuple[Prompt, float] | None = None
        weights = (1 / (rank + 1) ** ZIPF for rank in range(POPULATION))
        self._cumulated = list(accumulate(weights))
        self._popular = [self._new() for _ in range(POPULATION)]
        self._chains = [[self._new() for _ in range(3)] for _ in range(CHAINS)]

    def requests(self) -> list[Request]:
        """All of them, by time."""
        made = [*self._unscheduled(), *self._scheduled()]
        made.sort(key=lambda one: one.at)
        return made

    def _new(self) -> Prompt:
        text = self._unused.pop()
        before, after = self._random.choice(self._data.sizes)
        return Prompt(
            digest=blake2b(text.encode(), digest_size=32).digest(),
            text=text,
            cost=before * INPUT + after * OUTPUT,
            seconds=FIRST_TOKEN + after * EACH_TOKEN,
        )

    def _unscheduled(self) -> Iterator[Request]:
        draw = self._random
        for hour in range(24 * self._days):
            begin = START + hour * HOUR
            share = PEAK * busy(begin) / len(self._data.moments)
            for moment in self._data.moments:
                if draw.random() < share:
                    yield from self._one(begin + moment, f"user-{draw.randrange(USERS)}")

    def _one(self, at: float, user: str) -> Iterator[Request]:
        kind, dice = self._kind, self._random.random()
        if dice < kind.popular:
            found = self._random.choices(self._popular, cum_weights=self._cumulated)[0]
            yield Request(at, found, user, "popular")
        elif dice < kind.popular + kind.sequences:
            yield from self._chain(at, user)
        elif dice < kind.popular + kind.sequences + kind.bursts:
            yield Request(at, self._again(at), user, "burst")
        else:
            yield Request(at, self._new(), user, "once")

    def _chain(self, at: float, user: str) -> Iterator[Request]:
        chain = self._chains[int(CHAINS * self._random.random() ** 2)]
        yield Request(at, chain[0], user, "sequence")
        for prompt, chance in zip(chain[1:], THEN, strict=True):
            if self._random.random() >= chance:
                return
            at += self._random.uniform(*LATER)
            yield Request(at, prompt, user, "sequence")

    def _again(self, at: float) -> Prompt:
        if self._burst is None or at >= self._burst[1]:
            self._burst = (self._new(), at + self._random.expovariate(1 / AGAIN))
        return self._burst[0]

    def _scheduled(self) -> Iterator[Request]:
        draw = self._random
        for weekly in (False, True):
            for _ in range(self._kind.weekly if weekly else self._kind.daily):
                prompt, weekday = self._new(), draw.randrange(5)
                moment = draw.uniform(6 * HOUR, 20 * HOUR)
                for day in range(self._days):
                    if day % 7 == weekday if weekly else day % 7 < 5:
                        yield from self._scheduled_one(START + day * DAY + moment, prompt)

    def _scheduled_one(self, at: float, prompt: Prompt) -> Iterator[Request]:
        draw = self._random
        if draw.random() < MISSED:
            return
        at += draw.gauss(0, JITTER)
        for number in range(draw.randint(1, READERS)):
            user = f"user-{draw.randrange(USERS)}"
            yield Request(at + number * draw.uniform(0, 600), prompt, user, "scheduled")
