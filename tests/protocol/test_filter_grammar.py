import time
from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kernel.filters import FIELDS, TREES, render
from modelyard.protocol.errors import Failure
from modelyard.protocol.filter_grammar import parse
from modelyard.protocol.filtering import And, Compare, Field, Filter, Has, Not, Or, Text, canonical
from patience import quick

NAME, SIZE, COST, ACTIVE = (FIELDS[name] for name in ("name", "size", "cost", "active"))
HEAD, TAGS, LABELS = (FIELDS[name] for name in ("spec.headVersion", "tags", "labels"))
CREATED, DUE = FIELDS["createdAt"], FIELDS["dueAt"]
A, B, C, D = (Text(letter) for letter in "abcd")
NOW = 1_768_473_000.0
JANUARY = "2026-01-15T10:30:00.000Z"


def same(field: Field, value: str, *, wild: bool = False) -> Compare:
    return Compare(field, "=", value, wild)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        # literals and sequences
        ("", None),
        (" \t\n", None),
        ("Victor", Text("Victor")),
        ('"Victor Hugo"', Text("Victor Hugo")),
        ("'Victor Hugo'", Text("Victor Hugo")),
        ("Victor Hugo", And((Text("Victor"), Text("Hugo")))),
        ("42", Text("42")),
        ("com.google", Text("com.google")),
        # AND, OR, and which binds tighter
        ("a AND b", And((A, B))),
        ("a OR b OR c", Or((A, B, C))),
        ("a AND b AND c", And((A, B, C))),
        ("a b AND c AND d", And((A, B, C, D))),
        ("(a b) AND c AND d", And((And((A, B)), C, D))),
        ("a AND b OR c", And((A, Or((B, C))))),
        ("a OR b AND c OR d", And((Or((A, B)), Or((C, D))))),
        ("New York Giants OR Yankees",
         And((Text("New"), Text("York"), Or((Text("Giants"), Text("Yankees")))))),
        ("(a AND b) OR c", Or((And((A, B)), C))),
        ("((a))", A),
        ("a and", And((A, Text("and")))),
        # negation
        ("NOT a", Not(A)),
        ("-a", Not(A)),
        ("NOT (a OR b)", Not(Or((A, B)))),
        ("-(a b)", Not(And((A, B)))),
        ('-"a"', Not(A)),
        ("a OR NOT b", Or((A, Not(B)))),
        ('-name:".java"', Not(same(NAME, ".java"))),
        ("a-b", Text("a-b")),
        # comparators
        ("name = foo", same(NAME, "foo")),
        ("name=foo", same(NAME, "foo")),
        ('name = "fo\\"o\\\\ \\n\\\'"', same(NAME, "fo\"o\\ \n'")),
        ("name != foo", Compare(NAME, "!=", "foo")),
        ("name=com.google", same(NAME, "com.google")),
        ('name < "a*"', Compare(NAME, "<", "a*")),
        ("size > 5", Compare(SIZE, ">", 5)),
        ("size>=-30", Compare(SIZE, ">=", -30)),
        ("size = 3e6", Compare(SIZE, "=", 3_000_000)),
        ("size = 9007199254740993", Compare(SIZE, "=", 9007199254740993)),
        ("size = 20s", Compare(SIZE, "=", 20)),
        ("cost < 2.997e9", Compare(COST, "<", 2.997e9)),
        ("cost <= 1.5s", Compare(COST, "<=", 1.5)),
        ('cost <= duration("1.5s")', Compare(COST, "<=", 1.5)),
        ("active = true", Compare(ACTIVE, "=", True)),
        ("active != false", Compare(ACTIVE, "!=", False)),
        ("name = true", same(NAME, "true")),
        ("name = 20s", same(NAME, "20s")),
        ("name = null", Compare(NAME, "=", None)),
        ("name != null", Compare(NAME, "!=", None)),
        ('name = "null"', same(NAME, "null")),
        # times
        ("createdAt > 2026-01-15T10:30:00Z", Compare(CREATED, ">", NOW)),
        ('createdAt > "2026-01-15T12:30:00+02:00"', Compare(CREATED, ">", NOW)),
        ("createdAt > 2026-01-15T06:30:00.5-04:00", Compare(CREATED, ">", NOW + 0.5)),
        ('createdAt > timestamp("2026-01-15T10:30:00Z")', Compare(CREATED, ">", NOW)),
        ("createdAt <= now()", Compare(CREATED, "<=", NOW)),
        ("dueAt <= now()", Compare(DUE, "<=", JANUARY)),
        ("dueAt = 2026-01-15T12:30:00.0001+02:00", Compare(DUE, "=", JANUARY)),
        ("(dueAt > 2026-01-15T10:30:00z)", Compare(DUE, ">", JANUARY)),
        # traversal, both cases
        ("spec.headVersion = 2", same(HEAD, "2")),
        ("spec.head_version = 2", same(HEAD, "2")),
        ("created_at > now()", Compare(CREATED, ">", NOW)),
        # wildcards
        ('name = "*.foo"', same(NAME, "*.foo", wild=True)),
        ("name = foo*", same(NAME, "foo*", wild=True)),
        ("name:*oo*", same(NAME, "*oo*", wild=True)),
        ('name = "a\\*"', same(NAME, "a*")),
        ('name = "a\\*b*"', same(NAME, "a*b*", wild=True)),
        ('name != "foo*"', Compare(NAME, "!=", "foo*", True)),
        ("name = *", Compare(NAME, "!=", None)),
        ("name != *", Compare(NAME, "=", None)),
        # has
        ("name:*", Compare(NAME, "!=", None)),
        ("size:*", Compare(SIZE, "!=", None)),
        ("size:42", Compare(SIZE, "=", 42)),
        ("tags:42", Has(TAGS, "42")),
        ('tags:"a b"', Has(TAGS, "a b")),
        ("tags:a*", Has(TAGS, "a*", "", True)),
        ("tags:*", Has(TAGS, "*")),
        ("NOT tags:*", Not(Has(TAGS, "*"))),
        ("tags = null", Not(Has(TAGS, "*"))),
        ("tags != null", Has(TAGS, "*")),
        ("labels:team", Has(LABELS, "team")),
        ("labels:*", Has(LABELS, "*")),
        ("labels.team:*", Has(LABELS, "*", "team")),
        ("labels.team:search", Has(LABELS, "search", "team")),
        ("labels.team = search", Has(LABELS, "search", "team")),
        ("labels.team = se*", Has(LABELS, "se*", "team", True)),
        ("labels.team != search",
         And((Has(LABELS, "*", "team"), Not(Has(LABELS, "search", "team"))))),
        ("labels.team = null", Not(Has(LABELS, "*", "team"))),
        ('labels."a.b/c d":x', Has(LABELS, "x", "a.b/c d")),
        ("labels.app.kubernetes.io:x", Has(LABELS, "x", "app.kubernetes.io")),
        ("labels.costCenter:x", Has(LABELS, "x", "costCenter")),
        ("labels.cost_center:x", Has(LABELS, "x", "cost_center")),
        # several values
        ("name = (foo OR bar)", Or((same(NAME, "foo"), same(NAME, "bar")))),
        ("tags:(a -b)", And((Has(TAGS, "a"), Not(Has(TAGS, "b"))))),
    ],
)  # fmt: skip
def test_a_filter_and_its_tree(text: str, tree: Filter | None) -> None:
    found = parse(text, FIELDS, now=NOW)
    assert found == tree
    assert type(getattr(found, "value", None)) is type(getattr(tree, "value", None))


