"""Issuers as identity.yaml spells them: whose tokens are believed, and what is made of their claims."""

from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.core.actor import Role
from gateway.core.grant import Grant
from gateway.core.identity import ClaimIs, GrantRule, Issuer, RoleRule, TeamRule
from gateway.policies.budget_rules import Dollars
from gateway.policies.counting import microdollars
from gateway.policies.identity_values import (
    Algorithm,
    ClaimSteps,
    ClaimValue,
    File,
    HttpsUrl,
    IssuerUrl,
    KeyLife,
    Leeway,
    Line,
    TokenLife,
)
from gateway.policies.limit_rules import Amount
from gateway.policies.rule import EVERYTHING, HolderName, NamePatterns, Node

_EVERY_TOKEN: Final = ("iss",)
"""A claim that every token has."""


class Reach(Node):
    """How far a credential reaches within what its team may do. It never reaches further than that."""

    endpoints: NamePatterns = EVERYTHING
    """The endpoints that it may ask. `*` stands for any run of characters."""
    models: NamePatterns = EVERYTHING
    """The models that it may name."""
    read_only: Annotated[bool, Field(strict=True)] = False
    """Whether it may only look: nothing but GET."""
    requests_per_minute: Amount | None = None
    """Requests of its own, under its team's limits."""
    tokens_per_minute: Amount | None = None
    """Tokens of its own, input and output together."""
    concurrent: Amount | None = None
    """Requests of its own under way at once."""
    dollars_per_month: Dollars | None = None
    """A budget of its own, by the calendar of UTC."""

    def granted(self) -> Grant:
        dollars = self.dollars_per_month
        return Grant(
            endpoints=self.endpoints,
            models=self.models,
            read_only=self.read_only,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            concurrent=self.concurrent,
            dollars_per_month=None if dollars is None else microdollars(dollars),
        )


class Condition(Node):
    """A claim has a value."""

    claim: ClaimSteps
    """Where in the token it stands: `realm_access.roles`, or a list of names if one of them has a dot."""
    equals: ClaimValue
    """What it must be; of a list, one of its items."""

    def when(self) -> ClaimIs:
        return ClaimIs(tuple(self.claim), self.equals)


class TeamSpelling(Node):
    """To which team a token belongs."""

    claim: ClaimSteps | None = None
    """Where in the token it stands. Without it the rule is about every token."""
    equals: ClaimValue | None = None
    """What it must be; of a list, one of its items."""
    is_: Annotated[HolderName | None, Field(alias="is")] = None
    """The team. Without it the claim's own value is the team's name."""

    @model_validator(mode="after")
    def _says_a_team(self) -> Self:
        if self.is_ is None and self.claim is None:
            raise ValueError("must have `claim`, `is` or both")
        if self.equals is not None and (self.claim is None or self.is_ is None):
            missing = "claim" if self.claim is None else "is"
            raise ValueError(f"`{missing}` is missing: `claim` and `equals` say for whom, `is` which team")
        return self

    @property
    def fits_every_token(self) -> bool:
        return self.claim is None

    def compiled(self) -> TeamRule:
        return TeamRule(tuple(self.claim or _EVERY_TOKEN), self.equals, self.is_)


class GrantSpelling(Condition, Reach):
    """Tokens with a claim reach no further than this."""

    def compiled(self) -> GrantRule:
        return GrantRule(self.when(), self.granted())


class RoleSpelling(Condition):
    """Whoever has a claim may administer."""

    role: Role
    """`viewer`, `auditor`, `team_admin` or `operator`."""
    teams: list[HolderName] = Field(default_factory=list)
    """Of team admins: which teams."""

    @model_validator(mode="after")
    def _has_teams_of_its_own(self) -> Self:
        if self.role is Role.TEAM_ADMIN and not self.teams:
            raise ValueError("`teams` is missing: say which teams a team admin manages")
        if self.role is not Role.TEAM_ADMIN and self.teams:
            raise ValueError(f"`teams` is for team admins: the role `{self.role}` is about all teams")
        return self

    def compiled(self) -> RoleRule:
        return RoleRule(self.when(), self.role, tuple(self.teams))


