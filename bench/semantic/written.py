"""Labelled pairs made of templates: what the light verifier that ships is fitted on.

Every pair is written here, so that nothing of anybody else's is in the verifier. A pair is right
when both say the same in other words; it is wrong when one thing differs that changes the answer:
a number, a unit, a name, a thing, a direction, a negation, an opposite, or what is asked of it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from modelyard.inference.semantic.verifiers.pairs import Labelled

HOW = (
    "How do I {}?", "How can I {}?", "What is the best way to {}?", "how to {}",
    "Could you tell me how to {}?", "What are the steps to {}?", "I want to {}. How do I do that?",
    "What should I do to {}?", "Please explain how I can {}.", "What's the easiest way to {}?",
)  # fmt: skip
WHY = ("Why should I {}?", "What is the reason to {}?", "Why is it good to {}?")
WHEN = ("When should I {}?", "What is the right time to {}?", "When is it best to {}?")
WHETHER = ("Should I {}?", "Is it a good idea to {}?", "Is it worth it to {}?")
COST = ("How much does it cost to {}?", "What does it cost to {}?", "What is the price to {}?")
LENGTH = ("How long does it take to {}?", "How much time do I need to {}?")
ASKS = (HOW, WHY, WHEN, WHETHER, COST, LENGTH)
WHAT = (
    "What is {}?", "What does {} mean?", "Explain {}.", "Can you explain what {} is?", "Define {}.",
    "What do you mean by {}?", "what exactly is {}",
)  # fmt: skip
OF = ("What is the {1} of {0}?", "Tell me the {1} of {0}.", "What is {0}'s {1}?", "{1} of {0}?")
BETTER = (
    "Which is better, {0} or {1}?", "What is better: {0} or {1}?", "Is {0} better than {1}?",
    "Should I choose {0} or {1}?",
)  # fmt: skip
ROUTES = (
    "How do I get from {0} to {1}?", "What is the way from {0} to {1}?",
    "How can I travel from {0} to {1}?", "How do you go from {0} to {1}?",
)  # fmt: skip
UNITS = ("How much is {2} {0} in {1}?", "Convert {2} {0} to {1}.", "What is {2} {0} in {1}?")
AMONG = ("What are the {0} best {1}?", "Which are the top {0} {1}?", "Name the {0} best {1}.")
EVENTS = (
    "What happened in {0} in {1}?",
    "What took place in {0} in {1}?",
    "{0} in {1}: what happened?",
)

VERBS = {
    "reset": ("my password", "my router", "the printer", "my phone", "the account"),
    "change": ("my e-mail address", "my username", "the oil of my car", "a tyre", "my password"),
    "cook": ("rice", "pasta", "a steak", "an omelette", "lentils", "salmon"),
    "learn": ("Spanish", "Python", "the piano", "to swim", "French", "chess", "JavaScript"),
    "install": ("Docker", "Ubuntu", "Photoshop", "a dishwasher", "PostgreSQL", "Python"),
    "remove": ("a coffee stain", "a virus from my laptop", "wallpaper", "rust", "a tattoo"),
    "write": ("a cover letter", "a novel", "a unit test", "a sonnet", "a business plan"),
    "buy": ("a house", "bitcoin", "a used car", "shares of Apple", "a train ticket"),
    "sell": ("a house", "bitcoin", "a used car", "shares of Apple", "old books"),
    "increase": ("my salary", "the font size", "my heart rate", "sales", "the memory limit"),
    "reduce": ("my weight", "the font size", "my heart rate", "stress", "the memory limit"),
    "cancel": ("my subscription", "a flight", "an order", "a hotel booking", "a meeting"),
    "renew": ("my passport", "my subscription", "a driving licence", "a visa"),
    "open": ("a bank account", "a restaurant", "a zip file", "a jar", "port 8080"),
    "close": ("a bank account", "a restaurant", "port 8080", "a pull request"),
    "sort": ("a list in Python", "a list in Java", "a table in Excel", "my photos by date"),
    "grow": ("tomatoes", "basil", "a beard", "my business", "roses"),
    "fix": ("a leaking tap", "a flat tyre", "a slow laptop", "a broken zip", "a merge conflict"),
    "enable": ("dark mode", "two-factor authentication", "cookies", "notifications", "caching"),
    "disable": ("dark mode", "two-factor authentication", "cookies", "notifications", "caching"),
}  # fmt: skip
SAME = (
    ("buy", "purchase"), ("fix", "repair"), ("remove", "get rid of"), ("write", "compose"),
    ("increase", "raise"), ("reduce", "lower"), ("install", "set up"), ("learn", "study"),
    ("enable", "turn on"), ("disable", "turn off"), ("change", "modify"), ("sort", "order"),
)  # fmt: skip
THINGS = (
    "photosynthesis", "machine learning", "inflation", "a black hole", "recursion", "democracy",
    "a mortgage", "the stock market", "deep learning", "deflation", "a white dwarf", "iteration",
    "an index fund", "a hedge fund", "quantum physics", "classical physics", "osmosis", "diffusion",
    "a REST API", "GraphQL", "Kubernetes", "blood pressure", "cholesterol", "supply and demand",
)  # fmt: skip
PLACES = (
    "France", "Germany", "Japan", "Brazil", "India", "Canada", "Kenya", "Norway", "Italy", "Peru",
    "Paris", "London", "Berlin", "Tokyo", "Delhi", "Mumbai", "Boston", "Chicago", "Rome", "Madrid",
)  # fmt: skip
TRAITS = ("capital", "population", "currency", "area", "official language", "history", "climate")
RIVALS = (
    ("Python", "Java"), ("an iPhone", "a Pixel"), ("tea", "coffee"), ("Linux", "Windows"),
    ("MySQL", "PostgreSQL"), ("renting", "buying"), ("yoga", "pilates"), ("a cat", "a dog"),
    ("React", "Angular"), ("gold", "silver"), ("running", "swimming"), ("TCP", "UDP"),
)  # fmt: skip
MEASURES = (
    ("kilometers", "miles"), ("kilograms", "pounds"), ("celsius", "fahrenheit"),
    ("euros", "dollars"),
    ("liters", "gallons"), ("meters", "feet"), ("hours", "minutes"), ("megabytes", "gigabytes"),
)  # fmt: skip
LISTS = ("books on history", "laptops for students", "Italian restaurants", "films of the year",
         "cities to live in", "exercises for the back", "open source databases")  # fmt: skip
WHERE = ("in Python", "in Java", "on Windows", "on Linux", "for beginners", "at home", "in India",
         "in Canada", "on an iPhone", "on Android", "without a computer", "for free")  # fmt: skip
SLIPS = (
    ("What is", "What's"), ("How do I", "How do you"), ("How can I", "How could I"), (" the ", " "),
    (" a ", " "), ("?", ""), ("my ", "the "), ("How do I", "How does one"), ("Which is", "What is"),
    ("I ", "we "), ("Please ", ""), ("How do ", "how should "), ("?", " please?"),
    ("tell me", "explain"), ("best", "right"), ("What is", "what was"),
)  # fmt: skip
POLITE = ("{}", "{}", "{}", "Hi, {}", "{} Thanks!", "Quick question: {}", "{} Please help.")


def written(count: int, seed: int) -> list[Labelled]:
    """So many pairs, half of them right."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        label = number % 2
        one, other = _KINDS[number // 2 % len(_KINDS)](chance, label)
        if chance.random() < 0.5:
            one, other = other, one
        found.append(Labelled(_dressed(chance, one), _dressed(chance, other), label))
    return found


def _dressed(chance: random.Random, text: str) -> str:
    text = chance.choice(POLITE).format(text)
    return text.lower() if chance.random() < 0.2 else text


T = TypeVar("T")


def _two(chance: random.Random, among: Sequence[T]) -> tuple[T, T]:
    one, other = chance.sample(list(among), 2)
    return one, other


def _deed(chance: random.Random) -> tuple[str, str]:
    verb = chance.choice(list(VERBS))
    return verb, chance.choice(VERBS[verb])


def _doing(chance: random.Random, label: int) -> tuple[str, str]:
    verb, thing = _deed(chance)
    asks = chance.choice(ASKS)
    one, other = _two(chance, asks)
    deed = f"{verb} {thing}"
    if label:
        same = dict(SAME).get(verb)
        again = f"{same} {thing}" if same and chance.random() < 0.4 else deed
        return one.format(deed), other.format(again)
    wrong = chance.randrange(4)
    if wrong == 0:
        another = chance.choice([name for name in VERBS[verb] if name != thing])
        return one.format(deed), chance.choice([one, other]).format(f"{verb} {another}")
    if wrong == 1:
        another = chance.choice([name for name in VERBS if name != verb])
        return one.format(deed), chance.choice([one, other]).format(f"{another} {thing}")
    if wrong == 2:
        others = chance.choice([kind for kind in ASKS if kind is not asks])
        return one.format(deed), chance.choice(others).format(deed)
    if asks in (WHY, WHEN, WHETHER):
        return one.format(deed), chance.choice([one, other]).format(f"not {deed}")
    return one.format(deed), one.format(f"{deed} {chance.choice(WHERE)}")


def _placed(chance: random.Random, label: int) -> tuple[str, str]:
    verb, thing = _deed(chance)
    one, other = _two(chance, HOW)
    where, elsewhere = _two(chance, WHERE)
    deed = f"{verb} {thing} "
    return one.format(deed + where), chance.choice([one, other]).format(
        deed + (where if label else elsewhere)
    )


def _meaning(chance: random.Random, label: int) -> tuple[str, str]:
    one, other = _two(chance, WHAT)
    thing, another = _two(chance, THINGS)
    return one.format(thing), other.format(thing if label else another)


def _trait(chance: random.Random, label: int) -> tuple[str, str]:
    one, other = _two(chance, OF)
    place, elsewhere = _two(chance, PLACES)
    trait, another = _two(chance, TRAITS)
    if label:
        return one.format(place, trait), other.format(place, trait)
    if chance.random() < 0.5:
        return one.format(place, trait), chance.choice([one, other]).format(elsewhere, trait)
    return one.format(place, trait), chance.choice([one, other]).format(place, another)


def _rivals(chance: random.Random, label: int) -> tuple[str, str]:
    one, other = _two(chance, BETTER)
    (first, second), (third, fourth) = _two(chance, RIVALS)
    if label:
        return one.format(first, second), other.format(first, second)
    return one.format(first, second), one.format(first, chance.choice([third, fourth]))


def _route(chance: random.Random, label: int) -> tuple[str, str]:
    one, other = _two(chance, ROUTES)
    start, end, elsewhere = chance.sample(PLACES, 3)
    if label:
        return one.format(start, end), other.format(start, end)
    wrong = (end, start) if chance.random() < 0.5 else (start, elsewhere)
    return one.format(start, end), chance.choice([one, other]).format(*wrong)


def _measure(chance: random.Random, label: int) -> tuple[str, str]:
    one, other = _two(chance, UNITS)
    (unit, into), (another, _) = _two(chance, MEASURES)
    number, wrong = _two(chance, range(2, 500))
    if label:
        return one.format(unit, into, number), other.format(unit, into, number)
    ways = ((unit, into, wrong), (into, unit, number), (another, into, number))
    return one.format(unit, into, number), one.format(*chance.choice(ways))


def _among(chance: random.Random, label: int) -> tuple[str, str]:
    one, other = _two(chance, AMONG)
    number, wrong = _two(chance, (3, 5, 7, 10, 20, 50))
    thing, another = _two(chance, LISTS)
    if label:
        return one.format(number, thing), other.format(number, thing)
    ways = ((wrong, thing), (number, another))
    return one.format(number, thing), chance.choice([one, other]).format(*chance.choice(ways))


def _event(chance: random.Random, label: int) -> tuple[str, str]:
    one, other = _two(chance, EVENTS)
    place, elsewhere = _two(chance, PLACES)
    year, wrong = _two(chance, range(1900, 2026))
    if label:
        return one.format(place, year), other.format(place, year)
    ways = ((place, wrong), (elsewhere, year))
    return one.format(place, year), chance.choice([one, other]).format(*chance.choice(ways))


def _touched(chance: random.Random, label: int) -> tuple[str, str]:
    """The same words but for a slip or an ornament; or but for one that matters."""
    one, _ = chance.choice(_ALL)(chance, 1)
    if not label:
        return chance.choice(_ALL)(chance, 0)
    other = one
    for _ in range(chance.choice((1, 1, 2))):
        old, new = chance.choice(SLIPS)
        other = other.replace(old, new)
    words = other.split()
    if len(words) > 4 and chance.random() < 0.3:
        at = chance.randrange(len(words) - 1)
        word = words[at]
        if len(word) > 5 and word.isalpha():  # two letters changed places
            words[at] = word[:2] + word[3] + word[2] + word[4:]
    return one, " ".join(words)


_ALL = (_doing, _placed, _meaning, _trait, _rivals, _route, _measure, _among, _event)
_KINDS = (*_ALL, _doing, _doing, *(_touched,) * 9)
