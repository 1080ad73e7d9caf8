import pytest

from gateway.simulator.bill import Bill
from gateway.simulator.price_list import PRICES, Item, items


def test_each_kind_of_token_is_a_line_at_its_own_price() -> None:
    bill = Bill(input_tokens=1000, cached_tokens=400, output_tokens=10)
    assert list(items("gpt-4o", bill)) == [
        Item("gpt-4o, input_tokens", 600, "tokens", 600 * 2_500_000),
        Item("gpt-4o, cached_input_tokens", 400, "tokens", 400 * 1_250_000),
        Item("gpt-4o, output_tokens", 10, "tokens", 10 * 10_000_000),
    ]


@pytest.mark.parametrize(
    ("model", "bill", "amount"),
    [
        ("dall-e-2", Bill(images=2), 40_000_000_000),
        ("tts-1", Bill(input_tokens=3, output_tokens=30, characters=20), 20 * 15_000_000),
        ("whisper-1", Bill(seconds=7), 7 * 100_000_000),
        (
            "gpt-image-1",
            Bill(input_tokens=5, output_tokens=272, image_output_tokens=272, images=1),
            10_905_000_000,
        ),
        (
            "gpt-4o-transcribe",
            Bill(input_tokens=12, audio_input_tokens=10, output_tokens=18, seconds=1),
            245_000_000,
        ),
        ("text-embedding-3-small", Bill(input_tokens=50), 1_000_000),
    ],
)
def test_what_an_answer_costs(model: str, bill: Bill, amount: int) -> None:
    assert sum(item.amount for item in items(model, bill)) == amount


def test_tokens_that_cost_nothing_have_lines_too() -> None:
    assert [(item.quantity, item.amount) for item in items("tts-1", Bill(input_tokens=3, characters=1))] == [
        (3, 0),
        (1, 15_000_000),
    ]


@pytest.mark.parametrize(
    ("tier", "amount"), [("default", 8), ("scale", 8), ("flex", 4), ("batch", 4), ("priority", 16)]
)
def test_a_tier_has_a_price_of_its_own(tier: str, amount: int) -> None:
    (item,) = items("gpt-4.1", Bill(output_tokens=1), tier)
    assert (item.name, item.amount) == ("gpt-4.1, output_tokens", amount * 1_000_000)


def test_every_price_can_be_halved_without_a_rest() -> None:
    rates = [rate for price in PRICES.values() for rate in price if rate]
    assert [rate for rate in rates if rate % 2] == []


def test_a_snapshot_costs_what_its_model_costs() -> None:
    (item,) = items("gpt-4o-2024-08-06", Bill(input_tokens=2))
    assert item == Item("gpt-4o-2024-08-06, input_tokens", 2, "tokens", 5_000_000)


def test_what_is_not_in_the_list_is_not_free() -> None:
    assert sum(item.amount for item in items("sim-1", Bill(input_tokens=1, output_tokens=1))) == 5_000_000


def test_a_part_of_which_nothing_is_said_costs_what_the_total_costs() -> None:
    assert PRICES["gpt-3.5-turbo-instruct"].cached is None
    assert sum(
        item.amount for item in items("gpt-3.5-turbo-instruct", Bill(input_tokens=9, cached_tokens=4))
    ) == (9 * 1_500_000)
