"""Personal data: recall and precision over labelled text, checksums, and what replaces it."""

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.ml import pii
from modelyard.ml.pii import KINDS, anonymised, replaced, scan, spans
from modelyard.ml.recognisers import card, iban, issuer

KEY = b"0123456789abcdef"
_MARK = re.compile(r"\{(\w+)\|([^}]*)\}")
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "personal-data.md"

Labelled = tuple[str, set[tuple[str, int, int]]]


def labelled() -> list[Labelled]:
    """Lines of text, and kind, start and end of each piece of personal data in them."""
    found = []
    for line in (Path(__file__).parent / "pii_labelled.txt").read_text().splitlines():
        text, at, wanted = "", 0, set()
        for mark in _MARK.finditer(line):
            text += line[at : mark.start()]
            wanted.add((mark[1], len(text), len(text) + len(mark[2])))
            text += mark[2]
            at = mark.end()
        found.append((text + line[at:], wanted))
    return found


def measured() -> dict[str, tuple[int, int, int]]:
    """For each kind how many are right, missed and wrong; right is the exact span."""
    counts = dict.fromkeys(KINDS, (0, 0, 0))
    for text, wanted in labelled():
        found = {tuple(one) for one in spans(text)}
        for kind in KINDS:
            mine, theirs = ({one for one in of if one[0] == kind} for of in (found, wanted))
            right, missed, wrong = counts[kind]
            counts[kind] = (
                right + len(mine & theirs), missed + len(theirs - mine), wrong + len(mine - theirs),
            )  # fmt: skip
    return counts


def table() -> str:
    lines = ["| kind | right | missed | wrong | recall | precision |", "|---|---|---|---|---|---|"]
    for kind, (right, missed, wrong) in measured().items():
        recall, precision = right / (right + missed), right / (right + wrong)
        lines.append(f"| {kind} | {right} | {missed} | {wrong} | {recall:.2f} | {precision:.2f} |")
    return "\n".join(lines)


def test_the_documented_recall_and_precision_are_the_measured_ones() -> None:
    assert len(labelled()) >= 150
    assert table() in PAGE.read_text(), table()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "name"])
def test_recall_and_precision_of_what_has_a_form(kind: str) -> None:
    right, missed, wrong = measured()[kind]
    assert right / (right + missed) >= 0.9 and right / (right + wrong) >= 0.9


@settings(max_examples=60, deadline=None)
@given(digits=st.text("0123456789", min_size=14, max_size=14), wrong=st.integers(1, 9))
def test_one_wrong_digit_is_no_card(digits: str, wrong: int) -> None:
    partial = "4" + digits
    doubled = [int(one) * (2 - at % 2) for at, one in enumerate(partial)]
    last = -sum(one // 10 + one % 10 for one in doubled) % 10
    assert card(partial + str(last)) == 16 and issuer(partial + str(last)) == "Visa"
    assert card(partial + str((last + wrong) % 10)) == 0


@settings(max_examples=60, deadline=None)
@given(account=st.integers(0, 10**18 - 1), change=st.integers(1, 95))
def test_one_wrong_checksum_is_no_iban(account: int, change: int) -> None:
    check = 98 - int(f"{account:018d}131400") % 97  # D is 13, E is 14
    assert iban(f"DE{check:02d}{account:018d}") == 22
    other = (check - 2 + change) % 97 + 2  # 02 to 98
    assert iban(f"DE{other:02d}{account:018d}") == 0


def test_an_iban_ends_where_its_country_says() -> None:
    assert iban("DE89 3704 0044 0532 0130 00 BIC COBADEFF") == 27
    assert iban("DE893704004405320130001") == 0


TABLE = pl.LazyFrame(
    {
        "note": ["mail bo@example.org or Bo@example.org", None, "nothing", "from 203.0.113.42"],
        "card": [4111111111111111, 1, 2, 3],
        "n": [1.0, 2.0, 3.0, 4.0],
    }
)


def test_a_scan_tells_where_and_shows_no_value() -> None:
    made = scan(TABLE)
    assert made.contains_pii and made.sample is None
    told = {(one.column, one.kind): (one.rows, one.share) for one in made.findings}
    assert told == {
        ("note", "email"): (1, 0.25),
        ("note", "ip"): (1, 0.25),
        ("card", "credit_card"): (1, 0.25),
    }
    assert made.findings[0].examples[0] == "**@*******.***"
    assert not scan(pl.LazyFrame({"s": ["fine", None], "l": [[1], [2]]})).contains_pii


def test_a_large_table_is_sampled() -> None:
    made = scan(pl.LazyFrame({"s": ["x@example.org"] * 50_000}), rows=1000)
    assert made.sample is not None and made.findings[0].share == 1


def test_methods() -> None:
    masked, hashed, general = (
        anonymised(TABLE, method, key=KEY).collect(engine="streaming")["note"].to_list()
        for method in ("mask", "hash", "generalise")
    )
    assert masked[0] == "mail **@*******.*** or **@*******.***" and masked[1:3] == [None, "nothing"]
    first, second = re.findall(r"\[email:([0-9a-f]{32})\]", hashed[0])
    assert first == second  # the same address, whatever its case
    assert hashed[0] != replaced(TABLE.collect()["note"][0], "hash", b"another key of 16")
    assert general == [
        "mail *@example.org or *@example.org", None, "nothing", "from 203.0.113.0/24",
    ]  # fmt: skip
    assert pii.generalised("credit_card", "4111 1111 1111 1111") == "[Visa card]"
    assert pii.generalised("iban", "DE89370400440532013000") == "[iban DE]"


def test_keys_and_columns_are_checked() -> None:
    with pytest.raises(ValueError, match="16 to 64 bytes, not 0"):
        anonymised(TABLE, "hash")
    with pytest.raises(ValueError, match="'n' is no column of texts"):
        anonymised(TABLE, "mask", ["n"])


@pytest.mark.parametrize("method", ["mask", "hash", "generalise"])
def test_no_recognised_value_is_left(method: pii.Method) -> None:
    for text, _ in labelled():
        made = replaced(text, method, KEY)
        for one in spans(text):
            value = text[one.start : one.end]
            assert made.count(value) < text.count(value)


def test_what_rust_passes_over_has_nothing() -> None:
    texts = pl.DataFrame({"text": [text for text, _ in labelled()]})
    kept = texts.select(pii._suspect(pl.col("text")))["text"].to_list()
    for text, may in zip(texts["text"], kept, strict=True):
        assert may or not spans(text)
