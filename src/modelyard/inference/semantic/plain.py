"""Questions that are the same to the letter, but for what carries nothing.

They are taken for sure without asking a verifier, as far as its bound: spaces, the full stop or
question mark at the end of what is a question without it, and the first letter of a word, small
or capital. Only plain prose is compared so: in code and formulas case and space have a meaning.
So have, and are left to the verifier: a line's end ("5!" and "5", "He left." and "He left?"), a
single letter (x, X), words in capitals (US, us), and words that are also names (polish, will).
"""

from __future__ import annotations

import re
from typing import Final

SURE: Final = 1.0  # the confidence of such a pair; a verifier is never so sure
_PROSE: Final = re.compile(r"[\w \t,.?'’\-]*")
_ASKS: Final = re.compile(
    r"(?:(?:and|but|or|so) )?(?:(?:what|who|when|where|how)(?:'s)?|which|whom|whose|why"
    r"|is|are|was|were|do|does|did|can|could|should|would)\b"
)
_OPENING: Final = frozenset(("a", "go", "may", "will"))  # of _NAMES and letters, what often begins
_FULL_STOPS: Final = ("", ".")  # the two ends of two statements, one of them bare
_TEXT: Final = """
    access advent aids alphabet amazon angular apple ash august azure bard basic bath beetle
    bill black boulder brave brown buffalo bumble bush cancer carol catholic chase chile china
    chrome chuck claude cologne congress conservative constitution copilot cork crown crystal
    dart delta democrat democratic dick discover docker dodge drew eclipse edge elm excel
    exchange express falcon father fire flask flint focus ford forge frank gap gemini gene
    georgia ghost go god gospel grace grant green guinea guy hamlet harry hinge hive hope
    house hunter ihnen ihr ihre ihrem ihren ihrer impala indeed jack jaguar java jersey job
    joy julia june kindle labour lance latex lent liberal lima limerick llama lord march mark
    mass match may mercury meta miles mistral mobile monster moor mosaic mustang nancy nest
    nice nick node normal notion numbers oak office opera oracle orange orthodox outlook pages
    pat patience patty pearl phoenix polish price prime python rails ray react reading
    republican revolution rich ring rob robin rod rose ruby rugby rust safari sandwich sandy
    scala scratch shell sie signal slack smith snap snowflake spark split spring square state
    stripe sue swede swift switch tanner target teams telegram tinder titanic tor troy turkey
    turner union unity victor viola violet visa wade ward white will windows woods word young
    zoom
"""
_NAMES: Final = frozenset(_TEXT.split())  # with a capital a name, a product, or another word


def same_question(one: str, other: str) -> bool:
    """Whether two questions differ in nothing that carries a meaning."""
    if one == other:
        return True
    one, its_end = _parted(one)
    other, other_end = _parted(other)
    if not _PROSE.fullmatch(one) or not _PROSE.fullmatch(other):
        return False
    here, there = one.split(), other.split()
    if not here or len(here) != len(there):
        return False
    if its_end != other_end and not (its_end + other_end in _FULL_STOPS or _asks(one)):
        return False
    first = len(here) > 1 and _same_first(here[0], there[0])
    return all(map(_same_word, here[first:], there[first:]))


def _parted(text: str) -> tuple[str, str]:
    """A text without the marks at its end, and what they say."""
    text = text.strip()
    body = text.rstrip(" .?")
    marks = text[len(body) :]
    return body, "?" if "?" in marks else marks.strip()


def _asks(text: str) -> bool:
    """Whether the last sentence of a text is a question without a mark."""
    last = re.split(r"[.?]\s+", text)[-1]
    return _ASKS.match(last.lower().replace("’", "'")) is not None


def _same_first(one: str, other: str) -> bool:
    """Whether two words are the same at the beginning of a text."""
    return one.lower() == other.lower() and one.lower() in _OPENING


def _same_word(one: str, other: str) -> bool:
    """Whether two words are the same but for the case of a first letter that says nothing."""
    if one == other:
        return True
    if one[1:] != other[1:] or one[0].lower() != other[0].lower():
        return False
    plain = re.split("['’]", one.lower().strip(".,'’-"))[0]
    return plain == "i" or (len(plain) > 1 and plain not in _NAMES)
