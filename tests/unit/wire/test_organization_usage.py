"""Sums of the ledger as OpenAI spells them."""

from typing import Any

import msgspec
import pytest
from openai.types.admin.organization import UsageCostsResponse
from pydantic import TypeAdapter

from gateway.core.errors import ErrorCode, Refused
from gateway.core.usage_question import Sums, UsageQuestion, UsageSum, Whose
from gateway.wire.endpoints import ORGANIZATION, SERVED
from gateway.wire.organization_query import DAY
from gateway.wire.organization_usage import OPERATIONS, UsageRequest, usage_page, usage_request

MIDNIGHT = 1_795_046_400
SUMS = Sums(
    attempts=3,
    input_tokens=100,
    cached_tokens=30,
    cache_write_tokens=20,
    audio_input_tokens=10,
    image_input_tokens=5,
    output_tokens=50,
    audio_output_tokens=7,
    image_output_tokens=3,
    images=4,
    audio_milliseconds=61_001,
    characters=900,
    cost=1_234_567,
    unpriced=0,
)
ALL = f"start_time={MIDNIGHT}&end_time={MIDNIGHT + DAY}"


def asked(name: str, more: str = "") -> UsageRequest:
    return usage_request(OPERATIONS[name], f"{ALL}{more}", now=MIDNIGHT)


def question(name: str, more: str = "", team: str | None = "search") -> UsageQuestion:
    return asked(name, more).question(team)


def result(name: str, more: str = "", group: tuple[str, ...] = (), sums: Sums = SUMS) -> Any:
    """The one result of the one bucket."""
    request = asked(name, more)
    found = [UsageSum(MIDNIGHT, group, sums)]
    body = msgspec.json.decode(usage_page(request, request.question(None).by, found))
    ((one,),) = [bucket["results"] for bucket in body["data"]]
    return one


def refusal(name: str, more: str) -> Refused:
    with pytest.raises(Refused) as refused:
        asked(name, more)
    return refused.value


# What is counted by which operation.


def test_the_operations_are_those_of_the_endpoint_table() -> None:
    assert {endpoint.name for endpoint in ORGANIZATION} == OPERATIONS.keys()


def test_every_metered_endpoint_is_counted_by_one_operation() -> None:
    counted = [name for operation in OPERATIONS.values() for name in operation.endpoints]
    assert sorted(counted) == sorted(endpoint.name for endpoint in SERVED if not endpoint.local)


def test_costs_are_those_of_all_endpoints() -> None:
    assert Whose.ENDPOINT not in question("usage_costs").only


# The question.


def test_a_caller_asks_of_its_own_team() -> None:
    assert question("usage_embeddings").only == {
        Whose.TEAM: {"search"},
        Whose.ENDPOINT: {"embeddings"},
    }


@pytest.mark.parametrize(
    ("projects", "teams"),
    [
        ("search", {"search"}),
        ("billing", set()),
        ("billing,x", set()),
        ("billing&project_ids=search", {"search"}),
    ],
)
def test_another_teams_project_is_as_one_that_there_is_not(projects: str, teams: set[str]) -> None:
    assert question("usage_costs", f"&project_ids={projects}").only[Whose.TEAM] == teams


def test_an_operator_asks_of_all_teams() -> None:
    assert question("usage_costs", team=None).only == {}


def test_an_operator_picks_teams() -> None:
    asked_for = question("usage_costs", "&project_ids[]=search&project_ids[]=billing", team=None)
    assert asked_for.only == {Whose.TEAM: {"search", "billing"}}


def test_filters_are_asked_in_our_words() -> None:
    more = "&user_ids=u1&api_key_ids=k1&models=gpt-4o"
    only = question("usage_completions", more).only
    assert (only[Whose.SUBJECT], only[Whose.KEY], only[Whose.MODEL]) == ({"u1"}, {"k1"}, {"gpt-4o"})


def test_a_line_item_is_a_model() -> None:
    asked_for = question("usage_costs", "&line_items=gpt-4o&group_by=line_item")
    assert (asked_for.only[Whose.MODEL], asked_for.by) == ({"gpt-4o"}, (Whose.MODEL,))


@pytest.mark.parametrize(("batch", "is_empty"), [("true", True), ("false", False)])
def test_nothing_is_a_batch(batch: str, is_empty: bool) -> None:
    only = question("usage_completions", f"&batch={batch}").only
    assert (only[Whose.ENDPOINT] == frozenset()) is is_empty


def test_a_source_of_images_is_an_endpoint() -> None:
    asked_for = question("usage_images", "&sources=image.edit&sources=image.variation&group_by=source")
    assert asked_for.only[Whose.ENDPOINT] == {"images_edits", "images_variations"}
    assert asked_for.by == (Whose.ENDPOINT,)


def test_what_has_one_value_is_not_asked_of_the_ledger() -> None:
    assert question("usage_completions", "&group_by=batch,api_source").by == ()


# What is refused.


@pytest.mark.parametrize(
    ("name", "more", "param"),
    [
        ("usage_images", "&sizes=256x256", "sizes"),
        ("usage_images", "&sources=image.dream", "sources"),
        ("usage_images", "&batch=true", "batch"),
        ("usage_images", "&group_by=service_tier", "group_by"),
        ("usage_embeddings", "&group_by=batch", "group_by"),
        ("usage_completions", "&line_items=x", "line_items"),
        ("usage_costs", "&bucket_width=1h", "bucket_width"),
        ("usage_costs", "&models=gpt-4o", "models"),
        ("usage_costs", "&group_by=model", "group_by"),
        ("usage_costs", "&limit=181", "limit"),
    ],
)
def test_what_an_operation_does_not_publish_is_refused(name: str, more: str, param: str) -> None:
    refused = refusal(name, more)
    assert (refused.param, refused.kind.status) == (param, 400)


