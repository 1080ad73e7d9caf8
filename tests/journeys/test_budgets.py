"""What a budget allows: before a request, on the way of a long answer, and when it is over."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.app.desks import key_desk
from gateway.simulator.log import Completion
from gateway.simulator.pace import Pace
from gateway.simulator.simulator import Simulator
from gateway.wire.tokens import Tokenizer
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.house import UPSTREAM_KEY, Answer, House, hasten, house
from tests.support.keys import OPERATOR
from tests.support.policy_files import EVERYTHING, write_policies
from tests.support.redis_server import RedisServer, running_redis
from tests.support.wire import WireAnswer

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ROW = {"type": "object", "properties": {name: {"type": "string"} for name in "abcde"}}
_ROWS = {"type": "object", "properties": {"rows": {"type": "array", "minItems": 45, "items": _ROW}}}
SCHEMA = {"type": "json_schema", "name": "table", "schema": _ROWS}
"""What makes an answer of more than a thousand tokens."""


@pytest.fixture(params=["memory", "redis"])
def redis(request: pytest.FixtureRequest) -> Iterator[RedisServer | None]:
    """Where counters are kept; None: in the gateway's own memory."""
    if request.param == "memory":
        yield None
    else:
        with running_redis() as server:
            yield server


@asynccontextmanager
async def budgeted(
    folder: Path,
    budgets: str = "",
    *,
    limits: str = "",
    speed: float | None = None,
    clock: ManualClock | None = None,
    redis: RedisServer | None = None,
) -> AsyncIterator[House]:
    """A house with these budgets. `speed`: so many tokens a second, where a second passes in a fiftieth."""
    rules = f"{EVERYTHING}\nlimits: {{{limits}}}\nbudgets: {{{budgets}}}"
    pace = Pace(first_token_seconds=0, tokens_per_second=speed * 50) if speed else Pace.instant()
    async with house(
        folder,
        policies=write_policies(folder, rules),
        simulator=Simulator(api_keys=frozenset({UPSTREAM_KEY}), pace=pace),
        environment={"GATEWAY_REDIS_URL": redis.url} if redis else {},
        clock=clock,
        pause=hasten if speed else asyncio.sleep,
    ) as opened:
        yield opened


async def spent(house_: House, budget: str) -> int:
    """Of a team's budget, once all is settled."""
    await house_.ledger()
    found = re.search(
        rf'gateway_budget_spent{{budget="{budget}",team="search"}} (\S+)', await house_.metrics()
    )
    return int(float(found[1])) if found else 0


async def settled(house_: House, budget: str) -> int:
    """What the ledger says, which is what the budget says."""
    rows = await house_.ledger()
    cost = sum(row.cost for row in rows)

    async def agrees() -> bool:
        return await spent(house_, budget) == cost

    await eventually(agrees)
    return cost


# Before a request.


async def test_a_budget_that_is_used_up_refuses_and_names_itself(tmp_path: Path) -> None:
    async with budgeted(tmp_path, "few: {per: team, requests: 2, every: month}") as house_:
        assert [(await house_.chat()).status for _ in range(2)] == [200, 200]
        answer = await house_.chat()
        assert (answer.status, answer.error["code"]) == (429, "insufficient_quota")
        assert (answer.error["type"], "`few`" in answer.error["message"]) == ("insufficient_quota", True)
        assert answer.headers["x-should-retry"] == "false"
        assert "retry-after" not in answer.headers
        assert await house_.ledger(answer.request_id) == []
        assert len(house_.simulator.requests) == 2


