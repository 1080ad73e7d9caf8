"""The query string of the usage API: what is understood, and that nothing else passes."""

from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ErrorCode, Refused
from gateway.wire.organization_query import DAY, HOUR, MINUTE, UsageQuery, read_usage_query

MIDNIGHT = 1_795_046_400
"""2026-11-19 00:00 UTC."""
NOW = MIDNIGHT + 7 * HOUR + 0.5
LIMITS = {MINUTE: (60, 1440), HOUR: (24, 168), DAY: (7, 31)}


def read(query: str, **changes: Any) -> UsageQuery:
    values: dict[str, Any] = {
        "groups": ("project_id", "model"),
        "filters": ("project_ids", "models", "batch"),
        "limits": LIMITS,
        "whole": False,
        "now": NOW,
    }
    return read_usage_query(query, **(values | changes))


def refusal(query: str, **changes: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        read(query, **changes)
    return refused.value


def pages(**asked: Any) -> list[UsageQuery]:
    """Every page, as scripts walk them."""
    found = [read(urlencode(asked))]
    while found[-1].next_page is not None:
        found.append(read(urlencode({**asked, "page": found[-1].next_page})))
    return found


def test_buckets_of_days_begin_at_midnight() -> None:
    query = read(f"start_time={MIDNIGHT - 2 * DAY}&end_time={MIDNIGHT}")
    assert (query.width, query.next_page) == (DAY, None)
    assert query.buckets == ((MIDNIGHT - 2 * DAY, MIDNIGHT - DAY), (MIDNIGHT - DAY, MIDNIGHT))


def test_the_first_and_the_last_bucket_are_cut_to_the_time_that_was_asked_for() -> None:
    query = read(f"start_time={MIDNIGHT - DAY + 5}&end_time={MIDNIGHT + 7}")
    assert query.buckets == ((MIDNIGHT - DAY + 5, MIDNIGHT), (MIDNIGHT, MIDNIGHT + 7))


def test_without_an_end_it_is_now_and_this_second_is_included() -> None:
    assert read(f"start_time={MIDNIGHT}").buckets == ((MIDNIGHT, int(NOW) + 1),)


def test_a_start_in_the_future_has_one_bucket_of_a_second() -> None:
    assert read(f"start_time={MIDNIGHT + DAY}").buckets == ((MIDNIGHT + DAY, MIDNIGHT + DAY + 1),)


def test_costs_are_told_for_whole_days() -> None:
    query = read(f"start_time={MIDNIGHT - 5}&end_time={MIDNIGHT + 5}", whole=True)
    assert query.buckets == ((MIDNIGHT - DAY, MIDNIGHT), (MIDNIGHT, MIDNIGHT + DAY))


@pytest.mark.parametrize(
    ("width", "usual", "most"), [("1m", 60, 1440), ("1h", 24, 168), ("1d", 7, 31), ("", 7, 31)]
)
def test_a_page_has_as_many_buckets_as_published(width: str, usual: int, most: int) -> None:
    query = f"start_time=0&end_time={MIDNIGHT}" + (f"&bucket_width={width}" if width else "")
    assert len(read(query).buckets) == usual
    assert len(read(f"{query}&limit={most}").buckets) == most
    assert refusal(f"{query}&limit={most + 1}").param == "limit"


def test_pages_follow_each_other_to_the_end() -> None:
    found = pages(start_time=MIDNIGHT - 40 * DAY, end_time=MIDNIGHT, limit=31)
    assert [len(page.buckets) for page in found] == [31, 9]
    assert [page.next_page is None for page in found] == [False, True]


def test_pages_without_an_end_all_have_the_end_of_the_first() -> None:
    first = read(f"start_time={MIDNIGHT - DAY}&limit=1")
    later = read(f"start_time={MIDNIGHT - DAY}&limit=1&page={first.next_page}", now=NOW + 3600)
    assert later.buckets == ((MIDNIGHT, int(NOW) + 1),)


def test_a_cursor_needs_no_escaping() -> None:
    cursor = read(f"start_time={MIDNIGHT - DAY}&limit=1").next_page or ""
    assert cursor.startswith("page_")
    assert cursor == urlencode({"": cursor})[1:]


@given(
    start=st.integers(0, 4 * DAY),
    length=st.integers(1, 4 * DAY),
    width=st.sampled_from([("1m", 1440, MINUTE), ("1h", 168, HOUR), ("1d", 31, DAY)]),
    data=st.data(),
)
def test_the_buckets_of_all_pages_are_the_whole_range_without_gap_or_overlap(
    start: int, length: int, width: tuple[str, int, int], data: st.DataObject
) -> None:
    name, most, seconds = width
    limit = data.draw(st.integers(max(1, most // 4), most))
    asked = {"start_time": start, "end_time": start + length, "bucket_width": name, "limit": limit}
    buckets = [bucket for page in pages(**asked) for bucket in page.buckets]
    assert (buckets[0][0], buckets[-1][1]) == (start, start + length)
    assert all(one[1] == other[0] for one, other in pairwise(buckets))
    assert all(begin // seconds == (end - 1) // seconds for begin, end in buckets)


@pytest.mark.parametrize("spelled", ["models=a&models=b", "models[]=a&models[]=b", "models%5B%5D=a&models=b"])
def test_lists_are_understood_as_all_clients_write_them(spelled: str) -> None:
    assert read(f"start_time=0&{spelled}").only == {"models": {"a", "b"}}


@pytest.mark.parametrize(
    "spelled",
    [
        "group_by=model&group_by=project_id",
        "group_by[]=model&group_by[]=project_id",
        "group_by=model,project_id",
        "group_by=model&group_by=project_id,model",
    ],
)
def test_groups_are_understood_as_all_scripts_write_them(spelled: str) -> None:
    assert read(f"start_time=0&{spelled}").group_by == ("model", "project_id")


@pytest.mark.parametrize(
    ("text", "batch"), [("true", True), ("false", False), ("True", True), ("False", False)]
)
def test_a_truth_value_is_understood_as_python_writes_it_too(text: str, batch: bool) -> None:
    assert read(f"start_time=0&batch={text}").batch is batch


def test_a_value_may_have_a_comma() -> None:
    assert read("start_time=0&models=a,b").only == {"models": {"a,b"}}


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ("", "start_time", ErrorCode.BAD_REQUEST),
        ("end_time=5", "start_time", ErrorCode.BAD_REQUEST),
        ("start_time=", "start_time", ErrorCode.INVALID_VALUE),
        ("start_time=-1", "start_time", ErrorCode.INVALID_VALUE),
        ("start_time=1.5", "start_time", ErrorCode.INVALID_VALUE),
        ("start_time=1e9", "start_time", ErrorCode.INVALID_VALUE),
        ("start_time=٣", "start_time", ErrorCode.INVALID_VALUE),
        ("start_time=2026-11-19", "start_time", ErrorCode.INVALID_VALUE),
        ("start_time=999999999999", "start_time", ErrorCode.INVALID_VALUE),
        ("start_time=1&start_time=2", "start_time", ErrorCode.BAD_REQUEST),
        ("start_time[]=1", "start_time[]", ErrorCode.BAD_REQUEST),
        ("start_time=5&end_time=5", "end_time", ErrorCode.INVALID_VALUE),
        ("start_time=5&end_time=4", "end_time", ErrorCode.INVALID_VALUE),
        ("start_time=5&end_time=soon", "end_time", ErrorCode.INVALID_VALUE),
        ("start_time=0&bucket_width=2d", "bucket_width", ErrorCode.INVALID_VALUE),
        ("start_time=0&bucket_width=", "bucket_width", ErrorCode.INVALID_VALUE),
        ("start_time=0&limit=0", "limit", ErrorCode.INVALID_VALUE),
        ("start_time=0&limit=many", "limit", ErrorCode.INVALID_VALUE),
        ("start_time=0&group_by=team", "group_by", ErrorCode.INVALID_VALUE),
        ("start_time=0&group_by=", "group_by", ErrorCode.INVALID_VALUE),
        ("start_time=0&batch=maybe", "batch", ErrorCode.INVALID_VALUE),
        ("start_time=0&project_id=search", "project_id", ErrorCode.BAD_REQUEST),
        ("start_time=0&next_page=x", "next_page", ErrorCode.BAD_REQUEST),
        ("start_time=0&line_items=x", "line_items", ErrorCode.BAD_REQUEST),
        ("start_time=0&page=x", "page", ErrorCode.INVALID_VALUE),
        ("start_time=0&page=", "page", ErrorCode.INVALID_VALUE),
        ("start_time=0&page=page_é", "page", ErrorCode.INVALID_VALUE),
        ("start_time=0&models=%FF", None, ErrorCode.BAD_REQUEST),
        ("start_time=0" + "&models=a" * 1000, None, ErrorCode.BAD_REQUEST),
    ],
)
def test_what_is_not_understood_is_refused_by_name(query: str, param: str | None, code: ErrorCode) -> None:
    refused = refusal(query)
    assert (refused.param, refused.code) == (param, code)


def test_a_value_is_not_repeated_in_an_error() -> None:
    told = [refusal(f"start_time=0&{name}=sk-secret").message for name in ("group_by", "limit", "page")]
    assert not [message for message in told if "sk-secret" in message]


def test_a_width_that_an_operation_does_not_have_is_refused_with_those_it_has() -> None:
    refused = refusal("start_time=0&bucket_width=1h", limits={DAY: (7, 180)})
    assert refused.message == "Invalid value for 'bucket_width'. Supported values are: '1d'."


@pytest.mark.parametrize(
    "other",
    [
        {"start_time": MIDNIGHT - HOUR},
        {"end_time": MIDNIGHT + 1},
        {"bucket_width": "1d", "start_time": MIDNIGHT - 10 * DAY},
    ],
)
def test_a_cursor_of_another_query_is_refused(other: dict[str, Any]) -> None:
    asked = {"start_time": MIDNIGHT - 3 * DAY, "end_time": MIDNIGHT, "bucket_width": "1h", "limit": 5}
    cursor = read(urlencode(asked)).next_page
    assert refusal(urlencode({**asked, **other, "page": cursor})).param == "page"


@pytest.mark.parametrize("name", ["models", "project_ids", "models[]"])
def test_what_cannot_be_printed_is_nobodys_name(name: str) -> None:
    refused = refusal(f"start_time=1&{name}=a%00b")
    assert (refused.code, refused.param) == (ErrorCode.INVALID_VALUE, name.removesuffix("[]"))
