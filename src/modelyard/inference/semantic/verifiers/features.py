"""What two prompts have in common and what not, as numbers that do not depend on their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import log
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from modelyard.inference.semantic.verdict import Pair
from modelyard.inference.semantic.verifiers.words import Rarity, Read, opposed, read

NAMES = (
    "cosine", "words_least", "words_most", "words_ratio", "equal_words", "shared", "shared_weight",
    "held_least", "held_most", "unshared_least", "unshared_most", "rarest_least", "rarest_most",
    "rarest_shared", "left_least", "left_most", "pairs_shared", "begin", "end", "moved", "longest",
    "letters", "numbers_differ", "numbers_one_side", "numbers_shared", "units_differ",
    "names_differ", "names_one_side", "names_shared", "question_differs", "question_open",
    "question_same", "negations_differ", "negated", "opposed", "symbols_differ", "person_differs",
    "modal_differs", "empty_shared", "near_least", "near_mean", "near_worst", "sum_off",
    "difference_1", "difference_8", "difference_32", "agree_8",
)  # fmt: skip

_FIRST_WORD = (
    1996  # of BERT's vocabulary, which is ordered by how common words are; before: letters
)
_SIZE = 30522
_PERSONS = ({"i", "me", "my", "mine", "myself"}, {"we", "us", "our"}, {"you", "your"},
            {"he", "him", "his", "she", "her"}, {"they", "them", "their"})  # fmt: skip
_MODALS = ({"can", "could", "able"}, {"should", "must", "need", "ought"}, {"will", "would"},
           {"was", "were", "did", "had"}, {"best", "most", "top"})  # fmt: skip

Texts = Callable[[str], Read]
_T = TypeVar("_T")


def rarity_of(tokenizer: Tokenizer) -> Rarity:
    """How rare a word is by its place in the vocabulary: 0 for "the", about 1; more if unknown."""
    scale = log(_SIZE - _FIRST_WORD)
    place = tokenizer.token_to_id

    def rarity(word: str) -> float:
        at = place(word)
        if at is None:
            return 1.15
        return log(max(1, at - _FIRST_WORD)) / scale if at >= _FIRST_WORD else 0.5

    return rarity


def reader(home_of_model: Path) -> Texts:
    """What reads texts with the vocabulary of an installed model; remembers the last ones."""
    rarity = rarity_of(Tokenizer.from_file(str(home_of_model / "tokenizer.json")))
    return lru_cache(maxsize=4_096)(lambda text: read(text, rarity))


def features(pairs: Sequence[Pair], texts: Texts) -> NDArray[np.float32]:
    """A row for each pair, a column for each of NAMES."""
    return np.array([_row(pair, texts) for pair in pairs], np.float32).reshape(-1, len(NAMES))


def _row(pair: Pair, texts: Texts) -> list[float]:
    one, other = texts(pair.asked), texts(pair.kept)
    return [
        pair.similarity,
        *_overlap(one, other),
        *_order(one, other),
        *_facts(one, other),
        *_spoken(one, other),
        *_vectors(pair),
    ]


def _ends(one: float, other: float) -> tuple[float, float]:
    return (one, other) if one <= other else (other, one)


def _overlap(one: Read, other: Read) -> list[float]:
    """How much of the topics is shared, by count and by weight."""
    mine, theirs = one.weights, other.weights
    shared = mine.keys() & theirs.keys()
    both = sum(min(mine[name], theirs[name]) for name in shared)
    sums = sum(mine.values()), sum(theirs.values())
    left = [[w for name, w in part.items() if name not in shared] for part in (mine, theirs)]
    held = [both / total if total else 1.0 for total in sums]
    least, most = _ends(len(one.words), len(other.words))
    union = len(mine.keys() | theirs.keys())
    rest = sum(sums) - both
    return [
        least,
        most,
        least / most if most else 1.0,
        float(one.words == other.words),
        len(shared) / union if union else 1.0,
        both / rest if rest else 1.0,
        *_ends(*held),
        *_ends(*map(sum, left)),
        *_ends(*(max(part, default=0.0) for part in left)),
        max((mine[name] for name in shared), default=0.0),
        *_ends(*map(len, left)),
    ]


def _order(one: Read, other: Read) -> list[float]:
    """What follows what: pairs of words, beginnings, ends, and letters."""
    follow = [set(zip(part.words, part.words[1:], strict=False)) for part in (one, other)]
    all_pairs = len(follow[0] | follow[1])
    begin = _same(one.words, other.words)
    end = _same(one.words[::-1], other.words[::-1])
    most = max(len(one.words), len(other.words), 1)
    letters = len(one.shingles | other.shingles)
    return [
        len(follow[0] & follow[1]) / all_pairs if all_pairs else 1.0,
        begin / most,
        end / most,
        _moved(one.stems, other.stems),
        _common(one.words, other.words) / most,
        len(one.shingles & other.shingles) / letters if letters else 1.0,
    ]


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _moved(one: Sequence[str], other: Sequence[str]) -> float:
    """The share of shared words' pairs whose order is turned round."""
    places = {name: at for at, name in enumerate(dict.fromkeys(other))}
    order = [places[name] for name in dict.fromkeys(one) if name in places]
    count = len(order) * (len(order) - 1) / 2
    turned = sum(order[i] > order[j] for i in range(len(order)) for j in range(i + 1, len(order)))
    return turned / count if count else 0.0


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, of the first 64 words.

    A bit for each word of the other, 0 where the sequence is longer with it than before it: a row
    of the table at once (Hyyrö, 2004).
    """
    places: dict[str, int] = {}
    for at, word in enumerate(other[:64]):
        places[word] = places.get(word, 0) | 1 << at
    size = min(len(other), 64)
    row = whole = (1 << size) - 1
    for word in one[:64]:
        met = row & places.get(word, 0)
        row = (row + met | row - met) & whole
    return size - row.bit_count()


def _sets(one: frozenset[_T], other: frozenset[_T]) -> tuple[float, float, float]:
    """Whether both have what the other lacks; whether just one has; how many are shared."""
    mine, theirs = one - other, other - one
    return float(bool(mine and theirs)), float(bool(mine) != bool(theirs)), float(len(one & other))


def _facts(one: Read, other: Read) -> list[float]:
    """Numbers, units, names, the kind of question, negations, opposites, symbols."""
    asked = one.question, other.question
    known = bool(asked[0] and asked[1])
    names = one.names | other.names  # a name written small on one side is shared
    return [
        *_sets(one.numbers, other.numbers),
        float(one.units != other.units and bool(one.units and other.units)),
        *_sets(names & frozenset(one.words), names & frozenset(other.words)),
        float(known and asked[0] != asked[1]),
        float(not known and asked[0] != asked[1]),
        float(known and asked[0] == asked[1]),
        float(one.negations % 2 != other.negations % 2),
        float(min(one.negations, other.negations)),
        float(opposed(one, other)),
        float(len(one.symbols ^ other.symbols)),
    ]


def _spoken(one: Read, other: Read) -> list[float]:
    """Who is spoken of, how it is meant, and the words without a topic."""
    mine, theirs = set(one.words), set(other.words)
    return [
        float(sum(bool(group & mine) != bool(group & theirs) for group in _PERSONS)),
        float(sum(bool(group & mine) != bool(group & theirs) for group in _MODALS)),
        len(mine & theirs) / len(mine | theirs) if mine | theirs else 1.0,
        *_near(one, other),
    ]


def _near(one: Read, other: Read) -> list[float]:
    """How like in their letters the words are that only one side has: least, mean, and weighed."""
    left = [
        [name for name in part.weights if name not in rest.weights]
        for part, rest in ((one, other), (other, one))
    ]
    if not left[0] or not left[1]:
        return [1.0, 1.0, sum(map(len, left))]
    here, there = ([_letters(name) for name in names[:12]] for names in left)
    alike = [[_alike(mine, theirs) for theirs in there] for mine in here]
    best = [*map(max, alike), *map(max, zip(*alike, strict=True))]
    return [min(best), sum(best) / len(best), sum(1 - value for value in best)]


@lru_cache(maxsize=8_192)
def _letters(word: str) -> frozenset[str]:
    """Pairs of letters, word ends included."""
    spaced = f" {word} "
    return frozenset([spaced[at : at + 2] for at in range(len(word) + 1)])


def _alike(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of pairs that both have (Dice)."""
    return 2 * len(one & other) / (len(one) + len(other))


def _vectors(pair: Pair) -> list[float]:
    """How two vectors differ beyond their cosine: in a few places strongly, or everywhere."""
    apart = np.sort(np.abs(pair.asked_vector - pair.kept_vector))[::-1]
    agree = np.sort(pair.asked_vector * pair.kept_vector)[::-1]
    return [
        float(apart.sum()),
        float(apart[0]),
        float(apart[:8].sum()),
        float(apart[:32].sum()),
        float(agree[:8].sum()),
    ]
