"""Each way of keeping limits decides in earnest, and travels as its name says."""

from collections.abc import Iterator

import pytest

from tests.bench.callers import Callers, Refused
from tests.bench.decisions import CASES, HOLDS, Case, Lost, cells, own_figures, redis_figures
from tests.bench.limiters import Way, kept_in_memory, kept_in_redis
from tests.bench.own_redis import Work, work_of
from tests.support.redis_server import ask, running_redis

_MOMENT = 0.02


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_redis() as server:
        yield server.url


@pytest.mark.parametrize("holds", HOLDS)
@pytest.mark.parametrize(
    ("way", "together"), [(Way.BATCHED, True), (Way.UNBATCHED, False)], ids=["batched", "unbatched"]
)
async def test_each_decision_is_two_scripts(url: str, holds: str, way: Way, together: bool) -> None:
    await ask(url, "FLUSHALL")
    async with kept_in_redis(way, url) as (limiter, scripts):
        callers = Callers(count=8, limiter=limiter, policy=HOLDS[holds])
        await callers.decide(_MOMENT)  # scripts and budgets are loaded
        before, pipelines = await work_of(url), scripts.pipelines
        decisions = len(await callers.decide(_MOMENT))
        work, pipelines = (await work_of(url)).since(before), scripts.pipelines - pipelines
    assert work.scripts == 2 * decisions
    assert (pipelines < work.scripts) is together
    assert await ask(url, "ZCARD", "{bench}:key-streams:concurrent:team=bench:key=key_of_the_bench") == 0


@pytest.mark.parametrize("holds", HOLDS)
async def test_memory_decides_the_same(holds: str) -> None:
    limiter = kept_in_memory()
    assert await Callers(count=8, limiter=limiter, policy=HOLDS[holds]).decide(_MOMENT)


async def test_a_caller_that_is_turned_away_is_a_mistake() -> None:
    policy = HOLDS["2 rates, 1 slot"]
    (requests, *_) = policy.limits
    limits = (type(requests)("few", requests.counts, requests.per, 1, 3600.0, 1),)
    narrow = type(policy)(policy.team, policy.version, policy.catalogue, limits=limits)
    with pytest.raises(Refused, match="Rate limit reached"):
        await Callers(count=1, limiter=kept_in_memory(), policy=narrow).decide(_MOMENT)


def test_cpu_is_shared_out_over_the_decisions() -> None:
    figures = own_figures([0.001, 0.002, 0.009, 0.001], cpu=0.0002, took=0.5)
    assert figures["gateway_cpu_us"] == pytest.approx(50)
    assert figures["p50_us"] == pytest.approx(2000)
    assert figures["p99_us"] == pytest.approx(9000)
    assert figures["per_second"] == pytest.approx(8)


def test_a_decision_is_two_calls() -> None:
    assert redis_figures(Work(0.001, 20, 5), pipelines=5, decisions=10) == {
        "redis_cpu_us": pytest.approx(100),
        "calls_per_pipeline": 4,
    }


def test_a_script_too_few_is_a_mistake() -> None:
    with pytest.raises(Lost, match="19 scripts for 10 decisions"):
        redis_figures(Work(0.001, 19, 5), pipelines=5, decisions=10)


def test_memory_has_no_figures_of_redis() -> None:
    own = own_figures([0.001], cpu=0.0001, took=1)
    redis = redis_figures(Work(0.001, 2, 1), pipelines=1, decisions=1)
    table = cells({Case("few", 1, Way.MEMORY): [own], Case("few", 1, Way.BATCHED): [own | redis]})
    assert [list(row) for row in table.rows] == [
        ["few", "1", "memory", "100.0", "", "1,000", "1,000", ""],
        ["few", "1", "Redis", "100.0", "1,000.0", "1,000", "1,000", "2.0"],
    ]


def test_every_way_is_measured_beside_the_others() -> None:
    assert [case.way for case in CASES[:3]] == list(Way)
    assert len(CASES) == 18
