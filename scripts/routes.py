"""Print every route with its permission and the file and line that serves it."""

import inspect
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from modelyard.inference.surfaces.all import surfaces
from modelyard.kernel.route import Route
from modelyard.server import routes

METHOD = re.compile(r"^.*:")  # a surface at a method of every model is known by that alone
ROOT = Path(__file__).resolve().parent.parent


def place(function: Callable[..., Any]) -> str:
    """``file:line`` of a function, relative to the root."""
    while isinstance(function, partial):
        function = function.func
    plain = inspect.unwrap(getattr(function, "__func__", function))
    path = Path(plain.__code__.co_filename)
    if path.is_relative_to(ROOT):
        path = path.relative_to(ROOT)
    return f"{path}:{plain.__code__.co_firstlineno}"


def server_of(route: Route, reading: dict[str, Callable[..., Any]]) -> str:
    """Who serves a route: its function, or the surface of the data plane at its path."""
    serve = route.serve or reading.get(route.path) or reading.get(METHOD.sub(":", route.path))
    return place(serve) if serve else "?"


def main() -> None:
    """Print the table."""
    reading: dict[str, Callable[..., Any]] = {each.path: each.read for each in surfaces(0.0)}
    found = sorted(routes(), key=lambda route: (route.path, route.method))
    width = max(len(route.path) for route in found)
    for route in found:
        permission = route.permission or "public"
        where = server_of(route, reading)
        print(f"{route.method:<7} {route.path:<{width}}  {permission:<17} {where}")


if __name__ == "__main__":
    main()