async def test_a_refusal_by_a_budget_leaves_every_counter_as_it_was(tmp_path: Path) -> None:
    limits = "a: {per: team, requests: 60, every: hour}"
    budgets = "small: {per: team, dollars: 0.0001, every: day}"
    async with budgeted(tmp_path, budgets, limits=limits, clock=ManualClock()) as house_:
        before = await house_.chat(max_tokens=5)
        refused = await house_.chat(max_tokens=1000, model="gpt-4o")
        after = await house_.chat(max_tokens=5)
        assert [answer.status for answer in (before, refused, after)] == [200, 400, 200]
        assert refused.error["code"] == "request_exceeds_limit"
        remaining = [answer.headers["x-ratelimit-remaining-requests"] for answer in (before, refused, after)]
        assert remaining == ["59", "59", "58"]
        cost = await settled(house_, "small")
        assert cost == sum(row.cost for row in await house_.ledger()) > 0


async def test_a_budget_in_warn_mode_tells_and_lets_pass(tmp_path: Path) -> None:
    budgets = "soft: {per: team, requests: 1, every: day, mode: warn}"
    async with budgeted(tmp_path, budgets) as house_:
        first, second = [await house_.chat(model="gpt-6-luna", stream=stream) for stream in (False, True)]
        assert [answer.status for answer in (first, second)] == [200, 200]
        assert "x-gateway-warning" not in first.headers
        assert second.headers["x-gateway-warning"].startswith("budgets.soft; insufficient_quota; ")
        assert (await house_.line(second.request_id))["notes"] == ["budgets.soft warn"]


async def test_what_is_spent_is_what_the_ledger_says(tmp_path: Path) -> None:
    async with budgeted(tmp_path, "all: {per: team, dollars: 1, every: month}") as house_:
        asked: list[dict[str, Any]] = [{}, {"stream": True}, {"n": 3}, {"model": "gpt-4o", "max_tokens": 3}]
        assert [(await house_.chat(**members)).status for members in asked] == [200] * 4
        assert await settled(house_, "all") > 0


async def test_a_retry_that_the_upstream_answered_is_paid_for_once(tmp_path: Path) -> None:
    async with budgeted(tmp_path, "all: {per: team, dollars: 1, every: month}") as house_:
        answer = await house_.chat(metadata={"simulate": "500"})
        rows = await house_.ledger(answer.request_id)
        assert await settled(house_, "all") == sum(row.cost for row in rows)


async def test_what_answers_had_is_what_the_next_one_holds(tmp_path: Path) -> None:
    limits = "a: {per: team, tokens: 100_000, every: hour}"
    async with budgeted(tmp_path, limits=limits, clock=ManualClock()) as house_:

        def left(answer: Answer) -> int:
            return int(answer.headers["x-ratelimit-remaining-tokens"])

        first = await house_.chat()
        assert 100_000 - left(first) > 256
        answers = [await house_.chat() for _ in range(30)]
        used = {row.input_tokens + row.output_tokens for row in await house_.ledger()}

        async def holds_little() -> bool:
            before, after = await house_.chat(), await house_.chat()
            return left(before) - left(after) <= 2 * max(used)

        assert [answer.status for answer in answers] == [200] * 30
        await eventually(holds_little)


# On the way of a long answer.


@dataclass(frozen=True)
class Dialect:
    """How an endpoint is asked for a short answer and a long one, and how its stream says what it says."""

    path: str
    short: Mapping[str, Any]
    long: Mapping[str, Any]
    mark: bytes
    """How the event begins that tells of an error."""

    def error(self, event: bytes) -> dict[str, Any]:
        """What the event says, in the shape that the SDKs raise or show."""
        assert event.startswith(self.mark)
        data = msgspec.json.decode(event.partition(b"data: ")[2])
        told: dict[str, Any] = data if data.get("type") == "error" else data["error"]
        return told

    async def ask(self, house_: House, members: Mapping[str, Any]) -> WireAnswer:
        return await house_.raw(self.path, {"model": "gpt-4o-mini", **members})


