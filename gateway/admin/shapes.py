"""What operators send and get, as JSON: of these shapes the API's description is made.

Times are seconds since 1970, money is micro-dollars. What is left out when something is asked for takes its
default; what is not known is refused.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from gateway.explaining.explanation import Explanation

# Python's `$` would take a line's end after the text as well: hence what stands behind it.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)")]
Text = Annotated[str, Meta(max_length=200, pattern=r"^[^\u0000-\u001f\u007f]*$(?!\n)")]
Path = Annotated[str, Meta(max_length=2_000, pattern=r"^/[!-~]*$(?!\n)")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$(?!\n)")]
Count = Annotated[int, Meta(ge=1, le=10**12)]
Moment = Annotated[int, Meta(ge=0, le=253_402_300_799)]
"""Seconds since 1970; the last one is that of the year 9999."""
Texts = Annotated[list[Text], Meta(max_length=100)]


class Body(Struct, forbid_unknown_fields=True):
    """What is sent."""


class Nothing(Body):
    """The path says it all."""


class Shown(Struct):
    """What is answered."""


class GrantShape(Body, kw_only=True):
    """How far a key reaches, within what its team may do."""

    endpoints: Texts = field(default_factory=lambda: ["*"])
    models: Texts = field(default_factory=lambda: ["*"])
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
    expires_at: Moment | None = None
    grant: GrantShape = field(default_factory=GrantShape)
    addresses: Texts = field(default_factory=list)


class ImportedKey(NewKey, kw_only=True):
    """A key that clients have already, of which the hash alone is told."""

    sha256: Digest


class Rotation(Body, kw_only=True):
    """For how long the secret before this one stays good."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=30 * 86_400)] = 86_400
    expires_at: Moment | None = None
    """A new end of the key itself; left out: it stays as it is."""


class KeyRevocation(Body, kw_only=True):
    """A key to be taken back for good."""

    reason: Text = ""
    cut_streams: bool = False


class NewRevocation(KeyRevocation, kw_only=True):
    """Credentials to be taken back."""

    kind: Literal["user", "team", "issuer", "all"]
    value: Text = ""
    since: Moment = 0
    until: Moment | None = None
    """Left out: now."""


class DryRun(Body, kw_only=True):
    """A request that is judged, and not sent."""

    key_id: Text = ""
    team: Text = ""
    user: Text = ""
    method: Literal["GET", "POST"] = "POST"
    path: Path
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
    """A page of keys, the oldest first."""

    data: list[ShownKey]
    has_more: bool
    next: str | None


class ShownRevocation(Shown, kw_only=True):
    """Credentials that were issued from `since` to `until`, and are good no more. `at` is in milliseconds."""

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
    """All that was taken back, the oldest first."""

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
    """By name."""

    data: list[ShownTeam]


class Me(Shown, kw_only=True):
    """Who is signed in."""

    name: str
    role: str
    teams: list[str]


class PolicyVersion(Shown, kw_only=True):
    """Which policy files are in force."""

    version: str
    price_version: str
    teams: int
    models: int
    issuers: list[str]


class Explanations(Shown, kw_only=True):
    """The newest first."""

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
    """A page of the audit trail, the newest first."""

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


class UsageSums(Shown, kw_only=True):
    """Sums of the ledger."""

    by: list[str]
    since: int | None
    """Milliseconds since 1970."""
    until: int | None
    """The first that is not in it; none: until now."""
    only: dict[str, str]
    """To what it was narrowed."""
    rows: list[dict[str, str | int]]
    """Each has its groups by name, and every sum."""


class UsagePages(Shown, kw_only=True):
    """As OpenAI answers under the same path."""

    object: str
    data: list[dict[str, Any]]
    has_more: bool
    next_page: str | None


class ProblemDetails(Shown, kw_only=True, omit_defaults=True):
    """What is wrong (RFC 9457)."""

    type: str
    """Always `about:blank`: the status and the sentence say it."""
    title: str
    status: int
    detail: str
    """A sentence."""
    request_id: str
    """Also in the header `x-request-id`."""
    field: str = ""
    """What of the request is meant: a member of the body, a parameter, a header."""
    code: str = ""
    """For machines, where the status does not say enough: `idempotency_key_reuse`."""
