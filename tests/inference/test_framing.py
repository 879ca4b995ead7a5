"""Chunks: what is taken for exactly one is one, and says what the parser would say."""

import re

from hypothesis import given
from hypothesis import strategies as st

from modelyard.inference.framing import frame, unframe

ONE = re.compile(rb"([0-9a-f]+|[0-9A-F]+)\r\n(.*)\r\n\Z", re.DOTALL)


def test_every_size_there_and_back() -> None:
    for size in range(1, 5000):
        data = b"\r\n" * (size // 2) + b"x" * (size % 2)
        assert frame(data) == b"%x\r\n%b\r\n" % (size, data)
        for chunk in (frame(data), b"%X\r\n%b\r\n" % (size, data)):
            assert unframe(chunk) == (data if 16 <= size < 4096 else None)


@given(
    st.integers(0, 600),
    st.sampled_from([b"%x\r\n", b"%X\r\n", b"0%x\r\n", b"%x;a=b\r\n", b"%x\n", b" %x\r\n"]),
    st.integers(-3, 3),
    st.binary(max_size=3),
    st.sampled_from([b"\r\n", b"\n", b"", b"xx", b"\r\n\r\n"]),
)
def test_anything_else_is_left_to_the_parser(
    size: int, line: bytes, off: int, more: bytes, end: bytes
) -> None:
    data = line % max(0, size + off) + b"y" * size + more + end
    body = unframe(data)
    found = ONE.match(data)
    whole = found is not None and len(found[2]) == int(found[1], 16) and found[1][:1] != b"0"
    if body is not None:
        assert found is not None and whole and body == found[2]
    elif whole:
        assert found is not None and len(found[2]) < 16
