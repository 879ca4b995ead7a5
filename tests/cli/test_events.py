"""The SSE grammar: lines, comments, data over several lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.cli.events import events


def lines(text: bytes) -> list[bytes]:
    return text.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"data: a\n\n", ["a"]),
        (b"data:a\r\n\r\n", ["a"]),
        (b"data:  a\n\n", [" a"]),
        (b": comment\n\ndata: a\n\n", ["a"]),
        (b"id: 1\nevent: x\ndata: a\nretry: 3\ndata: b\n\n", ["a\nb"]),
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data: cut short", []),
        (b"\n\n\n", []),
    ],
)
def test_events(text: bytes, found: list[str]) -> None:
    assert list(events(lines(text))) == found


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), min_size=1)))
def test_what_was_written_is_read(texts: list[str]) -> None:
    written = "".join(f"id: 1\ndata: {text}\n\n: ping\n\n" for text in texts).encode()
    assert list(events(line + b"\n" for line in written.split(b"\n"))) == texts
