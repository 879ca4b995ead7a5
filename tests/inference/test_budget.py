"""budget_limit bounds the answer's length by what its tokens cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import Scripted, asked, model, target

from modelyard.inference.call import Price
from modelyard.inference.plane import keep_budget
from modelyard.protocol.errors import Failure

RATE = st.floats(0, 100_000, allow_nan=False)  # nano-dollars a token
FLAT = st.builds(Price, RATE, RATE)
PRICES = st.builds(
    lambda base, tiers: Price(base.input, base.output, tiers=tuple(sorted(tiers.items()))),
    FLAT,
    st.dictionaries(st.integers(0, 300_000), FLAT, max_size=3),
)


@given(
    st.lists(PRICES, min_size=1, max_size=3),
    st.integers(1, 400_000),
    st.integers(0, 10**11),
    st.none() | st.integers(1, 200_000),
)
def test_a_budget_holds_whatever_the_prices(
    prices: list[Price], prompt: int, budget: int, wanted: int | None
) -> None:
    one = model(*(target(Scripted(f"p{n}"), price=price) for n, price in enumerate(prices)))
    call = asked(budget=budget, max_tokens=wanted)
    try:
        reserved = keep_budget(call, one, prompt)
    except Failure as failure:
        assert failure.code.symbol == "BUDGET_EXCEEDED"
        assert (one.dearest(prompt, wanted or 1) or 0) > budget, "it would have been kept"
        return
    assert call.max_tokens is not None and call.max_tokens >= 1 and reserved <= budget
    for price in prices:
        rates = price.at(prompt)
        cost = prompt * rates.input + call.max_tokens * rates.output
        assert cost <= budget + 1e-3, "more than the budget (a thousandth of a nano-dollar apart)"
    if wanted is not None:
        assert call.max_tokens == wanted


def test_the_tier_of_the_prompt_decides_how_long_the_answer_may_be() -> None:
    dear = Price(2.0, 10.0)
    one = model(target(Scripted("a"), price=Price(1.0, 1.0, tiers=((1000, dear),))))
    short, long = (asked(budget=12_000) for _ in range(2))
    keep_budget(short, one, 1000)
    keep_budget(long, one, 2000)
    assert (short.max_tokens, long.max_tokens) == (11_000, 800)
    assert long.body["max_tokens"] == 800


def test_an_unknown_price_bounds_nothing() -> None:
    with pytest.raises(Failure) as caught:
        keep_budget(asked(budget=10**9), model(target(Scripted("a"), price=None)), 10)
    assert caught.value.code.symbol == "INVALID_REQUEST"
