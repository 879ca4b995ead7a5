import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.auth.sealed import SHORTEST, Box, Unsealable

BOX = Box(b"p" * 32)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_was_sealed_is_opened(content: bytes, purpose: str) -> None:
    sealed = BOX.seal(purpose, content)
    assert BOX.open(purpose, sealed) == content
    assert len(sealed) == len(content) + SHORTEST == len(content) + 33


@given(st.binary(min_size=1, max_size=60), st.data())
def test_any_changed_bit_is_noticed(content: bytes, data: st.DataObject) -> None:
    sealed = bytearray(BOX.seal("answers", content))
    place = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[place // 8] ^= 1 << place % 8
    with pytest.raises(Unsealable):
        BOX.open("answers", bytes(sealed))


@given(st.binary(max_size=60))
def test_what_is_too_short_or_strange_is_refused(sealed: bytes) -> None:
    with pytest.raises(Unsealable):
        BOX.open("answers", sealed)


def test_another_purpose_or_installation_cannot_open_it() -> None:
    sealed = BOX.seal("answers", b"hello")
    with pytest.raises(Unsealable, match="'keys'"):
        BOX.open("keys", sealed)
    with pytest.raises(Unsealable):
        Box(b"q" * 32).open("answers", sealed)


def test_nothing_is_sealed_alike_twice() -> None:
    assert len({BOX.seal("answers", b"hello") for _ in range(100)}) == 100
