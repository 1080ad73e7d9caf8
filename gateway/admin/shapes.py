"""What operators send and get, as JSON: of these shapes the API's description is made.

Times are seconds since 1970, money is micro-dollars. What is left out when something is asked for takes its
default; what is not known is refused.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text = Annotated[str, Meta(max_length=200)]
Count = Annotated[int, Meta(ge=1, le=10**12)]
Days = Annotated[int, Meta(ge=1, le=3660)]


class Body(Struct, forbid_unknown_fields=True):
    """What is sent."""


class Shown(Struct):
    """What is answered."""


class GrantShape(Body, kw_only=True):
    """How far a key reaches, within what its team may do."""

    endpoints: list[str] = field(default_factory=lambda: ["*"])
    models: list[str] = field(default_factory=lambda: ["*"])
    read_only: bool = False
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent: Count | None = None
    dollars_per_month: Count | None = None


class NewKey(Body, kw_only=True):
    """A key to be made."""

    team: Name
    name: Name
    owner: Text = ""
    expires_at: int | None = None
    grant: GrantShape = field(default_factory=GrantShape)
    addresses: list[str] = field(default_factory=list)


class ImportedKey(NewKey, kw_only=True):
    """A key that clients have already, of which the hash alone is told."""

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$")]


class Rotation(Body, kw_only=True):
    """For how long the secret before this one stays good."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=30 * 86_400)] = 86_400
    expires_at: int | None = None
    """A new end of the key itself; left out: it stays as it is."""


class KeyRevocation(Body, kw_only=True):
    reason: Text = ""
    cut_streams: bool = False


class NewRevocation(KeyRevocation, kw_only=True):
    """Credentials to be taken back."""

    kind: Literal["user", "team", "issuer", "all"]
    value: Text = ""
    since: int = 0
    until: int | None = None
    """Left out: now."""


class DryRun(Body, kw_only=True):
    """A request that is judged, and not sent."""

    key_id: Text = ""
    team: Text = ""
    user: Text = ""
    method: Literal["GET", "POST"] = "POST"
    path: Text
    body: Any = None


class ShownKey(Shown, kw_only=True):
    """A key, without its secret."""

    id: str
    team: str
    name: str
    owner: str
    state: Literal["live", "expired", "disabled", "revoked"]
    created_at: int
    created_by: str
    issued_at: int
    expires_at: int | None
    disabled_at: int | None
    revoked_at: int | None
    overlap_until: int | None
    grant: GrantShape
    addresses: list[str]
    imported: bool
    last_used_at: int | None = None
    last_used_from: str | None = None


class MadeKey(Shown, kw_only=True):
    """A key, and its secret: shown this once. None: the request was a repetition."""

    key: ShownKey
    secret: str | None


class Keys(Shown, kw_only=True):
    data: list[ShownKey]
    has_more: bool
    next: str | None


class ShownRevocation(Shown, kw_only=True):
    id: str
    kind: str
    value: str
    since: int
    until: int
    at: int
    by: str
    reason: str
    cut_streams: bool


class ShownRevocations(Shown, kw_only=True):
    data: list[ShownRevocation]


class ShownTeam(Shown, kw_only=True):
    """A team as the policy files see it."""

    team: str
    description: str
    cost_centre: str
    endpoints: list[str]
    models: list[str]
    """Those of the catalogue that it may use."""
    limits: list[dict[str, Any]]
    budgets: list[dict[str, Any]]
    filters: list[str]
    shaping: list[str]
    keys_with_policies: list[str]


class Teams(Shown, kw_only=True):
    data: list[ShownTeam]


class Me(Shown, kw_only=True):
    """Who is signed in."""

    name: str
    role: str
    teams: list[str]


class PolicyVersion(Shown, kw_only=True):
    version: str
    price_version: str
    teams: int
    models: int
    issuers: list[str]


class Decided(Shown, kw_only=True):
    """What one rule said."""

    rule: str
    code: str
    mode: str
    reason: str
    where: str
    """File and line of the policy files, `teams/search.yaml:12`; empty for what no file says."""
    param: str | None = None
    retry_after: float | None = None


class Counter(Shown, kw_only=True):
    """How full a limit was."""

    name: str
    limit: int
    remaining: int
    reset_seconds: float


class Explanation(Shown, kw_only=True):
    """What was decided about one request, and why."""

    request_id: str
    at: float
    replica: str
    method: str
    endpoint: str
    status: int | None
    outcome: str
    code: str | None
    message: str | None
    team: str
    key_id: str
    key_name: str
    subject: str
    credential: str
    model: str
    policy_version: str
    decisions: list[Decided]
    """The one that refused it first; then those in shadow and warn mode."""
    counters: list[Counter]
    attempts: int = 0
    duration_ms: float | None = None


class Explanations(Shown, kw_only=True):
    data: list[Explanation]


class ShownAct(Shown, kw_only=True):
    """A line of the audit trail."""

    number: int
    at: int
    """Milliseconds since 1970."""
    actor: str
    action: str
    target: str
    team: str
    details: dict[str, Any]
    hash: str


class Acts(Shown, kw_only=True):
    data: list[ShownAct]
    has_more: bool
    next: str | None


class Verdict(Shown, kw_only=True):
    """Whether the audit trail is whole."""

    intact: bool
    lines: int
    head: str
    """The number and hash of the last line, `1042:9f3c…`: to be kept elsewhere, and compared."""
    broken_at: int | None = None
    sentence: str = ""
