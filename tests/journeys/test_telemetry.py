"""What operators see: one line and a few counts a request, and never more series than are configured."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.support.command import run
from tests.support.eventually import eventually
from tests.support.house import ADMIN_TOKEN, House, house
from tests.support.policy_files import write_policies

pytestmark = pytest.mark.asyncio(loop_scope="module")


def samples(metrics: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every series and its value."""
    families = text_string_to_metric_families(metrics)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: str, name: str, **labels: str) -> float:
    return samples(metrics).get((name, frozenset(labels.items())), 0.0)


# the log


async def test_a_request_is_one_line_with_all_there_is_to_say(plain: House) -> None:
    answer = await plain.chat(stream=True)
    line = await plain.line(answer.request_id)
    seen = plain.simulator.requests[-1]
    times = {name: line.pop(name) for name in ("time", "ms", "first_byte_ms")}
    assert times["ms"] >= times["first_byte_ms"] > 0
    assert line.pop("policy_version")
    assert line == {
        "level": "info",
        "event": "exchange",
        "request_id": answer.request_id,
        "method": "POST",
        "endpoint": "chat_completions",
        "outcome": "served",
        "status": 200,
        "team": "search",
        "key_id": plain.key[4:16],
        "model": "gpt-4o-mini",
        "stream": True,
        "notes": ["models.deprecated warn"],
        "upstream": "openai",
        "attempts": 1,
        "upstream_request_id": seen.request_id,
        "cost_microdollars": 23,
        "input_tokens": 8,
        "output_tokens": 37,
        "usage_source": "provider",
    }


async def test_a_refusal_is_one_line_that_says_which_rule_it_was(home: House) -> None:
    answer = await home.chat("AKIA" + "Q3ZKX7TNW2MB5HYD")
    line = await home.line(answer.request_id)
    assert (line["outcome"], line["status"]) == ("refused", 400)
    assert (line["code"], line["rule"]) == ("content_policy_violation", "filters.secrets")
    assert "cost_microdollars" not in line


async def test_every_request_has_its_line(tmp_path: Path) -> None:
    async with house(tmp_path) as house_:
        answers = [
            await house_.chat(),
            await house_.get("/models"),
            await house_.get("/nothing"),
            await house_.get("/files"),
            await house_.chat(model="gpt-99"),
            await house_.get("/models", headers={"authorization": "Bearer x"}),
        ]
        lines = [await house_.line(answer.request_id) for answer in answers]
        assert [line["outcome"] for line in lines] == ["served"] * 2 + ["refused"] * 4
        assert len([line for line in await house_.lines() if line["event"] == "exchange"]) == len(answers)


# the metrics


async def test_metrics_are_openmetrics_under_their_frozen_names(plain: House) -> None:
    await plain.chat(stream=True)
    async with plain.http.get(f"{plain.operators}/metrics") as answer:
        assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        families = {family.name for family in text_string_to_metric_families(await answer.text())}
    assert families >= {
        "gateway_exchanges",
        "gateway_errors",
        "gateway_rule_hits",
        "gateway_tokens",
        "gateway_cost_microdollars",
        "gateway_unpriced_attempts",
        "gateway_estimated_attempts",
        "gateway_upstream_attempts",
        "gateway_overhead_seconds",
        "gateway_open_exchanges",
        "gateway_open_streams",
        "gateway_degraded",
        "gateway_policy_info",
        "gateway_policy_reload_failed",
        "gateway_reservations_leaked",
        "gateway_malformed_requests",
        "gateway_log_lines_dropped",
        "gen_ai_server_request_duration_seconds",
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_server_time_per_output_token_seconds",
        "gen_ai_client_token_usage",
    }


async def test_metrics_and_ledger_tell_the_same(tmp_path: Path) -> None:
    async with house(tmp_path, policies=write_policies(tmp_path)) as house_:
        for stream in (False, True, True):
            await house_.chat(stream=stream)
        lines = await house_.ledger()
        metrics = await house_.metrics()
    who = {"team": "search", "model": "gpt-4o-mini"}
    assert value(metrics, "gateway_tokens_total", **who, type="input") == sum(
        line.input_tokens for line in lines
    )
    assert value(metrics, "gateway_tokens_total", **who, type="output") == sum(
        line.output_tokens for line in lines
    )
    assert value(metrics, "gateway_cost_microdollars_total", **who) == sum(line.cost for line in lines)
    assert value(metrics, "gateway_upstream_attempts_total", upstream="openai", status="200") == 3
    served = {"team": "search", "endpoint": "chat_completions", "outcome": "served", "owner": "none"}
    assert value(metrics, "gateway_exchanges_total", **served) == 3
    assert value(metrics, "gateway_open_exchanges") == value(metrics, "gateway_open_streams") == 0


