"""Fields, random trees and the way back from a tree to its text, for the tests of filters."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from modelyard.protocol.errors import timestamp
from modelyard.protocol.filtering import And, Compare, Field, Filter, Has, Not, Or, Text
from modelyard.protocol.matching import words

FIELDS = {
    field.name: field
    for field in (
        Field("name", "string", column="name"),
        Field("createdAt", "time", column="created_at"),
        Field("spec.headVersion", "string", path=("spec", "headVersion")),
        Field("size", "integer", path=("size",)),
        Field("cost", "number", path=("cost",)),
        Field("active", "boolean", path=("active",)),
        Field("dueAt", "time", path=("dueAt",)),
        Field("tags", "strings", path=("tags",)),
        Field("labels", "labels", column="labels"),
    )
}
ORDERED = ("=", "!=", "<", "<=", ">", ">=")


def render(tree: Filter) -> str:
    """A filter's text that parses to ``tree``."""
    if isinstance(tree, Text):
        return quoted(tree.words)
    if isinstance(tree, Not):
        return f"NOT ({render(tree.inner)})"
    if isinstance(tree, And | Or):
        word = " AND " if isinstance(tree, And) else " OR "
        return word.join(f"({render(part)})" for part in tree.parts)
    if isinstance(tree, Has):
        key = "." + quoted(tree.key) if tree.key else ""
        value = "*" if tree.value == "*" else quoted(tree.value, wild=tree.wild)
        return f"{tree.field.name}{key}:{value}"
    return f"{tree.field.name} {tree.operator} {literal(tree)}"


def literal(tree: Compare) -> str:
    value = tree.value
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float) and tree.field.kind == "time":
        return f'timestamp("{datetime.fromtimestamp(value, UTC).isoformat()}")'
    return quoted(value, wild=tree.wild) if isinstance(value, str) else repr(value)


def quoted(text: str, *, wild: bool = False) -> str:
    begins, ends = wild and text.startswith("*"), wild and text.endswith("*")
    inner = text[begins : len(text) - ends]
    for plain in '\\"*':
        inner = inner.replace(plain, "\\" + plain)
    return '"' + "*" * begins + inner + "*" * ends + '"'


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
PATTERNS = st.tuples(
    st.sampled_from([("*", ""), ("", "*"), ("*", "*")]),
    TEXTS.map(lambda text: text.strip("*")).filter(bool),
).map(lambda found: found[0][0] + found[1] + found[0][1])
TIMES = st.integers(0, 4_000_000_000_000).map(lambda at: at / 1000)
VALUES = {
    "string": TEXTS,
    "integer": st.integers(-(2**53), 2**53),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "time": TIMES,
}


@st.composite
def compares(draw: st.DrawFn) -> Filter:
    field = draw(st.sampled_from([one for one in FIELDS.values() if one.kind[-1] != "s"]))
    if draw(st.integers(0, 5)) == 0:
        return Compare(field, draw(st.sampled_from(["=", "!="])), None)
    if field.kind == "boolean":
        return Compare(field, draw(st.sampled_from(["=", "!="])), draw(st.booleans()))
    if field.kind == "string" and draw(st.booleans()):
        return Compare(field, draw(st.sampled_from(["=", "!="])), draw(PATTERNS), True)
    value = draw(VALUES[field.kind])
    if field.kind == "time" and not field.column:
        value = timestamp(value)
    return Compare(field, draw(st.sampled_from(ORDERED)), value)


@st.composite
def has(draw: st.DrawFn) -> Filter:
    field = FIELDS[draw(st.sampled_from(["tags", "labels"]))]
    key = draw(TEXTS) if field.kind == "labels" else ""
    if draw(st.booleans()):
        return Has(field, draw(PATTERNS), key, True)
    return Has(field, draw(TEXTS), key)


TREES = st.recursive(
    compares() | has() | TEXTS.filter(lambda text: bool(words(text))).map(Text),
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, min_size=2, max_size=4).map(tuple))
        | st.builds(Or, st.lists(inner, min_size=2, max_size=4).map(tuple))
    ),
    max_leaves=12,
)
