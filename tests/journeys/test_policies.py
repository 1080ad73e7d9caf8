"""What they may do: allow-lists, modes, shaping, filters; and files that change while the house stands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.journeys.test_every_endpoint import FORM, SOUND, form
from tests.support.eventually import eventually
from tests.support.house import Answer, House, house
from tests.support.policy_files import EVERYTHING, write_policies
from tests.unit.upstream.stand_in import chunked, standing_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "AKIA" + "Q3ZKX7TNW2MB5HYD"
"""What the secrets filter takes for an AWS access key id."""


@asynccontextmanager
async def ruled(folder: Path, organization: str = "", **teams: str) -> AsyncIterator[House]:
    """A house in which everything is allowed but what these rules say."""
    policies = write_policies(folder, EVERYTHING + organization, **teams)
    async with house(folder, policies=policies) as opened:
        yield opened


def sent(house_: House) -> Any:
    """The last body that reached the upstream."""
    return msgspec.json.decode(house_.simulator.requests[-1].body)


# what may be used


async def test_a_model_that_is_not_listed_is_refused(home: House) -> None:
    headers = {"authorization": f"Bearer {await home.new_key('support', 'lists')}"}
    before = len(home.simulator.requests)
    answer = await home.post("/chat/completions", {"model": "o3", "messages": []}, headers=headers)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (403, "model_not_allowed", "model")
    assert len(home.simulator.requests) == before


async def test_an_alias_opens_no_other_model(home: House) -> None:
    headers = {"authorization": f"Bearer {await home.new_key('support', 'aliases')}"}
    answers = [
        await home.post(
            "/chat/completions", {"model": model, "messages": [{"role": "user"}]}, headers=headers
        )
        for model in ("smart", "fast")
    ]
    assert [answer.status for answer in answers] == [403, 200]


async def test_a_model_named_by_a_tool_must_be_allowed_too(home: House) -> None:
    headers = {"authorization": f"Bearer {await home.new_key('support', 'tools')}"}
    tools = [{"type": "image_generation", "model": "gpt-image-2"}]
    body = {"model": "gpt-6-luna", "input": "Draw", "tools": tools}
    answer = await home.post("/responses", body, headers=headers)
    assert (answer.status, answer.error["code"]) == (403, "model_not_allowed")
    assert answer.error["param"] == "tools.0.model"


async def test_an_endpoint_that_is_not_listed_is_refused_without_reading_the_body(home: House) -> None:
    key = await home.new_key("support", "endpoints")
    async with home.wire() as wire:
        head = (
            f"POST /v1/images/generations HTTP/1.1\r\nhost: a\r\napi-key: {key}\r\n"
            "content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
        )
        await wire.send(head.encode())
        answer = await wire.answer()
    assert (answer.status, answer.error["code"]) == (403, "endpoint_not_allowed")


async def test_a_key_can_differ_from_its_team(home: House) -> None:
    headers = {"authorization": f"Bearer {await home.new_key('search', 'nightly-index')}"}
    embedded = await home.post("/embeddings", {"model": "embed", "input": "a"}, headers=headers)
    chatted = await home.chat(headers=headers)
    assert (embedded.status, chatted.status) == (200, 403)


async def test_a_model_that_goes_away_is_announced(home: House) -> None:
    answer = await home.chat()
    assert answer.headers["x-gateway-warning"].startswith("models.deprecated; model_not_allowed; ")


# four modes

MODES = ("off", "shadow", "warn", "enforce")
RULES = {
    "allow-list": ("models: {{allow: [o3], mode: {}}}", {}, "models", "model_not_allowed", 403),
    "endpoint": (
        "endpoints: {{allow: [embeddings], mode: {}}}",
        {},
        "endpoints",
        "endpoint_not_allowed",
        403,
    ),
    "filter": (
        "filters: {{f: {{kind: patterns, patterns: [hello], mode: {}}}}}",
        {},
        "filters.f",
        "content_policy_violation",
        400,
    ),
    "objects": (
        "objects: {}",
        {"metadata": {}, "prediction": {"file_id": "file-abc"}},
        "objects",
        "not_found",
        404,
    ),
    "window": (
        "shaping: {{s: {{guard: context_window, mode: {}}}}}",
        {"model": "gpt-3.5-turbo-instruct", "messages": [{"role": "user", "content": "hello " * 9000}]},
        "shaping.s",
        "context_length_exceeded",
        400,
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("spelled", "members", "rule", "code", "status"), RULES.values(), ids=RULES)
async def test_a_rule_acts_as_its_mode_says(
    tmp_path: Path, spelled: str, members: dict[str, Any], rule: str, code: str, status: int, mode: str
) -> None:
    organization = spelled.format(mode)
    allowed = "\n".join(
        line for line in EVERYTHING.splitlines() if line and not organization.startswith(line.split(":")[0])
    )
    policies = write_policies(tmp_path, f"{allowed}\n{organization}\n")
    async with house(tmp_path, policies=policies) as house_:
        answer = await house_.chat("hello", **{"model": "gpt-6-luna", **members})
        metrics = await house_.metrics()
        logged = await house_.line(answer.request_id)
    assert answer.status == (status if mode == "enforce" else 200)
    if mode == "enforce":
        assert (answer.error["code"], logged["rule"]) == (code, rule)
    told = answer.headers.get("x-gateway-warning", "")
    assert (f"{rule}; {code}" in told) is (mode == "warn")
    assert (f"{rule} {mode}" in logged.get("notes", [])) is (mode in ("shadow", "warn"))
    hit = f'gateway_rule_hits_total{{code="{code}",mode="{mode}",rule="{rule}",team="search"}} 1.0'
    assert (hit in metrics) is (mode != "off")


# what is changed

SHAPING = """
shaping:
  bounded: {clamp: [max_tokens, max_completion_tokens, max_output_tokens], at_most: 100}
  few: {clamp: n, at_most: 2}
  warm: {clamp: temperature, at_least: 0.2, at_most: 0.7}
  length: {default: max_completion_tokens, value: 500}
  whose: {force: user, from: principal.subject}
  none-stored: {force: store, value: false}
  no-tiers: {strip: [service_tier, metadata]}
  tried: {clamp: top_p, at_most: 0.5, mode: warn}
