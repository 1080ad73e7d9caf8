"""What attempts cost, by the price book: tiers, long context, what has no price, and books that change."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.house import House, house
from tests.support.policy_files import EVERYTHING, write_models, write_policies

MODELS = """
models:
  gpt-4o-mini: {upstream: openai, context_window: 128_000, max_output: 16_384}
  gpt-4o: {upstream: openai}
  omni-moderation-latest: {upstream: openai}
"""
PRICES = """
ceiling: {input: 1_000, output: 2_000}
models:
  gpt-4o-mini:
    - {input: 10, output: 20}
    - {tier: flex, input: 5, output: 10}
    - {above: 30, input: 100, output: 200}
"""


@asynccontextmanager
async def priced(folder: Path, rules: str = "", prices: str = PRICES) -> AsyncIterator[House]:
    policies = write_policies(folder, EVERYTHING + rules)
    write_models(policies, MODELS, prices)
    async with house(folder, policies=policies) as opened:
        yield opened


async def spent(house_: House, content: str = "Say hello", **members: Any) -> Any:
    """The ledger's line of one chat."""
    answer = await house_.chat(content, **members)
    assert answer.status == 200
    (line,) = await house_.ledger(answer.request_id)
    return line


async def test_each_tier_has_its_own_price(tmp_path: Path) -> None:
    async with priced(tmp_path) as house_:
        standard, flex = await spent(house_), await spent(house_, service_tier="flex")
        assert (standard.service_tier, flex.service_tier) == ("default", "flex")
        assert standard.cost == standard.input_tokens * 10 + standard.output_tokens * 20
        assert flex.cost == flex.input_tokens * 5 + flex.output_tokens * 10


async def test_long_input_makes_the_whole_attempt_dearer(tmp_path: Path) -> None:
    async with priced(tmp_path) as house_:
        line = await spent(house_, "word " * 50)
        assert line.input_tokens > 30
        assert line.cost == line.input_tokens * 100 + line.output_tokens * 200


async def test_a_line_of_the_ledger_says_by_which_book_it_was_priced(tmp_path: Path) -> None:
    async with priced(tmp_path) as house_:
        line = await spent(house_)
        assert line.priced_by == "book"
        assert len(line.price_version) == 12


async def test_a_tier_without_a_price_is_unpriced_and_not_the_standard_price(tmp_path: Path) -> None:
    async with priced(tmp_path) as house_:
        line = await spent(house_, service_tier="priority")
        assert (line.service_tier, line.cost, line.priced_by) == ("priority", None, "nothing")
        assert 'gateway_unpriced_attempts_total{model="gpt-4o-mini"} 1.0' in await house_.metrics()


async def test_a_policy_may_charge_the_ceiling(tmp_path: Path) -> None:
    async with priced(tmp_path, "unpriced: ceiling") as house_:
        for line in (await spent(house_, service_tier="priority"), await spent(house_, model="gpt-4o")):
            assert line.priced_by == "ceiling"
            assert line.cost == line.input_tokens * 1_000 + line.output_tokens * 2_000
        assert (await spent(house_)).priced_by == "book"


@pytest.mark.parametrize(
    ("members", "param"),
    [({"model": "gpt-4o"}, "model"), ({"service_tier": "priority"}, "service_tier")],
)
async def test_a_policy_may_refuse_before_anything_is_sent(
    tmp_path: Path, members: dict[str, Any], param: str
) -> None:
    async with priced(tmp_path, "unpriced: refuse") as house_:
        answer = await house_.chat(**members)
        assert (answer.status, answer.error["code"]) == (403, "model_not_allowed")
        assert answer.error["param"] == param
        assert "price book" in answer.error["message"]
        assert house_.simulator.requests == []
        assert await house_.ledger() == []
        assert (await spent(house_, service_tier="flex")).priced_by == "book"


async def test_what_is_free_needs_no_price(tmp_path: Path) -> None:
    async with priced(tmp_path, "unpriced: refuse") as house_:
        answer = await house_.post("/moderations", {"input": "hi"})
        (line,) = await house_.ledger(answer.request_id)
        assert (answer.status, line.cost, line.priced_by) == (200, 0, "free")


async def test_a_tier_that_is_stripped_needs_no_price(tmp_path: Path) -> None:
    strip = "unpriced: refuse\nshaping: {no-tiers: {strip: service_tier}}"
    async with priced(tmp_path, strip) as house_:
        assert (await spent(house_, service_tier="priority")).service_tier == "default"


async def test_a_book_that_is_saved_is_in_force(tmp_path: Path) -> None:
    async with priced(tmp_path) as house_:
        before = await spent(house_)
        book = tmp_path / "policies" / "prices.yaml"
        book.write_text(PRICES.replace("input: 10, output: 20", "input: 11, output: 21"))

        async def changed() -> Any:
            line = await spent(house_)
            return line if line.price_version != before.price_version else None

        after = await eventually(changed)
        assert after.cost == after.input_tokens * 11 + after.output_tokens * 21
        (line,) = [line for line in await house_.ledger() if line.attempt_id == before.attempt_id]
        assert line.cost == before.cost


FAST = ", {tier: priority, input: 100, output: 200}"


@pytest.mark.parametrize(
    ("priority", "most_tokens", "status"), [("", 100, 200), (FAST, 100, 400), (FAST, 10, 200)]
)
async def test_a_strict_budget_holds_whatever_tier_answers(
    tmp_path: Path, priority: str, most_tokens: int, status: int
) -> None:
    """The standard price of an answer may fit where the dearest one does not."""
    budget = "budgets: {day: {per: team, dollars: 0.01, every: day, strict: true, models: [gpt-4o-mini]}}"
    book = f"models: {{gpt-4o-mini: [{{input: 10, output: 20}}{priority}]}}"
    async with priced(tmp_path, budget, book) as house_:
        assert (await house_.chat(max_tokens=most_tokens)).status == status
