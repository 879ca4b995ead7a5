"""Files whose encoding or names are hard to tell."""

import pytest

from modelyard.ml.intake.sniffing import Unreadable, sniff

JAPANESE = "番号,名前\n" + "".join(f"{at},東京都の{at}\n" for at in range(50))


def test_shift_jis_is_found() -> None:
    found = sniff(JAPANESE.encode("shift-jis"), "a.csv", whole=True)
    assert (found.encoding, found.header) == ("cp932", True)
    western = b"a,b\n1,\x81\x8d\xe9t\xe9\n"
    assert sniff(western, "a.csv", whole=True).encoding == "latin-1"


@pytest.mark.parametrize("encoding", ["shift-jis", "utf-16-le", "euc-jp"])
def test_an_encoding_that_is_given_counts_for_the_names(encoding: str) -> None:
    found = sniff(JAPANESE.encode(encoding), "a.csv", whole=True, encoding=encoding)
    assert (found.encoding, found.header, found.delimiter) == (encoding, True, ",")


def test_names_may_be_there_twice() -> None:
    assert sniff(b"a,a,b\n1,2,3\n4,5,6\n", "a.csv", whole=True).header
    assert not sniff(b"x,x,y\nz,x,y\nx,z,z\n", "a.csv", whole=True).header


def test_a_json_array_is_refused_with_the_way_out() -> None:
    for text in (b'[{"a": 1}]', b'\n[\n  {"a": 1}\n]', b"[[1, 2]]"):
        with pytest.raises(Unreadable, match="JSONL"):
            sniff(text, "a.json", whole=True)
