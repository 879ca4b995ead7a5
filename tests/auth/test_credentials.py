import pytest

from modelyard.auth.credentials import presented, presented_for_serving


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ([], None),
        ([(b"authorization", b"Bearer my-1")], "my-1"),
        ([(b"authorization", b"bearer  my-1 ")], "my-1"),
        ([(b"x-api-key", b"my-2")], "my-2"),
        ([(b"x-api-key", b"my-2"), (b"authorization", b"Bearer my-1")], "my-1"),
        ([(b"x-api-key", b"my-2"), (b"authorization", b"Basic eDp5")], "my-2"),
        ([(b"authorization", b"Basic eDp5")], None),
        ([(b"authorization", b"Bearer")], ""),
        ([(b"x-api-key", b"\xff\x00")], "ÿ\0"),
    ],
)
def test_where_a_key_is_found(headers: list[tuple[bytes, bytes]], secret: str | None) -> None:
    assert presented(dict(headers)) == secret


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ([], None),
        ([(b"x-model-key", b"my-3")], "my-3"),
        ([(b"x-model-key", b"my-3"), (b"x-api-key", b"my-2")], "my-2"),
        ([(b"x-model-key", b"my-3"), (b"authorization", b"Bearer my-1")], "my-1"),
        ([(b"x-model-key", b"my-3"), (b"authorization", b"Bearer")], ""),
        ([(b"x-model-key", b"my-3"), (b"authorization", b"Basic eDp5")], "my-3"),
        ([(b"x-model-key", b"")], ""),
    ],
)
def test_a_model_key_counts_where_models_are_called(
    headers: list[tuple[bytes, bytes]], secret: str | None
) -> None:
    assert presented_for_serving(dict(headers)) == secret
    if b"x-model-key" in dict(headers) and len(headers) == 1:
        assert presented(dict(headers)) is None
