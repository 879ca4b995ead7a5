"""Every surface before every dialect, compared with what is kept, byte for byte."""

import pytest

from dialects.cells import FOLDER, cells, file, play
from dialects.upstream import Provider
from e2e.client import Client


@pytest.mark.parametrize(("surface", "dialect", "case"), list(cells()))
def test_a_case(api: Client, provider: Provider, surface: str, dialect: str, case: str) -> None:
    kept = file(surface, dialect, case).read_bytes().decode()
    assert play(api, provider, surface, dialect, case) == kept


def test_nothing_else_is_kept() -> None:
    assert {file(*cell) for cell in cells()} == set(FOLDER.glob("*_*/*.txt"))
