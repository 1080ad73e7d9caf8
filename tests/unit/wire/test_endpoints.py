"""The endpoint table: what is served is written out again here, so that a change must be meant twice."""

import re
from collections import Counter

import pytest

from gateway.core.endpoint import JSON, MULTIPART, Dialect, Endpoint, Meter, ModelRule
from gateway.core.errors import ErrorCode, Refused
from gateway.wire.endpoints import SERVED, TOKEN_EXCHANGE, EndpointTable, endpoint_table

TABLE = endpoint_table()
ENDPOINTS = {endpoint.name: endpoint for endpoint in SERVED}

SERVED_PATHS = {
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/edits",
    "POST /v1/embeddings",
    "POST /v1/moderations",
    "POST /v1/responses",
    "POST /v1/images/generations",
    "POST /v1/images/edits",
    "POST /v1/images/variations",
    "POST /v1/audio/speech",
    "POST /v1/audio/transcriptions",
    "POST /v1/audio/translations",
    "GET /v1/models",
    "GET /v1/models/{model}",
    "GET /v1/organization/usage/completions",
    "GET /v1/organization/usage/embeddings",
    "GET /v1/organization/usage/moderations",
    "GET /v1/organization/usage/images",
    "GET /v1/organization/usage/audio_speeches",
    "GET /v1/organization/usage/audio_transcriptions",
    "GET /v1/organization/costs",
}

REFUSED_PATHS = [
    "GET /v1/chat/completions",
    "GET /v1/chat/completions/chatcmpl-1",
    "DELETE /v1/models/ft:gpt-4o:acme:x:1",
    "GET /v1/responses/resp_1",
    "POST /v1/responses/resp_1/cancel",
    "POST /v1/responses/compact",
    "POST /v1/files",
    "GET /v1/files/file-1/content",
    "POST /v1/uploads/upload_1/parts",
    "POST /v1/batches",
    "POST /v1/assistants",
    "POST /v1/threads/thread_1/runs/run_1/submit_tool_outputs",
    "POST /v1/vector_stores/vs_1/search",
    "POST /v1/fine_tuning/jobs",
    "POST /v1/realtime/client_secrets",
    "POST /v1/realtime/calls",
    "GET /v1/realtime",
    "GET /v1/responses",
    "POST /v1/videos",
    "POST /v1/conversations",
    "POST /v1/containers",
    "POST /v1/evals",
    "POST /v1/audio/voices",
    "GET /v1/organization/usage/vector_stores",
    "POST /v1/organization/admin_api_keys",
    "GET /v1/projects/proj_1/roles",
    "POST /v1/engines/davinci/completions",
    "GET /v1/engines",
    "PUT /v1/prompts",
    "POST /v1/fine-tunes",
]


def find(operation: str, table: EndpointTable = TABLE) -> Endpoint:
    method, _, path = operation.partition(" ")
    return table.find(method, path).endpoint


def code_of(operation: str) -> ErrorCode:
    with pytest.raises(Refused) as refused:
        find(operation)
    return refused.value.code


def test_exactly_these_operations_are_served() -> None:
    assert {f"{endpoint.method} {endpoint.path}" for endpoint in SERVED} == SERVED_PATHS


@pytest.mark.parametrize("operation", sorted(SERVED_PATHS))
def test_a_served_operation_is_found(operation: str) -> None:
    endpoint = find(operation)
    assert (f"{endpoint.method} {endpoint.path}", endpoint.refusal) == (operation, None)


@pytest.mark.parametrize("operation", REFUSED_PATHS)
def test_another_operation_is_found_with_the_reason_why_it_is_not_served(operation: str) -> None:
    assert find(operation).refusal


def test_every_published_operation_is_in_the_table() -> None:
    assert len([endpoint for endpoint in TABLE.endpoints if endpoint is not TOKEN_EXCHANGE]) == 398


def test_no_two_operations_share_a_name() -> None:
    assert [name for name, times in Counter(e.name for e in TABLE.endpoints).items() if times > 1] == []


@pytest.mark.parametrize("endpoint", TABLE.endpoints, ids=lambda endpoint: endpoint.name)
def test_a_name_is_fit_for_a_label(endpoint: Endpoint) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", endpoint.name)


@pytest.mark.parametrize("endpoint", TABLE.endpoints, ids=lambda endpoint: endpoint.name)
def test_every_operation_is_found_by_a_path_of_its_template(endpoint: Endpoint) -> None:
    path = re.sub(r"\{[^}]+\}", "x-1", endpoint.path)
    method = "GET" if endpoint.method == "*" else endpoint.method
    assert TABLE.find(method, path).endpoint is endpoint


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "*",
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/chat/completions",
        "/v1/v1/chat/completions",
        "/v1/chat/completions/",
        "/v1/chat//completions",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/v1/%63hat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/chat/completions%00",
        "/V1/chat/completions",
        "/v1/Chat/Completions",
        "/v1/chat/completions;x=1",
        "http://gateway/v1/chat/completions",
        "/v1/models/",
        "/v1/models/.",
        "/v1/models/..",
        "/v1/models/%2e%2e",
        "/v1/models/%2E",
        "/v1/models/meta/llama",
        "/healthz",
        "/metrics",
        "/admin/usage",
    ],
)
def test_a_path_that_is_not_in_the_table_does_not_exist(path: str) -> None:
    assert code_of(f"POST {path}") is ErrorCode.UNKNOWN_ENDPOINT


