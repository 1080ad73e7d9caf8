"""The official Python SDK through the gateway: every refusal becomes the exception that apps catch, and is
retried only where that helps.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import DefaultHttpxClient, OpenAI

from gateway.simulator.faults import Fault
from tests.partners.conftest import beside
from tests.support.house import POLICIES, House, house

MODEL = "gpt-4o-mini"
HELLO: Any = [{"role": "user", "content": "Hello there"}]
OPENAI_LIKE = {"message", "type", "param", "code"}


def chat(client: OpenAI, **members: Any) -> Any:
    return client.chat.completions.create(**{"model": MODEL, "messages": HELLO, **members})


REFUSALS: list[tuple[Callable[[OpenAI], object], type[openai.APIStatusError], str, str | None]] = [
    (lambda sdk: chat(sdk, n=-1), openai.BadRequestError, "invalid_value", "n"),
    (lambda sdk: chat(sdk, messages=[]), openai.BadRequestError, "missing_required_parameter", "messages"),
    (
        lambda sdk: sdk.completions.create(model="gpt-3.5-turbo-instruct", prompt="quiet river " * 4000),
        openai.BadRequestError,
        "context_length_exceeded",
        "prompt",
    ),
    (
        lambda sdk: chat(sdk, messages=[{"role": "user", "content": "-----BEGIN RSA PRIVATE KEY-----"}]),
        openai.BadRequestError,
        "content_policy_violation",
        None,
    ),
    (lambda sdk: chat(sdk.with_options(api_key="x")), openai.AuthenticationError, "invalid_api_key", None),
    (lambda sdk: chat(sdk, model="gpt-0"), openai.PermissionDeniedError, "model_not_allowed", "model"),
    (lambda sdk: sdk.models.retrieve("gpt-0"), openai.NotFoundError, "not_found", "model"),
    (
        lambda sdk: sdk.responses.create(model=MODEL, input="Go on", previous_response_id="resp_0123456789"),
        openai.NotFoundError,
        "not_found",
        "previous_response_id",
    ),
    (lambda sdk: sdk.get("/nowhere", cast_to=object), openai.NotFoundError, "unknown_endpoint", None),
    (
        lambda sdk: chat(sdk, messages=[{"role": "user", "content": "x" * 11_000_000}]),
        openai.APIStatusError,
        "request_too_large",
        None,
    ),
]


@pytest.mark.parametrize(("ask", "kind", "code", "param"), REFUSALS, ids=[code for *_, code, _ in REFUSALS])
def test_a_refusal_is_raised_as_what_it_is(
    client: OpenAI, ask: Callable[[OpenAI], object], kind: type[openai.APIStatusError], code: str, param: Any
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client)

    error = caught.value
    assert type(error) is kind
    assert (error.code, error.param) == (code, param)
    assert isinstance(error.body, dict)
    assert error.body.keys() == OPENAI_LIKE
    assert error.request_id is not None
    assert error.request_id.startswith("req_")


NOT_SERVED: list[Callable[[OpenAI], object]] = [
    lambda sdk: sdk.files.list(),
    lambda sdk: sdk.files.create(file=("notes.txt", b"notes"), purpose="assistants"),
    lambda sdk: sdk.batches.create(
        completion_window="24h", endpoint="/v1/chat/completions", input_file_id="file-1"
    ),
    lambda sdk: sdk.fine_tuning.jobs.create(model="gpt-4o", training_file="file-1"),
    lambda sdk: sdk.post("/fine_tuning/jobs", body={"model": "gpt-4o"}, cast_to=object),
    lambda sdk: sdk.vector_stores.create(name="notes"),
    lambda sdk: sdk.conversations.create(),
    lambda sdk: sdk.chat.completions.list(),
    lambda sdk: sdk.responses.retrieve("resp_0123456789"),
    lambda sdk: sdk.responses.cancel("resp_0123456789"),
    lambda sdk: sdk.models.delete("ft:gpt-4o:house::1"),
]


@pytest.mark.parametrize("ask", NOT_SERVED)
def test_an_operation_on_objects_is_refused_before_it_reaches_the_upstream(
    client: OpenAI, home: House, ask: Callable[[OpenAI], object]
) -> None:
    before = len(home.simulator.requests)
    with pytest.raises(openai.PermissionDeniedError, match="keep track of owners") as caught:
        ask(client)

    assert caught.value.code == "endpoint_not_allowed"
    assert len(home.simulator.requests) == before


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "kind", "status", "code"),
    [
        ("429:5", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("500", openai.InternalServerError, 500, None),
        ("503_html", openai.InternalServerError, 502, "upstream_error"),
        ("401", openai.InternalServerError, 502, "upstream_auth_error"),
        ("redirect", openai.InternalServerError, 502, "upstream_redirect"),
    ],
)
def test_what_the_upstream_refuses_is_raised_as_what_it_is(
    client: OpenAI, fault: str, kind: type[openai.APIStatusError], status: int, code: str | None, stream: bool
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        chat(client, metadata={"simulate": fault}, stream=stream)

    assert type(caught.value) is kind
    assert (caught.value.status_code, caught.value.code) == (status, code)


def test_an_answer_that_breaks_off_is_raised(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        chat(client, metadata={"simulate": "cut_body"})

    assert (caught.value.status_code, caught.value.code) == (502, "upstream_error")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the SDK would have waited before each of its retries, in seconds."""
    waits: list[float] = []
    monkeypatch.setattr("openai._base_client.time.sleep", waits.append)
    return waits