@pytest.mark.parametrize(
    ("text", "rule", "position"),
    [
        ("colour = red", "unknown_field", 0),
        ("a AND  colour = red", "unknown_field", 7),
        ("spec = 1", "unknown_field", 0),
        ("spec.headVersion.x = 1", "unknown_field", 0),
        ("tags.0 = a", "unknown_field", 0),
        ("labels.* = a", "unknown_field", 0),
        ("http://a", "unknown_field", 0),
        ("size = abc", "type", 7),
        ('size = "5"', "type", 7),
        ("size = 1.5", "type", 7),
        ("size = 9223372036854775808", "type", 7),
        ("size = 1e400", "type", 7),
        ("size = ٣", "type", 7),
        ("cost = 1e400", "type", 7),
        ("cost = NaN", "type", 7),
        ("cost = now()", "type", 7),
        ('cost = duration("5")', "type", 7),
        ("active = yes", "type", 9),
        ('active = "true"', "type", 9),
        ("name = now()", "type", 7),
        ("tags:now()", "type", 5),
        ("createdAt > yesterday", "type", 12),
        ("createdAt > 2026-01-15", "type", 12),
        ("createdAt > 2026-01-15T10:30:00", "type", 12),
        ("createdAt > 2026-02-30T10:30:00Z", "type", 12),
        ("dueAt > 0001-01-01T00:00:00+23:00", "type", 8),
        ("createdAt > 1768473000", "type", 12),
        ("active < true", "operator", 7),
        ("size > null", "operator", 5),
        ("tags = a", "operator", 5),
        ("labels = a", "operator", 7),
        ("labels.team > a", "operator", 12),
        ("name != (a b)", "operator", 5),
        ('name = "a*b"', "wildcard", 7),
        ('name = "\\*a*"', "wildcard", 7),
        ("name = **", "wildcard", 7),
        ('tags:"\\*"', "wildcard", 5),
        ("name.startsWith(a)", "function", 0),
        ("createdAt > yesterday()", "function", 12),
        ("createdAt > timestamp(x)", "function", 22),
        ("createdAt > timestamp()", "function", 22),
        ("createdAt > now(1)", "syntax", 16),
        ('createdAt > timestamp("x", "y")', "syntax", 25),
        ('name = "foo', "quotes", 7),
        ("name = 'foo\"", "quotes", 7),
        (r'name = "\x"', "quotes", 7),
        ("name = a\\b", "syntax", 8),
        ("(a", "syntax", 2),
        ("a)", "syntax", 1),
        ("()", "syntax", 1),
        ("a AND", "syntax", 5),
        ("AND a", "syntax", 0),
        ("a OR", "syntax", 4),
        ("a OR OR b", "syntax", 5),
        ("a AND AND b", "syntax", 6),
        ("NOT", "syntax", 3),
        ("NOT NOT a", "syntax", 4),
        ("NOT -a", "syntax", 4),
        ("--a", "syntax", 1),
        ("- a", "syntax", 0),
        ("-", "syntax", 0),
        ("name =", "syntax", 6),
        ("name = = a", "syntax", 7),
        ("name = AND", "syntax", 7),
        ("= a", "syntax", 0),
        ("name = a = b", "syntax", 9),
        ("(a) = b", "syntax", 4),
        ("name = (a = b)", "syntax", 10),
        ("a, b", "syntax", 1),
        ('a"b"', "syntax", 1),
        ("(a)(b)", "syntax", 3),
        ("a..b", "syntax", 1),
        ("a ! b", "syntax", 2),
        ("* a", "words", 0),
        ("a \0", "character", 2),
        ("a \ud800", "character", 2),
        ("a" * 2001, "length", 2000),
        ("(" * 51 + "a" + ")" * 51, "depth", 50),
        ("NOT (" * 26 + "a" + ")" * 26, "depth", 129),
        ("(" * 2000, "depth", 50),
        ("a " * 101, "terms", 200),
    ],
)
def test_a_filter_that_is_refused_says_why_and_where(text: str, rule: str, position: int) -> None:
    with pytest.raises(Failure) as caught:
        parse(text, FIELDS)
    assert caught.value.code.symbol == "INVALID_REQUEST"
    details = caught.value.details
    assert (details["field"], details["rule"], details["position"]) == ("filter", rule, position)


