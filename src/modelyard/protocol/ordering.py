"""The order of a list (AIP-132): ``createdAt desc, name``."""

from modelyard.protocol import shape
from modelyard.protocol.filtering import Fields, Order, refused, unknown

DIRECTIONS = ["asc", "desc"]


def parse(text: str, fields: Fields) -> tuple[Order, ...]:
    """The parts of an order over the ``fields`` that can be ordered by; none for an empty text.

    Fields may be named in camelCase or snake_case; ``asc`` is the default direction. Raises
    ``INVALID_REQUEST`` for a field that is not declared or named twice.
    """
    if not text.strip():
        return ()
    found: dict[str, Order] = {}
    for part in text.split(","):
        order = _order(part.split(), fields)
        if order.field.name in found:
            raise refused("order_by", "repeated", f"names '{order.field.name}' twice")
        found[order.field.name] = order
    return tuple(found.values())


def _order(part: list[str], fields: Fields) -> Order:
    if not part or len(part) > 2 or (direction := (*part, "asc")[1]) not in DIRECTIONS:
        message = (
            "has a part that is not a field with 'asc' or 'desc' after it, such as 'name desc'"
        )
        raise refused("order_by", "syntax", message, allowed=DIRECTIONS)
    name = part[0]
    if known := shape.spelled(name, fields):
        return Order(fields[known], direction == "desc")
    raise unknown("order_by", name, fields)
