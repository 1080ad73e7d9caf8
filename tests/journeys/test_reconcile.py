"""Whether the ledger says what the provider says: all kinds of traffic, before a provider that counts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.simulator.pace import Pace
from gateway.simulator.simulator import Simulator
from tests.support.eventually import eventually
from tests.support.house import UPSTREAM_KEY, House, house
from tests.support.policy_files import write_policies
from tests.support.reconciling import reconciled_beside, records

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN_KEY = "sk-admin-for-tests-only"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me of the sea"}]}
SOUND = b"\x00" * 40_000


@asynccontextmanager
async def reconcilable(folder: Path, policies: Path | None = None) -> AsyncIterator[House]:
    """A house whose provider lets the administrator read its books."""
    provider = Simulator(
        api_keys=frozenset({UPSTREAM_KEY}), admin_keys=frozenset({ADMIN_KEY}), pace=Pace.instant()
    )
    environment = {"GATEWAY_UPSTREAM__ADMIN_KEY": ADMIN_KEY, "GATEWAY_UPSTREAM__PROJECT": "proj_simulator"}
    policies = policies or write_policies(folder)
    async with house(folder, policies=policies, simulator=provider, environment=environment) as opened:
        yield opened


async def reconcile(house_: House, *words: str) -> Any:
    """Yesterday and today, once everything is settled; nothing that is printed tells a secret."""
    await house_.ledger()
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    span = ("--since", "1d", "--until", tomorrow)
    printed = await reconciled_beside(*span, *words, environment=house_.environment)
    assert ADMIN_KEY not in printed.output
    return printed


async def mixed_traffic(house_: House) -> None:
    """What completes: of every kind, whole and streamed."""
    for number in range(5):
        await house_.chat(f"Tell me of {number}")
        await house_.chat(f"Tell me of {number}", stream=True)
    await house_.chat("word " * 3000)  # of which some is cached
    await house_.post("/responses", {"model": "gpt-4.1", "input": "hello there"})
    await house_.post("/responses", {"model": "gpt-4.1", "input": "hello there", "stream": True})
    await house_.post("/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "once"})
    await house_.post("/embeddings", {"model": "text-embedding-3-small", "input": ["one two", "three"]})
    await house_.post("/images/generations", {"model": "gpt-image-1", "prompt": "a red square", "n": 2})
    await house_.post("/images/generations", {"model": "dall-e-2", "prompt": "a red square"})
    await house_.post("/audio/speech", {"model": "tts-1", "input": "hello there", "voice": "alloy"})
    await house_.post("/moderations", {"model": "omni-moderation-latest", "input": "hello there"})
    for model in ("whisper-1", "gpt-4o-transcribe"):
        form = aiohttp.FormData({"model": model})
        form.add_field("file", SOUND, filename="a.wav", content_type="audio/wav")
        await house_.ask("POST", "/audio/transcriptions", data=form)
    await house_.chat("this fails", metadata={"simulate": "429:60"})


COMPLETED = {
    *{"gpt-4o-mini", "gpt-4.1", "gpt-3.5-turbo-instruct", "text-embedding-3-small", "gpt-image-1"},
    *{"dall-e-2", "tts-1", "omni-moderation-latest", "whisper-1", "gpt-4o-transcribe"},
}


async def leave(house_: House) -> None:
    """A client that goes in the middle of its answer, which the provider never ends."""
    async with house_.wire() as wire:
        body = CHAT | {"model": "gpt-4o", "stream": True, "metadata": {"simulate": "stall:6"}}
        await house_.send(wire, "/chat/completions", body)
        await wire.head()
        await wire.some(b"data: ")
    await house_.ended("client_left")


async def told_to_nobody(house_: House) -> None:
    """A stream whose usage never comes."""
    body = CHAT | {"model": "o3", "stream": True, "metadata": {"simulate": "missing_usage"}}
    assert (await house_.post("/chat/completions", body)).status == 200


async def everything_is_billed(house_: House) -> None:
    async def look() -> bool:
        return all(seen.ended.is_set() for seen in house_.simulator.requests)

    await eventually(look)


async def test_everything_that_completed_agrees_to_the_token(tmp_path: Path) -> None:
    async with reconcilable(tmp_path) as house_:
        await mixed_traffic(house_)
        await leave(house_)
        await told_to_nobody(house_)
        await everything_is_billed(house_)
        found = records(await reconcile(house_, "--format", "jsonl"))

    assert found.keys() == COMPLETED | {"gpt-4o", "o3"}
    for model in COMPLETED:
        differences = {
            name: found[model][f"difference_{name}"]
            for name in ("requests", "input_tokens", "cached_tokens", "output_tokens")
        }
        assert (model, set(differences.values())) == (model, {0})
        assert found[model]["reasons"] in ("", "rounding")
        assert abs(found[model]["difference_cost_microdollars"]) <= 6
    assert found["gpt-4o-mini"]["provider_cached_tokens"] > 0
    for model in ("gpt-4o", "o3"):
        assert found[model]["difference_requests"] == 0
        assert found[model]["reasons"] == "estimates"


async def test_what_completed_is_within_the_tolerance(tmp_path: Path) -> None:
    async with reconcilable(tmp_path) as house_:
        await mixed_traffic(house_)
        printed = await reconcile(house_)
    assert (printed.exit_code, printed.stderr.splitlines()[-1][:1]) == (0, "✓")


async def test_traffic_past_the_gateway_is_found_and_named(tmp_path: Path) -> None:
    async with reconcilable(tmp_path) as house_:
        await house_.chat()
        for _ in range(3):
            assert (await house_.direct("/chat/completions", json=CHAT)).status == 200
        past = {"model": "gpt-4.1", "input": "hello", "max_output_tokens": 7}
        assert (await house_.direct("/responses", json=past)).status == 200
        printed = await reconcile(house_, "--format", "jsonl")
    found = records(printed)

    assert printed.exit_code == 1
    assert found["gpt-4o-mini"]["reasons"] == "traffic outside the gateway"
    assert found["gpt-4o-mini"]["difference_requests"] == 3
    assert "openai gpt-4o-mini, 1 day: traffic outside the gateway." in printed.stderr
    assert found["gpt-4.1"]["reasons"] == "unmetered path"
    assert found["gpt-4.1"]["difference_output_tokens"] == 7
    assert {record["unexplained_cost_microdollars"] for record in found.values()} == {0}


async def test_another_projects_traffic_is_not_ours(tmp_path: Path) -> None:
    async with reconcilable(tmp_path) as house_:
        await house_.chat()
        ((slot, _),) = house_.simulator.account
        house_.simulator.opinions = type(house_.simulator.opinions)(project="proj_other")
        other = {"openai-project": "proj_other"}
        assert (await house_.direct("/chat/completions", json=CHAT, headers=other)).status == 200
        printed = await reconcile(house_)
        assert len(list(house_.simulator.account)) == 2
        assert slot.project == "proj_simulator"
    assert printed.exit_code == 0


async def test_a_wrong_price_in_the_book_is_named(tmp_path: Path) -> None:
    policies = write_policies(tmp_path)
    book = policies / "prices.yaml"
    right = "gpt-4o-mini: {input: 0.15, cached_input: 0.075, output: 0.60}"
    assert right in book.read_text()
    book.write_text(book.read_text().replace(right, "gpt-4o-mini: {input: 0.30, output: 1.20}"))
    async with reconcilable(tmp_path, policies) as house_:
        for number in range(20):
            await house_.chat(f"Tell me of {number}")
        printed = await reconcile(house_, "--format", "jsonl")
    record = records(printed)["gpt-4o-mini"]

    assert printed.exit_code == 1
    assert record["reasons"] == "price change"
    assert (record["difference_input_tokens"], record["difference_output_tokens"]) == (0, 0)
    assert 0.49 < record["price_ratio"] < 0.51
    assert "gpt-4o-mini, 1 day: price change." in printed.stderr


async def test_metrics_are_left_for_the_textfile_collector(tmp_path: Path) -> None:
    async with reconcilable(tmp_path) as house_:
        await house_.chat()
        await house_.direct("/chat/completions", json=CHAT)
        file = tmp_path / "reconciliation.prom"
        assert (await reconcile(house_, "--metrics", str(file))).exit_code == 1
    text = file.read_text()
    assert 'gateway_reconciliation_difference_requests{upstream="openai",model="gpt-4o-mini"} 1\n' in text
    assert "gateway_reconciliation_within_tolerance 0\n" in text
    assert text.endswith("# EOF\n")


@pytest.mark.parametrize("key", ["sk-admin-of-somebody-else", UPSTREAM_KEY])
async def test_a_key_that_the_provider_does_not_take_is_told(tmp_path: Path, key: str) -> None:
    async with reconcilable(tmp_path) as house_:
        environment = {**house_.environment, "GATEWAY_UPSTREAM__ADMIN_KEY": key}
        target = tmp_path / "found.csv"
        words = ("--format", "csv", "--output", str(target))
        printed = await reconciled_beside(*words, environment=environment)
    assert printed.exit_code == 1
    assert "does not know the admin_key of openai" in printed.stderr
    assert key not in printed.output
    assert not target.exists()