def test_an_unknown_field_is_told_with_the_one_that_is_meant() -> None:
    with pytest.raises(Failure) as caught:
        parse("createAt > now()", FIELDS)
    assert caught.value.message == (
        "'filter' names 'createAt', which is not known here; did you mean 'createdAt'."
    )
    assert caught.value.details == {
        "field": "filter", "rule": "unknown_field", "position": 0, "allowed": sorted(FIELDS),
    }  # fmt: skip
    with pytest.raises(Failure, match="which is not known here; allowed: name"):
        parse("qqq = 1", {"name": NAME})


def test_a_value_is_not_repeated() -> None:
    with pytest.raises(Failure) as caught:
        parse("size = sk-secret", FIELDS)
    assert caught.value.message == (
        "'filter' compares 'size' with something else than a whole number, or seconds such as 20s, "
        "at character 7."
    )


@pytest.mark.parametrize(
    "text",
    ["a" * 2000, "(" * 50 + "a" + ")" * 50, "NOT (" * 25 + "a" + ")" * 25, "a " * 100,
     "a " + "name=(" + "b OR " * 97 + "c)"],
)  # fmt: skip
def test_the_limits_themselves_are_allowed(text: str) -> None:
    assert parse(text, FIELDS) is not None


@given(TREES)
def test_a_rendered_tree_parses_to_itself(tree: Filter) -> None:
    text = render(tree)
    assume(len(text) <= 2000)
    assert parse(text, FIELDS) == tree


@given(TREES, TREES)
def test_a_canonical_text_tells_trees_apart(one: Filter, other: Filter) -> None:
    assert (canonical(one) == canonical(other)) == (one == other)


def test_the_canonical_text_of_no_filter_is_empty() -> None:
    assert canonical(None) == ""
    assert canonical(parse("a  b", FIELDS)) == canonical(parse("a AND b", FIELDS))


PIECES = st.sampled_from(
    ["(", ")", "AND", "OR", "NOT", "-", " ", "=", "!=", "<", ":", ".", ",", "*", '"', "'", "\\",
     "name", "tags", "labels.x", "size", "5", "now()", "timestamp(", "null", "true", "a"]
)  # fmt: skip


@given(st.text(max_size=60) | st.lists(PIECES, max_size=30).map("".join))
def test_any_text_is_a_tree_or_refused(text: str) -> None:
    try:
        parse(text, FIELDS)
    except Failure as failure:
        assert failure.code.symbol == "INVALID_REQUEST"
        assert 0 <= failure.details["position"] <= len(text)


@pytest.mark.parametrize(
    "text",
    ['"' * 2000, '"' + "\\" * 1999, '"' + "a\\" * 999, "a." * 999 + "a=1", "a" * 1998 + "=1",
     "-" * 2000, "'\"" * 1000, "2026-01-15T10:" * 142, "labels" + ".a" * 990 + ":x", "_" * 2000],
)  # fmt: skip
def test_the_longest_filters_are_read_at_once(text: str) -> None:
    def seconds() -> float:
        begun = time.process_time()
        with suppress(Failure):
            parse(text, FIELDS)
        return time.process_time() - begun

    quick(0.1, seconds)
