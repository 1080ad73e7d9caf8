"""THE TABLE: every operation of the operators' API. Routes, the check of roles, the reading of parameters and
bodies, the OpenAPI document and the tests' matrix of roles are all made of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.admin.roles import ALL_TEAMS, EVERYBODY, INSPECTORS, MANAGERS
from gateway.admin.shapes import (
    Acts,
    Body,
    DryRun,
    Explanations,
    ImportedKey,
    KeyRevocation,
    Keys,
    MadeKey,
    Me,
    NewKey,
    NewRevocation,
    Nothing,
    PolicyVersion,
    Rotation,
    ShownKey,
    ShownRevocation,
    ShownRevocations,
    ShownTeam,
    Teams,
    UsagePages,
    UsageSums,
    Verdict,
)
from gateway.core.actor import Role
from gateway.core.endpoint import Endpoint
from gateway.explaining.explanation import Explanation
from gateway.limits.left import TeamLimits
from gateway.metering.interfaces import NARROWING
from gateway.wire.endpoints import ORGANIZATION
from gateway.wire.organization_usage import OPERATIONS as USAGE_OPERATIONS

MOST_LISTED: Final = 200
USUALLY_LISTED: Final = 50

NO_KEY: Final = "There is no such key."
NO_REQUEST: Final = "Nothing is known of such a request: only the latest ones are remembered."


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a path or a query string may say."""

    name: str
    meaning: str
    whole: bool = False
    """Whether it is a whole number."""
    at_least: int = 0
    at_most: int = 10**15
    values: tuple[str, ...] = ()
    """The texts that it may be; none: any."""
    pattern: str | None = r"[^\u0000-\u001f\u007f]{1,256}"
    """What all of it looks like; None: like anything."""
    required: bool = False
    example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked for."""

    name: str
    """Of its handler, too."""
    method: str
    path: str
    summary: str
    roles: frozenset[Role]
    answer: Any
    """The shape of a good answer; dict: any object."""
    query: tuple[Parameter, ...] = ()
    body: type[Body] | None = None
    status: int = 200
    of_teams: bool = False
    """Whether a team admin is answered as if there were no teams but its own."""
    changes: bool = False
    """Whether anything is another afterwards: an idempotency key counts."""
    reads_query_itself: bool = False
    """Whether its parameters and mistakes are spelled as OpenAI spells them."""
    example: Mapping[str, Any] | None = None
    """A body."""


PATH_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "team": Parameter(
        name="team",
        meaning="A team of the policy files.",
        pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        example="search",
    ),
    "key_id": Parameter(
        name="key_id",
        meaning="The public id of a key.",
        pattern=r"[0-9A-Za-z]{12}",
        example="a1B2c3D4e5F6",
    ),
    "request_id": Parameter(
        name="request_id",
        meaning="What `x-request-id` said.",
        pattern=r"[A-Za-z0-9_.:-]{1,128}",
    ),
}

_TEAM: Final = Parameter(name="team", meaning="Of this team alone.", example="search")
_LIMIT: Final = Parameter(
    name="limit",
    meaning=f"How many at most; {USUALLY_LISTED} when nothing is said.",
    whole=True,
    at_least=1,
    at_most=MOST_LISTED,
)
_AFTER: Final = Parameter(name="after", meaning="The `next` of the page before.", pattern=r"[0-9A-Za-z]{12}")
_STATES: Final = ("live", "expired", "disabled", "revoked")


def _read(name: str, path: str, summary: str, answer: Any, **more: Any) -> Operation:
    return Operation(
        **{"roles": EVERYBODY, "of_teams": True, **more},
        name=name,
        method="GET",
        path=path,
        summary=summary,
        answer=answer,
    )


def _change(name: str, path: str, summary: str, body: type[Body], answer: Any, **more: Any) -> Operation:
    return Operation(
        **{"roles": MANAGERS, "of_teams": True, "changes": True, **more},
        name=name,
        method="POST",
        path=path,
        summary=summary,
        body=body,
        answer=answer,
    )


_ABOUT: Final = (
    _read("me", "/admin/me", "Who is signed in.", Me, of_teams=False),
    _read("document", "/admin/openapi.json", "This description.", dict, of_teams=False),
)

_POLICIES: Final = (
    _read("teams", "/admin/teams", "Teams as the policy files see them.", Teams),
    _read("team", "/admin/teams/{team}", "One of them.", ShownTeam),
    _read(
        "policy",
        "/admin/policy",
        "Which policies are in force.",
        PolicyVersion,
        roles=ALL_TEAMS,
        of_teams=False,
    ),
)

_KEYS: Final = (
    _read(
        "keys",
        "/admin/keys",
        "Keys, the oldest first.",
        Keys,
        query=(
            _TEAM,
            Parameter(name="state", meaning="In this state alone.", values=_STATES),
            _AFTER,
            _LIMIT,
        ),
    ),
    _change(
        "create_key",
        "/admin/keys",
        "Make a key. Its secret is told this once.",
        NewKey,
        MadeKey,
        status=201,
        example={
            "team": "search",
            "name": "web",
            "grant": {"models": ["gpt-5*"]},
        },
    ),
    _change(
        "import_key",
        "/admin/keys/import",
        "Bring in a key that clients have, by its SHA-256.",
        ImportedKey,
        ShownKey,
        status=201,
    ),
    _read("key", "/admin/keys/{key_id}", "One key.", ShownKey),
    _change(
        "rotate_key",
        "/admin/keys/{key_id}/rotate",
        "Give a key a new secret.",
        Rotation,
        MadeKey,
        example={"overlap_seconds": 86_400},
    ),
    _change("disable_key", "/admin/keys/{key_id}/disable", "Refuse a key for now.", Nothing, ShownKey),
    _change("enable_key", "/admin/keys/{key_id}/enable", "Take it again.", Nothing, ShownKey),
    _change(
        "revoke_key",
        "/admin/keys/{key_id}/revoke",
        "Take a key back for good.",
        KeyRevocation,
        ShownKey,
        example={"reason": "found in a public repository", "cut_streams": True},
    ),
)

_REVOCATIONS: Final = (
    _read("revocations", "/admin/revocations", "What was taken back.", ShownRevocations),
    _change(
        "revoke",
        "/admin/revocations",
        "Take back what was issued: to a user, a team, by an issuer, all.",
        NewRevocation,
        ShownRevocation,
        status=201,
        example={"kind": "user", "value": "user:alice", "reason": "has left", "cut_streams": True},
    ),
)

_SPENDING: Final = (
    _read(
        "usage",
        "/admin/usage",
        "Sums of the ledger.",
        UsageSums,
        query=(
            Parameter(
                name="by",
                meaning="Groups, with commas: team, user, key, model, endpoint, upstream, tier, day, month.",
                example="team,model",
            ),
            Parameter(name="since", meaning="A day, a month, or how far back: 30d, 12h.", example="2026-10"),
            Parameter(name="until", meaning="The end, which is not included.", example="2026-11"),
            Parameter(name="days", meaning="Instead of since.", whole=True, at_least=1, at_most=3660),
            *(Parameter(name=name, meaning=f"Of this {name} alone.") for name in NARROWING),
        ),
    ),
    _read(
        "limits",
        "/admin/limits",
        "What is left of a team's limits and budgets.",
        TeamLimits,
        query=(
            Parameter(name="team", meaning="Whose.", required=True, example="search"),
            Parameter(name="key", meaning="As this key is counted: its id or its name."),
            Parameter(name="user", meaning="As this user is counted."),
            Parameter(name="model", meaning="As calls of this model are counted."),
        ),
    ),
)

_DECISIONS: Final = (
    _read("explain", "/admin/explain/{request_id}", "What was decided about a request.", Explanation),
    _change(
        "rehearse",
        "/admin/explain",
        "What would be decided about a request. Nothing is sent.",
        DryRun,
        Explanation,
        roles=EVERYBODY,
        changes=False,
        example={"key_id": "a1B2c3D4e5F6", "path": "/v1/chat/completions", "body": {"model": "gpt-5"}},
    ),
    _read(
        "refusals",
        "/admin/refusals",
        "The latest requests that were refused.",
        Explanations,
        query=(_TEAM, _LIMIT),
    ),
)

_AUDIT: Final = (
    _read(
        "audit",
        "/admin/audit",
        "What was done, the newest first.",
        Acts,
        roles=INSPECTORS,
        of_teams=False,
        query=(_TEAM, Parameter(name="after", meaning=_AFTER.meaning, whole=True, at_least=1), _LIMIT),
    ),
    _read(
        "verify_audit",
        "/admin/audit/verify",
        "Whether the audit trail is whole.",
        Verdict,
        roles=INSPECTORS,
        of_teams=False,
        query=(
            Parameter(
                name="head",
                meaning="A head that was told earlier, to be found again.",
                pattern=r"[0-9]{1,18}:[0-9a-f]{64}",
            ),
        ),
    ),
)


_SECOND: Final = Parameter(name="", meaning="", whole=True, at_most=10**11 - 1)
_ANY: Final = Parameter(name="", meaning="", pattern=None)


def _organization(endpoint: Endpoint) -> Operation:
    """As OpenAI has published it."""
    asked = USAGE_OPERATIONS[endpoint.name]
    width = ("1d",) if asked.whole_days else ("1m", "1h", "1d")
    return _read(
        endpoint.name,
        endpoint.path,
        "As OpenAI's usage API answers, of all teams.",
        UsagePages,
        roles=ALL_TEAMS,
        of_teams=False,
        reads_query_itself=True,
        query=(
            replace(_SECOND, name="start_time", meaning="Seconds since 1970.", required=True),
            replace(_SECOND, name="end_time", meaning="Not included; now when nothing is said."),
            Parameter(name="bucket_width", meaning="How long a bucket is.", values=width),
            Parameter(
                name="limit", meaning="How many buckets a page has.", whole=True, at_least=1, at_most=1440
            ),
            replace(_ANY, name="page", meaning="The `next_page` of the page before."),
            replace(_ANY, name="group_by", meaning=f"With commas: {', '.join(asked.groups)}."),
            *(replace(_ANY, name=name, meaning="Of these alone; may be repeated.") for name in asked.filters),
        ),
    )


_ORGANIZATION: Final = tuple(map(_organization, ORGANIZATION))

OPERATIONS: Final[tuple[Operation, ...]] = (
    *_ABOUT,
    *_POLICIES,
    *_KEYS,
    *_REVOCATIONS,
    *_SPENDING,
    *_DECISIONS,
    *_AUDIT,
    *_ORGANIZATION,
)
