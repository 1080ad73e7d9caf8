from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.bill import Bill

WHOLE = Bill(input_tokens=9, cached_tokens=4, output_tokens=10, image_output_tokens=10, images=1)


def test_a_whole_answer_is_billed_whole() -> None:
    assert WHOLE.so_far(12, 12) == WHOLE


def test_an_answer_that_says_no_tokens_is_billed_whole() -> None:
    assert WHOLE.so_far(0, 0) == WHOLE


def test_of_a_broken_answer_the_input_and_the_generated_share_are_billed() -> None:
    assert WHOLE.so_far(3, 12) == WHOLE._replace(output_tokens=2, image_output_tokens=2)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 10**6))
def test_the_share_is_never_more_than_the_whole(generated: int, planned: int, output: int) -> None:
    assert 0 <= Bill(output_tokens=output).so_far(generated, planned).output_tokens <= output


def test_bills_add_up_unit_by_unit() -> None:
    assert Bill(input_tokens=1, seconds=2).plus(Bill(input_tokens=3, images=4)) == Bill(
        input_tokens=4, seconds=2, images=4
    )