async def test_what_is_under_way_can_be_seen(plain: House) -> None:
    async with plain.wire() as wire:
        chat = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        await plain.send(wire, "/chat/completions", {**chat, "metadata": {"simulate": "stall:1"}})
        await wire.head()
        metrics = await plain.metrics()
        assert value(metrics, "gateway_open_exchanges") == value(metrics, "gateway_open_streams") == 1

    async def is_over() -> bool:
        return value(await plain.metrics(), "gateway_open_exchanges") == 0

    await eventually(is_over)


async def hostilities(house_: House, numbers: Iterable[int]) -> None:
    """Each with names that nobody has ever heard of, wherever a client can put one."""
    for number in numbers:
        odd = f"odd-{number}"
        await house_.chat(model=odd)
        await house_.chat(user=odd, service_tier=odd, metadata={odd: odd})
        await house_.chat(headers={"x-team": odd, "openai-organization": odd, "user-agent": odd})
        await house_.get(f"/{odd}")
        await house_.get(f"/models/{odd}")
        await house_.get(f"/files/{odd}")
        await house_.get("/models", headers={"authorization": f"Bearer gwk_{odd}"})
        await house_.ask(odd.replace("-", "").upper(), "/chat/completions")
        await house_.post("/responses", {"model": "gpt-4.1", "input": odd, "previous_response_id": odd})


async def test_clients_cannot_make_series(home: House) -> None:
    await hostilities(home, range(1))
    before = samples(await home.metrics()).keys()
    await hostilities(home, range(1, 8))
    assert samples(await home.metrics()).keys() == before


# the operators' port


@pytest.mark.parametrize(
    ("path", "told"), [("/healthz", {"status": "alive"}), ("/readyz", {"status": "ready"})]
)
async def test_health_is_told_to_operators(home: House, path: str, told: dict[str, str]) -> None:
    async with home.http.get(f"{home.operators}{path}") as answer:
        assert (answer.status, await answer.json()) == (200, told)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/admin/usage"])
async def test_clients_see_nothing_of_the_operators_port(home: House, path: str) -> None:
    address = home.url.removesuffix("/v1")
    async with home.http.get(f"{address}{path}", headers=home.headers) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("token", [None, "", "wrong", ADMIN_TOKEN[:-1], f"{ADMIN_TOKEN}x"])
async def test_usage_is_told_to_whoever_has_the_token_alone(home: House, token: str | None) -> None:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with home.http.get(f"{home.operators}/admin/usage", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (401, "application/problem+json")


async def test_a_teams_key_does_not_open_the_operators_port(home: House) -> None:
    async with home.http.get(f"{home.operators}/admin/usage", headers=home.headers) as answer:
        assert answer.status == 401


@pytest.mark.timeout(240)  # a command is begun anew, on a machine that may be busy
async def test_usage_can_be_seen_while_the_gateway_runs(tmp_path: Path) -> None:
    async with house(tmp_path) as house_:
        for _ in range(2):
            await house_.chat()
        await house_.post("/embeddings", {"model": "embed", "input": "a quiet harbour"})
        lines = await house_.ledger()
        token = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        async with house_.http.get(f"{house_.operators}/admin/usage?by=model", headers=token) as answer:
            told = (await answer.json())["rows"]
        status, out, _ = await run(
            "usage", "--by", "model", "--format", "json", environment=house_.environment
        )
    rows: list[dict[str, Any]] = msgspec.json.decode(out)
    assert status == 0
    assert rows == told
    assert [(row["model"], row["attempts"]) for row in rows] == [
        ("gpt-4o-mini", 2),
        ("text-embedding-3-small", 1),
    ]
    assert sum(row["cost_microdollars"] for row in rows) == sum(line.cost for line in lines)
