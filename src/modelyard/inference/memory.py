"""Memory in huge pages for Python's small objects, where the C module is built.

What a request touches is spread over many pages, and finding each again costs time when requests
are far between. Measured: docs/explanation/performance.md.
"""

from importlib import import_module
from typing import Any


def use_huge_pages() -> bool:
    """Ask the system for huge pages from now on; whether that could be done.

    What Python has allocated stays where it is. Only Linux has them, and it may have none to give
    (``/sys/kernel/mm/transparent_hugepage/enabled`` says ``never``): then pages are small.
    """
    try:
        module: Any = import_module("modelyard.inference._relay")
    except ImportError:
        return False
    done: bool = module.use_huge_pages()
    return done
