"""The report: well-formed, self-contained, and nothing of the data is markup."""

import re
from html.parser import HTMLParser

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.ml.profile import profile
from modelyard.ml.quality import quality
from modelyard.ml.report import report

VOID = {"meta"}
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "small", "p", "table", "tr",
    "th", "td", "section", "svg", "rect", "text", "main", "div", "b",
}  # fmt: skip


class Reader(HTMLParser):
    """The tags, which have to be closed in order, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.boxes: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "rect":
            self.boxes.append(dict(attrs))
        assert not any(name.startswith("on") or name in ("href", "src") for name, _ in attrs)
        if tag not in VOID and not (tag == "rect" and self.get_starttag_text().endswith("/>")):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == [] and set(reader.tags) <= ALLOWED
    return reader


def test_a_page_of_everything() -> None:
    random = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "x": random.normal(size=500),
            "y": random.integers(0, 1000, 500),
            "class": ["yes", "no"] * 250,
            "empty": pl.Series([None] * 500, dtype=pl.String),
        }
    ).with_columns(z=pl.col("x") * -2)
    made = profile(table.lazy(), target="class")
    page = report(made, "Churn", quality(table.lazy(), made))
    reader = read(page)
    for wanted in ("500", "completeness", "80.00%", "Classes of class", "50.0%", "Every figure"):
        assert wanted in reader.text
    assert "http://" not in page and "https://" not in page
    counts = [int(one.replace(",", "")) for one in re.findall(r"to [^<:]*: ([\d,]+)</title>", page)]
    assert sum(counts) == 1500  # three histograms of 500 rows
    assert len([one for one in reader.boxes if one.get("class") == "negative"]) >= 2


def test_a_sample_says_so() -> None:
    made = profile(pl.LazyFrame({"x": range(5000)}), whole=1000)
    assert made.sample is not None
    text = read(report(made, "x")).text
    assert f"of a sample of {made.sample.rows:,} of 5,000 rows" in text
    assert f"{made.sample.bound:.2%}" in text


@settings(max_examples=60, deadline=None)
@given(
    name=st.text("<>&\"'`a!-/=script", min_size=1, max_size=20),
    value=st.text("<>&\"'`a!-/= svgonload()", max_size=30),
)
def test_nothing_of_the_data_is_markup(name: str, value: str) -> None:
    frame = pl.LazyFrame({name: [value, value, "other"], "b": ["x", "x", "y"]})
    made = profile(frame, target=name)
    read(report(made, name + value, quality(frame, made)))


def test_what_there_is_none_of_is_no_zero() -> None:
    page = report(profile(pl.LazyFrame({"a": ["x", "y"] * 50})), "x")
    assert "<b>–</b>outliers among numbers" in page
    page = report(profile(pl.LazyFrame({"a": range(4000)})), "x")
    assert "<b>0.00%</b>outliers among numbers" in page and "2,000 ± 1,155" in page


def test_wide_letters_have_room_and_weak_correlations_are_left_out() -> None:
    frame = pl.LazyFrame({"a": ["長" * 30, "b"] * 50, "x": range(100), "y": [0, 1] * 50})
    text = read(report(profile(frame, target="a"), "x")).text
    assert "長" * 11 + "…" in text and "長" * 13 + "…" not in text
    assert "No two columns go together." in text
