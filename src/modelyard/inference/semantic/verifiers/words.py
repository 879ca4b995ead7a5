"""What a prompt is made of: its words, numbers, names, negations, and the kind of its question."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?|[+#$€£%&=<>*/^]+")
_BETWEEN = re.compile(r"[\W_]+")  # letters and digits
_SENTENCE = re.compile(r"[.!?]\s+|^|[\"“(]")


class _Lists(Struct):
    """``words.json``: words by what they do in a prompt, mostly separated by spaces."""

    empty: str  # carry no topic; what they tell is looked at apart
    negations: str
    opposed: list[str]  # each the opposite of the others of its group
    units: dict[str, str]
    numbers: dict[str, str]
    asking: dict[str, str]
    asked_how: dict[str, str]
    asked_what: dict[str, str]
    whether: str


_LISTS = msgspec.json.decode(Path(__file__).with_name("words.json").read_bytes(), type=_Lists)
EMPTY = frozenset(_LISTS.empty.split())
NEGATIONS = frozenset(_LISTS.negations.split())
_ASKING, _ASKED_HOW, _FEELING = _LISTS.asking, _LISTS.asked_how, _LISTS.asked_what
_YES_OR_NO = frozenset(_LISTS.whether.split())
_NUMBERS = _LISTS.numbers
_UNITS = {name: unit for unit, names in _LISTS.units.items() for name in names.split()}
_OPPOSITE: dict[str, set[str]] = {}
for _group in map(str.split, _LISTS.opposed):
    for _word in _group:
        _OPPOSITE.setdefault(_word, set()).update(set(_group) - {_word})

Rarity = Callable[[str], float]


class Read(NamedTuple):
    """A prompt, read."""

    words: tuple[str, ...]  # all, lower case, in their order
    stems: tuple[str, ...]  # of the words with a topic, in their order
    weights: dict[str, float]  # of each stem: how rare it is
    numbers: frozenset[tuple[str, int]]  # each with the number of times that it came before
    units: frozenset[str]
    names: frozenset[str]  # capitalised within a sentence, lower case
    question: str  # how, why, when, where, who, what, count, duration, whether, or nothing
    negations: int
    symbols: frozenset[str]
    shingles: frozenset[str]  # three characters each


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """A word without its commonest English endings; not a linguist's stem."""
    word = word.removesuffix("'s").removesuffix("’s")
    for ending, kept in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("edly", ""), ("ed", ""),
                         ("ly", ""), ("es", "e"), ("s", "")):  # fmt: skip
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: len(word) - len(ending)] + kept
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "lse":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def read(text: str, rarity: Rarity) -> Read:
    """Take a prompt apart. ``rarity`` is a word's weight, larger for rarer ones."""
    found = [(match.group(), match.start()) for match in _TOKEN.finditer(text)]
    words = tuple(token.lower().replace("’", "'") for token, _ in found)
    topics = [word for word in words if word not in EMPTY and word[0].isalnum()]
    weights: dict[str, float] = {}
    for word in topics:
        name = stem(word)
        weights[name] = max(weights.get(name, 0.0), rarity(word))
    low = f" {_BETWEEN.sub(' ', text.lower()).strip()} "
    return Read(
        words,
        tuple(map(stem, topics)),
        weights,
        frozenset(_numbered(map(_number, filter(_counts, words)))),
        frozenset(_UNITS[word] for word in words if word in _UNITS),
        frozenset(_names(text, found)),
        _question(words),
        sum(word in NEGATIONS or word.endswith("n't") for word in words),
        frozenset(word for word in words if not word[0].isalnum()),
        frozenset([low[at : at + 3] for at in range(len(low) - 2)]),
    )


def _counts(word: str) -> bool:
    return word[0].isdigit() or word in _NUMBERS


def _number(word: str) -> str:
    """A number as it is compared: 1,000 is 1000, and 2.50 is 2.5."""
    word = _NUMBERS.get(word, word)
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", word):
        word = word.replace(",", "")
    if re.fullmatch(r"\d+\.\d+", word):
        word = word.rstrip("0").rstrip(".")
    return word.lstrip("0") or "0" if word.isdigit() else word


def _numbered(numbers: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Each with the number of times that it came before: "1 and 1" is not "1 and 2"."""
    seen: Counter[str] = Counter()
    for number in numbers:
        yield number, seen[number]
        seen[number] += 1


def _names(text: str, found: list[tuple[str, int]]) -> list[str]:
    """Words with a capital that do not begin a sentence, and those with several."""
    starts = {match.end() for match in _SENTENCE.finditer(text)}
    return [
        token.lower().removesuffix("'s")
        for token, start in found
        if (token[0].isupper() and start not in starts and token.lower() not in EMPTY)
        or (len(token) > 1 and token.isupper() and token.lower() not in EMPTY)
    ]


def _question(words: tuple[str, ...]) -> str:
    for at, word in enumerate(words):
        kind = _ASKING.get(word)
        if kind is None:
            continue
        after = words[at + 1 : at + 6]
        if kind == "how":
            return _ASKED_HOW.get(after[0], "how") if after else "how"
        if kind == "what":
            return next((_FEELING[one] for one in after if one in _FEELING), "what")
        return kind
    return "whether" if words and words[0] in _YES_OR_NO else ""


def opposed(one: Read, other: Read) -> int:
    """How many words of the one have their opposite in the other alone."""
    mine, theirs = set(one.words), set(other.words)
    return sum(1 for word in mine - theirs if _OPPOSITE.get(word, _NONE) & (theirs - mine))


_NONE: set[str] = set()
