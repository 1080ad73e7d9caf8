"""An upstream that we did not write, llama.cpp's own server: asked directly, and through the gateway."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
import xllamacpp
from openai import OpenAI
from pydantic import BaseModel

from tests.partners.conftest import beside
from tests.partners.random_model import CONTEXT, write_random_model
from tests.support.eventually import eventually
from tests.support.house import UPSTREAM_KEY, Answer, House, house

POLICIES = Path(__file__).parent / "policies" / "llama"
MODEL = "random-1"
ALIKE: Any = {"model": MODEL, "temperature": 0, "seed": 1, "cache_prompt": False}
"""With these, the last of which is llama.cpp's own, the same question has the same answer."""

HELLO: Any = [{"role": "user", "content": "Hello, quiet river. Grüße!"}]
CHAT = ("/chat/completions", ALIKE | {"messages": HELLO, "max_tokens": 40})
COMPLETION = ("/completions", ALIKE | {"prompt": "the river", "max_tokens": 40})
RESPONSE = ("/responses", ALIKE | {"input": "Hello, quiet river.", "max_output_tokens": 40})
EMBEDDING = ("/embeddings", {"model": MODEL, "input": ["the river", "a stone"]})
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}

_VOLATILE = re.compile(rb'"(?:item_)?id":"\w+-?\w+"|"(?:created|created_at|completed_at)":\d+')
_TIMINGS = re.compile(rb',"timings":\{[^{}]*\}')


class Mood(BaseModel):
    """What even a babbler can say, if it is held to it."""

    mood: Literal["calm", "wild"]
    sure: bool


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address, up to and including `/v1`."""
    model = tmp_path_factory.mktemp("model") / "random.gguf"
    write_random_model(model)
    assert model.stat().st_size < 1_000_000
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {MODEL}
    params.api_keys = [UPSTREAM_KEY]
    params.n_ctx = 2 * CONTEXT
    params.n_parallel = 2
    params.n_threads_http = 4
    params.cpuparams.n_threads = 1
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.warmup = False
    params.verbosity = 0
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server


def environment(llama: str) -> dict[str, str]:
    upstream = {"BASE_URL": llama, "API_KEY": UPSTREAM_KEY}
    return {f"GATEWAY_UPSTREAMS__LLAMA__{name}": value for name, value in upstream.items()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, llama: str) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("llama")
    with beside(house(folder, policies=POLICIES, environment=environment(llama))) as opened:
        yield opened


class Both:
    """The same question, asked directly and through the gateway."""

    def __init__(self, llama: str, home: House) -> None:
        self._doors = ((llama, UPSTREAM_KEY), (home.url, home.key))

    def ask(self, path: str, body: Any) -> list[httpx2.Response]:
        return [
            httpx2.post(f"{url}{path}", json=body, headers={"authorization": f"Bearer {key}"}, timeout=30)
            for url, key in self._doors
        ]


@pytest.fixture
def both(llama: str, home: House) -> Both:
    return Both(llama, home)


def lasting(answer: httpx2.Response) -> bytes:
    """An answer's bytes without names and times, which are new each time."""
    return _TIMINGS.sub(b"", _VOLATILE.sub(b"", answer.content))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        CHAT,
        COMPLETION,
        RESPONSE,
        EMBEDDING,
        (CHAT[0], CHAT[1] | {"stream": True}),
        (CHAT[0], CHAT[1] | WITH_USAGE),
        (CHAT[0], CHAT[1] | {"logprobs": True, "top_logprobs": 2, "stream": True}),
        (COMPLETION[0], COMPLETION[1] | {"stream": True}),
        (COMPLETION[0], COMPLETION[1] | WITH_USAGE),
        (RESPONSE[0], RESPONSE[1] | {"stream": True}),
    ],
)
def test_an_answer_is_byte_for_byte_the_servers_own(both: Both, path: str, body: Any) -> None:
    direct, through = both.ask(path, body)

    assert (through.status_code, direct.status_code) == (200, 200)
    assert through.headers["content-type"] == direct.headers["content-type"]
    assert lasting(through) == lasting(direct)


def test_a_stream_shows_no_usage_that_was_not_asked_for(both: Both) -> None:
    _, through = both.ask(CHAT[0], CHAT[1] | {"stream": True})

    assert b'"usage"' not in through.content
    assert through.content.rstrip().endswith(b"data: [DONE]")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CHAT[0], ALIKE | {"messages": "nonsense"}, 400),
        (CHAT[0], ALIKE | {"messages": [{"role": "user", "content": "river " * CONTEXT}]}, 400),
        (CHAT[0], ALIKE | {"messages": "nonsense", "stream": True}, 400),
        (COMPLETION[0], ALIKE, 400),
        ("/moderations", {"model": MODEL, "input": "river"}, 404),
    ],
)
def test_an_error_is_byte_for_byte_the_servers_own(both: Both, path: str, body: Any, status: int) -> None:
    direct, through = both.ask(path, body)

    assert (through.status_code, direct.status_code) == (status, status)
    assert through.content == direct.content


def test_the_sdk_streams_what_it_gets_whole(client: OpenAI) -> None:
    options: Any = {"temperature": 0, "seed": 1, "max_tokens": 40, "extra_body": {"cache_prompt": False}}
    whole = client.chat.completions.create(model=MODEL, messages=HELLO, **options)
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, **options))

    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == whole.choices[0].message.content != ""
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_the_sdk_parses_what_the_servers_grammar_enforces(client: OpenAI) -> None:
    completion = client.chat.completions.parse(
        model=MODEL, messages=HELLO, response_format=Mood, max_tokens=200
    )

    assert isinstance(completion.choices[0].message.parsed, Mood)


def test_the_sdk_reads_the_servers_responses(client: OpenAI) -> None:
    # The SDK's helper wants indexes that llama.cpp does not send.
    events = list(client.responses.create(model=MODEL, input="Hello", max_output_tokens=20, stream=True))

    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "".join(deltas) != ""


def test_embeddings_have_the_models_width(client: OpenAI) -> None:
    answer = client.embeddings.create(model=MODEL, input="the river", encoding_format="float")

    assert len(answer.data[0].embedding) == 64


async def test_the_ledger_says_what_the_server_said(tmp_path: Path, llama: str) -> None:
    """A server that is busy may close a connection just when it is used again: then it is asked once more."""
    told = []
    async with house(tmp_path, policies=POLICIES, environment=environment(llama)) as home:

        async def served(path: str, body: dict[str, Any]) -> Answer | None:
            answer = await home.post(path, body)
            return answer if answer.status == 200 else None

        for path, body in (CHAT, COMPLETION, RESPONSE, EMBEDDING):
            answer = await eventually(partial(served, path, body))
            assert answer is not None
            told.append(answer.json()["usage"])
        for path, body in (CHAT, COMPLETION, RESPONSE):  # by their streams, whose usage clients do not see
            await eventually(partial(served, path, body | {"stream": True}))
        lines = [line for line in await home.ledger() if line.status == 200]

    names = ("chat_completions", "completions", "responses", "embeddings")
    for name, usage, times in zip(names, told, (2, 2, 2, 1), strict=True):
        consumed = usage.get("prompt_tokens", usage.get("input_tokens"))
        produced = usage.get("completion_tokens", usage.get("output_tokens", 0))
        found = [(line.input_tokens, line.output_tokens) for line in lines if line.endpoint == name]
        assert found == [(consumed, produced)] * times
    assert {line.source for line in lines} == {"provider"}
    assert [line.cost for line in lines] == [line.input_tokens + 1000 * line.output_tokens for line in lines]