"""


async def test_the_upstream_gets_what_the_rules_made_of_it(tmp_path: Path) -> None:
    async with ruled(tmp_path, SHAPING) as house_:
        answer = await house_.chat(
            model="fast",
            max_tokens=9000,
            n=7,
            temperature=0,
            user="eve@example.com",
            store=True,
            service_tier="priority",
            metadata={"a": "b"},
            top_p=0.9,
            seed=5,
        )
        assert sent(house_) == {
            "model": "gpt-6-luna",
            "messages": [{"role": "user", "content": "Say hello"}],
            "max_tokens": 100,
            "max_completion_tokens": 100,
            "n": 2,
            "temperature": 0.2,
            "user": "key:search/tests",
            "store": False,
            "top_p": 0.9,
            "seed": 5,
        }
        assert answer.headers["x-gateway-warning"].startswith("shaping.tried; request_exceeds_limit; ")


async def test_an_input_that_cannot_fit_is_refused_before_it_is_paid_for(home: House) -> None:
    before = len(home.simulator.requests)
    body = {"model": "gpt-3.5-turbo-instruct", "prompt": "one more word " * 3000}
    answer = await home.post("/completions", body)
    assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")
    assert (answer.error["param"], "4096" in answer.error["message"]) == ("prompt", True)
    assert (await home.ledger(answer.request_id), len(home.simulator.requests)) == ([], before)


# what must not be said

CHAT = {"model": "gpt-6-luna"}
HIDDEN = {
    "in a message": {"messages": [{"role": "user", "content": f"my key is {SECRET}"}]},
    "in a part": {"messages": [{"role": "user", "content": [{"type": "text", "text": SECRET}]}]},
    "in a tool's arguments": {
        "messages": [
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "f", "arguments": f'{{"k":"{SECRET}"}}'},
                    }
                ],
            }
        ]
    },
    "in a tool's description": {
        "messages": [],
        "tools": [{"type": "function", "function": {"name": "f", "description": SECRET, "parameters": {}}}],
    },
    "in nested metadata": {"messages": [], "metadata": {"a": {"b": [{"c": SECRET}]}}},
    "in a name": {"messages": [], "metadata": {SECRET: "x"}},
    "in an unknown member": {"messages": [], "x": [[SECRET]]},
    "written in escapes": {"messages": [{"role": "user", "content": SECRET}]},
}


@pytest.mark.parametrize("members", HIDDEN.values(), ids=HIDDEN)
async def test_a_secret_is_found_wherever_it_stands(home: House, members: dict[str, Any]) -> None:
    before = len(home.simulator.requests)
    body = msgspec.json.encode(CHAT | members)
    if members is HIDDEN["written in escapes"]:
        body = body.replace(SECRET.encode(), "".join(f"\\u{ord(letter):04x}" for letter in SECRET).encode())
        assert SECRET.encode() not in body
    answer = await home.ask(
        "POST", "/chat/completions", data=body, headers={"content-type": "application/json"}
    )
    assert (answer.status, answer.error["code"]) == (400, "content_policy_violation")
    assert "an AWS access key id" in answer.error["message"]
    assert SECRET.encode() not in answer.body
    assert len(home.simulator.requests) == before


@pytest.mark.parametrize(
    "body",
    [
        form(("model", "whisper-1"), ("prompt", f"say {SECRET}"), file=SOUND),
        form(("model", "whisper-1"), (SECRET, "x"), file=SOUND),
        form(("model", "whisper-1"), ("timestamp_granularities[]", SECRET), file=SOUND),
        form(("model", "whisper-1"), **{SECRET: SOUND}),
    ],
)
async def test_a_secret_in_a_form_is_found(home: House, body: bytes) -> None:
    answer = await home.ask("POST", "/audio/transcriptions", data=body, headers={"content-type": FORM})
    assert (answer.status, answer.error["code"]) == (400, "content_policy_violation")
    assert SECRET.encode() not in answer.body


async def test_a_team_can_say_more_strictly_what_everyone_is_only_warned_of(home: House) -> None:
    support = {"authorization": f"Bearer {await home.new_key('support', 'filters')}"}
    warned = await home.chat("this is internal use only")
    refused = await home.chat("this is internal use only", headers=support)
    assert (warned.status, "filters.internal-documents" in warned.headers["x-gateway-warning"]) == (200, True)
    assert (refused.status, refused.error["message"]) == (400, "Internal documents must not reach customers.")


# objects of others


@pytest.mark.parametrize(
    ("path", "members", "param"),
    [
        (
            "/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-abc"}}]}]},
            "messages.0.content.0.file.file_id",
        ),
        ("/responses", {"input": "hi", "previous_response_id": "resp_abc"}, "previous_response_id"),
        ("/responses", {"input": "hi", "conversation": "conv_abc"}, "conversation"),
        ("/responses", {"input": [{"type": "item_reference", "id": "msg_abc"}]}, "input.0.id"),
        (
            "/responses",
            {"input": "hi", "tools": [{"type": "file_search", "vector_store_ids": ["vs_abc"]}]},
            "tools.0.vector_store_ids.0",
        ),
    ],
)
async def test_an_object_that_may_be_another_teams_is_not_found(
    home: House, path: str, members: dict[str, Any], param: str
) -> None:
    answer = await home.post(path, {"model": "gpt-6-luna", **members})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "not_found", param)


async def test_an_answer_that_could_not_be_metered_is_not_begun(home: House) -> None:
    answer = await home.post("/responses", {"model": "gpt-6-luna", "input": "hi", "background": True})
    assert (answer.status, answer.error["code"]) == (403, "endpoint_not_allowed")
    assert answer.error["param"] == "background"


# files that change


async def version(house_: House) -> str:
    answer = await house_.get("/models")
    policy_version: str = (await house_.line(answer.request_id))["policy_version"]
    return policy_version


async def test_a_file_that_is_saved_is_in_force(tmp_path: Path) -> None:
    async with ruled(tmp_path) as house_:
        before = await version(house_)
        (tmp_path / "policies/teams/search.yaml").write_text("team: search\nmodels: [o3]\n")

        async def is_in_force() -> bool:
            return (await house_.chat()).status == 403

        await eventually(is_in_force)
        after = await version(house_)
        assert after != before
        answer = await house_.chat(model="o3")
        (line,) = await house_.ledger(answer.request_id)
        assert line.policy_version == after
        assert f'gateway_policy_info{{version="{after}"}} 1.0' in await house_.metrics()


async def test_a_file_that_is_broken_changes_nothing_until_it_is_mended(tmp_path: Path) -> None:
    file = tmp_path / "policies/teams/search.yaml"
    async with ruled(tmp_path) as house_:
        before = await version(house_)
        file.write_text("team: search\nmodles: [o3]\n")

        async def is_told() -> list[dict[str, Any]]:
            return [line for line in await house_.lines() if line["event"] == "policies_broken"]

        (told,) = await eventually(is_told)
        assert "teams/search.yaml:2" in told["problems"][0]
        assert "gateway_policy_reload_failed 1.0" in await house_.metrics()
        assert ((await house_.chat()).status, await version(house_)) == (200, before)

        file.write_text("team: search\nmodels: [o3]\n")

        async def is_in_force() -> bool:
            return (await house_.chat()).status == 403

        await eventually(is_in_force)
        assert "gateway_policy_reload_failed 0.0" in await house_.metrics()


async def test_a_team_whose_file_is_gone_may_do_nothing(tmp_path: Path) -> None:
    async with ruled(tmp_path, "", support="") as house_:
        (tmp_path / "policies/teams/search.yaml").unlink()

        async def is_refused() -> Answer | None:
            answer = await house_.chat()
            return answer if answer.status != 200 else None

        answer = await eventually(is_refused)
        assert (answer.status, answer.error["code"]) == (403, "permission_denied")


def mounted(folder: Path, name: str, models: str) -> Path:
    """A version of a ConfigMap: a directory of its own, flat."""
    directory = write_policies(folder / name, f"endpoints: ['*']\nmodels: {models}")
    flat = folder / "mount" / name
    flat.mkdir(parents=True)
    for file in (*directory.glob("*.yaml"), *directory.glob("teams/*.yaml")):
        file.rename(flat / file.name)
    return flat


async def test_a_config_map_is_taken_over_when_its_link_is_swapped(tmp_path: Path) -> None:
    first, second = mounted(tmp_path, "..1", "['*']"), mounted(tmp_path, "..2", "[o3]")
    mount = tmp_path / "mount"
    (mount / "..data").symlink_to(first.name)
    for file in first.iterdir():
        (mount / file.name).symlink_to(Path("..data") / file.name)
    async with house(tmp_path, policies=mount) as house_:
        assert (await house_.chat()).status == 200
        (mount / "..new").symlink_to(second.name)
        (mount / "..new").rename(mount / "..data")

        async def is_in_force() -> bool:
            return (await house_.chat()).status == 403

        await eventually(is_in_force)
        assert (await house_.chat(model="o3")).status == 200


async def test_an_answer_under_way_is_not_touched_by_a_new_policy(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(b"data: 1\n\n", end=b""))
        await go_on.wait()
        writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    async with standing_in(play) as upstream:
        address = {"GATEWAY_UPSTREAM__BASE_URL": f"http://127.0.0.1:{upstream.port}/v1"}
        policies = write_policies(tmp_path)
        async with house(tmp_path, policies=policies, environment=address) as house_:
            running = asyncio.ensure_future(house_.chat(stream=True))
            await upstream.came.get()
            (policies / "teams" / "search.yaml").write_text("team: search\nmodels: [o3]\n")

            async def is_in_force() -> bool:
                return (await house_.get("/models/gpt-4o-mini")).status == 404

            await eventually(is_in_force)
            go_on.set()
            answer = await running
    assert (answer.status, answer.body) == (200, b"data: 1\n\ndata: 2\n\n")
