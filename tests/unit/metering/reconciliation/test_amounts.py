from hypothesis import given
from hypothesis import strategies as st

from gateway.metering.reconciliation.amounts import NOTHING, Amounts, Counted, Lines, Recorded

ANY = st.builds(Amounts, *[st.integers(-(10**9), 10**9)] * 5)


@given(ANY, ANY)
def test_taking_away_undoes_adding(one: Amounts, other: Amounts) -> None:
    assert one.plus(other).minus(other) == one


@given(ANY)
def test_what_is_above_and_what_is_below_zero_are_all_of_it(amounts: Amounts) -> None:
    assert amounts.above().plus(amounts.below()) == amounts
    assert amounts.above().minus(amounts.below()) == amounts.sizes()


@given(ANY, ANY)
def test_within_bounds_is_never_beyond_them_or_on_the_other_side(amounts: Amounts, bounds: Amounts) -> None:
    sizes = bounds.sizes()
    for amount, inside, bound in zip(amounts, amounts.within(sizes), sizes, strict=True):
        assert abs(inside) == min(abs(amount), bound)
        assert inside * amount >= 0


def test_tokens_are_input_and_output() -> None:
    assert Amounts(input_tokens=3, cached_tokens=2, output_tokens=4).tokens == 7


def test_what_both_books_hold_adds_up() -> None:
    one = Amounts(requests=1, cost=2)
    assert Counted(one, tells_tokens=True).plus(Counted(one)) == Counted(one.plus(one), tells_tokens=True)
    assert Recorded(one, 1, 2).plus(Recorded(one, 3, 4)) == Recorded(one.plus(one), 4, 6)
    assert Lines(1, 2, one).plus(Lines(3, 4, NOTHING, one)) == Lines(4, 6, one, one)
