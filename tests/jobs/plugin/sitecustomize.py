"""Adds the resource of ``jobs_works.py`` to every process of a server under test."""

import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any

NAME = "modelyard.resources"


class Adding(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads ``modelyard.resources``, then declares one more in it."""

    def __init__(self) -> None:
        self._loader: Any = None

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != NAME:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: Any) -> ModuleType | None:
        return None

    def exec_module(self, module: Any) -> None:
        self._loader.exec_module(module)
        works = importlib.import_module("jobs_works").works
        module.RESOURCES = (*module.RESOURCES, works)
        module.BY_KIND[works.kind] = works


sys.meta_path.insert(0, Adding())
