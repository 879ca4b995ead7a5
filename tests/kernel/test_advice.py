from modelyard.protocol.errors import REGISTRY
from modelyard.reference.advice import all_advice, find


def test_every_code_says_what_to_do() -> None:
    assert list(all_advice()) == list(REGISTRY)
    for symbol, advice in all_advice().items():
        assert len(advice.cause) > 25, symbol
        assert len(advice.way_out) > 30, symbol
        for text in (advice.cause, advice.way_out):
            assert text.endswith("."), symbol
            assert text.count("`") % 2 == 0, symbol


def test_only_retryable_codes_speak_of_retry_after() -> None:
    for symbol, advice in all_advice().items():
        if "`Retry-After`" in advice.way_out:
            assert advice.code.retryable, symbol


def test_unknown_names_are_not_found() -> None:
    assert find("NO_SUCH_CODE") is None
    assert find("") is None
