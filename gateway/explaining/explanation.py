"""An explanation, as it is told: to operators, and by one replica to another."""

from msgspec import Struct


class Decided(Struct, frozen=True, kw_only=True):
    """What one rule said."""

    rule: str
    """Empty: no rule of a policy file, but the gateway itself, for every request."""
    code: str
    mode: str
    reason: str
    where: str
    """`teams/search.yaml:12`; `the key a1B2c3D4e5F6` for what a key brings of its own. Empty for what no file
    says, or no file that is in force."""
    param: str | None = None
    retry_after: float | None = None


class Counter(Struct, frozen=True, kw_only=True):
    """How full a limit was."""

    name: str
    counts: str
    """The unit. Dollars are micro-dollars."""
    limit: int
    remaining: int
    reset_seconds: float


class WouldSend(Struct, frozen=True, kw_only=True):
    """What a dry run would have sent, and what would have been held for it."""

    upstream: str
    model: str
    """As the upstream calls it."""
    stream: bool
    changed: list[str]
    """Members of the request that shaping sets, or takes out."""
    input_tokens: int
    output_tokens: int
    cost: int | None
    """Micro-dollars; None: it has no price."""
    most_cost: int | None
    """What strict budgets hold; None where there are none."""


class Explanation(Struct, frozen=True, kw_only=True):
    """What was decided about one request, and why."""

    request_id: str
    at: float
    """Seconds since 1970."""
    replica: str
    method: str
    endpoint: str
    """Its name in the endpoint table; empty for a path that is not in it."""
    status: int | None
    outcome: str
    owner: str | None
    """Whose fault it was: `client`, `policy`, `gateway`, `upstream`; None when nothing went wrong."""
    code: str | None
    message: str | None
    """What the client was told; or what there is to say of an end of which it was told nothing."""
    team: str
    key_id: str
    key_name: str
    subject: str
    credential: str
    model: str
    """The catalogue's name; empty for one that is not in it."""
    upstream: str
    """The one that was asked; empty when none was."""
    policy_version: str
    policy_in_force: bool
    """False: other files are in force by now, so nobody can say where a rule stands."""
    decisions: list[Decided]
    """The one that refused it first; then those in shadow and warn mode."""
    counters: list[Counter]
    attempts: int = 0
    duration_ms: float | None = None
    would_send: WouldSend | None = None
    """Of a dry run that nothing refused."""
