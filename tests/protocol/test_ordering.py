import pytest

from kernel.filters import FIELDS
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import Order
from modelyard.protocol.ordering import parse

SORTABLE = {name: FIELDS[name] for name in ("createdAt", "name", "spec.headVersion")}
CREATED, NAME, HEAD = SORTABLE.values()


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", ()),
        (" ", ()),
        ("name", (Order(NAME),)),
        ("name asc", (Order(NAME),)),
        ("name desc", (Order(NAME, True),)),
        ("createdAt desc, name", (Order(CREATED, True), Order(NAME))),
        ("  created_at   desc ,name  ", (Order(CREATED, True), Order(NAME))),
        ("spec.head_version", (Order(HEAD),)),
    ],
)
def test_an_order(text: str, order: tuple[Order, ...]) -> None:
    assert parse(text, SORTABLE) == order


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("colour", "unknown_field"),
        ("size", "unknown_field"),  # declared, yet not to order by
        ("createdAt desc, created_at", "repeated"),
        ("name,", "syntax"),
        (",", "syntax"),
        ("name up", "syntax"),
        ("name desc desc", "syntax"),
        ("name DESC", "syntax"),
        ("-name", "unknown_field"),
    ],
)
def test_an_order_that_is_refused(text: str, rule: str) -> None:
    with pytest.raises(Failure) as caught:
        parse(text, SORTABLE)
    assert caught.value.code.symbol == "INVALID_REQUEST"
    assert (caught.value.details["field"], caught.value.details["rule"]) == ("order_by", rule)


def test_an_unknown_field_is_told_with_the_one_that_is_meant() -> None:
    with pytest.raises(Failure, match=r"'order_by' names 'nane', .* did you mean 'name'") as caught:
        parse("nane desc", SORTABLE)
    assert caught.value.details["allowed"] == ["createdAt", "name", "spec.headVersion"]