SAYS = [{"role": "user", "content": "Say a lot"}]
DIALECTS = {
    "chat": Dialect(
        "/chat/completions",
        {"messages": SAYS, "max_tokens": 1},
        {"messages": SAYS, "stream": True, "response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        b"data: ",
    ),
    "completions": Dialect(
        "/completions",
        {"prompt": "Say a lot", "max_tokens": 1},
        {"prompt": "Say a lot", "stream": True, "n": 100},
        b"data: ",
    ),
    "responses": Dialect(
        "/responses",
        {"input": "Say a lot", "max_output_tokens": 1},
        {"input": "Say a lot", "stream": True, "text": {"format": SCHEMA}},
        b"event: error\n",
    ),
}
each_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


async def learn_that_answers_are_short(house_: House, dialect: Dialect) -> None:
    for _ in range(40):
        assert (await dialect.ask(house_, dialect.short)).status == 200


@each_dialect
async def test_a_stream_ends_where_its_budget_ends(
    tmp_path: Path, dialect: Dialect, redis: RedisServer | None
) -> None:
    budgets = "output: {per: team, output_tokens: 1_000, every: day}"
    async with budgeted(tmp_path, budgets, speed=20, redis=redis) as house_:
        await learn_that_answers_are_short(house_, dialect)
        answer = await dialect.ask(house_, dialect.long)
        assert (answer.status, answer.whole) == (200, False)
        *events, last = answer.body.removesuffix(b"\n\n").split(b"\n\n")
        told = dialect.error(last)
        assert (told["code"], told["param"]) == ("insufficient_quota", None)
        assert "`output`" in told["message"]
        assert b"[DONE]" not in answer.body
        assert len(events) > 100

        line = await house_.ended("cut")
        assert (line["status"], line["code"], line["rule"]) == (200, "insufficient_quota", "budgets.output")
        assert (line["level"], line["usage_source"]) == ("info", "partial")
        (row,) = await house_.ledger(line["request_id"])
        assert (row.cause, row.source, row.status) == ("budget_cut", "partial", 200)
        total = sum(row.output_tokens for row in await house_.ledger())
        assert 600 < total < 1_100  # what passed between two looks may be over
        assert await spent(house_, "output") == total
        seen = house_.simulator.requests[-1]
        await seen.ended.wait()
        assert seen.completion is Completion.CLIENT_LEFT
        metrics = await house_.metrics()
        assert 'outcome="cut",owner="policy",team="search"} 1.0' in metrics
        assert 'code="insufficient_quota",mode="enforce",rule="budgets.output",team="search"} 1.0' in metrics


async def test_what_was_cut_is_charged_as_far_as_it_came(tmp_path: Path) -> None:
    budgets = "all: {per: team, dollars: 0.001, every: month}"
    async with budgeted(tmp_path, budgets, speed=20) as house_:
        answer = await DIALECTS["chat"].ask(house_, DIALECTS["chat"].long)
        *events, _ = answer.body.removesuffix(b"\n\n").split(b"\n\n")
        chunks = [msgspec.json.decode(event.removeprefix(b"data: ")) for event in events]
        said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
        (row,) = await house_.ledger()
        assert row.output_tokens == pytest.approx(Tokenizer().count(said, "o200k_base"), rel=0.05)
        assert 600 < await settled(house_, "all") < 1_100


@pytest.mark.parametrize("mode", ["warn", "shadow"])
async def test_a_budget_that_is_not_enforced_ends_no_stream(tmp_path: Path, mode: str) -> None:
    budgets = f"output: {{per: team, output_tokens: 300, every: day, mode: {mode}}}"
    async with budgeted(tmp_path, budgets, speed=200) as house_:
        answer = await DIALECTS["chat"].ask(house_, DIALECTS["chat"].long)
        assert (answer.status, answer.whole) == (200, True)
        assert answer.body.endswith(b"data: [DONE]\n\n")
        (row,) = await house_.ledger()
        assert (row.cause, row.source) == ("served", "provider")

        async def all_is_charged() -> bool:
            return await spent(house_, "output") == row.output_tokens > 1_000

        await eventually(all_is_charged)


async def test_a_long_stream_with_room_in_its_budget_is_served_whole(tmp_path: Path) -> None:
    async with budgeted(tmp_path, "all: {per: team, dollars: 1, every: month}", speed=200) as house_:
        answer = await DIALECTS["responses"].ask(house_, DIALECTS["responses"].long)
        assert (answer.whole, b"response.completed" in answer.body) == (True, True)
        assert await settled(house_, "all") > 256 * 0.6


# Strict ones.


async def test_a_strict_budget_refuses_what_it_could_not_pay_for(tmp_path: Path) -> None:
    budgets = "strict: {per: team, dollars: 0.002, every: day, strict: true, models: [gpt-4o-mini]}"
    async with budgeted(tmp_path, budgets) as house_:
        endless = await house_.chat()
        assert (endless.status, endless.error["code"]) == (400, "request_exceeds_limit")
        assert "could cost" in endless.error["message"]
        assert (await house_.chat(max_completion_tokens=1_000)).status == 200


async def test_a_strict_budget_refuses_what_could_cost_anything(tmp_path: Path) -> None:
    budgets = "strict: {per: team, dollars: 2, every: day, strict: true, models: [gpt-4o-mini]}"
    async with budgeted(tmp_path, budgets) as house_:
        tools = [{"type": "web_search"}]
        answer = await house_.post("/responses", {"model": "gpt-4o-mini", "input": "Hello", "tools": tools})
        assert (answer.status, answer.error["code"]) == (400, "request_exceeds_limit")
        assert "`strict`" in answer.error["message"]
        assert "`max_output_tokens`" in answer.error["message"]
        assert house_.simulator.requests == []


async def test_a_strict_budget_is_never_overspent(tmp_path: Path, redis: RedisServer | None) -> None:
    budgets = "strict: {per: team, dollars: 0.0005, every: day, strict: true, models: [gpt-4o-mini]}"
    async with budgeted(tmp_path, budgets, redis=redis) as house_:

        async def worker() -> list[int]:
            asked = [
                {"max_tokens": 40},
                {"max_completion_tokens": 30, "stream": True},
                {"max_tokens": 5, "n": 3},
            ]
            return [(await house_.chat(**asked[turn % 3])).status for turn in range(9)]  # type: ignore[arg-type]

        statuses = [status for some in await asyncio.gather(*[worker() for _ in range(8)]) for status in some]
        assert set(statuses) == {200, 429}
        assert statuses.count(200) > 5
        assert await settled(house_, "strict") <= 500


# A key that is revoked on the way.


async def revoke(house_: House, name: str) -> None:
    async with key_desk(house_.settings) as desk:
        (key,) = [key for key in await desk.list() if key.name == name]
        await desk.revoke(key.id, by=OPERATOR, cut_streams=True)


async def begun(house_: House, dialect: Dialect, number: int) -> "asyncio.Task[WireAnswer]":
    """A long answer on its way, the house's so-many-th."""
    task = asyncio.ensure_future(dialect.ask(house_, dialect.long))
    seen = await house_.simulator.arrival(number)
    await eventually(lambda: seen.told_tokens > 20)
    return task


@each_dialect
async def test_a_stream_ends_when_its_key_is_revoked(tmp_path: Path, dialect: Dialect) -> None:
    async with budgeted(tmp_path, speed=5) as house_:
        ending = await begun(house_, dialect, 1)
        house_.key = await house_.new_key("search", "other")
        going_on = await begun(house_, dialect, 2)
        await revoke(house_, "tests")
        answer = await ending
        told = dialect.error(answer.body.removesuffix(b"\n\n").rpartition(b"\n\n")[2])
        assert (answer.status, answer.whole) == (200, False)
        revoked = "The credential of this request was revoked."
        assert (told["code"], told["message"]) == ("invalid_api_key", revoked)
        line = await house_.ended("cut")
        assert (line["code"], line["rule"]) == ("invalid_api_key", "auth.revocation")
        assert not going_on.done()
        going_on.cancel()
        (row,) = await house_.ledger(line["request_id"])
        assert (row.cause, row.source) == ("revoked", "partial")
        assert row.output_tokens > 10
