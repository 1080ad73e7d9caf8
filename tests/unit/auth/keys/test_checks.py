"""What a key must be like to be made."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.auth.interfaces import KeyRefused
from gateway.auth.keys.api_keys import checksum
from gateway.auth.keys.checks import MOST, KeyChecks, NewKey, checked_reason
from gateway.core.grant import Grant

NOW = 1_795_000_000
_BODY = f"gwk_{'a' * 12}_{'b' * 43}"
A_KEY = _BODY + checksum(_BODY)
KEY = NewKey(team="search", name="web")
CHECKS = KeyChecks(
    teams=lambda: {"search", "support", "ads"},
    endpoints=lambda: {"chat_completions", "embeddings", "models"},
    models=lambda: {"gpt-4o", "gpt-4o-mini", "o3"},
)


def refused(new: NewKey) -> KeyRefused:
    with pytest.raises(KeyRefused) as caught:
        CHECKS.checked(new, NOW)
    return caught.value


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "a"},
        {"name": "Nightly_index-2.b"},
        {"name": "x" * 64},
        {"owner": "user:alice@example.com"},
        {"owner": "service:ci"},
        {"owner": "user:müller|7"},
        {"expires_at": NOW + 1},
        {"grant": Grant(endpoints=("chat_*", "models"), models=("gpt-*", "o3"), read_only=True)},
        {"grant": Grant(requests_per_minute=1, tokens_per_minute=MOST, concurrent=5, dollars_per_month=1)},
        {"addresses": ("10.0.0.0/8", "2001:db8::/32")},
    ],
    ids=str,
)
def test_a_key_that_can_be_made_is_as_it_was_asked_for(changes: dict[str, Any]) -> None:
    new = replace(KEY, **changes)
    checked = CHECKS.checked(new, NOW)
    assert replace(checked, addresses=tuple(new.addresses)) == new


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"team": "serach"}, "team", "no team `serach` in the policy files. Did you mean `search`?"),
        ({"team": "unheard-of"}, "team", "There are: ads, search, support."),
        ({"team": ""}, "team", "no team"),
        ({"name": ""}, "name", "begins with a letter"),
        ({"name": "-web"}, "name", "begins with a letter"),
        ({"name": "x" * 65}, "name", "64"),
        ({"name": "a b"}, "name", "letters, digits"),
        ({"name": "web\n"}, "name", "letters, digits"),
        ({"name": "a/b"}, "name", "letters, digits"),
        ({"name": "ünïcode"}, "name", "letters, digits"),
        ({"owner": "alice"}, "owner", "`user:` and a name"),
        ({"owner": "user:"}, "owner", "`user:` and a name"),
        ({"owner": "group:all"}, "owner", "`user:` and a name"),
        ({"owner": "key:search/web"}, "owner", "`user:` and a name"),
        ({"owner": "user:al ice"}, "owner", "`user:` and a name"),
        ({"owner": "user:" + "x" * 200}, "owner", "at most 200"),
        ({"owner": "user:a\x1b[31m"}, "owner", "printable"),
        ({"owner": f"user:{A_KEY}"}, "owner", "looks like a key"),
        ({"expires_at": NOW}, "expires_at", "in the past"),
        ({"expires_at": NOW * 1000}, "expires_at", "seconds since 1970"),
        ({"grant": Grant(endpoints=())}, "grant.endpoints", "good for nothing"),
        ({"grant": Grant(models=())}, "grant.models", "good for nothing"),
        (
            {"grant": Grant(endpoints=("chat_completion",))},
            "grant.endpoints",
            "Did you mean `chat_completions`",
        ),
        (
            {"grant": Grant(endpoints=("models", "x*"))},
            "grant.endpoints",
            "no endpoint `x*`. There are: chat_",
        ),
        ({"grant": Grant(models=("gpt-4o", "gpt5*"))}, "grant.models", "no model `gpt5*`"),
        ({"grant": Grant(models=("o3",) * 101)}, "grant.models", "more than 100"),
        ({"grant": Grant(requests_per_minute=0)}, "grant.requests_per_minute", "from 1"),
        ({"grant": Grant(tokens_per_minute=-1)}, "grant.tokens_per_minute", "from 1"),
        ({"grant": Grant(concurrent=MOST + 1)}, "grant.concurrent", "from 1"),
        ({"grant": Grant(dollars_per_month=0)}, "grant.dollars_per_month", "from 1"),
        ({"addresses": ("10.0.0.0/8", "10.0.0.7/8")}, "addresses", "the network is `10.0.0.0/8`"),
        ({"addresses": ("office",)}, "addresses", "`office` is no network"),
        ({"addresses": ("10.0.0.0/8",) * 101}, "addresses", "more than 100"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_refused_with_the_field_named(
    changes: dict[str, Any], field: str, sentence: str
) -> None:
    error = refused(replace(KEY, **changes))
    assert error.field == field
    assert sentence in str(error)
    assert str(error).isprintable()


def test_networks_are_spelled_in_one_way_and_once() -> None:
    addresses = ("10.0.0.7", "10.0.0.7/32", "2001:DB8:0::/32")
    assert CHECKS.checked(replace(KEY, addresses=addresses), NOW).addresses == (
        "10.0.0.7/32",
        "2001:db8::/32",
    )


def test_names_are_those_of_the_moment() -> None:
    teams = {"search"}
    checks = replace(CHECKS, teams=lambda: teams)
    teams.add("new")
    assert checks.checked(replace(KEY, team="new"), NOW).team == "new"


def test_where_no_model_is_named_all_may_be_granted() -> None:
    checks = replace(CHECKS, models=lambda: ())
    assert checks.checked(KEY, NOW) == replace(KEY, addresses=())


def test_where_there_is_none_at_all_that_is_said() -> None:
    checks = replace(CHECKS, teams=lambda: ())
    with pytest.raises(KeyRefused, match="There is none at all"):
        checks.checked(KEY, NOW)


def test_of_many_names_some_are_told() -> None:
    checks = replace(CHECKS, teams=lambda: {f"t{number:03}" for number in range(500)})
    with pytest.raises(KeyRefused, match=r"t019, …$"):
        checks.checked(replace(KEY, team="zzzz"), NOW)


def test_a_reason_is_a_line() -> None:
    assert checked_reason("it was found in a repository") == "it was found in a repository"


@pytest.mark.parametrize("reason", ["x" * 201, "two\nlines", A_KEY, "leaked: sk-proj-0123456789abcdef"])
def test_what_is_no_reason_is_refused_and_not_repeated(reason: str) -> None:
    with pytest.raises(KeyRefused) as caught:
        checked_reason(reason)
    assert caught.value.field == "reason"
    assert reason not in str(caught.value)
