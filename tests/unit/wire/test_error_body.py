"""Errors in OpenAI's shape, as the official SDK sees them."""

import json
from collections.abc import Iterator

import httpx2
import openai
import pytest

from gateway.core.endpoint import Dialect
from gateway.core.errors import ERRORS, RETRYABLE_STATUSES, ErrorCode, GatewayError
from gateway.wire.error_body import error_body, error_headers, stream_error

LIMITED = GatewayError(ErrorCode.RATE_LIMIT_EXCEEDED, "Slow down.", param="n", retry_after=3.2)


def headers(code: ErrorCode, retry_after: float | None = None) -> dict[str, str]:
    return dict(error_headers(GatewayError(code, "m", retry_after=retry_after)))


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_has_all_four_keys(code: ErrorCode) -> None:
    body = json.loads(error_body(GatewayError(code, "Why.")))
    assert body == {
        "error": {"message": "Why.", "type": ERRORS[code].type, "param": None, "code": code.value}
    }


def test_the_param_is_named() -> None:
    assert json.loads(error_body(LIMITED))["error"]["param"] == "n"


def test_half_a_surrogate_pair_in_a_message_can_be_sent() -> None:
    error = GatewayError(ErrorCode.UNKNOWN_ENDPOINT, "No /v1/\udcff here.", param="\ud800")
    assert json.loads(error_body(error))["error"]["message"] == "No /v1/? here."


@pytest.mark.parametrize(
    ("wait", "seconds", "milliseconds"),
    [
        (3.2, "4", "3200"),
        (3.0, "3", "3000"),
        (0.0301, "1", "31"),
        (0.0, "1", "1"),
        (-1.0, "1", "1"),
        (90_000.0, "90000", "90000000"),
    ],
)
@pytest.mark.parametrize("code", [ErrorCode.RATE_LIMIT_EXCEEDED, ErrorCode.OVERLOADED])
def test_when_to_come_again_is_said_in_both_ways(
    code: ErrorCode, wait: float, seconds: str, milliseconds: str
) -> None:
    assert headers(code, wait) == {"Retry-After": seconds, "retry-after-ms": milliseconds}


@pytest.mark.parametrize(
    "code", [ErrorCode.REQUEST_TIMEOUT, ErrorCode.UPSTREAM_ERROR, ErrorCode.INVALID_VALUE]
)
def test_when_to_come_again_is_said_on_429_and_503_alone(code: ErrorCode) -> None:
    assert headers(code, 5) == {}


# What the SDKs do about each status that they would retry by themselves: "no" is told to them.
RETRIES = {
    ErrorCode.REQUEST_TIMEOUT: "yes",
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: "no",
    ErrorCode.RATE_LIMIT_EXCEEDED: "when timed",
    ErrorCode.CONCURRENCY_LIMIT_EXCEEDED: "when timed",
    ErrorCode.INSUFFICIENT_QUOTA: "when timed",
    ErrorCode.UPSTREAM_RATE_LIMITED: "yes",
    ErrorCode.INTERNAL_ERROR: "yes",
    ErrorCode.UPSTREAM_ERROR: "yes",
    ErrorCode.UPSTREAM_UNREACHABLE: "yes",
    ErrorCode.UPSTREAM_TLS_ERROR: "no",
    ErrorCode.UPSTREAM_AUTH_ERROR: "no",
    ErrorCode.UPSTREAM_REDIRECT: "no",
    ErrorCode.OVERLOADED: "yes",
    ErrorCode.DRAINING: "yes",
    ErrorCode.METERING_UNAVAILABLE: "yes",
    ErrorCode.BUDGET_UNAVAILABLE: "yes",
    ErrorCode.POLICY_UNAVAILABLE: "yes",
    ErrorCode.UPSTREAM_TIMEOUT: "yes",
}


def test_every_retryable_status_is_decided_upon() -> None:
    assert set(RETRIES) == {code for code, kind in ERRORS.items() if kind.status in RETRYABLE_STATUSES}


@pytest.mark.parametrize(("code", "retry"), RETRIES.items())
def test_sdks_are_told_when_a_retry_is_no_use(code: ErrorCode, retry: str) -> None:
    assert ("x-should-retry" in headers(code)) is (retry != "yes")
    assert ("x-should-retry" in headers(code, 5)) is (retry == "no")


@pytest.mark.parametrize("code", [code for code in ErrorCode if code not in RETRIES])
def test_errors_that_no_sdk_retries_need_no_advice(code: ErrorCode) -> None:
    assert headers(code).get("x-should-retry", "false") == "false"
    assert "Retry-After" not in headers(code, 5)


@pytest.mark.parametrize("code", ErrorCode)
def test_401_says_how_to_authenticate(code: ErrorCode) -> None:
    assert headers(code).get("WWW-Authenticate") == ("Bearer" if ERRORS[code].status == 401 else None)


def test_in_a_chat_stream_an_error_is_a_data_event() -> None:
    assert stream_error(Dialect.CHAT, LIMITED) == b"data: " + error_body(LIMITED) + b"\n\n"


def test_in_a_response_stream_an_error_is_a_flat_event() -> None:
    head, data = stream_error(Dialect.RESPONSES, LIMITED, 7).split(b"\n", 1)
    assert head == b"event: error"
    assert json.loads(data.removeprefix(b"data: ")) == {
        "type": "error",
        "code": "rate_limit_exceeded",
        "message": "Slow down.",
        "param": "n",
        "sequence_number": 7,
    }


@pytest.mark.parametrize("dialect", Dialect)
def test_an_error_in_a_stream_is_one_event(dialect: Dialect) -> None:
    error = GatewayError(ErrorCode.INTERNAL_ERROR, "two\n\nlines\r\n")
    event = stream_error(dialect, error)
    assert event.endswith(b"\n\n")
    assert event.count(b"\n\n") == 1
    assert b"\r" not in event


@pytest.fixture
def sdk(request: pytest.FixtureRequest) -> Iterator[openai.OpenAI]:
    """The official client, whose every request is answered by a stream that breaks in this dialect."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, content=stream_error(request.param, LIMITED)
        )

    transport = httpx2.MockTransport(answer)
    with openai.OpenAI(
        api_key="k", base_url="http://gateway.test", http_client=httpx2.Client(transport=transport)
    ) as client:
        yield client


@pytest.mark.parametrize("sdk", [Dialect.CHAT], indirect=True)
def test_the_sdk_raises_on_an_error_in_a_chat_stream(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="Slow down") as raised:
        list(sdk.chat.completions.create(model="m", messages=[], stream=True))
    assert raised.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("sdk", [Dialect.IMAGES], indirect=True)
def test_the_sdk_raises_on_an_error_in_an_image_stream(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="Slow down") as raised:
        list(sdk.images.generate(model="m", prompt="p", stream=True))
    assert raised.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("sdk", [Dialect.AUDIO], indirect=True)
def test_the_sdk_raises_on_an_error_in_a_transcription_stream(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="Slow down") as raised:
        list(sdk.audio.transcriptions.create(model="m", file=b"a", stream=True))
    assert raised.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("sdk", [Dialect.RESPONSES], indirect=True)
def test_the_sdk_shows_an_error_in_a_response_stream(sdk: openai.OpenAI) -> None:
    (event,) = sdk.responses.create(model="m", input="i", stream=True)
    assert event.type == "error"
    assert (event.code, event.message) == ("rate_limit_exceeded", "Slow down.")
