"""Facts about `gateway/policies/issuer_rules.py`. The messages are in tests/golden/policies/identity."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.actor import Role
from gateway.core.grant import UNNARROWED, Grant
from gateway.core.identity import ClaimIs, GrantRule, Issuer, RoleRule, TeamRule
from gateway.policies.issuer_rules import IssuerSpelling, Reach


def issuer(**says: Any) -> Issuer:
    least = {"issuer": "https://ci.example.com", "audiences": ["gateway"], "team": "search"}
    return IssuerSpelling.model_validate(least | says).compiled("ci")


def test_an_issuer_need_say_little() -> None:
    assert issuer() == Issuer(
        name="ci",
        url="https://ci.example.com",
        audiences=("gateway",),
        teams=(TeamRule(("iss",), None, "search"),),
    )


def test_an_issuer_may_say_much() -> None:
    said = issuer(
        algorithms=["ES256"],
        jwks_url="https://ci.example.com/keys",
        ca_file="/etc/gateway/ca.crt",
        token_file="/etc/gateway/token",
        types=["at+jwt"],
        leeway="10s",
        longest_life="1h",
        user="email",
        groups="realm_access.roles",
        require=[{"claim": "email_verified", "equals": True}],
        grants=[{"claim": "scope", "equals": "read", "read_only": True}],
        roles=[{"claim": "groups", "equals": "leads", "role": "team_admin", "teams": ["search"]}],
        exchange="15m",
    )

    assert said == Issuer(
        name="ci",
        url="https://ci.example.com",
        audiences=("gateway",),
        algorithms=("ES256",),
        jwks_url="https://ci.example.com/keys",
        ca_file=Path("/etc/gateway/ca.crt"),
        token_file=Path("/etc/gateway/token"),
        types=("at+jwt",),
        leeway=10.0,
        longest_life=3600.0,
        user=("email",),
        teams=(TeamRule(("iss",), None, "search"),),
        groups=("realm_access", "roles"),
        require=(ClaimIs(("email_verified",), "true"),),
        grants=(GrantRule(ClaimIs(("scope",), "read"), Grant(read_only=True)),),
        roles=(RoleRule(ClaimIs(("groups",), "leads"), Role.TEAM_ADMIN, ("search",)),),
        exchange_seconds=900.0,
    )


FINDERS = {"claim": "groups", "equals": "finders", "is": "search"}


@pytest.mark.parametrize(
    ("team", "rules"),
    [
        ("search", [TeamRule(("iss",), None, "search")]),
        ({"is": "search"}, [TeamRule(("iss",), None, "search")]),
        ({"claim": "team"}, [TeamRule(("team",))]),
        ({"claim": "bot", "is": "search"}, [TeamRule(("bot",), None, "search")]),
        (FINDERS, [TeamRule(("groups",), "finders", "search")]),
        (
            [FINDERS, {"claim": ["acme.org", "team"]}, "ads"],
            [
                TeamRule(("groups",), "finders", "search"),
                TeamRule(("acme.org", "team")),
                TeamRule(("iss",), None, "ads"),
            ],
        ),
    ],
)
def test_a_team_is_a_name_or_a_rule_or_several(team: Any, rules: list[TeamRule]) -> None:
    assert list(issuer(team=team).teams) == rules


@pytest.mark.parametrize(
    "team",
    [[], {}, {"claim": "a", "equals": "b"}, {"equals": "b", "is": "c"}, ["search", FINDERS], "a b", 5, [[]]],
)
def test_a_team_that_nobody_could_find_is_refused(team: Any) -> None:
    with pytest.raises(ValidationError):
        issuer(team=team)


def test_an_issuer_of_operators_alone_needs_no_team() -> None:
    people = IssuerSpelling.model_validate(
        {
            "issuer": "https://people.example.com",
            "audiences": ["console"],
            "roles": [{"claim": "groups", "equals": "admins", "role": "operator"}],
        }
    )

    assert people.compiled("people").teams == ()


def test_what_says_nothing_narrows_nothing() -> None:
    assert Reach().granted() == UNNARROWED


def test_money_is_said_in_dollars_and_counted_in_millionths() -> None:
    reach = Reach.model_validate(
        {
            "endpoints": ["chat_*"],
            "models": ["gpt-4o"],
            "requests_per_minute": 5,
            "tokens_per_minute": 6,
            "concurrent": 7,
            "dollars_per_month": 2.5,
        }
    )

    assert reach.granted() == Grant(("chat_*",), ("gpt-4o",), False, 5, 6, 7, 2_500_000)
