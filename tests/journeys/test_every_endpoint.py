"""Every operation that is served: the upstream's own answer, the client's own request, and what it cost."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from tests.support.house import Answer, House, house
from tests.support.policy_files import EVERYTHING, write_models, write_policies

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = "application/json"
FORM = "multipart/form-data; boundary=x-x-x"
SOUND = b"RIFF" + bytes(40_000)
"""Three seconds to the simulator."""
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(200)


def form(*fields: tuple[str, str], **files: bytes) -> bytes:
    """A multipart body."""
    texts = [(f'name="{name}"', value.encode()) for name, value in fields]
    parts = [*texts, *((f'name="{name}"; filename="{name}.bin"', data) for name, data in files.items())]
    lines = (
        b"--x-x-x\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (head.encode(), data)
        for head, data in parts
    )
    return b"".join(lines) + b"--x-x-x--\r\n"


@dataclass(frozen=True)
class Ask:
    """A request, and the ledger line that it should make."""

    name: str
    path: str
    body: bytes
    endpoint: str
    units: Mapping[str, int]
    cost: int
    """Micro-dollars, by hand from policies/prices.yaml."""
    content_type: str = JSON
    source: str = "provider"
    sent: bytes | None = field(default=None, repr=False)
    """What reaches the upstream, where that is not the very body."""


ASKS = (
    Ask(
        "chat",
        "/chat/completions",
        b'{ "model":"gpt-4o-mini", "messages" : [{"role":"user","content":"Say \\u0068ello"}],'
        b'"temperature":1.0e0,"an_unknown_member":{"deep":[1.50,null,"\\/"]}}\n',
        "chat_completions",
        {"input_tokens": 8, "output_tokens": 37},
        23,
    ),
    Ask(
        "chat with every kind of choice",
        "/chat/completions",
        b'{"model":"gpt-4o","n":2,"logprobs":true,"top_logprobs":1,"messages":[{"role":"user","content":'
        b'[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;'
        b'base64,AAAA"}}]}],"response_format":{"type":"json_object"}}',
        "chat_completions",
        {"input_tokens": 95, "output_tokens": 12},
        358,
    ),
    Ask(
        "chat that calls a tool",
        "/chat/completions",
        b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"What is the weather?"}],"tools":'
        b'[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":'
        b'{"city":{"type":"string"}},"required":["city"]}}}]}',
        "chat_completions",
        {"input_tokens": 33, "output_tokens": 6},
        9,
    ),
    Ask(
        "chat stream",
        "/chat/completions",
        b'{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Say hello"}]}',
        "chat_completions",
        {"input_tokens": 8, "output_tokens": 37},
        23,
        sent=b'{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Say hello"}],'
        b'"stream_options":{"include_usage":true}}',
    ),
    Ask(
        "completions",
        "/completions",
        b'{"model":"gpt-3.5-turbo-instruct","prompt":"Once upon a time","max_tokens":5}',
        "completions",
        {"input_tokens": 10, "output_tokens": 5},
        25,
    ),
    Ask(
        "completions stream",
        "/completions",
        b'{"model":"gpt-3.5-turbo-instruct","prompt":"Once upon a time","max_tokens":5,"stream":true,'
        b'"stream_options":{"include_usage":true}}',
        "completions",
        {"input_tokens": 10, "output_tokens": 5},
        25,
    ),
    Ask(
        "embeddings",
        "/embeddings",
        b'{"model":"text-embedding-3-large","input":["a river","and a bridge"],"dimensions":8}',
        "embeddings",
        {"input_tokens": 5},
        1,
    ),
    Ask(
        "moderations",
        "/moderations",
        b'{"model":"omni-moderation-latest","input":"violence is no answer"}',
        "moderations",
        {},
        0,
        source="estimated",
    ),
    Ask(
        "responses",
        "/responses",
        b'{"model":"gpt-5","input":"Say hello","reasoning":{"effort":"low"}}',
        "responses",
        {"input_tokens": 11, "output_tokens": 40, "reasoning_tokens": 8},
        414,
    ),
    Ask(
        "responses stream",
        "/responses",
        b'{"model":"gpt-5","input":"Say hello","stream":true}',
        "responses",
        {"input_tokens": 11, "output_tokens": 48, "reasoning_tokens": 16},
        494,
    ),
    Ask(
        "image",
        "/images/generations",
        b'{"model":"gpt-image-2","prompt":"a quiet harbour","quality":"low"}',
        "images_generations",
        {"images": 1, "input_tokens": 3, "output_tokens": 272},
        8_175,
    ),
    Ask(
        "image stream",
        "/images/generations",
        b'{"model":"gpt-image-2","prompt":"a quiet harbour","stream":true,"partial_images":2}',
        "images_generations",
        {"images": 1, "input_tokens": 3, "output_tokens": 1056},
        31_695,
    ),
    Ask(
        "images by the piece",
        "/images/generations",
        b'{"model":"dall-e-2","prompt":"a quiet harbour","n":3,"response_format":"b64_json"}',
        "images_generations",
        {"images": 3},
        60_000,
    ),
    Ask(
        "image edit",
        "/images/edits",
        b'{"model":"gpt-image-2","prompt":"light","images":[{"image_url":"data:image/png;base64,AA=="}]}',
        "images_edits",
        {"images": 1, "input_tokens": 195, "image_input_tokens": 194, "output_tokens": 1056},
        33_237,
    ),
    Ask(
        "image edit as a form",
        "/images/edits",
        form(("model", "gpt-image-2"), ("prompt", "more light"), image=PICTURE),
        "images_edits",
        {"images": 1, "input_tokens": 196, "image_input_tokens": 194, "output_tokens": 1056},
        33_242,
        content_type=FORM,
    ),
    Ask(
        "image variations",
        "/images/variations",
        form(("model", "dall-e-2"), ("n", "2"), image=PICTURE),
        "images_variations",
        {"images": 2},
        40_000,
        content_type=FORM,
    ),
    Ask(
        "speech",
        "/audio/speech",
        b'{"model":"tts-1","input":"The bridge is long.","voice":"alloy"}',
        "audio_speech",
        {"characters": 19},
        285,
        source="estimated",
    ),
    Ask(
        "speech stream",
        "/audio/speech",
        b'{"model":"gpt-4o-mini-tts","input":"The bridge is long.","voice":"alloy","stream_format":"sse"}',
        "audio_speech",
        {"input_tokens": 5, "output_tokens": 50},
        603,
    ),
    Ask(
        "transcription",
        "/audio/transcriptions",
        form(("model", "whisper-1"), file=SOUND),
        "audio_transcriptions",
        {"audio_milliseconds": 3000},
        300,
        content_type=FORM,
    ),
    Ask(
        "transcription as text",
        "/audio/transcriptions",
        form(("model", "whisper-1"), ("response_format", "text"), file=SOUND),
        "audio_transcriptions",
        {"audio_milliseconds": 5001},
        500,
        content_type=FORM,
        source="estimated",
    ),
    Ask(
        "transcription as subtitles",
        "/audio/transcriptions",
        form(("model", "whisper-1"), ("response_format", "srt"), file=SOUND),
        "audio_transcriptions",
        {"audio_milliseconds": 3000},
        300,
        content_type=FORM,
        source="estimated",
    ),
    Ask(
        "transcription stream",
        "/audio/transcriptions",
        form(("model", "gpt-4o-transcribe"), ("stream", "true"), file=SOUND),
        "audio_transcriptions",
        {"input_tokens": 30, "audio_input_tokens": 30, "output_tokens": 18},
        360,
        content_type=FORM,
    ),
    Ask(
        "translation",
        "/audio/translations",
        form(("model", "whisper-1"), file=SOUND),
        "audio_translations",
        {"audio_milliseconds": 5001},
        500,
        content_type=FORM,
        source="estimated",
    ),
)


UNITS = (
    "input_tokens",
    "image_input_tokens",
    "audio_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "images",
    "audio_milliseconds",
    "characters",
)


async def send(house: House, ask: Ask) -> Answer:
    return await house.ask("POST", ask.path, data=ask.body, headers={"content-type": ask.content_type})


def without_ids(body: bytes) -> bytes:
    """The simulator makes a fresh id for each answer."""
    return re.sub(rb"(?<=[-_])[0-9a-f]{24,}", b"", body)


every_ask = pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.name)


@every_ask
async def test_the_answer_is_the_upstreams_own(plain: House, ask: Ask) -> None:
    answer = await send(plain, ask)
    own = await plain.direct(ask.path, data=ask.body, headers={"content-type": ask.content_type})
    assert (answer.status, answer.headers["content-type"]) == (200, own.headers["content-type"])
    assert without_ids(answer.body) == without_ids(own.body)


@every_ask
async def test_what_no_rule_changes_reaches_the_upstream_byte_for_byte(plain: House, ask: Ask) -> None:
    await send(plain, ask)
    seen = plain.simulator.requests[-1]
    assert (seen.raw_path, seen.headers["content-type"]) == (f"/v1{ask.path}", ask.content_type)
    assert seen.body == (ask.sent or ask.body)


@every_ask
async def test_the_ledger_has_its_units_and_what_they_cost(plain: House, ask: Ask) -> None:
    answer = await send(plain, ask)
    (line,) = await plain.ledger(answer.request_id)
    assert (line.endpoint, line.cause, line.status) == (ask.endpoint, "served", 200)
    assert {unit: line._mapping[unit] for unit in UNITS if line._mapping[unit]} == ask.units
    assert (line.cost, line.source) == (ask.cost, ask.source)


async def test_the_ledger_says_who_asked_for_what_of_whom(plain: House) -> None:
    answer = await plain.chat(model="fast", stream=True)
    (line,) = await plain.ledger(answer.request_id)
    assert (line.team, line.subject, line.key_id) == ("search", "key:search/tests", plain.key[4:16])
    assert (line.asked_model, line.model, line.answered_model) == ("fast", "gpt-6-luna", "gpt-6-luna")
    assert (line.upstream, line.number, line.stream) == ("openai", 1, True)
    assert line.upstream_request_id == plain.simulator.requests[-1].request_id


async def test_a_model_without_a_price_is_unpriced_never_free(tmp_path: Path) -> None:
    policies = write_policies(tmp_path)
    write_models(policies, "models: {gpt-4o-mini: {upstream: openai}}")
    async with house(tmp_path, policies=policies) as house_:
        answer = await house_.chat()
        (line,) = await house_.ledger(answer.request_id)
        assert (line.cost, line.output_tokens) == (None, 37)
        assert 'gateway_unpriced_attempts_total{model="gpt-4o-mini"} 1.0' in await house_.metrics()


async def test_shaping_changes_its_members_and_no_other_byte(home: House) -> None:
    body = (
        b'{ "model":"fast","n" :9, "messages":[{"role":"user","content":"\\u0068i"}], "x":1.50 ,"user":"eve"}'
    )
    await home.ask("POST", "/chat/completions", data=body, headers={"content-type": JSON})
    assert home.simulator.requests[-1].body == (
        b'{ "model":"gpt-6-luna","n" :4, "messages":[{"role":"user","content":"\\u0068i"}], "x":1.50 ,'
        b'"user":"key:search/tests","store":false}'
    )


async def test_shaping_changes_its_fields_of_a_form_and_no_other_byte(tmp_path: Path) -> None:
    policies = write_policies(
        tmp_path, EVERYTHING + "shaping: {english: {force: language, value: en}, cold: {strip: temperature}}"
    )
    fields = [("language", "de"), ("temperature", "1"), ("prompt", "A talk."), ("model", "whisper-1")]
    async with house(tmp_path, policies=policies) as house_:
        body = form(*fields, file=SOUND)
        await house_.ask("POST", "/audio/transcriptions", data=body, headers={"content-type": FORM})
        shaped = form(("language", "en"), ("prompt", "A talk."), ("model", "whisper-1"), file=SOUND)
        assert house_.simulator.requests[-1].body == shaped


async def test_a_request_without_a_model_says_upstream_which_one_was_judged(plain: House) -> None:
    await plain.post("/moderations", {"input": "a quiet harbour"})
    assert plain.simulator.requests[-1].body == (
        b'{"input": "a quiet harbour","model":"omni-moderation-latest"}'
    )


async def test_an_answer_tells_nothing_of_the_upstreams_account(plain: House) -> None:
    answer = await plain.chat()
    told = {name.lower() for name in answer.headers}
    assert told.isdisjoint({"set-cookie", "openai-organization", "openai-project", "cf-ray"})
    assert answer.headers["server"] == "gateway"
    assert answer.request_id != plain.simulator.requests[-1].request_id
    assert not any(name.startswith("x-ratelimit") for name in told)


async def test_models_are_those_that_the_caller_may_use(home: House) -> None:
    key = await home.new_key("support", "models")
    answer = await home.get("/models", headers={"authorization": f"Bearer {key}"})
    assert [model["id"] for model in answer.json()["data"]] == [
        "gpt-4o-mini",
        "gpt-6-luna",
        "gpt-transcribe",
        "omni-moderation-latest",
        "text-embedding-3-small",
        "whisper-1",
    ]


@pytest.mark.parametrize(("name", "model"), [("gpt-4o-mini", "gpt-4o-mini"), ("fast", "gpt-6-luna")])
async def test_a_model_can_be_asked_for_by_name_or_alias(home: House, name: str, model: str) -> None:
    answer = await home.get(f"/models/{name}")
    assert (answer.status, answer.json()["id"], answer.json()["object"]) == (200, model, "model")


async def test_a_model_that_a_team_may_not_use_is_as_unknown_as_one_that_is_not_there(home: House) -> None:
    key = await home.new_key("support", "one-model")
    headers = {"authorization": f"Bearer {key}"}
    forbidden, unknown = [await home.get(f"/models/{name}", headers=headers) for name in ("o3", "o33")]
    assert (forbidden.status, forbidden.error["code"]) == (404, "not_found")
    assert forbidden.body == unknown.body


async def test_models_cost_nothing_and_ask_nobody(home: House) -> None:
    before = len(home.simulator.requests)
    answer = await home.get("/models")
    assert (await home.ledger(answer.request_id), len(home.simulator.requests)) == ([], before)


async def test_a_legacy_edit_is_asked_as_chat_and_answered_as_an_edit(plain: House) -> None:
    edit = {"model": "text-davinci-edit-001", "input": "helo", "instruction": "Mend the spelling.", "n": 1}
    answer = await plain.post("/edits", edit)
    seen = plain.simulator.requests[-1]
    assert seen.raw_path == "/v1/chat/completions"
    assert msgspec.json.decode(seen.body) == {
        "model": "gpt-4o-mini",
        "n": 1,
        "messages": [
            {"role": "system", "content": "Mend the spelling."},
            {"role": "user", "content": "helo"},
        ],
    }
    told = answer.json()
    assert (answer.status, told["object"], told["choices"][0]["index"]) == (200, "edit", 0)
    assert told["choices"][0]["text"]
    (line,) = await plain.ledger(answer.request_id)
    assert (line.endpoint, line.asked_model, line.model) == ("edits", "text-davinci-edit-001", "gpt-4o-mini")
    assert told["usage"]["completion_tokens"] == line.output_tokens > 0
