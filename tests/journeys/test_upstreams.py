"""A model names its upstream, so teams need not know which it is, nor its address, its dialect or its key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.simulator.pace import Pace
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.support.eventually import eventually
from tests.support.house import UPSTREAM_KEY, House, house
from tests.support.policy_files import write_models, write_policies

pytestmark = pytest.mark.asyncio(loop_scope="module")

AZURE_KEY = "azure-key-0123456789"
MODELS = """
models:
  gpt-4o-mini: {upstream: openai}
  gpt-4o: {upstream: azure_eu, upstream_model: gpt-4o-deployed}
  sim-local: {upstream: local}
"""
PRICES = "models: {gpt-4o-mini: {input: 1, output: 1}, gpt-4o: {input: 1, output: 1}}"


@dataclass
class Three:
    """A house before three upstreams; `house.simulator` is OpenAI's."""

    house: House
    azure: Simulator
    local: Simulator


@asynccontextmanager
async def three(folder: Path) -> AsyncIterator[Three]:
    policies = write_policies(folder)
    write_models(policies, MODELS, PRICES)
    azure = Simulator(api_keys=frozenset({AZURE_KEY}), pace=Pace.instant())
    local = Simulator(pace=Pace.instant())
    async with running(azure) as azure_url, running(local) as local_url:
        environment = {
            "GATEWAY_UPSTREAMS__AZURE_EU__KIND": "azure",
            "GATEWAY_UPSTREAMS__AZURE_EU__BASE_URL": azure_url.removesuffix("/v1"),
            "GATEWAY_UPSTREAMS__AZURE_EU__API_KEY": AZURE_KEY,
            "GATEWAY_UPSTREAMS__AZURE_EU__API_VERSION": "2024-10-21",
            "GATEWAY_UPSTREAMS__LOCAL__BASE_URL": local_url,
        }
        async with house(folder, policies=policies, environment=environment) as opened:
            yield Three(opened, azure, local)
    assert azure.complaints + local.complaints == []


async def test_each_model_is_asked_of_its_own_upstream(tmp_path: Path) -> None:
    async with three(tmp_path) as all_three:
        answers = [
            await all_three.house.chat(model=model) for model in ("gpt-4o-mini", "gpt-4o", "sim-local")
        ]
        upstreams = (all_three.house.simulator, all_three.azure, all_three.local)
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert [len(upstream.requests) for upstream in upstreams] == [1, 1, 1]
        lines = await all_three.house.ledger()
        assert [line.upstream for line in lines] == ["openai", "azure_eu", "local"]


async def test_azure_is_asked_in_its_own_way(tmp_path: Path) -> None:
    async with three(tmp_path) as all_three:
        await all_three.house.ask(
            "POST",
            "/chat/completions?api-version=evil",
            json={"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]},
        )
        (seen,) = all_three.azure.requests
        assert seen.raw_path == (
            "/openai/deployments/gpt-4o-deployed/chat/completions?api-version=2024-10-21"
        )
        assert (seen.headers["api-key"], "authorization" in seen.headers) == (AZURE_KEY, False)
        assert b'"model":"gpt-4o-deployed"' in seen.body.replace(b": ", b":")


async def test_no_upstream_sees_the_key_of_another(tmp_path: Path) -> None:
    async with three(tmp_path) as all_three:
        for model in ("gpt-4o-mini", "gpt-4o", "sim-local"):
            await all_three.house.chat(model=model)
        (openai,), (azure,), (local,) = (
            upstream.requests for upstream in (all_three.house.simulator, all_three.azure, all_three.local)
        )
        assert openai.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
        assert AZURE_KEY not in str(openai.headers)
        assert UPSTREAM_KEY not in str(azure.headers) + str(local.headers)
        assert "authorization" not in local.headers


async def test_a_stream_from_azure_is_metered_although_it_begins_without_choices(tmp_path: Path) -> None:
    async with three(tmp_path) as all_three:
        answer = await all_three.house.chat(model="gpt-4o", stream=True)
        assert b"prompt_filter_results" in answer.body
        assert b'"usage"' not in answer.body
        (line,) = await all_three.house.ledger(answer.request_id)
        assert (line.source, line.model, line.upstream) == ("provider", "gpt-4o", "azure_eu")
        assert line.cost == line.input_tokens + line.output_tokens


async def test_a_model_moves_to_another_upstream_and_no_client_notices(tmp_path: Path) -> None:
    async with three(tmp_path) as all_three:
        assert (await all_three.house.chat()).status == 200
        moved = MODELS.replace("gpt-4o-mini: {upstream: openai", "gpt-4o-mini: {upstream: local")
        (tmp_path / "policies" / "models.yaml").write_text(moved)

        async def has_moved() -> bool:
            assert (await all_three.house.chat()).status == 200
            return len(all_three.local.requests) > 0

        await eventually(has_moved)
