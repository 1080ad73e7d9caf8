from collections.abc import Iterable

import pytest

from gateway.simulator import account
from gateway.simulator.account import DAY, MINUTE, Account, Sum
from gateway.simulator.bill import Bill, Kind, Purchase

NOON = 1_795_003_200


def a_purchase(model: str = "gpt-4o", **bill: int) -> Purchase:
    return Purchase(
        kind=Kind.COMPLETIONS, model=model, project="proj_a", bill=Bill(**(bill or {"input_tokens": 1}))
    )


def whole(sums: Iterable[Sum]) -> Sum:
    sums = list(sums)
    return Sum(
        sum(each.requests for each in sums), Bill(*map(sum, zip(*(s.bill for s in sums), strict=True)))
    )


def test_what_is_bought_in_one_minute_is_one_sum() -> None:
    books = Account()
    for second in (0, 1, 59):
        books.add(a_purchase(input_tokens=5), at=NOON + second)
    ((slot, each),) = books
    assert (slot.minute, slot.project, slot.model, slot.tier) == (NOON, "proj_a", "gpt-4o", "default")
    assert each == Sum(3, Bill(input_tokens=15))


def test_another_minute_or_model_is_another_sum() -> None:
    books = Account()
    books.add(a_purchase(), at=NOON)
    books.add(a_purchase(), at=NOON + MINUTE)
    books.add(a_purchase("o3"), at=NOON)
    assert len(list(books)) == 3


def test_traffic_that_nobody_made_can_be_noted() -> None:
    books = Account()
    books.add(a_purchase(input_tokens=700), at=NOON, requests=7)
    assert [each for _, each in books] == [Sum(7, Bill(input_tokens=700))]


def test_of_a_broken_answer_only_what_was_generated_is_noted() -> None:
    books = Account()
    bill = Bill(input_tokens=4, output_tokens=10)
    purchase = Purchase(kind=Kind.COMPLETIONS, model="o3", project="proj_a", bill=bill, planned=10)
    books.add(purchase, at=NOON, generated=3)
    assert [each.bill.output_tokens for _, each in books] == [3]


def test_too_many_sums_of_past_days_are_put_together_by_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "MOST_SUMS", 100)
    books = Account()
    for minute in range(90):
        books.add(a_purchase(), at=NOON + minute * MINUTE)
    for minute in range(20):
        books.add(a_purchase(), at=NOON + DAY + minute * MINUTE)
    assert len(list(books)) <= 100
    days = {slot.minute // DAY for slot, _ in books}
    of_first = [each for slot, each in books if slot.minute // DAY == NOON // DAY]
    assert len(days) == 2
    assert whole(of_first).requests == 90
    assert whole(each for _, each in books).requests == 110


def test_too_many_sums_of_one_day_are_put_together_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "MOST_SUMS", 100)
    books = Account()
    for minute in range(500):
        books.add(a_purchase(), at=NOON + minute * MINUTE)
    assert len(list(books)) <= 100
    assert whole(each for _, each in books).requests == 500


def test_there_are_never_more_sums_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "MOST_SUMS", 100)
    books = Account()
    for number in range(1000):
        books.add(a_purchase(f"gpt-{number}"), at=NOON)
        assert len(list(books)) <= 101
