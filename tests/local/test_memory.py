"""A process that holds a model is told how to get its memory."""

import os

import pytest

from modelyard.inference.local.memory import environment


def test_large_pages_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setenv("SOME_OTHER", "kept")
    told = environment()
    assert told["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    assert told["SOME_OTHER"] == "kept"
    assert "GLIBC_TUNABLES" not in os.environ, "this process's own is left alone"


def test_what_an_operator_has_set_comes_last_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    assert environment()["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1:glibc.malloc.hugetlb=0"
