"""Metrics, in methods named for facts. Labels come from what is configured and from small fixed sets, never
from what a client sent, so that the number of series is bounded whatever arrives.

OpenTelemetry's GenAI families have exactly their Prometheus names; ours begin with `gateway_`. Tokens and
cost are counters: the truth of dashboards.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.exposition import generate_latest

from gateway.core.attempt import Attempt
from gateway.core.decision import Deny
from gateway.core.endpoint import Endpoint
from gateway.core.exchange import Exchange
from gateway.core.usage import Doubt, Usage, UsageSource
from gateway.telemetry.series import CounterSeries, HistogramSeries

_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 600)
_FIRST_TOKEN_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30, 60, 120)
_TOKEN_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
_LAG_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_OVERHEAD_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2)
_STATUSES: Final = frozenset({200, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504})
"""Upstream statuses that are counted by themselves; others by their class."""

CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._exchanges = CounterSeries(
            "gateway_exchanges",
            "Requests by how they ended; `owner` says whose fault an error was.",
            ("team", "endpoint", "outcome", "owner"),
            registry=registry,
        )
        self._errors = CounterSeries(
            "gateway_errors", "Error answers by code.", ("code", "owner"), registry=registry
        )
        self._credentials = CounterSeries(
            "gateway_credentials",
            "Requests by the kind of credential that they came with.",
            ("team", "kind"),
            registry=registry,
        )
        self._notes = CounterSeries(
            "gateway_rule_hits",
            "Refusals by rules in enforce mode, and what shadow and warn modes would have refused.",
            ("team", "rule", "code", "mode"),
            registry=registry,
        )
        self._tokens = CounterSeries(
            "gateway_tokens", "Tokens consumed.", ("team", "model", "type"), registry=registry
        )
        self._units = CounterSeries(
            "gateway_units",
            "Other units consumed: images, characters, audio milliseconds.",
            ("team", "model", "unit"),
            registry=registry,
        )
        self._cost = CounterSeries(
            "gateway_cost_microdollars", "Cost in USD / 1,000,000.", ("team", "model"), registry=registry
        )
        self._unpriced = CounterSeries(
            "gateway_unpriced_attempts",
            "Attempts whose model has no price. Any is an alarm.",
            ("model",),
            registry=registry,
        )
        self._estimated = CounterSeries(
            "gateway_estimated_attempts",
            "Attempts whose usage the provider did not tell.",
            ("model", "source"),
            registry=registry,
        )
        self._doubtful = CounterSeries(
            "gateway_doubtful_usage",
            "Counts of providers that cannot be right, and were replaced by ours.",
            ("upstream", "reason"),
            registry=registry,
        )
        self._attempts = CounterSeries(
            "gateway_upstream_attempts",
            "Tries at upstreams by the status that came back.",
            ("upstream", "status"),
            registry=registry,
        )
        self._overhead = HistogramSeries(
            "gateway_overhead_seconds",
            "From a request's arrival to the moment it was handed to the upstream.",
            bounds=_OVERHEAD_SECONDS,
            registry=registry,
        )
        self._duration = HistogramSeries(
            "gen_ai_server_request_duration_seconds",
            "From a request's arrival to the end of its answer.",
            ("gen_ai_operation_name", "gen_ai_request_model"),
            bounds=_SECONDS,
            registry=registry,
        )
        self._first_token = HistogramSeries(
            "gen_ai_server_time_to_first_token_seconds",
            "From a request's arrival to the first byte of its answer, for event streams.",
            ("gen_ai_request_model",),
            bounds=_FIRST_TOKEN_SECONDS,
            registry=registry,
        )
        self._per_token = HistogramSeries(
            "gen_ai_server_time_per_output_token_seconds",
            "Mean time between output tokens after the first, for event streams.",
            ("gen_ai_request_model",),
            bounds=_TOKEN_SECONDS,
            registry=registry,
        )
        self._token_usage = HistogramSeries(
            "gen_ai_client_token_usage",
            "Tokens of a request, by type.",
            ("gen_ai_token_type", "gen_ai_request_model"),
            bounds=_TOKENS,
            registry=registry,
        )
        self.open_exchanges = Gauge("gateway_open_exchanges", "Requests under way.", registry=registry)
        self.open_streams = Gauge("gateway_open_streams", "Event streams under way.", registry=registry)
        self._degraded = Gauge(
            "gateway_degraded", "1 while a dependency is away.", ("dependency",), registry=registry
        )
        self._revocation_lags = HistogramSeries(
            "gateway_revocation_lag_seconds",
            "From the moment something was revoked to the moment at which this process knew.",
            bounds=_LAG_SECONDS,
            registry=registry,
        )
        self._issuer_down = Gauge(
            "gateway_issuer_down",
            "1 while an issuer's keys cannot be fetched.",
            ("issuer",),
            registry=registry,
        )
        self._policy = Gauge(
            "gateway_policy_info", "1 for the policy version in force.", ("version",), registry=registry
        )
        self._policy_broken = Gauge(
            "gateway_policy_reload_failed",
            "1 while the policy files are broken and the last good ones are in force.",
            registry=registry,
        )
        self._leaks = CounterSeries(
            "gateway_reservations_leaked",
            "Reservations that were given back unsettled.",
            registry=registry,
        )
        self._malformed = CounterSeries(
            "gateway_malformed_requests", "Requests that were not HTTP/1.1.", registry=registry
        )
        self._log_lines_dropped = CounterSeries(
            "gateway_log_lines_dropped",
            "Log lines lost because their sink was stuck or broken.",
            registry=registry,
        )
        self._budget_alerts = CounterSeries(
            "gateway_budget_alerts",
            "Thresholds of budgets that were crossed.",
            ("team", "budget", "percent"),
            registry=registry,
        )
        self._budget_spent = Gauge(
            "gateway_budget_spent",
            "Spent of a budget in its window, as of the last settlement of this process.",
            ("team", "budget"),
            registry=registry,
        )
        self._budget_amount = Gauge(
            "gateway_budget_amount",
            "What a budget allows in its window, increases included.",
            ("team", "budget"),
            registry=registry,
        )
        self._webhook = CounterSeries(
            "gateway_webhook_events",
            "Events for the webhook by what became of them.",
            ("result",),
            registry=registry,
        )
        self._redis_findings = CounterSeries(
            "gateway_redis_findings",
            "Times that something was found unfit about the Redis.",
            ("fault",),
            registry=registry,
        )
        self._redis_clock = Gauge(
            "gateway_redis_clock_offset_seconds",
            "How far Redis' clock is ahead of this process's.",
            registry=registry,
        )
        self._redis_emptied = CounterSeries(
            "gateway_redis_emptied", "Times that Redis had lost everything.", registry=registry
        )
        self._journal_bytes = Gauge(
            "gateway_journal_bytes",
            "Bytes of ledger lines that the database lacks.",
            registry=registry,
        )
        self._journal_age = Gauge(
            "gateway_journal_behind_seconds", "Since the database had all of them.", registry=registry
        )
        self._journal_damaged = CounterSeries(
            "gateway_journal_damaged_lines",
            "Ledger lines that could not be brought into the database and were put aside.",
            registry=registry,
        )

    def decided(self, team: str, deny: Deny) -> None:
        """A rule decided something; its mode says whether it was enforced."""
        self._notes.add((team, deny.rule, deny.code.value, deny.mode.value))

    def attempted(self, attempt: Attempt) -> None:
        """A try at an upstream is over."""
        self._attempts.add(
            (
                attempt.upstream,
                _status_label(attempt.status),
            )
        )

    def metered(self, team: str, model: str, usage: Usage, cost: int | None) -> None:
        """An attempt was settled."""
        for kind, amount in (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cached", usage.cached_tokens),
            ("reasoning", usage.reasoning_tokens),
        ):
            if amount:
                self._tokens.add((team, model, kind), amount)
        for unit, amount in (
            ("images", usage.images),
            ("characters", usage.characters),
            ("audio_milliseconds", usage.audio_milliseconds),
        ):
            if amount:
                self._units.add((team, model, unit), amount)
        if usage.input_tokens:
            self._token_usage.observe(("input", model), usage.input_tokens)
        if usage.output_tokens:
            self._token_usage.observe(("output", model), usage.output_tokens)
        if usage.source is not UsageSource.PROVIDER:
            self._estimated.add((model, usage.source.value))
        if cost is None:
            self._unpriced.add((model,))
        elif cost:
            self._cost.add((team, model), cost)

    def doubtful_usage(self, upstream: str, doubt: Doubt) -> None:
        """A provider's own count was not believed."""
        self._doubtful.add((upstream, doubt.value))

    def sent_after(self, seconds: float) -> None:
        """Our own share of the time: from arrival to the first attempt."""
        self._overhead.observe((), seconds)

    def finished(self, exchange: Exchange) -> None:
        """An exchange is over."""
        endpoint = _endpoint_label(exchange.endpoint)
        team = exchange.policy.team if exchange.policy else "unknown"
        outcome = exchange.outcome.value if exchange.outcome else "unknown"
        error = exchange.error
        owner = error.kind.owner.value if error else "none"
        self._exchanges.add((team, endpoint, outcome, owner))
        if exchange.principal is not None:
            self._credentials.add((team, exchange.principal.kind.value))
        if error is not None:
            self._errors.add((error.code.value, owner))
        if exchange.model is not None and exchange.finished is not None and exchange.attempts:
            self._timed(exchange, endpoint, exchange.model.name, exchange.finished)

    def degraded(self, dependency: str, away: bool) -> None:
        """A dependency went away, or came back."""
        self._degraded.labels(dependency).set(away)

    def revocation_lag(self, seconds: float) -> None:
        """Something that was revoked so long ago, by whomever, holds here from now on."""
        self._revocation_lags.observe((), seconds)

    def issuer_down(self, issuer: str, down: bool) -> None:
        """An issuer's keys cannot be fetched, or can again."""
        self._issuer_down.labels(issuer).set(down)

    def policies_loaded(self, version: str) -> None:
        """This version is in force now."""
        self._policy.clear()
        self._policy.labels(version).set(1)
        self._policy_broken.set(0)

    def policies_broken(self) -> None:
        """The files were changed and cannot be used; the last good version stays."""
        self._policy_broken.set(1)

    def reservation_leaked(self) -> None:
        """A reservation was left without being settled: a bug of ours."""
        self._leaks.add()

    def malformed(self) -> None:
        """Something arrived that is not HTTP."""
        self._malformed.add()

    def log_lines_dropped(self, count: int) -> None:
        """Lines of the log are lost."""
        self._log_lines_dropped.add((), count)

    def budget_alerted(self, team: str, budget: str, percent: int) -> None:
        """So many percent of a budget are spent."""
        self._budget_alerts.add((team, budget, str(percent)))

    def budget_charged(self, team: str, budget: str, spent: int, amount: int) -> None:
        """So much is spent now, of so much. For budgets of a whole team, or of all teams together: every
        pair of labels is one of the policy files."""
        self._budget_spent.labels(team, budget).set(spent)
        self._budget_amount.labels(team, budget).set(amount)

    def webhook(self, result: str) -> None:
        """An event was `delivered`, `failed` to be, or was `dropped` by others that waited."""
        self._webhook.add((result,))

    def redis_unfit(self, fault: str) -> None:
        """Something about the Redis is not as it should be."""
        self._redis_findings.add((fault,))

    def redis_clock(self, seconds: float) -> None:
        """So far ahead of ours is Redis' clock."""
        self._redis_clock.set(seconds)

    def redis_emptied(self) -> None:
        """Redis came back without what it knew."""
        self._redis_emptied.add()

    def journal(self, size: int, age: float) -> None:
        """So many bytes of the journal are not in the database; seconds since none were."""
        self._journal_bytes.set(size)
        self._journal_age.set(age)

    def journal_damaged(self, lines: int) -> None:
        """Lines of a journal were put aside."""
        self._journal_damaged.add(amount=lines)

    def render(self) -> bytes:
        """Everything, as OpenMetrics text."""
        text: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return text

    def _timed(self, exchange: Exchange, endpoint: str, model: str, finished: float) -> None:
        self._duration.observe((endpoint, model), finished - exchange.started)
        answered = exchange.answered
        if answered is None or exchange.call is None or not exchange.call.stream:
            return
        self._first_token.observe((model,), answered - exchange.started)
        tokens = exchange.usage.output_tokens if exchange.usage else 0
        if tokens > 1:
            self._per_token.observe((model,), (finished - answered) / (tokens - 1))


def _endpoint_label(endpoint: Endpoint | None) -> str:
    """Served operations by name; the hundreds that are refused together, lest a key make series of them."""
    if endpoint is None:
        return "unknown"
    return endpoint.name if endpoint.refusal is None else "not_served"


def _status_label(status: int | None) -> str:
    if status is None:
        return "none"
    return str(status) if status in _STATUSES else f"{status // 100}xx"
