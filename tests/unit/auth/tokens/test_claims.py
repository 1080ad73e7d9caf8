"""What claims mean here, by tables of rules and claims."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from gateway.auth.tokens.claims import (
    LONGEST_NAME,
    MOST_GROUPS,
    administrator_of,
    principal_of,
    role_of,
)
from gateway.core.actor import Actor, Role
from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.grant import UNNARROWED, Grant
from gateway.core.identity import ClaimIs, GrantRule, Issuer, RoleRule, TeamRule
from gateway.core.principal import CredentialKind, Principal

ISSUER = Issuer("acme", "https://issuer.example", ("openai-gateway",), teams=(TeamRule(("team",)),))
CLAIMS = {"sub": "alice", "team": "search", "iat": 1_795_000_000}


def principal(issuer: Issuer = ISSUER, **claims: Any) -> Principal:
    found = principal_of(issuer, {**CLAIMS, **claims})
    assert isinstance(found, Principal)
    return found


def refusal(issuer: Issuer = ISSUER, **claims: Any) -> Deny:
    found = principal_of(issuer, {**CLAIMS, **claims})
    assert isinstance(found, Deny)
    assert found.code is ErrorCode.PERMISSION_DENIED
    return found


def test_a_token_stands_for_its_user_in_its_team() -> None:
    assert principal() == Principal(
        subject="user:alice",
        team="search",
        key_id="jwt:acme",
        key_name="acme",
        kind=CredentialKind.JWT,
        issuer="acme",
        issued_at=1_795_000_000,
    )


def test_the_user_is_where_the_path_leads() -> None:
    issuer = replace(ISSUER, user=("act", "https://acme.example/mail"))
    assert principal(issuer, act={"https://acme.example/mail": "a@b"}).subject == "user:a@b"


BAD_NAMES = [
    *(
        "",
        " ",
        "\0",
        "alice\n",
        "al\x1bice",
        " alice",
        "alice\u2028",
        "al\u202eice",
        "a" * (LONGEST_NAME + 1),
    ),
    *(7, True, None, ["alice"], {"a": 1}),
]


@pytest.mark.parametrize("user", BAD_NAMES)
def test_a_user_without_a_proper_name_is_refused(user: Any) -> None:
    found = refusal(sub=user)
    assert found.reason == "This token of the issuer `acme` names no user. Looked at: `sub`."


@pytest.mark.parametrize(
    "name", ["alice@example.com", "Ålice Ünder", "system:serviceaccount:ns:sa", "a" * 256]
)
def test_names_may_have_any_printed_characters(name: str) -> None:
    assert principal(sub=name).subject == f"user:{name}"


class TestTeams:
    @pytest.mark.parametrize(
        ("rules", "claims", "team"),
        [
            ([TeamRule(("team",))], {}, "search"),
            ([TeamRule(("team",), team="all")], {}, "all"),
            ([TeamRule(("team",), equals="search", team="finders")], {}, "finders"),
            ([TeamRule(("team",), equals="search")], {}, "search"),
            ([TeamRule(("team",), "sales", "x"), TeamRule(("team",), "search", "y")], {}, "y"),
            (
                [TeamRule(("groups",), "g2", "two"), TeamRule(("groups",), "g1", "one")],
                {"groups": ["g1", "g2"]},
                "two",
            ),
            ([TeamRule(("groups",), "g2")], {"groups": ["g1", "g2"]}, "g2"),
            ([TeamRule(("k8s.io", "ns"))], {"k8s.io": {"ns": "batch"}}, "batch"),
            ([TeamRule(("number",), "7", "seven")], {"number": 7}, "seven"),
            ([TeamRule(("flag",), "true", "flagged")], {"flag": True}, "flagged"),
            ([TeamRule(("half",), "0.5", "halves")], {"half": 0.5}, "halves"),
            ([TeamRule(("object",), team="x")], {"object": {}}, "x"),
        ],
    )
    def test_the_first_rule_that_says_one_decides(
        self, rules: list[TeamRule], claims: dict[str, Any], team: str
    ) -> None:
        assert principal(replace(ISSUER, teams=tuple(rules)), **claims).team == team

    @pytest.mark.parametrize(
        ("rule", "claims"),
        [
            (TeamRule(("missing",)), {}),
            (TeamRule(("missing",), team="x"), {}),
            (TeamRule(("team", "name")), {}),
            (TeamRule(("team",), "Search", "x"), {}),
            (TeamRule(("team",), "searc", "x"), {}),
            (TeamRule(("groups",)), {"groups": ["a"]}),
            (TeamRule(("groups",), "a,b", "x"), {"groups": ["a", "b"]}),
            (TeamRule(("number",)), {"number": 7}),
            (TeamRule(("none",), "null", "x"), {"none": None}),
            (TeamRule(("object",), "{}", "x"), {"object": {}}),
            (TeamRule(("nested",), "a", "x"), {"nested": [["a"]]}),
        ],
    )
    def test_a_token_that_maps_to_no_team_is_refused(self, rule: TeamRule, claims: dict[str, Any]) -> None:
        found = refusal(replace(ISSUER, teams=(rule,)), **claims)
        looked_at = ".".join(rule.claim)
        assert (
            found.reason == f"This token of the issuer `acme` belongs to no team. Looked at: `{looked_at}`."
        )

    @pytest.mark.parametrize("team", ["", "a\nb", "t" * 257, " search"])
    def test_a_team_without_a_proper_name_is_none(self, team: str) -> None:
        assert "belongs to no team" in refusal(team=team).reason

    def test_every_claim_that_was_looked_at_is_named_once(self) -> None:
        rules = (TeamRule(("a",), "1", "x"), TeamRule(("a",), "2", "y"), TeamRule(("b", "c")))
        assert refusal(replace(ISSUER, teams=rules), a="s3cret").reason.endswith("Looked at: `a`, `b.c`.")

    def test_without_rules_that_is_told(self) -> None:
        assert refusal(replace(ISSUER, teams=())).reason.endswith("No rule says which.")


class TestRequirements:
    ISSUER = replace(
        ISSUER,
        require=(ClaimIs(("tenant",), "t1"), ClaimIs(("roles",), "user")),
        roles=(RoleRule(ClaimIs(("sub",), "alice"), Role.OPERATOR),),
    )

    def test_all_must_hold(self) -> None:
        assert principal(self.ISSUER, tenant="t1", roles=["admin", "user"])

    @pytest.mark.parametrize(
        ("claims", "named"),
        [
            ({"tenant": "t1"}, "`roles`"),
            ({"tenant": "t2", "roles": "user"}, "`tenant`"),
            ({}, "`tenant`, `roles`"),
        ],
    )
    def test_those_that_do_not_are_named(self, claims: dict[str, Any], named: str) -> None:
        assert refusal(self.ISSUER, **claims).reason.endswith(f"Looked at: {named}.")

    def test_without_them_nobody_administers(self) -> None:
        assert role_of(self.ISSUER, CLAIMS) is None
        assert role_of(self.ISSUER, {**CLAIMS, "tenant": "t1", "roles": "user"}) == (
            Role.OPERATOR,
            frozenset(),
        )


class TestGroups:
    ISSUER = replace(ISSUER, groups=("groups",))

    @pytest.mark.parametrize(
        ("groups", "read"),
        [(None, set()), ([], set()), (["a", "b", "a"], {"a", "b"}), ("a", {"a"})],
    )
    def test_they_are_a_list_of_names(self, groups: Any, read: set[str]) -> None:
        assert principal(self.ISSUER, groups=groups).groups == read

    @pytest.mark.parametrize("groups", [7, {}, [1], ["a", None], [""], ["a\n"], ["g"] * (MOST_GROUPS + 1)])
    def test_what_is_none_is_refused(self, groups: Any) -> None:
        found = refusal(self.ISSUER, groups=groups)
        assert found.reason.endswith("does not list at most 200 groups by name. Looked at: `groups`.")

    def test_without_a_path_there_are_none(self) -> None:
        assert principal(groups=["a"]).groups == frozenset()


class TestGrants:
    NARROW, NARROWER = Grant(read_only=True), Grant(models=("small",))
    ISSUER = replace(
        ISSUER,
        grants=(
            GrantRule(ClaimIs(("env",), "test"), NARROW),
            GrantRule(ClaimIs(("sub",), "alice"), NARROWER),
        ),
    )

    @pytest.mark.parametrize(
        ("claims", "grant"),
        [({"env": "test"}, NARROW), ({}, NARROWER), ({"sub": "bob"}, UNNARROWED)],
    )
    def test_the_first_that_fits_decides(self, claims: dict[str, Any], grant: Grant) -> None:
        assert principal(self.ISSUER, **claims).grant == grant


class TestRoles:
    ISSUER = replace(
        ISSUER,
        teams=(),
        roles=(
            RoleRule(ClaimIs(("groups",), "ops"), Role.OPERATOR),
            RoleRule(ClaimIs(("groups",), "leads"), Role.TEAM_ADMIN, ("search", "web")),
        ),
    )

    @pytest.mark.parametrize(
        ("groups", "role"),
        [
            (["leads", "ops"], (Role.OPERATOR, frozenset())),
            (["leads"], (Role.TEAM_ADMIN, frozenset({"search", "web"}))),
            (["Leads"], None),
            ([], None),
            (None, None),
        ],
    )
    def test_the_first_that_fits_decides(self, groups: Any, role: object) -> None:
        assert role_of(self.ISSUER, {**CLAIMS, "groups": groups}) == role


def test_no_refusal_repeats_what_a_claim_says() -> None:
    issuer = replace(ISSUER, groups=("groups",), teams=(TeamRule(("team",), "x", "x"),))
    refusals = [
        refusal(issuer, team="s3cret"),
        refusal(issuer, sub="s3cret\n"),
        refusal(TestGroups.ISSUER, groups=["s3cret\n"]),
    ]
    assert not [found for found in refusals if "s3cret" in found.reason]


class TestAdministrators:
    ISSUER = replace(ISSUER, roles=(RoleRule(ClaimIs(("roles",), "ops"), Role.OPERATOR),))
    OPS: ClassVar = {**CLAIMS, "roles": ["ops"]}

    def test_an_administrator_is_whom_revocations_know(self) -> None:
        holder = replace(principal(), team="")
        assert administrator_of(self.ISSUER, self.OPS) == Actor(
            "acme:alice", Role.OPERATOR, frozenset(), holder
        )

    def test_nobody_is_called_by_a_claim_of_his_own_choice(self) -> None:
        claims = {**self.OPS, "email": "boss@example.com", "name": "The Boss"}
        found = administrator_of(self.ISSUER, claims)
        assert found is not None
        assert found.name == "acme:alice"

    def test_without_a_role_nobody_administers(self) -> None:
        assert administrator_of(self.ISSUER, CLAIMS) is None

    @pytest.mark.parametrize("name", [*BAD_NAMES, None, 7, ["alice"]])
    def test_what_is_no_name_administers_nothing(self, name: Any) -> None:
        assert administrator_of(self.ISSUER, {**self.OPS, "sub": name}) is None
