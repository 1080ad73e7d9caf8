"""How much: what is left is said on every answer, and who has nothing left is told when to come again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.house import Answer, House, house
from tests.support.policy_files import EVERYTHING, write_policies
from tests.support.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def limited(
    folder: Path, rules: str, redis: RedisServer | None = None, clock: ManualClock | None = None
) -> AsyncIterator[House]:
    """A house with these limits, in memory or in Redis."""
    policies = write_policies(folder, f"{EVERYTHING}\nlimits: {{{rules}}}")
    environment = {"GATEWAY_REDIS_URL": redis.url} if redis else {}
    async with house(folder, policies=policies, environment=environment, clock=clock) as opened:
        yield opened


def told(answer: Answer) -> dict[str, str]:
    prefix = "x-ratelimit-"
    return {
        name.lower().removeprefix(prefix): value
        for name, value in answer.headers.items()
        if name.lower().startswith(prefix)
    }


async def test_every_answer_says_what_is_left(tmp_path: Path) -> None:
    rules = "a: {per: team, requests: 60, every: minute}, b: {per: key, tokens: 6_000, every: minute}"
    async with limited(tmp_path, rules, clock=ManualClock()) as house_:
        first = told(await house_.chat(max_tokens=10))
        left = int(first["remaining-tokens"])
        assert 5900 < left < 5990
        assert first == {
            "limit-requests": "60",
            "remaining-requests": "59",
            "reset-requests": "1s",
            "limit-tokens": "6000",
            "remaining-tokens": str(left),
            "reset-tokens": f"{(6000 - left) * 10}ms",
        }
        streamed = await house_.chat(max_tokens=10, stream=True)
        assert told(streamed)["remaining-requests"] == "58"


async def test_tokens_are_settled_by_what_was_really_used(tmp_path: Path) -> None:
    rules = "a: {per: team, tokens: 6_000, every: minute}"
    async with limited(tmp_path, rules, clock=ManualClock()) as house_:
        first = await house_.chat()
        (line,) = await house_.ledger(first.request_id)
        spent = line.input_tokens + line.output_tokens

        async def is_settled() -> bool:
            again = await house_.chat()
            expected = 6000 - int(told(again)["remaining-tokens"])
            return expected < 2 * 250 and expected > spent

        assert int(told(first)["remaining-tokens"]) < 6000 - 250
        await eventually(is_settled)


async def test_the_one_request_too_many_is_told_when_to_come_again(tmp_path: Path) -> None:
    clock = ManualClock()
    async with limited(tmp_path, "a: {per: team, requests: 2, every: minute}", clock=clock) as house_:
        assert [(await house_.chat()).status for _ in range(2)] == [200, 200]
        answer = await house_.chat()
        assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
        assert (answer.error["type"], "a" in answer.error["message"]) == ("requests", True)
        assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("30", "30000")
        assert (told(answer)["remaining-requests"], "x-should-retry" in answer.headers) == ("0", False)
        clock.advance(31)
        assert (await house_.chat()).status == 200


async def test_what_is_refused_costs_nothing(tmp_path: Path) -> None:
    async with limited(tmp_path, "a: {per: team, requests: 1, every: minute}") as house_:
        await house_.chat()
        answer = await house_.chat()
        assert (answer.status, await house_.ledger(answer.request_id)) == (429, [])
        assert len(house_.simulator.requests) == 1


async def test_who_was_just_refused_is_refused_again_without_reading_the_body(tmp_path: Path) -> None:
    async with limited(tmp_path, "a: {per: team, requests: 1, every: minute}") as house_:
        assert [(await house_.chat()).status for _ in range(2)] == [200, 429]
        async with house_.wire() as wire:
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {house_.key}\r\n"
                "content-type: application/json\r\ncontent-length: 100000\r\n\r\n"
            )
            await wire.send(head.encode())
            answer = await wire.answer()
        assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
        assert "retry-after" in answer.headers


async def test_a_request_that_could_never_fit_is_not_told_to_wait(tmp_path: Path) -> None:
    async with limited(tmp_path, "a: {per: team, tokens: 100, every: minute}") as house_:
        answer = await house_.chat("word " * 400)
        assert (answer.status, answer.error["code"]) == (400, "request_exceeds_limit")
        assert "retry-after" not in answer.headers


async def test_limits_count_by_key_by_team_and_by_model(tmp_path: Path) -> None:
    rules = (
        "k: {per: key, requests: 2, every: hour}, m: {per: model, requests: 3, every: hour},"
        "t: {per: team, requests: 4, every: hour}"
    )
    async with limited(tmp_path, rules) as house_:
        other = {"authorization": f"Bearer {await house_.new_key('search', 'other')}"}
        body = {"messages": [{"role": "user", "content": "hi"}]}

        async def status(model: str, headers: dict[str, str]) -> int:
            return (await house_.post("/chat/completions", {"model": model, **body}, headers=headers)).status

        assert [await status("gpt-4o-mini", {}) for _ in range(3)] == [200, 200, 429]
        assert [await status("gpt-4o-mini", other) for _ in range(2)] == [200, 429]
        assert [await status("gpt-4o", other) for _ in range(2)] == [200, 429]


async def test_one_request_too_many_at_once_is_refused_until_another_ends(tmp_path: Path) -> None:
    async with limited(tmp_path, "a: {per: key, concurrent: 1}") as house_:
        hanging = asyncio.ensure_future(house_.chat(metadata={"simulate": "hang"}))
        await house_.simulator.arrival()
        answer = await house_.chat()
        assert (answer.status, answer.error["code"]) == (429, "concurrency_limit_exceeded")
        assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("1", "1000")
        hanging.cancel()

        async def is_free() -> bool:
            return (await house_.chat()).status == 200

        await eventually(is_free)


async def test_a_limit_that_only_watches_lets_everybody_pass(tmp_path: Path) -> None:
    rules = (
        "shadow: {per: team, requests: 1, every: hour, mode: shadow},"
        "warn: {per: team, requests: 2, every: hour, mode: warn}"
    )
    async with limited(tmp_path, rules) as house_:
        answers = [await house_.chat(model="gpt-6-luna") for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 200]
        warned = [answer.headers.get("x-gateway-warning", "") for answer in answers]
        assert [warning.rpartition("; ")[0] for warning in warned] == [
            "",
            "",
            "limits.warn; rate_limit_exceeded",
        ]
        assert told(answers[0])["limit-requests"] == "2"
        metrics = await house_.metrics()
        assert 'code="rate_limit_exceeded",mode="shadow",rule="limits.shadow",team="search"} 2.0' in metrics


# in Redis


async def test_limits_in_redis_hold_for_all_replicas_together(tmp_path: Path) -> None:
    rules = "a: {per: team, requests: 3, every: hour}"
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with running_redis() as redis:
        async with (
            limited(tmp_path / "one", rules, redis) as one,
            limited(tmp_path / "other", rules, redis) as other,
        ):
            answers = [await replica.chat() for replica in (one, other, one, other)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [told(answer)["remaining-requests"] for answer in answers] == ["2", "1", "0", "0"]


async def test_without_redis_the_house_goes_on_and_says_so(tmp_path: Path) -> None:
    with running_redis() as redis:
        async with limited(tmp_path, "a: {per: team, requests: 100_000, every: hour}", redis) as house_:
            healthy = await house_.chat()
            assert (healthy.status, "x-gateway-degraded" in healthy.headers) == (200, False)
            assert told(healthy)["remaining-requests"] == "99999"
            redis.stop()

            async def is_degraded() -> bool:
                answer = await house_.chat()
                assert answer.status == 200
                return answer.headers.get("x-gateway-degraded") == "limits"

            await eventually(is_degraded)
            assert 'gateway_degraded{dependency="redis"} 1.0' in await house_.metrics()
            async with house_.http.get(f"{house_.operators}/readyz") as ready:
                assert ready.status == 200

            redis.start()

            async def is_well() -> bool:
                answer = await house_.chat()
                assert answer.status == 200
                return "x-gateway-degraded" not in answer.headers

            await eventually(is_well)
            assert 'gateway_degraded{dependency="redis"} 0.0' in await house_.metrics()
            events = [line["event"] for line in await house_.lines() if line["event"].startswith("redis_")]
            assert events == ["redis_away", "redis_back"]