def _listed(rules: Any) -> Any:
    """One rule, or the name of the one team of all tokens, is a list of one."""
    rules = rules if isinstance(rules, list) else [rules]
    return [{"is": rule} if isinstance(rule, str) else rule for rule in rules]


def _each_can_decide(rules: list[TeamSpelling]) -> list[TeamSpelling]:
    if any(rule.fits_every_token for rule in rules[:-1]):
        raise ValueError("has a rule that is about every token before its last: what follows never decides")
    return rules


TeamRules = Annotated[
    list[TeamSpelling],
    BeforeValidator(
        _listed, json_schema_input_type=HolderName | TeamSpelling | list[TeamSpelling | HolderName]
    ),
    Field(min_length=1),
    AfterValidator(_each_can_decide),
]


class IssuerSpelling(Node):
    """Somebody whose tokens are believed."""

    issuer: IssuerUrl
    """Its tokens' `iss`, letter by letter; https. Its discovery document and its keys are found by that."""
    audiences: Annotated[list[Line], Field(min_length=1)]
    """A token must name one of these in its `aud`: it was made for this gateway, not for somebody else."""
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] = Field(
        default_factory=lambda: ["RS256", "ES256"]
    )
    """By which its tokens may be signed, asymmetric ones only; `RS256` and `ES256` unless it is said."""
    jwks_url: HttpsUrl | None = None
    """Where its keys are, if that is not where its discovery document says; https."""
    ca_file: File | None = None
    """Certificates (PEM) that are trusted when its keys are fetched, and no others; the system's unless it is
    said."""
    token_file: File | None = None
    """A file with a token that is sent when its keys are fetched, as Kubernetes wants it."""
    types: Annotated[list[Line], Field(min_length=1)] = Field(default_factory=lambda: ["JWT", "at+jwt"])
    """What the `typ` of a token's header may be, if it is there, in any case; `JWT` or `at+jwt` unless it is
    said."""
    leeway: Leeway = 30.0
    """By how much clocks may differ; `30s` unless it is said."""
    longest_life: TokenLife = 86_400.0
    """A token may be good for that long, from its `iat` to its `exp`; `24h` unless it is said."""
    user: ClaimSteps = Field(default_factory=lambda: ["sub"])
    """The claim that names the caller: a text that stays the same, and is nobody else's; `sub` unless it is
    said."""
    team: TeamRules = Field(default_factory=list)
    """To which team a token belongs: a team's name; a rule; or a list: the first that fits decides."""
    groups: ClaimSteps | None = None
    """The claim that lists the caller's groups."""
    require: list[Condition] = Field(default_factory=list)
    """What must hold of every token: all of it."""
    grants: list[GrantSpelling] = Field(default_factory=list)
    """How far tokens reach. The first that fits decides; a token that none fits may do what its team may."""
    roles: list[RoleSpelling] = Field(default_factory=list)
    """Who may administer the gateway, at the operators' port. The first that fits decides."""
    exchange: KeyLife | None = None
    """Tokens may be traded for keys that last so long at most. Without it they may not."""

    @model_validator(mode="after")
    def _is_good_for_something(self) -> Self:
        if not self.team and not self.roles:
            raise ValueError("`team` is missing: its tokens would map to no team")
        return self

    def compiled(self, name: str) -> Issuer:
        return Issuer(
            name=name,
            url=self.issuer,
            audiences=tuple(self.audiences),
            algorithms=tuple(self.algorithms),
            jwks_url=self.jwks_url,
            ca_file=self.ca_file,
            token_file=self.token_file,
            types=tuple(self.types),
            leeway=self.leeway,
            longest_life=self.longest_life,
            user=tuple(self.user),
            teams=tuple(rule.compiled() for rule in self.team),
            groups=tuple(self.groups) if self.groups else None,
            require=tuple(condition.when() for condition in self.require),
            grants=tuple(rule.compiled() for rule in self.grants),
            roles=tuple(rule.compiled() for rule in self.roles),
            exchange_seconds=self.exchange,
        )