@pytest.mark.parametrize(
    "operation",
    [
        "PUT /v1/chat/completions",
        "HEAD /v1/models",
        "POST /v1/models",
        "OPTIONS /v1/chat/completions",
        "PATCH /v1/models/gpt-4o",
        "CONNECT /v1/responses",
        "* /v1/models",
    ],
)
def test_another_method_is_not_allowed(operation: str) -> None:
    assert code_of(operation) is ErrorCode.METHOD_NOT_ALLOWED


def test_the_refusal_of_a_method_names_those_that_are_answered() -> None:
    with pytest.raises(Refused, match="DELETE, GET only") as refused:
        find("POST /v1/models/gpt-4o")
    assert refused.value.allow == "DELETE, GET"


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/models/gpt-4o", "gpt-4o"),
        ("/v1/models/ft:gpt-4o:acme::x1", "ft:gpt-4o:acme::x1"),
        ("/v1/models/ft%3Agpt-4o%3Aacme", "ft:gpt-4o:acme"),
        ("/v1/models/meta%2Fllama", "meta/llama"),
        ("/v1/models/%C3%A9t%C3%A9", "été"),
        ("/v1/models/%zz", "%zz"),
    ],
)
def test_what_the_path_says_is_percent_decoded_once(path: str, model: str) -> None:
    assert TABLE.find("GET", path).params == {"model": model}


def test_an_operation_without_places_has_no_params() -> None:
    assert TABLE.find("GET", "/v1/models").params == {}


FACTS = [
    ("chat_completions", Dialect.CHAT, Meter.TOKENS, {JSON}, None),
    ("completions", Dialect.CHAT, Meter.TOKENS, {JSON}, None),
    ("edits", Dialect.PLAIN, Meter.TOKENS, {JSON}, None),
    ("embeddings", Dialect.PLAIN, Meter.TOKENS, {JSON}, None),
    ("moderations", Dialect.PLAIN, Meter.FREE, {JSON}, "omni-moderation-latest"),
    ("responses", Dialect.RESPONSES, Meter.TOKENS, {JSON}, None),
    ("images_generations", Dialect.IMAGES, Meter.IMAGES, {JSON}, "dall-e-2"),
    ("images_edits", Dialect.IMAGES, Meter.IMAGES, {JSON, MULTIPART}, "gpt-image-1.5"),
    ("images_variations", Dialect.PLAIN, Meter.IMAGES, {MULTIPART}, "dall-e-2"),
    ("audio_speech", Dialect.AUDIO, Meter.CHARACTERS, {JSON}, None),
    ("audio_transcriptions", Dialect.AUDIO, Meter.AUDIO, {MULTIPART}, None),
    ("audio_translations", Dialect.PLAIN, Meter.AUDIO, {MULTIPART}, None),
]


@pytest.mark.parametrize(("name", "dialect", "meter", "accepts", "default"), FACTS)
def test_a_served_operation_is_judged_and_metered_as_openai_publishes_it(
    name: str, dialect: Dialect, meter: Meter, accepts: set[str], default: str | None
) -> None:
    endpoint = ENDPOINTS[name]
    facts = (endpoint.dialect, endpoint.meter, set(endpoint.accepts), endpoint.default_model)
    assert facts == (dialect, meter, accepts, default)


@pytest.mark.parametrize(("name", "default"), [(name, default) for name, *_, default in FACTS])
def test_a_model_must_be_named_where_there_is_no_default(name: str, default: str | None) -> None:
    assert ENDPOINTS[name].model is (ModelRule.OPTIONAL if default else ModelRule.REQUIRED)


def test_models_and_usage_are_answered_by_the_gateway_itself() -> None:
    assert {endpoint.name for endpoint in SERVED if endpoint.local} == {
        *("models", "model", "usage_completions", "usage_embeddings", "usage_moderations", "usage_images"),
        *("usage_audio_speeches", "usage_audio_transcriptions", "usage_costs"),
    }


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("POST /v1/files", "owners"),
        ("GET /v1/realtime", "WebSocket"),
        ("GET /v1/organization/projects", "organization"),
        ("GET /v1/engines", "shut it down"),
    ],
)
def test_a_reason_says_what_stands_in_the_way(operation: str, why: str) -> None:
    assert why in (find(operation).refusal or "")


def test_an_exact_path_goes_before_a_template() -> None:
    table = EndpointTable(
        [Endpoint("any", "GET", "/v1/{thing}", "x"), Endpoint("one", "GET", "/v1/things", "x")]
    )
    assert find("GET /v1/things", table).name == "one"


def test_methods_of_one_template_stand_together() -> None:
    table = EndpointTable(
        [Endpoint("get", "GET", "/v1/{thing}", "x"), Endpoint("drop", "DELETE", "/v1/{thing}", "x")]
    )
    assert find("DELETE /v1/a", table).name == "drop"
