"""Why a request was refused, and what would become of one: asked at the operators' port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import ManualClock
from tests.support.command import run
from tests.support.eventually import eventually
from tests.support.house import ADMIN_TOKEN, Answer, House, house
from tests.support.policy_files import EVERYTHING, write_policies
from tests.support.redis_server import running_redis

OTHER_TOKEN = "a-team-admins-token-for-tests-only"
TEAM_ADMIN = {
    "GATEWAY_ADMIN_TOKENS__ADS__TOKEN": OTHER_TOKEN,
    "GATEWAY_ADMIN_TOKENS__ADS__ROLE": "team_admin",
    "GATEWAY_ADMIN_TOKENS__ADS__TEAMS": "ads",
}
ONE = "few: {per: team, requests: 1, every: minute}"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 10}


@asynccontextmanager
async def limited(folder: Path, rules: str = ONE, **environment: str) -> AsyncIterator[House]:
    """A house with these limits; its clock stands still, unless it shares one with others."""
    policies = write_policies(folder, f"{EVERYTHING}\nlimits: {{{rules}}}", ads="")
    clock = None if "GATEWAY_REDIS_URL" in environment else ManualClock()
    async with house(folder, policies=policies, environment=environment, clock=clock) as opened:
        yield opened


async def asked(house_: House, method: str, path: str, *, token: str = ADMIN_TOKEN, **options: Any) -> Answer:
    headers = {"authorization": f"Bearer {token}"}
    async with house_.http.request(method, f"{house_.operators}{path}", headers=headers, **options) as answer:
        return Answer(answer.status, answer.headers, await answer.read())


async def explained(house_: House, request_id: str) -> Any:
    """Once it is over: its client may have its answer before."""

    async def look() -> Any:
        answer = await asked(house_, "GET", f"/admin/explain/{request_id}")
        return answer.json() if answer.status == 200 else None

    return await eventually(look)


async def rehearsed(house_: House, **run: Any) -> Any:
    run = {"path": "/v1/chat/completions", "body": CHAT, "team": "search", **run}
    answer = await asked(house_, "POST", "/admin/explain", json=run)
    assert answer.status == 200
    return answer.json()


async def test_a_refusal_names_the_rule_and_the_line_of_its_file(tmp_path: Path) -> None:
    async with limited(tmp_path) as house_:
        assert (await house_.chat()).status == 200
        refused = await house_.chat()
        told = await explained(house_, refused.request_id)
        assert (told["outcome"], told["status"], told["code"]) == ("refused", 429, "rate_limit_exceeded")
        assert (told["team"], told["key_name"], told["model"]) == ("search", "tests", "gpt-4o-mini")
        decided = told["decisions"][0]
        assert (decided["rule"], decided["mode"]) == ("limits.few", "enforce")
        file, line = decided["where"].split(":")
        text = (tmp_path / "policies" / file).read_text().splitlines()
        assert "few" in text[int(line) - 1]
        assert decided["reason"] == refused.error["message"]
        (counter,) = told["counters"]
        assert (counter["name"], counter["limit"], counter["remaining"]) == ("few", 1, 0)
        assert counter["reset_seconds"] == 60


async def test_who_was_refused_unread_is_explained_as_well(tmp_path: Path) -> None:
    async with limited(tmp_path) as house_:
        answers = [await house_.chat() for _ in range(3)]
        told = await explained(house_, answers[2].request_id)
        assert (told["code"], told["decisions"][0]["rule"]) == ("rate_limit_exceeded", "limits.few")


async def test_a_stranger_is_explained_without_a_word_of_what_it_sent(tmp_path: Path) -> None:
    async with limited(tmp_path) as house_:
        headers = {"authorization": "Bearer sk-canary-0123456789", "x-canary": "canary"}
        refused = await house_.chat("canary", headers=headers)
        answer = await asked(house_, "GET", f"/admin/explain/{refused.request_id}")
        told = answer.json()
        assert (told["code"], told["team"], told["owner"]) == ("invalid_api_key", "", "client")
        assert b"canary" not in answer.body


async def test_what_was_served_is_explained(tmp_path: Path) -> None:
    async with limited(tmp_path) as house_:
        served = await house_.chat()
        told = await explained(house_, served.request_id)
        assert (told["outcome"], told["upstream"], told["attempts"]) == ("served", "openai", 1)
        assert [(each["rule"], each["mode"]) for each in told["decisions"]] == [("models.deprecated", "warn")]


async def test_what_nobody_remembers_is_not_found(tmp_path: Path) -> None:
    async with limited(tmp_path) as house_:
        assert (await asked(house_, "GET", "/admin/explain/req_unknown")).status == 404


async def test_a_team_admin_is_told_of_its_own_team_alone(tmp_path: Path) -> None:
    async with limited(tmp_path, **TEAM_ADMIN) as house_:
        own = {"authorization": f"Bearer {await house_.new_key('ads', 'web')}"}
        await house_.chat()
        await house_.chat(headers=own)
        theirs, ours = await house_.chat(), await house_.chat(headers=own)
        assert (theirs.status, ours.status) == (429, 429)
        paths = [f"/admin/explain/{answer.request_id}" for answer in (theirs, ours)]
        assert [(await asked(house_, "GET", path, token=OTHER_TOKEN)).status for path in paths] == [404, 200]
        listed = (await asked(house_, "GET", "/admin/refusals", token=OTHER_TOKEN)).json()["data"]
        assert [each["request_id"] for each in listed] == [ours.request_id]


async def test_refusals_are_listed_newest_first(tmp_path: Path) -> None:
    async with limited(tmp_path) as house_:
        answers = [await house_.chat() for _ in range(4)]
        listed = (await asked(house_, "GET", "/admin/refusals")).json()["data"]
        assert [each["request_id"] for each in listed] == [each.request_id for each in answers[:0:-1]]


async def test_any_replica_explains_what_another_one_refused(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    with running_redis() as redis:
        shared = {"GATEWAY_REDIS_URL": redis.url}
        async with limited(folders[0], **shared) as one, limited(folders[1], **shared) as another:
            refused = await one.chat(headers={"authorization": "Bearer wrong"})
            assert (await explained(another, refused.request_id))["code"] == "invalid_api_key"


async def test_the_command_asks_the_running_gateway(tmp_path: Path) -> None:
    async with limited(tmp_path) as house_:
        refused = await house_.chat(headers={"authorization": "Bearer wrong"})
        environment = {**house_.environment, "GATEWAY_ADMIN_LISTEN": house_.gateway.admin_address}
        status, page, complaints = await run("explain", refused.request_id, environment=environment)
        assert (status, complaints) == (0, "")
        assert page.startswith(f"refused  401 invalid_api_key  (client)  {refused.request_id}")


# Dry runs.


async def test_a_dry_run_says_what_would_be_sent(tmp_path: Path) -> None:
    async with limited(tmp_path) as house_:
        told = await rehearsed(house_)
        assert (told["outcome"], told["model"]) == ("would_be_sent", "gpt-4o-mini")
        assert told["would_send"]["upstream"] == "openai"
        assert told["would_send"]["output_tokens"] == 10
        assert [each["remaining"] for each in told["counters"]] == [1]


async def test_a_dry_run_of_a_key_says_what_it_would_meet(tmp_path: Path) -> None:
    async with limited(tmp_path) as house_:
        await house_.chat()
        refused = await house_.chat()
        key_id = (await explained(house_, refused.request_id))["key_id"]
        told = await rehearsed(house_, team="", key_id=key_id)
        assert (told["outcome"], told["code"]) == ("refused", "rate_limit_exceeded")
        assert told["decisions"][0]["where"].startswith("organization.yaml:")


def counted(metrics: str) -> list[str]:
    """What requests leave in the metrics."""
    left = (
        "gateway_exchanges",
        "gateway_errors",
        "gateway_rule_hits",
        "gateway_open",
        "gateway_overhead",
        "gen_ai",
    )
    return [line for line in metrics.splitlines() if line.startswith(left)]


async def test_nothing_changes_by_dry_runs(tmp_path: Path) -> None:
    async with limited(tmp_path) as house_:
        before = counted(await house_.metrics())
        for _ in range(3):
            await rehearsed(house_)
            await rehearsed(house_, body={"model": "unheard-of"})
        assert counted(await house_.metrics()) == before
        assert (await house_.ledger(), house_.simulator.requests) == ([], [])
        assert [line for line in await house_.lines() if line["event"] == "exchange"] == []
        assert (await asked(house_, "GET", "/admin/refusals")).json()["data"] == []
        assert (await house_.chat()).status == 200


async def test_a_form_is_not_rehearsed(tmp_path: Path) -> None:
    async with limited(tmp_path) as house_:
        run = {"team": "search", "path": "/v1/audio/transcriptions", "body": {}}
        assert (await asked(house_, "POST", "/admin/explain", json=run)).status == 422


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/chat%2Fcompletions"])
async def test_a_path_that_is_none_is_told(tmp_path: Path, path: str) -> None:
    async with limited(tmp_path) as house_:
        assert (await rehearsed(house_, path=path))["code"] == "unknown_endpoint"