def test_sizes_are_refused_with_the_reason() -> None:
    refused = refusal("usage_images", "&sizes=256x256")
    assert (refused.code, "does not record" in refused.message) == (ErrorCode.INVALID_VALUE, True)


# The answer.

NOBODY = {"project_id": None, "user_id": None, "api_key_id": None}
OF_A_MODEL = {**NOBODY, "model": None, "num_model_requests": 3}

RESULTS: list[tuple[str, dict[str, Any]]] = [
    (
        "usage_completions",
        {
            "object": "organization.usage.completions.result",
            "input_tokens": 100,
            "input_cached_tokens": 30,
            "input_uncached_tokens": 50,
            "input_cache_write_tokens": 20,
            "input_audio_tokens": 10,
            "input_image_tokens": 5,
            "output_tokens": 50,
            "output_text_tokens": 40,
            "output_audio_tokens": 7,
            "output_image_tokens": 3,
            **OF_A_MODEL,
            "batch": None,
            "service_tier": None,
            "api_source": None,
        },
    ),
    (
        "usage_embeddings",
        {"object": "organization.usage.embeddings.result", "input_tokens": 100, **OF_A_MODEL},
    ),
    (
        "usage_moderations",
        {"object": "organization.usage.moderations.result", "input_tokens": 100, **OF_A_MODEL},
    ),
    (
        "usage_images",
        {
            "object": "organization.usage.images.result",
            "images": 4,
            **OF_A_MODEL,
            "size": None,
            "source": None,
        },
    ),
    (
        "usage_audio_speeches",
        {"object": "organization.usage.audio_speeches.result", "characters": 900, **OF_A_MODEL},
    ),
    (
        "usage_audio_transcriptions",
        {"object": "organization.usage.audio_transcriptions.result", "seconds": 62, **OF_A_MODEL},
    ),
    (
        "usage_costs",
        {
            "object": "organization.costs.result",
            "amount": {"value": 1.234567, "currency": "usd"},
            "quantity": None,
            "quantity_unit": None,
            "line_item": None,
            "api_source": None,
            **NOBODY,
        },
    ),
]


@pytest.mark.parametrize(("name", "expected"), RESULTS, ids=[name for name, _ in RESULTS])
def test_a_result_is_spelled_as_published(name: str, expected: dict[str, Any]) -> None:
    assert result(name) == expected


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_official_sdk_knows_every_member(name: str) -> None:
    request = asked(name)
    body = usage_page(request, (), [UsageSum(MIDNIGHT, (), SUMS)])
    page = TypeAdapter(UsageCostsResponse).validate_json(body)
    (found,) = page.data[0].results
    assert (found.object, found.model_extra) == (OPERATIONS[name].result, {})


@pytest.mark.parametrize(
    ("name", "group_by", "value", "spelled"),
    [
        ("usage_completions", "project_id", "search", "search"),
        ("usage_completions", "user_id", "u1", "u1"),
        ("usage_completions", "api_key_id", "k1", "k1"),
        ("usage_completions", "model", "gpt-4o", "gpt-4o"),
        ("usage_completions", "service_tier", "flex", "flex"),
        ("usage_completions", "service_tier", "", None),
        ("usage_images", "source", "images_generations", "image.generation"),
        ("usage_images", "source", "images_edits", "image.edit"),
        ("usage_images", "source", "images_variations", "image.variation"),
        ("usage_costs", "line_item", "gpt-4o", "gpt-4o"),
        ("usage_completions", "batch", None, False),
        ("usage_completions", "api_source", None, "unlabeled"),
        ("usage_images", "size", None, None),
    ],
)
def test_only_what_was_grouped_by_is_told(name: str, group_by: str, value: str | None, spelled: Any) -> None:
    group = () if value is None else (value,)
    found = result(name, f"&group_by={group_by}", group)
    assert found[group_by] == spelled
    others = [other for other in OPERATIONS[name].groups if other != group_by]
    assert {found[other] for other in others} == {None}


def test_a_cost_that_is_not_the_whole_of_it_says_so() -> None:
    assert result("usage_costs", sums=SUMS._replace(unpriced=2))["unpriced"] == 2


def test_parts_that_overlap_leave_nothing_below_zero() -> None:
    found = result("usage_completions", sums=SUMS._replace(cached_tokens=90, audio_output_tokens=50))
    assert (found["input_uncached_tokens"], found["output_text_tokens"]) == (0, 0)


def test_an_empty_bucket_is_there() -> None:
    request = asked("usage_costs")
    assert msgspec.json.decode(usage_page(request, (), [])) == {
        "object": "page",
        "data": [{"object": "bucket", "start_time": MIDNIGHT, "end_time": MIDNIGHT + DAY, "results": []}],
        "has_more": False,
        "next_page": None,
    }


def test_a_bucket_that_is_cut_has_what_the_ledger_found_of_it() -> None:
    query = f"start_time={MIDNIGHT + 60}&end_time={MIDNIGHT + 3 * DAY}&limit=2"
    request = usage_request(OPERATIONS["usage_embeddings"], query, now=MIDNIGHT)
    sums = [UsageSum(MIDNIGHT, (), SUMS), UsageSum(MIDNIGHT + DAY, (), SUMS)]
    body = msgspec.json.decode(usage_page(request, (), sums))
    assert [(bucket["start_time"], len(bucket["results"])) for bucket in body["data"]] == [
        (MIDNIGHT + 60, 1),
        (MIDNIGHT + DAY, 1),
    ]
    assert (body["has_more"], body["next_page"]) == (True, request.query.next_page)
