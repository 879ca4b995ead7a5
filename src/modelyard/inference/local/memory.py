"""How a process that holds a model gets its memory."""

from __future__ import annotations

import os

_TUNABLES = "GLIBC_TUNABLES"
_LARGE_PAGES = "glibc.malloc.hugetlb=1"


def environment() -> dict[str, str]:
    """This process's environment, and that large blocks are asked for in pages of 2 MB.

    Embedding one text is mostly reading all weights, and with pages of 4 KB that is mostly looking
    for them. Linux with transparent huge pages on request and glibc 2.35 do as they are told, other
    systems as before; what an operator has set goes before.
    """
    set_before = os.environ.get(_TUNABLES)
    told = f"{_LARGE_PAGES}:{set_before}" if set_before else _LARGE_PAGES
    return {**os.environ, _TUNABLES: told}
