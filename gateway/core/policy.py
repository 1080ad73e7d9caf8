"""What a principal may do: the policy files, resolved for one team and key into plain values.

Policies are made by `policies/` and read by everyone. All are immutable; a reload makes new ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any

from gateway.core.decision import Mode
from gateway.core.grant import UNNARROWED, Grant


@dataclass(frozen=True, slots=True)
class Rates:
    """What units cost, in whole micro-dollars (1 USD = 1,000,000). None: this unit has no price.

    Tokens and characters are priced per million, images each, audio per minute. A part without a price of its
    own (cached, written to the cache, audio, image) costs what its total costs.
    """

    input: int | None = None
    cached_input: int | None = None
    cache_write: int | None = None
    audio_input: int | None = None
    image_input: int | None = None
    output: int | None = None
    audio_output: int | None = None
    image_output: int | None = None
    image: int | None = None
    audio_minute: int | None = None
    characters: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """One line of the price book: a model's rates, and for which attempts they hold."""

    rates: Rates
    since: float = -inf
    """Seconds since 1970: attempts that were admitted from then on …"""
    until: float = inf
    """… and before that."""
    tier: str = ""
    """The service tier that the answer named; empty: the standard one."""
    above: int = 0
    """Input tokens of an attempt above which all of it costs this; 0: however few."""
    upstream: str = ""
    """The upstream that was asked; empty: any that has no line of its own."""


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the catalogue."""

    name: str
    """What clients ask for; a label in metrics and reports."""
    upstream: str
    """The configured upstream that serves it."""
    upstream_model: str
    """What that upstream calls it (Azure: the deployment)."""
    context_window: int | None = None
    """Input and output tokens together."""
    max_output: int | None = None
    prices: tuple[Price, ...] = ()
    """Its lines of the price book, the more particular before the more general: the first that fits holds."""
    deprecated: str | None = None
    """The date (YYYY-MM-DD) on which it goes away; None while nothing is announced."""
    replacement: str | None = None
    encoding: str = "o200k_base"
    """The vocabulary by which its tokens are counted."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All models of the house, and the other names under which they go."""

    models: Mapping[str, Model]
    aliases: Mapping[str, str] = field(default_factory=dict)
    price_version: str = ""
    """Twelve hexadecimal digits of a hash over the price book alone; on every settlement."""
    ceiling: Rates | None = None
    """What is charged for what has no price, where the policy says so."""

    def find(self, name: str) -> Model | None:
        """The model of this name or alias; None for a name that no file mentions."""
        return self.models.get(self.aliases.get(name, name))


@dataclass(frozen=True, slots=True)
class AllowList:
    """Names that may be used; `*` stands for any run of characters. What is not listed is denied."""

    names: tuple[str, ...]
    mode: Mode = Mode.ENFORCE


class Scope(StrEnum):
    """Whom a limit counts together. Several narrow each other: each user on each model, say."""

    ORGANIZATION = "organization"
    """All teams. Without it a limit counts each team by itself."""
    TEAM = "team"
    USER = "user"
    """Each subject by itself."""
    KEY = "key"
    MODEL = "model"


class Counted(StrEnum):
    """What is counted."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    """Input and output together."""
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    IMAGES = "images"
    AUDIO_SECONDS = "audio_seconds"
    """Each exchange's, rounded up."""
    DOLLARS = "dollars"
    """In micro-dollars, wherever it is a number."""
    CONCURRENT = "concurrent"


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate, which is a token bucket; or a number of slots."""

    name: str
    counts: Counted
    """Never dollars, which are a matter of budgets."""
    per: tuple[Scope, ...]
    amount: int
    """What comes back in a window; slots for concurrency."""
    seconds: float = 60.0
    """The window in which the bucket fills from empty to `amount`. Unused for concurrency."""
    burst: int = 0
    """The bucket's size: what may be spent at once. Never below 1 for rates."""
    mode: Mode = Mode.ENFORCE
    models: tuple[str, ...] = ("*",)
    """Models (as patterns) that it counts."""


class Period(StrEnum):
    """How long a budget lasts, by the calendar: from midnight, from Monday, from the first."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Increase:
    """More, for a time."""

    amount: int
    until: int
    """Seconds since 1970: the moment at which it ends."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in a calendar window."""

    name: str
    counts: Counted
    """Never concurrency."""
    per: tuple[Scope, ...]
    amount: int
    period: Period
    zone: str = "UTC"
    """The time zone by whose calendar a window begins, by its IANA name."""
    mode: Mode = Mode.ENFORCE
    models: tuple[str, ...] = ("*",)
    strict: bool = False
    """Whether the most that a request can cost is reserved, and not what it is expected to cost."""
    alert_at: tuple[int, ...] = ()
    """Percent of the amount at which somebody is told."""
    increases: tuple[Increase, ...] = ()


class FilterKind(StrEnum):
    PATTERNS = "patterns"
    SECRETS = "secrets"


@dataclass(frozen=True, slots=True)
class FilterRule:
    """Something that must not be said."""

    name: str
    kind: FilterKind
    mode: Mode = Mode.ENFORCE
    patterns: tuple[str, ...] = ()
    """RE2 expressions. Secrets bring their own."""
    message: str = ""
    """What the client is told; a sentence of the gateway's own when empty."""


class ShapingKind(StrEnum):
    CLAMP = "clamp"
    DEFAULT = "default"
    FORCE = "force"
    STRIP = "strip"
    CONTEXT_WINDOW = "context_window"


@dataclass(frozen=True, slots=True)
class ShapingRule:
    """One change to requests."""

    name: str
    kind: ShapingKind
    mode: Mode = Mode.ENFORCE
    member: str = ""
    value: Any = None
    """For default and force: the value."""
    from_principal: str | None = None
    """For force: the attribute of the principal (`subject`, `team`) that is the value."""
    at_least: float | None = None
    at_most: float | None = None
    endpoints: tuple[str, ...] = ("*",)
    models: tuple[str, ...] = ("*",)


class Unpriced(StrEnum):
    """What is done about usage for which the price book has no price. It never costs 0."""

    REFUSE = "refuse"
    """A model without a price is not asked."""
    CEILING = "ceiling"
    """It costs what the book's ceiling says."""
    ALARM = "alarm"
    """Its cost is unknown, counted, and told."""


class WhenClientLeaves(StrEnum):
    """What becomes of an answer whose client is gone."""

    CANCEL = "cancel"
    """The upstream is told to stop; what passed is counted."""
    DRAIN = "drain"
    """It is read to its end, within a bound, for the provider's own count."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that is decided about one key of one team."""

    team: str
    version: str
    """A hash of the policy files: on every log line and every ledger line."""
    catalogue: Catalogue = field(repr=False)
    endpoints: AllowList = AllowList(("*",))
    models: AllowList = AllowList(())
    objects: Mode = Mode.ENFORCE
    """Whether requests may name upstream objects (files, responses …): nobody knows yet whose they are."""
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    counters: str = ""
    """Where in Redis its counters lie together (a Cluster's hash tag): the team's name; `*` for all teams of
    a house with a limit that counts them together."""
    filters: tuple[FilterRule, ...] = ()
    shaping: tuple[ShapingRule, ...] = ()
    unpriced: Unpriced = Unpriced.ALARM
    when_client_leaves: WhenClientLeaves = WhenClientLeaves.CANCEL
    cost_centre: str = ""
    """To whom finance charges it; empty when nobody said."""
    grant: Grant = UNNARROWED
    """How far the credential reaches that came with the request. Its own limits stand among the others."""