def test_the_sdk_tries_again_when_the_upstream_said(client: OpenAI, home: House, waits: list[float]) -> None:
    home.simulator.faults.next(Fault("429", 2.75))
    completion = chat(client.with_options(max_retries=2))

    assert completion.choices
    assert waits == [2.75]


@pytest.mark.parametrize("fault", ["401", "redirect"])
def test_the_sdk_does_not_try_again_what_cannot_help(
    client: OpenAI, home: House, waits: list[float], fault: str
) -> None:
    before = len(home.simulator.requests)
    with pytest.raises(openai.InternalServerError) as caught:
        chat(client.with_options(max_retries=2), metadata={"simulate": fault})

    assert caught.value.response.headers["x-should-retry"] == "false"
    assert (waits, len(home.simulator.requests) - before) == ([], 1)


@contextmanager
def limited(folder: Path, requests_a_minute: int) -> Iterator[House]:
    """A house whose team may ask so often, one request at a time."""
    policies = folder / "policies"
    shutil.copytree(POLICIES, policies)
    limit = f"{{per: key, requests: {requests_a_minute}, every: minute, burst: 1}}"
    team = f"team: hasty\nmodels: ['*']\nlimits:\n  key-requests: {limit}\n"
    (policies / "teams" / "hasty.yaml").write_text(team)
    with beside(house(folder, policies=policies, team="hasty")) as opened:
        yield opened


def test_the_sdk_waits_as_long_as_the_gateways_own_limit_asks(tmp_path: Path, waits: list[float]) -> None:
    with limited(tmp_path, requests_a_minute=6) as home, OpenAI(base_url=home.url, api_key=home.key) as sdk:
        chat(sdk)
        with pytest.raises(openai.RateLimitError) as caught:
            chat(sdk)

    assert caught.value.code == "rate_limit_exceeded"
    told = float(caught.value.response.headers["retry-after-ms"]) / 1000
    assert 0 < told <= waits[1] <= waits[0] <= 10  # to the millisecond; `retry-after` is in whole seconds


def test_the_sdk_recovers_by_itself_from_the_gateways_own_limit(tmp_path: Path) -> None:
    statuses: list[int] = []
    hooks: Any = {"response": [lambda response: statuses.append(response.status_code)]}
    with (
        limited(tmp_path, requests_a_minute=120) as home,
        OpenAI(base_url=home.url, api_key=home.key, http_client=DefaultHttpxClient(event_hooks=hooks)) as sdk,
    ):
        chat(sdk)
        chat(sdk)

    assert statuses == [200, 429, 200]
