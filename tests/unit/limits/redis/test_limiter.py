"""How limits lie in Redis, and what only a limiter whose store is far away does. What all decide:
tests/conformance."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from gateway.core.errors import StoreUnavailable
from gateway.core.policy import Budget, Counted, Limit, Period
from gateway.core.spending import Spending, UnderWay
from gateway.limits.bucket import MICRO
from gateway.limits.demands import demand_of
from gateway.limits.interfaces import Demand, Grant, Hold, More, Share, Spent, Unloaded
from gateway.limits.redis.limiter import CLOCK, RedisLimiter
from tests.unit.limits.conftest import DOLLARS, REQUESTS, SLOTS, TOKENS

NOW = 1_795_000_000
DAY = 86_400
DAILY = replace(DOLLARS, name="team-day", period=Period.DAY)
TIME = "local function now_us() return tonumber(redis.call('GET', '{clock}')) end"
"""A clock that a test sets."""


def demand(limit: Limit | Budget, cost: int = 100) -> Demand:
    own = 1 if limit.counts in (Counted.REQUESTS, Counted.CONCURRENT) else cost
    return demand_of(limit, f"{{search}}:{limit.name}:{limit.counts}:team=search", own, NOW)


HOLD = Hold("ex_1", tuple(demand(limit) for limit in (REQUESTS, TOKENS, SLOTS)))
BUDGETS = Hold("ex_1", (demand(DAILY), demand(TOKENS), demand(DOLLARS)))
TODAY = Hold("ex_1", (demand(DAILY),))
LEFT_OF_TODAY = DAY - NOW % DAY


@asynccontextmanager
async def running(redis: Redis, clock: str = CLOCK) -> AsyncIterator[RedisLimiter]:
    limiter = RedisLimiter(
        client=redis, lease=60.0, keep=600.0, forget=30.0, keep_alive=5.0, timeout=10.0, clock=clock
    )
    loop = asyncio.create_task(limiter.run())
    yield limiter
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


@pytest.fixture
async def replicas(redis: Redis) -> AsyncIterator[tuple[RedisLimiter, RedisLimiter]]:
    """Two, on a Redis whose time stands still."""
    await tell_time(redis, NOW)
    async with running(redis, TIME) as first, running(redis, TIME) as second:
        yield first, second


@pytest.fixture
def limiter(replicas: tuple[RedisLimiter, RedisLimiter]) -> RedisLimiter:
    return replicas[0]


async def tell_time(redis: Redis, now: float) -> None:
    await redis.set("{clock}", int(now * MICRO))


async def ends_of_budgets(redis: Redis) -> list[int]:
    """Of sums and of leases."""
    return [end for key, end in (await ends(redis)).items() if "team-day" in key]


async def ends(redis: Redis) -> dict[str, int]:
    """Seconds until each key ends; below 0 for those that never do."""
    return {key.decode(): await redis.ttl(key) async for key in redis.scan_iter() if key != b"{clock}"}


class TestKeys:
    async def test_every_key_is_of_the_team_and_has_an_end(self, limiter: RedisLimiter, redis: Redis) -> None:
        await limiter.reserve(HOLD)
        found = await ends(redis)
        assert found == {
            "{search}:exchange:ex_1": pytest.approx(600, abs=5),
            "{search}:team-requests:requests:team=search": pytest.approx(1, abs=1),
            "{search}:key-tokens:tokens:team=search": pytest.approx(6, abs=3),
            "{search}:team-streams:concurrent:team=search": pytest.approx(60, abs=5),
        }
        assert len({key_slot(key.encode()) for key in found}) == 1

    async def test_a_budget_lasts_for_a_window_beyond_the_next_one(
        self, limiter: RedisLimiter, redis: Redis
    ) -> None:
        await limiter.load(TODAY.demands[0], Spending(0))
        await limiter.reserve(TODAY)
        assert await ends_of_budgets(redis) == [pytest.approx(LEFT_OF_TODAY + 2 * DAY, abs=5)] * 2

    async def test_a_window_that_begins_lets_a_budget_last_longer(
        self, limiter: RedisLimiter, redis: Redis
    ) -> None:
        await limiter.load(TODAY.demands[0], Spending(0))
        await limiter.reserve(TODAY)
        for key in await ends(redis):
            await redis.expire(key, 1000)
        await tell_time(redis, NOW + 30)
        await limiter.reserve(TODAY._replace(exchange_id="ex_2"))
        assert await ends_of_budgets(redis) == [pytest.approx(1000, abs=5)] * 2
        await tell_time(redis, NOW + LEFT_OF_TODAY)
        await limiter.renew([TODAY])
        assert await ends_of_budgets(redis) == [pytest.approx(2 * DAY, abs=5)] * 2

    async def test_leases_that_come_anew_last_as_long(self, limiter: RedisLimiter, redis: Redis) -> None:
        await limiter.load(TODAY.demands[0], Spending(0))
        await limiter.reserve(TODAY)
        await limiter.settle([Spent(TODAY, (5,))])
        await limiter.reserve(TODAY._replace(exchange_id="ex_2"))
        assert await ends_of_budgets(redis) == [pytest.approx(LEFT_OF_TODAY + 2 * DAY, abs=5)] * 2

    async def test_a_budget_that_nobody_loads_ends_in_ten_minutes(
        self, limiter: RedisLimiter, redis: Redis
    ) -> None:
        await limiter.renew([TODAY])
        await limiter.settle([Spent(TODAY._replace(exchange_id="ex_2"), (5,))])
        assert await ends_of_budgets(redis) == [pytest.approx(600, abs=5)] * 2

    async def test_no_key_is_without_an_end_whatever_is_done(
        self, limiter: RedisLimiter, redis: Redis
    ) -> None:
        slice_ = TODAY._replace(exchange_id="slice:r:1", slice=True)
        assert isinstance(await limiter.reserve(BUDGETS), Unloaded)
        await limiter.settle([Spent(TODAY._replace(exchange_id="ex_9"), (5,))])
        await limiter.load(TODAY.demands[0], Spending(0, (UnderWay("load_1", 0),)))
        assert min((await ends(redis)).values()) > 0
        for each in (BUDGETS.demands[0], BUDGETS.demands[2]):
            await limiter.load(each, Spending(5, (UnderWay("ex_0", 7),)))
        for hold in (BUDGETS, slice_):
            assert isinstance(await limiter.reserve(hold), Grant)
        await limiter.extend([More(BUDGETS, (5, 5, 5))])
        await limiter.renew([BUDGETS, slice_])
        await limiter.restore([(BUDGETS.demands[1], 500 * MICRO)])
        await limiter.probe()
        await limiter.beat("one")
        assert min((await ends(redis)).values()) > 0
        await limiter.settle([Spent(BUDGETS, (1, 1, 1)), Spent(slice_, (1,))])
        assert min((await ends(redis)).values()) > 0

    async def test_of_what_is_settled_the_sums_are_left(self, limiter: RedisLimiter, redis: Redis) -> None:
        await limiter.load(TODAY.demands[0], Spending(5))
        await limiter.reserve(TODAY)
        await limiter.settle([Spent(TODAY, (30,))])
        bucket = TODAY.demands[0].bucket
        fields = await redis.hgetall(bucket)
        assert fields.keys() == {b"start", b"spent", b"held"}
        assert (fields[b"spent"], fields[b"held"]) == (b"35", b"0")
        assert not await redis.exists(f"{bucket}:leases")

    async def test_looking_changes_nothing(self, limiter: RedisLimiter, redis: Redis) -> None:
        hold = Hold("ex_1", (*TODAY.demands, *HOLD.demands))
        await limiter.load(TODAY.demands[0], Spending(5))
        await limiter.reserve(hold)
        for now in (NOW - 10, NOW + 70, NOW + DAY, NOW + 9 * DAY):
            await tell_time(redis, now)
            before = {key: await redis.dump(key) async for key in redis.scan_iter()}
            await limiter.look(hold.demands)
            assert {key: await redis.dump(key) async for key in redis.scan_iter()} == before

    async def test_a_settlement_is_remembered_for_as_long_as_was_said(
        self, limiter: RedisLimiter, redis: Redis
    ) -> None:
        await limiter.reserve(HOLD)
        await limiter.settle([Spent(HOLD, (0, 0, 0))])
        assert await ends(redis) == {"{search}:exchange:ex_1": pytest.approx(30, abs=5)}

    async def test_renewal_reaches_the_hold_as_well_as_the_slot(
        self, limiter: RedisLimiter, redis: Redis
    ) -> None:
        await limiter.reserve(HOLD)
        keys = "{search}:exchange:ex_1", "{search}:team-streams:concurrent:team=search"
        for key in keys:
            await redis.expire(key, 5)
        await limiter.renew([HOLD])
        assert [await redis.ttl(key) for key in keys] == [
            pytest.approx(600, abs=5),
            pytest.approx(60, abs=5),
        ]

    async def test_a_debt_that_would_last_for_ages_still_has_an_end(
        self, limiter: RedisLimiter, redis: Redis
    ) -> None:
        slow = demand(replace(TOKENS, amount=1, seconds=86_400.0))
        await limiter.settle([Spent(Hold("ex_2", (slow,)), (10**9,))])
        assert 0 < await redis.ttl(slow.bucket) <= 400 * DAY

    async def test_large_numbers_are_written_in_full(self, limiter: RedisLimiter, redis: Redis) -> None:
        large = 4_503_599_627_370_495
        hold = Hold("ex_1", (demand(replace(DAILY, amount=2 * large), large), demand(TOKENS, 0)))
        await limiter.load(hold.demands[0], Spending(large))
        await limiter.reserve(hold)
        await limiter.restore([(hold.demands[1], large)])
        assert await redis.hmget(hold.demands[0].bucket, "spent", "h:ex_1") == [str(large).encode()] * 2
        assert await redis.get(hold.demands[1].bucket) == f"{large} {NOW * MICRO}".encode()
        assert await redis.get("{search}:exchange:ex_1") == f"{large} 0".encode()

    async def test_it_goes_on_after_redis_has_lost_everything(
        self, limiter: RedisLimiter, redis: Redis
    ) -> None:
        await limiter.reserve(HOLD)
        await redis.flushall()
        await tell_time(redis, NOW)
        await redis.script_flush()
        await limiter.settle([Spent(HOLD, (1, 300, 1))])
        grant = await limiter.reserve(Hold("ex_2", HOLD.demands))
        assert isinstance(grant, Grant)
        assert [standing.remaining for standing in grant.standings] == [58, 600]


class TestProbes:
    async def test_one_passes_when_writes_do(self, limiter: RedisLimiter) -> None:
        await limiter.probe()

    async def test_one_fails_on_a_redis_that_takes_no_writes(
        self, limiter: RedisLimiter, redis: Redis
    ) -> None:
        await redis.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailable):
                await limiter.probe()
            with pytest.raises(StoreUnavailable):
                await limiter.reserve(Hold("ex_2", HOLD.demands[:2]))
        finally:
            await redis.config_set("maxmemory", 0)


class TestBeats:
    async def test_who_is_alone_has_all(self, limiter: RedisLimiter) -> None:
        assert (await limiter.beat("one")).share == Share(0, 1)

    async def test_ranks_stay_whoever_beats_last(self, replicas: tuple[RedisLimiter, RedisLimiter]) -> None:
        first, second = replicas
        await first.beat("b")
        assert (await second.beat("a")).share == Share(0, 2)
        assert (await first.beat("b")).share == Share(1, 2)
        assert (await second.beat("a")).share == Share(0, 2)

    async def test_who_is_not_heard_of_counts_no_more(
        self, replicas: tuple[RedisLimiter, RedisLimiter], redis: Redis
    ) -> None:
        first, second = replicas
        await first.beat("a")
        await tell_time(redis, NOW + 1)
        await second.beat("b")
        await tell_time(redis, NOW + 4.9)
        assert (await second.beat("b")).share == Share(1, 2)
        await tell_time(redis, NOW + 5)
        assert (await second.beat("b")).share == Share(0, 1)

    async def test_after_an_outage_all_are_given_the_time_to_be_heard_of(
        self, replicas: tuple[RedisLimiter, RedisLimiter], redis: Redis
    ) -> None:
        first, second = replicas
        await first.beat("a")
        await second.beat("b")
        await tell_time(redis, NOW + 3600)
        assert (await second.beat("b")).share == Share(1, 2)
        await tell_time(redis, NOW + 3604)
        assert (await second.beat("b")).share == Share(1, 2)
        await tell_time(redis, NOW + 3605)
        assert (await second.beat("b")).share == Share(0, 1)

    async def test_each_replica_learns_once_that_redis_lost_everything(
        self, replicas: tuple[RedisLimiter, RedisLimiter], redis: Redis
    ) -> None:
        first, second = replicas
        assert [(await each.beat(name)).emptied for each, name in ((first, "a"), (second, "b"))] == [
            False
        ] * 2
        await redis.flushall()
        await tell_time(redis, NOW)
        assert [(await each.beat(name)).emptied for each, name in ((first, "a"), (second, "b"))] == [True] * 2
        assert [(await each.beat(name)).emptied for each, name in ((first, "a"), (second, "b"))] == [
            False
        ] * 2

    async def test_the_first_beat_of_a_replica_has_nothing_to_compare_with(
        self, replicas: tuple[RedisLimiter, RedisLimiter]
    ) -> None:
        first, second = replicas
        await first.beat("a")
        assert not (await second.beat("b")).emptied

    async def test_it_tells_the_time_of_redis(self, redis: Redis) -> None:
        async with running(redis) as limiter:
            seconds, micros = await redis.time()
            assert (await limiter.beat("a")).now == pytest.approx(seconds + micros / MICRO, abs=5)


class TestRestoring:
    @pytest.mark.parametrize(("owed", "given", "then"), [(0, 300, 300), (200, 300, 300), (400, 300, 400)])
    async def test_the_larger_debt_stands(
        self, limiter: RedisLimiter, owed: int, given: int, then: int
    ) -> None:
        await limiter.settle([Spent(Hold("ex_1", (demand(TOKENS),)), (owed,))])
        await limiter.restore([(demand(TOKENS), given * MICRO)])
        (seen,) = await limiter.look([demand(TOKENS)])
        assert seen.level == then * MICRO

    async def test_what_was_paid_back_does_not_count(self, limiter: RedisLimiter, redis: Redis) -> None:
        await limiter.settle([Spent(Hold("ex_1", (demand(TOKENS),)), (400,))])
        await tell_time(redis, NOW + 12)
        await limiter.restore([(demand(TOKENS), 300 * MICRO)])
        (seen,) = await limiter.look([demand(TOKENS)])
        assert seen.level == 300 * MICRO

    async def test_many_are_restored(self, limiter: RedisLimiter, redis: Redis) -> None:
        debts = [
            (demand(TOKENS)._replace(bucket=f"{{team-{number}}}:a:tokens"), 10**9) for number in range(200)
        ]
        await limiter.restore(debts)
        assert len(await ends(redis)) == 200
