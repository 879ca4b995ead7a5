"""A text that is accepted is all that the pattern shows: Python's ``$`` lets a newline follow."""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import inspect

from modelyard.protocol import decode
from modelyard.protocol.errors import Failure
from modelyard.server import routes


def patterns(node: Any, seen: set[Any]) -> Iterator[str]:
    """Those of a type and of all types within it."""
    if isinstance(node, inspect.StructType):
        if node.cls in seen:
            return
        seen.add(node.cls)
        for field in node.fields:
            yield from patterns(field.type, seen)
    elif isinstance(node, inspect.StrType):
        yield node.pattern or ""
    elif isinstance(node, inspect.Type):
        for name in node.__struct_fields__:
            inner = getattr(node, name)
            for one in inner if isinstance(inner, tuple) else (inner,):
                yield from patterns(one, seen)


def test_no_pattern_of_a_request_ends_with_a_dollar() -> None:
    seen: set[Any] = set()
    found = {
        pattern
        for route in routes()
        for asked in (route.request, route.query)
        if asked is not None
        for pattern in patterns(inspect.type_info(asked), seen)
    }
    assert r"^[a-z0-9][a-z0-9_-]{0,63}\Z" in found
    assert [pattern for pattern in found if pattern.endswith("$")] == []


def test_a_pattern_is_told_as_every_language_has_it() -> None:
    class Asked(msgspec.Struct):
        name: Annotated[str, msgspec.Meta(pattern=r"^[^\s]+\Z")]

    for wrong in (b'{"name":"a\\n"}', b'{"name":"a b"}'):
        with pytest.raises(Failure) as refused:
            decode.body(wrong, Asked)
        assert refused.value.details is not None
        assert refused.value.details["allowed"] == r"string matching regex '^[^\s]+$'"
