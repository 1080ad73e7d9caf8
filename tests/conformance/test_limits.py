"""What every limiter does, whatever keeps its counters."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from gateway.core.decision import Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import Counted
from gateway.limits.bucket import MICRO, MOST_DEBT, Rate, rate_of
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Grant, Hold, Limiter
from gateway.limits.redis.scripts import Script
from tests.conformance.conftest import (
    DAY,
    LEASE,
    REQUESTS,
    SLOTS,
    START,
    TOKENS,
    World,
    granted,
    hold_of,
    nothing,
    refused,
    remaining,
    spent,
)
from tests.support.redis_server import RedisServer


@pytest.fixture
def limiter(world: World) -> Limiter:
    return world.limiters[0]


class TestHolding:
    async def test_a_reservation_takes_from_every_limit(self, limiter: Limiter) -> None:
        grant = await granted(limiter, hold_of(REQUESTS, TOKENS, tokens=300))
        assert [standing.remaining for standing in grant.standings] == [99, 700]

    async def test_a_burst_fits_to_the_last_request(self, limiter: Limiter) -> None:
        odd = replace(REQUESTS, amount=7, burst=7)
        for _ in range(7):
            await granted(limiter, hold_of(odd))
        await refused(limiter, hold_of(odd))

    async def test_a_refusal_leaves_every_limit_unchanged(self, limiter: Limiter) -> None:
        await granted(limiter, hold_of(TOKENS, tokens=950))
        await refused(limiter, hold_of(REQUESTS, SLOTS, TOKENS, tokens=51))
        assert await remaining(limiter, REQUESTS) == 100
        assert await remaining(limiter, TOKENS) == 50
        await granted(limiter, hold_of(SLOTS))
        await granted(limiter, hold_of(SLOTS))

    async def test_the_same_id_holds_once(self, world: World) -> None:
        hold = hold_of(REQUESTS, TOKENS, SLOTS)
        decisions = await asyncio.gather(
            *(limiter.reserve(hold) for _ in range(10) for limiter in world.limiters)
        )
        assert all(isinstance(decision, Grant) for decision in decisions)
        assert await remaining(world.limiters[0], REQUESTS) == 99
        assert await remaining(world.limiters[0], TOKENS) == 900

    async def test_an_id_that_holds_is_granted_again_when_all_is_gone(self, limiter: Limiter) -> None:
        hold = hold_of(TOKENS, tokens=1000)
        await granted(limiter, hold)
        await refused(limiter, hold_of(TOKENS, tokens=1))
        await granted(limiter, hold)

    async def test_parallel_reservations_never_pass_a_limit(self, world: World) -> None:
        ten = replace(REQUESTS, amount=10, burst=10)
        decisions = await asyncio.gather(
            *(world.limiters[number % 2].reserve(hold_of(ten, TOKENS, tokens=10)) for number in range(100))
        )
        assert sum(isinstance(decision, Grant) for decision in decisions) == 10
        assert await remaining(world.limiters[0], TOKENS) == 900

    async def test_limits_of_one_name_in_two_teams_are_two(self, limiter: Limiter) -> None:
        one = replace(REQUESTS, burst=1)
        await granted(limiter, hold_of(one))
        other = Hold("ex_other", (demand_of(one, "{billing}:team-requests:requests:team=billing", 1, START),))
        await granted(limiter, other)

    async def test_what_costs_nothing_fits_an_overdrawn_limit(self, limiter: Limiter) -> None:
        hold = hold_of(TOKENS, tokens=1000)
        await granted(limiter, hold)
        await limiter.settle([spent(hold, 1500)])
        await granted(limiter, hold_of(TOKENS, tokens=0))
        await refused(limiter, hold_of(TOKENS, tokens=1))


class TestTime:
    async def test_time_pays_back(self, world: World, limiter: Limiter) -> None:
        await granted(limiter, hold_of(TOKENS, tokens=900))
        await world.advance(DAY / 10)
        assert await remaining(limiter, TOKENS) == 200

    async def test_a_full_limit_grows_no_fuller(self, world: World, limiter: Limiter) -> None:
        await granted(limiter, hold_of(TOKENS, tokens=10))
        await world.advance(10 * DAY)
        assert await remaining(limiter, TOKENS) == 1000

    async def test_a_refused_request_passes_after_its_retry_time(
        self, world: World, limiter: Limiter
    ) -> None:
        await granted(limiter, hold_of(TOKENS, tokens=950))
        refusal = await refused(limiter, hold_of(TOKENS, tokens=60))
        assert refusal.deny.retry_after == DAY / 100
        await world.advance(DAY / 100 - 0.001)
        await refused(limiter, hold_of(TOKENS, tokens=60))
        await world.advance(0.001)
        await granted(limiter, hold_of(TOKENS, tokens=60))

    async def test_standings_tell_when_a_limit_is_full_again(self, limiter: Limiter) -> None:
        grant = await granted(limiter, hold_of(TOKENS, tokens=250))
        (standing,) = grant.standings
        assert (standing.limit, standing.counts, standing.amount) == ("team-tokens", Counted.TOKENS, 1000)
        assert standing.reset == DAY / 4

    async def test_a_clock_that_is_put_back_pays_nothing(self, world: World, limiter: Limiter) -> None:
        await granted(limiter, hold_of(TOKENS, tokens=900))
        await world.advance(-DAY)
        assert await remaining(limiter, TOKENS) == 100

    async def test_a_limit_is_paid_back_by_the_clock_that_was_put_back(
        self, world: World, limiter: Limiter
    ) -> None:
        await granted(limiter, hold_of(TOKENS, tokens=900))
        await world.advance(-30 * DAY)
        await refused(limiter, hold_of(TOKENS, tokens=300))
        await world.advance(DAY / 5)
        await granted(limiter, hold_of(TOKENS, tokens=300))

    async def test_who_only_looks_does_not_begin_to_pay_back(self, world: World, limiter: Limiter) -> None:
        await granted(limiter, hold_of(TOKENS, tokens=900))
        await world.advance(-DAY)
        assert [seen.level for seen in await limiter.look(hold_of(TOKENS).demands)] == [900 * MICRO]
        await world.advance(DAY / 2)
        assert [seen.level for seen in await limiter.look(hold_of(TOKENS).demands)] == [900 * MICRO]

    async def test_a_clock_that_is_put_forth_fills_a_limit_and_no_more(
        self, world: World, limiter: Limiter
    ) -> None:
        await granted(limiter, hold_of(TOKENS, tokens=900))
        await world.advance(1000 * DAY)
        await granted(limiter, hold_of(TOKENS, tokens=1000))
        await refused(limiter, hold_of(TOKENS, tokens=1))


class TestRefusals:
    async def test_a_refusal_names_the_limit_that_refused(self, limiter: Limiter) -> None:
        await granted(limiter, hold_of(REQUESTS, TOKENS, tokens=1000))
        refusal = await refused(limiter, hold_of(REQUESTS, TOKENS, tokens=1))
        assert refusal.demand.limit == TOKENS
        assert refusal.deny.rule == "limits.team-tokens"
        assert refusal.deny.code is ErrorCode.RATE_LIMIT_EXCEEDED

    async def test_of_several_the_longest_lasting_is_named(self, limiter: Limiter) -> None:
        slow = replace(REQUESTS, name="slow", amount=1, burst=1)
        quick = replace(REQUESTS, name="quick", burst=1)
        await granted(limiter, hold_of(slow, quick))
        assert (await refused(limiter, hold_of(quick, slow))).deny.rule == "limits.slow"
        assert (await refused(limiter, hold_of(slow, quick))).deny.rule == "limits.slow"

    async def test_what_can_never_fit_is_no_matter_of_waiting(self, limiter: Limiter) -> None:
        refusal = await refused(limiter, hold_of(REQUESTS, TOKENS, tokens=1001))
        assert refusal.deny.code is ErrorCode.REQUEST_EXCEEDS_LIMIT
        assert refusal.deny.retry_after is None

    async def test_standings_of_a_refusal_are_what_was_left(self, limiter: Limiter) -> None:
        await granted(limiter, hold_of(TOKENS, tokens=990))
        refusal = await refused(limiter, hold_of(REQUESTS, TOKENS, tokens=20))
        assert [standing.remaining for standing in refusal.standings] == [100, 10]


class TestSettling:
    @pytest.mark.parametrize(("tokens", "left"), [(40, 960), (100, 900), (300, 700), (0, 1000)])
    async def test_what_was_spent_takes_the_place_of_what_was_held(
        self, limiter: Limiter, tokens: int, left: int
    ) -> None:
        hold = hold_of(TOKENS)
        await granted(limiter, hold)
        await limiter.settle([spent(hold, tokens)])
        assert await remaining(limiter, TOKENS) == left

    async def test_a_second_settlement_changes_nothing(self, world: World, limiter: Limiter) -> None:
        hold = hold_of(REQUESTS, TOKENS)
        await granted(limiter, hold)
        await asyncio.gather(*(one.settle([spent(hold, 200)]) for one in world.limiters * 5))
        await limiter.settle([nothing(hold)])
        assert await remaining(limiter, TOKENS) == 800
        assert await remaining(limiter, REQUESTS) == 99

    async def test_many_settle_together(self, limiter: Limiter) -> None:
        holds = [hold_of(REQUESTS, TOKENS, tokens=10) for _ in range(70)]
        for hold in holds:
            await granted(limiter, hold)
        await limiter.settle([nothing(hold) for hold in holds])
        assert await remaining(limiter, TOKENS) == 1000
        assert await remaining(limiter, REQUESTS) == 100

    async def test_nothing_spent_gives_everything_back(self, limiter: Limiter) -> None:
        hold = hold_of(REQUESTS, TOKENS, SLOTS)
        await granted(limiter, hold)
        await limiter.settle([nothing(hold)])
        assert await remaining(limiter, REQUESTS) == 100
        assert await remaining(limiter, TOKENS) == 1000

    async def test_an_unknown_id_is_charged_what_it_spent(self, limiter: Limiter) -> None:
        hold = hold_of(REQUESTS, TOKENS)
        await limiter.settle([spent(hold, 300)])
        assert await remaining(limiter, TOKENS) == 700
        assert await remaining(limiter, REQUESTS) == 99

    async def test_a_reservation_that_comes_after_its_settlement_holds_nothing(
        self, limiter: Limiter
    ) -> None:
        hold = hold_of(TOKENS, replace(SLOTS, amount=1))
        await limiter.settle([nothing(hold)])
        await granted(limiter, hold)
        assert await remaining(limiter, TOKENS) == 1000
        await granted(limiter, hold_of(replace(SLOTS, amount=1)))

    async def test_after_its_settlement_an_id_is_granted_whatever_is_left(self, limiter: Limiter) -> None:
        hold = hold_of(REQUESTS, TOKENS, tokens=1000)
        await granted(limiter, hold)
        await limiter.settle([spent(hold, 1000)])
        assert (await granted(limiter, hold)).notes == ()

    async def test_spending_more_than_there_is_refuses_until_it_is_paid(
        self, world: World, limiter: Limiter
    ) -> None:
        hold = hold_of(TOKENS)
        await granted(limiter, hold)
        await limiter.settle([spent(hold, 1500)])
        refusal = await refused(limiter, hold_of(TOKENS, tokens=100))
        assert refusal.deny.retry_after == DAY * 0.6
        await world.advance(DAY * 0.6)
        await granted(limiter, hold_of(TOKENS, tokens=100))


class TestSlots:
    async def test_no_more_run_at_once_than_there_are_slots(self, limiter: Limiter) -> None:
        await granted(limiter, hold_of(SLOTS))
        await granted(limiter, hold_of(SLOTS))
        refusal = await refused(limiter, hold_of(SLOTS))
        assert refusal.deny.code is ErrorCode.CONCURRENCY_LIMIT_EXCEEDED
        assert refusal.deny.retry_after == 1.0

    async def test_a_settlement_frees_its_slot(self, limiter: Limiter) -> None:
        first = hold_of(SLOTS)
        await granted(limiter, first)
        await granted(limiter, hold_of(SLOTS))
        await limiter.settle([spent(first)])
        await granted(limiter, hold_of(SLOTS))
        await refused(limiter, hold_of(SLOTS))

    async def test_a_slot_is_free_when_its_lease_has_ended(self, world: World, limiter: Limiter) -> None:
        await granted(limiter, hold_of(SLOTS))
        await granted(limiter, hold_of(SLOTS))
        await world.advance(LEASE - 1)
        await refused(limiter, hold_of(SLOTS))
        await world.advance(1)
        await granted(limiter, hold_of(SLOTS))

    async def test_a_lease_ends_though_later_ones_do_not(self, world: World, limiter: Limiter) -> None:
        await granted(limiter, hold_of(SLOTS))
        await world.advance(LEASE - 1)
        await granted(limiter, hold_of(SLOTS))
        await world.advance(1)
        await granted(limiter, hold_of(SLOTS))
        await refused(limiter, hold_of(SLOTS))

    async def test_a_renewed_slot_lasts_another_lease(self, world: World, limiter: Limiter) -> None:
        lasting = hold_of(replace(SLOTS, amount=1), TOKENS)
        await granted(limiter, lasting)
        for _ in range(3):
            await world.advance(LEASE - 1)
            await limiter.renew([lasting])
        await world.advance(LEASE - 1)
        await refused(limiter, hold_of(replace(SLOTS, amount=1)))
        await world.advance(1)
        await granted(limiter, hold_of(replace(SLOTS, amount=1)))

    async def test_what_still_runs_gets_its_lost_slot_back(self, world: World, limiter: Limiter) -> None:
        hold = hold_of(replace(SLOTS, amount=1))
        await granted(limiter, hold)
        await world.advance(LEASE + 1)
        await limiter.renew([hold])
        await refused(limiter, hold_of(replace(SLOTS, amount=1)))

    async def test_renewal_takes_no_slot_that_was_not_held(self, limiter: Limiter) -> None:
        shadow = hold_of(replace(SLOTS, amount=0, mode=Mode.SHADOW))
        await granted(limiter, shadow)
        await limiter.renew([shadow])
        assert [seen.level for seen in await limiter.look(shadow.demands)] == [0]

    async def test_renewal_does_not_bring_back_what_is_settled(self, limiter: Limiter) -> None:
        hold = hold_of(replace(SLOTS, amount=1))
        await granted(limiter, hold)
        await limiter.settle([spent(hold)])
        await limiter.renew([hold])
        await granted(limiter, hold_of(replace(SLOTS, amount=1)))

    async def test_a_late_settlement_charges_the_difference_alone(
        self, world: World, limiter: Limiter
    ) -> None:
        hold = hold_of(TOKENS, SLOTS, tokens=500)
        await granted(limiter, hold)
        await world.advance(10 * LEASE)
        await limiter.settle([spent(hold, 600)])
        assert await remaining(limiter, TOKENS) == 400 + int(1000 * 10 * LEASE / DAY)


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN])
class TestModesThatDoNotRefuse:
    async def test_they_note_what_enforcement_would_have_refused(self, limiter: Limiter, mode: Mode) -> None:
        one = replace(REQUESTS, burst=1, mode=mode)
        assert (await granted(limiter, hold_of(one))).notes == ()
        (note,) = (await granted(limiter, hold_of(one))).notes
        assert (note.rule, note.mode, note.code) == (
            "limits.team-requests",
            mode,
            ErrorCode.RATE_LIMIT_EXCEEDED,
        )

    async def test_they_are_charged_like_others(self, limiter: Limiter, mode: Mode) -> None:
        hold = hold_of(replace(TOKENS, mode=mode), REQUESTS, tokens=900)
        assert (await granted(limiter, hold)).notes == ()
        await limiter.settle([spent(hold, 950)])
        assert await remaining(limiter, TOKENS) == 50

    async def test_what_they_would_have_refused_is_not_charged(self, limiter: Limiter, mode: Mode) -> None:
        await granted(limiter, hold_of(TOKENS, tokens=990))
        hold = hold_of(REQUESTS, replace(TOKENS, mode=mode), tokens=100)
        assert len((await granted(limiter, hold)).notes) == 1
        await limiter.settle([spent(hold, 150)])
        assert await remaining(limiter, TOKENS) == 10
        assert await remaining(limiter, REQUESTS) == 99

    async def test_they_note_the_same_when_asked_again(self, limiter: Limiter, mode: Mode) -> None:
        one = replace(REQUESTS, burst=1, mode=mode)
        await granted(limiter, hold_of(one))
        hold = hold_of(one, TOKENS)
        first, second = await granted(limiter, hold), await granted(limiter, hold)
        assert [note.rule for note in first.notes] == [note.rule for note in second.notes]

    async def test_they_note_a_slot_too_many(self, limiter: Limiter, mode: Mode) -> None:
        one = replace(SLOTS, amount=1, mode=mode)
        first, second = hold_of(one), hold_of(one)
        await granted(limiter, first)
        (note,) = (await granted(limiter, second)).notes
        assert note.code is ErrorCode.CONCURRENCY_LIMIT_EXCEEDED
        await limiter.settle([spent(first)])
        assert (await granted(limiter, hold_of(one))).notes == ()


async def test_a_limit_in_shadow_mode_is_not_among_the_standings(limiter: Limiter) -> None:
    shadow = replace(TOKENS, mode=Mode.SHADOW)
    grant = await granted(limiter, hold_of(REQUESTS, shadow, SLOTS))
    assert [standing.limit for standing in grant.standings] == ["team-requests"]


def owed_in_lua(server: RedisServer, rate: Rate, debt: int, elapsed: int) -> int:
    """What bucket.lua finds after so many microseconds."""
    text = Script.of("bucket.lua").text + (
        "redis.call('SET', KEYS[1], ARGV[1])\n"
        "local gain, per, now = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])\n"
        "return string.format('%.0f', owed(KEYS[1], gain, per, now))"
    )
    at = int(START) * MICRO
    with Redis.from_url(server.url) as client:
        owed = client.eval(text, 1, "{arithmetic}", f"{debt} {at}", rate.gain, rate.per, at + elapsed)
        client.delete("{arithmetic}")
    return int(owed)


class TestArithmetic:
    """bucket.lua is bucket.py once more."""

    @given(
        amount=st.integers(1, 10**9),
        seconds=st.one_of(st.integers(1, 31 * 86_400), st.integers(1, 8000).map(lambda ms: ms / 1000)),
        debt=st.integers(1, MOST_DEBT),
        paid=st.floats(-0.01, 1.5),
    )
    @settings(max_examples=300, deadline=None)
    def test_lua_owes_what_python_owes(
        self, redis_server: RedisServer, amount: int, seconds: float, debt: int, paid: float
    ) -> None:
        rate = rate_of(replace(TOKENS, amount=amount, seconds=seconds))
        elapsed = min(int(paid * debt * rate.per / rate.gain), 400 * 86_400 * MICRO)
        assert owed_in_lua(redis_server, rate, debt, elapsed) == rate.owed(debt, 0, elapsed)

    def test_lua_is_exact_where_the_product_is_beyond_its_numbers(self, redis_server: RedisServer) -> None:
        rate, debt, elapsed = Rate(10**15, 999_999_937, 7777), 2_881_445_608_862_642, 9_697_878_917
        assert int(float(elapsed) * rate.gain // rate.per) != elapsed * rate.gain // rate.per
        assert owed_in_lua(redis_server, rate, debt, elapsed) == rate.owed(debt, 0, elapsed)
