import pytest
from msgspec import Struct

from modelyard.protocol import decode, fieldmask, ordering, shape
from modelyard.protocol.filter_grammar import parse
from modelyard.protocol.filtering import Field

FIELD = Field("privacy.containsPII", "boolean", ("privacy", "containsPII"))


class Privacy(Struct, forbid_unknown_fields=True, rename={"contains_pii": "containsPII"}):
    contains_pii: bool = False


class Dataset(Struct):
    privacy: Privacy


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("page_size", "page_size", "page_size"),
        ("pageSize", "page_size", "page_size"),
        ("page_size", "pageSize", "pageSize"),
        ("contains_pii", "containsPII", "containsPII"),
        ("privacy.contains_pii", "privacy.containsPII", "privacy.containsPII"),
        ("containspii", "containsPII", None),
        ("pagesize", "page_size", None),
    ],
)
def test_a_name_in_either_case(name: str, known: str, found: str | None) -> None:
    assert shape.spelled(name, ["other", known]) == found


def test_capitals_in_a_row_are_one_word_wherever_a_field_is_named() -> None:
    fields = {FIELD.name: FIELD}
    assert parse("privacy.contains_pii = true", fields) == parse(f"{FIELD.name} = true", fields)
    assert ordering.parse("privacy.contains_pii", fields) == ordering.parse(FIELD.name, fields)
    assert fieldmask.parse("privacy.contains_pii", Dataset) == (("privacy", "containsPII"),)
    assert decode.body(b'{"privacy":{"contains_pii":true}}', Dataset).privacy.contains_pii
    assert decode.query(b"contains_pii=true", Privacy).contains_pii
