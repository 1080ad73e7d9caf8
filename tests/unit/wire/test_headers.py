"""What may be in a head, and which of its fields may pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.core.endpoint import JSON, MULTIPART
from gateway.core.errors import ErrorCode, Refused
from gateway.wire.headers import check_head, media_type, parameters, to_client, to_upstream

TAKES_JSON = frozenset({JSON})
TAKES_NOTHING: frozenset[str] = frozenset()
Fields = Sequence[tuple[str, str]]
GOOD: Fields = (("host", "gateway"), ("content-type", JSON), ("content-length", "2"))


@dataclass
class Head:
    """A request of which only the head has come."""

    headers: Any
    method: str = "POST"
    path: str = "/v1/chat/completions"
    query: str = ""
    version: str = "1.1"


def head(*fields: tuple[str, str]) -> Head:
    return Head(CIMultiDict(fields))


def code_of(fields: Fields, accepts: frozenset[str] = TAKES_JSON) -> ErrorCode:
    with pytest.raises(Refused) as refused:
        check_head(head(*fields), accepts)
    return refused.value.code


@pytest.mark.parametrize(
    "fields",
    [
        GOOD,
        [("content-type", "application/json; charset=utf-8")],
        [("content-type", 'Application/JSON;charset="UTF-8"')],
        [("content-type", JSON), ("transfer-encoding", "Chunked")],
        [("content-type", JSON), ("content-encoding", "identity")],
        [("content-type", JSON), ("expect", "100-Continue")],
        [("content-type", JSON), ("openai-beta", "a=v1"), ("openai-beta", "b=v2")],
        [("content-type", JSON), *((f"x-{number}", "1") for number in range(99))],
    ],
)
def test_a_good_head_may_pass(fields: Fields) -> None:
    check_head(head(*fields), TAKES_JSON)


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "api-key",
        "x-api-key",
        "host",
        "content-type",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "expect",
    ],
)
def test_a_field_that_has_one_meaning_is_sent_once(name: str) -> None:
    assert code_of([*GOOD, (name, "a"), (name.title(), "a")]) is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize(
    "fields",
    [
        [("transfer-encoding", "gzip, chunked")],
        [("transfer-encoding", "chunked, chunked")],
        [("transfer-encoding", "identity")],
        [("transfer-encoding", "chunked"), ("content-length", "2")],
        [("expect", "200-ok")],
    ],
)
def test_a_body_that_two_readers_could_frame_differently_is_refused(fields: Fields) -> None:
    assert code_of([("content-type", JSON), *fields]) is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2", ""])
def test_only_http_1_is_spoken(version: str) -> None:
    with pytest.raises(Refused) as refused:
        check_head(Head(CIMultiDict(GOOD), version=version), TAKES_JSON)
    assert refused.value.code is ErrorCode.BAD_REQUEST


def test_http_1_0_has_no_chunks() -> None:
    old = Head(CIMultiDict([("content-type", JSON), ("transfer-encoding", "chunked")]), version="1.0")
    with pytest.raises(Refused) as refused:
        check_head(old, TAKES_JSON)
    assert refused.value.code is ErrorCode.BAD_REQUEST


def test_more_than_a_hundred_fields_are_too_many() -> None:
    assert code_of([("x", "1")] * 101) is ErrorCode.HEADERS_TOO_LARGE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "GZIP", "nonsense", ""])
def test_a_compressed_body_is_refused(coding: str) -> None:
    fields = [("content-type", JSON), ("content-encoding", coding)]
    assert code_of(fields) is ErrorCode.UNSUPPORTED_CONTENT_ENCODING


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json, text/plain",
        "application/jsonx",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; charset",
        "application/json; x=\udcff",
    ],
)
def test_a_body_of_another_kind_is_refused(content_type: str) -> None:
    assert code_of([("content-type", content_type)]) is ErrorCode.UNSUPPORTED_MEDIA_TYPE


def test_a_missing_content_type_is_refused() -> None:
    assert code_of([]) is ErrorCode.UNSUPPORTED_MEDIA_TYPE


def test_the_refusal_names_what_is_taken() -> None:
    with pytest.raises(Refused, match="application/json or multipart/form-data"):
        check_head(head(("content-type", "text/plain")), frozenset({JSON, MULTIPART}))


def test_sdks_may_send_a_content_type_without_a_body() -> None:
    check_head(head(("content-type", JSON), ("content-encoding", "gzip")), TAKES_NOTHING)


def test_framing_is_looked_at_without_a_body_too() -> None:
    fields = [("transfer-encoding", "chunked"), ("content-length", "2")]
    assert code_of(fields, TAKES_NOTHING) is ErrorCode.BAD_REQUEST


def test_a_refusal_does_not_quote_what_was_sent() -> None:
    with pytest.raises(Refused) as refused:
        check_head(head(("authorization", "Bearer sk-1"), ("authorization", "Bearer sk-2")), TAKES_JSON)
    assert "sk-" not in str(refused.value)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [("application/json", JSON), (" Application/JSON ; charset=utf-8", JSON), ("", "")],
)
def test_a_media_type_is_told_without_its_parameters(content_type: str, expected: str) -> None:
    assert media_type(content_type) == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("multipart/form-data; boundary=x", ["x"]),
        ('multipart/form-data; Boundary = "x y"', ["x y"]),
        ("multipart/form-data; boundary=x; boundary=y", ["x", "y"]),
        ("multipart/form-data", []),
    ],
)
def test_every_value_of_a_parameter_is_told(content_type: str, expected: list[str]) -> None:
    assert parameters(content_type, "boundary") == expected


CLIENTS_OWN = [
    "authorization",
    "api-key",
    "x-api-key",
    "cookie",
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-authorization",
    "transfer-encoding",
    "forwarded",
    "x-forwarded-for",
    "x-real-ip",
    "origin",
    "referer",
    "user-agent",
    "openai-organization",
    "openai-project",
    "x-stainless-os",
    "idempotency-key",
    "expect",
    "x-anything",
]


@pytest.mark.parametrize("name", CLIENTS_OWN)
def test_the_upstream_is_not_told_what_is_the_clients_own(name: str) -> None:
    passed = to_upstream(CIMultiDict({name: "value"}), JSON, 2)
    assert "value" not in dict(passed).values()


def test_the_upstream_is_told_what_it_needs() -> None:
    fields = CIMultiDict({"Accept": "*/*", "OpenAI-Beta": "a=v1", "X-Client-Request-Id": "7"})
    assert to_upstream(fields, "application/json; charset=utf-8", 17) == [
        ("accept", "*/*"),
        ("openai-beta", "a=v1"),
        ("x-client-request-id", "7"),
        ("content-type", "application/json; charset=utf-8"),
        ("content-length", "17"),
        ("accept-encoding", "identity"),
    ]


def test_every_beta_that_a_client_asks_for_is_passed() -> None:
    fields = CIMultiDict([("openai-beta", "a=v1"), ("openai-beta", "b=v2")])
    passed = to_upstream(fields, JSON, 2)
    assert [value for name, value in passed if name == "openai-beta"] == ["a=v1", "b=v2"]


def test_an_uncompressed_answer_is_asked_for_whatever_the_client_can_read() -> None:
    passed = to_upstream(CIMultiDict({"accept-encoding": "gzip"}), JSON, 2)
    assert [value for name, value in passed if name == "accept-encoding"] == ["identity"]


def test_a_value_that_cannot_be_sent_on_is_left_out() -> None:
    assert "accept" not in dict(to_upstream(CIMultiDict({"accept": "\udcff"}), JSON, 2))


UPSTREAMS_OWN = [
    "set-cookie",
    "x-request-id",
    "openai-organization",
    "openai-project",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-tokens",
    "cf-ray",
    "server",
    "connection",
    "transfer-encoding",
    "content-length",
    "location",
    "www-authenticate",
    "alt-svc",
    "strict-transport-security",
    "x-anything",
]


@pytest.mark.parametrize("name", UPSTREAMS_OWN)
def test_the_client_is_not_told_what_is_the_upstreams_own(name: str) -> None:
    assert to_client(CIMultiDict({name: "value"}), stream=False) == []


def test_the_client_is_told_what_it_needs() -> None:
    names = [
        "content-type",
        "content-encoding",
        "content-disposition",
        "openai-processing-ms",
        "openai-version",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
    ]
    assert to_client(CIMultiDict({name.title(): "1" for name in names}), stream=False) == [
        (name, "1") for name in names
    ]


def test_a_stream_tells_those_between_not_to_hold_it_up() -> None:
    assert to_client(CIMultiDict(), stream=True) == [
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
    ]
