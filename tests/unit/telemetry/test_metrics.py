"""Metrics: their names, what counts, and that no client can make series."""

from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from gateway.core.attempt import Attempt
from gateway.core.decision import Deny, Mode
from gateway.core.endpoint import Endpoint
from gateway.core.errors import ErrorCode, Refused, UpstreamFailed
from gateway.core.exchange import Exchange, Outcome
from gateway.core.principal import CredentialKind, Principal
from gateway.core.usage import Usage, UsageSource
from gateway.telemetry.metrics import Metrics
from gateway.wire.endpoints import endpoint_table
from tests.support.exchanges import USAGE, served_exchange

LAGS = ("0.02", "0.05", "1.0", "2.0", "5.0")
Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def series(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Everything that a scrape shows, read by the library's own OpenMetrics parser."""
    text = metrics.render().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return series(metrics).get((name, frozenset(labels.items())))


def names(metrics: Metrics) -> set[str]:
    return {name for name, _ in series(metrics)}


def everything_happened(metrics: Metrics) -> None:
    metrics.finished(served_exchange({"stream": True}))
    metrics.metered("search", "gpt-4o", USAGE, 1234)
    metrics.metered("search", "house", Usage(UsageSource.PARTIAL, images=1), None)
    metrics.attempted(Attempt("a", "openai", 1, 200))
    metrics.decided("search", Deny(ErrorCode.MODEL_NOT_ALLOWED, "", "models"))
    metrics.finished(refused(Refused(ErrorCode.DRAINING, "")))
    metrics.sent_after(0.001)
    metrics.degraded("redis", True)
    metrics.policies_loaded("5f3c")
    metrics.policies_broken()
    metrics.reservation_leaked()
    metrics.malformed()
    metrics.log_lines_dropped(3)
    metrics.budget_alerted("search", "team-month", 80)
    metrics.budget_charged("search", "team-month", 1_640, 2_000)
    metrics.webhook("delivered")
    metrics.redis_unfit("eviction")
    metrics.redis_clock(-7.5)
    metrics.redis_emptied()
    metrics.revocation_lag(0.03)
    metrics.issuer_down("entra", True)


def refused(error: Refused | UpstreamFailed, **changes: Any) -> Exchange:
    exchange = Exchange(id="req_1", method="POST", received_at=0.0, started=0.0, finished=0.1)
    exchange.conclude(Outcome.REFUSED, error)
    for name, change in changes.items():
        setattr(exchange, name, change)
    return exchange


# Names.


@pytest.mark.parametrize(
    "family",
    [
        "gen_ai_client_token_usage",
        "gen_ai_server_request_duration_seconds",
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_server_time_per_output_token_seconds",
    ],
)
def test_the_genai_families_have_exactly_their_prometheus_names(metrics: Metrics, family: str) -> None:
    everything_happened(metrics)
    assert {f"{family}_bucket", f"{family}_count", f"{family}_sum"} <= names(metrics)


def test_all_else_begins_with_our_prefix(metrics: Metrics) -> None:
    everything_happened(metrics)
    assert {name.partition("_")[0] for name in names(metrics) if not name.startswith("gen_ai_")} == {
        "gateway"
    }


def test_creation_times_are_not_told(metrics: Metrics) -> None:
    everything_happened(metrics)
    assert b"_created" not in metrics.render()


@pytest.mark.parametrize(
    ("family", "tail"),
    [
        ("gen_ai_server_request_duration_seconds", "600.0"),
        ("gen_ai_server_time_to_first_token_seconds", "120.0"),
    ],
)
def test_the_tails_reach_as_far_as_answers_take(metrics: Metrics, family: str, tail: str) -> None:
    everything_happened(metrics)
    bounds = [
        dict(labels)["le"]
        for name, labels in series(metrics)
        if name == f"{family}_bucket" and dict(labels)["le"] != "+Inf"
    ]
    assert max(bounds, key=float) == tail


def test_a_scrape_ends_as_openmetrics_does(metrics: Metrics) -> None:
    assert metrics.render().endswith(b"# EOF\n")


# Tokens and cost.


@pytest.mark.parametrize(
    ("kind", "tokens"), [("input", 90), ("output", 11), ("cached", 30), ("reasoning", 5)]
)
def test_tokens_are_counted_by_kind(metrics: Metrics, kind: str, tokens: int) -> None:
    metrics.metered("search", "gpt-4o", USAGE, 1234)
    metrics.metered("search", "gpt-4o", USAGE, 1234)
    assert value(metrics, "gateway_tokens_total", team="search", model="gpt-4o", type=kind) == 2 * tokens


def test_cost_is_counted_in_micro_dollars(metrics: Metrics) -> None:
    metrics.metered("search", "gpt-4o", USAGE, 1234)
    metrics.metered("search", "gpt-4o", USAGE, 1)
    assert value(metrics, "gateway_cost_microdollars_total", team="search", model="gpt-4o") == 1235


def test_a_missing_price_is_an_alarm_and_no_cost(metrics: Metrics) -> None:
    metrics.metered("search", "gpt-4o", USAGE, None)
    assert value(metrics, "gateway_unpriced_attempts_total", model="gpt-4o") == 1
    assert value(metrics, "gateway_cost_microdollars_total", team="search", model="gpt-4o") is None


def test_what_is_free_is_no_alarm(metrics: Metrics) -> None:
    metrics.metered("search", "gpt-4o", USAGE, 0)
    assert value(metrics, "gateway_unpriced_attempts_total", model="gpt-4o") is None


@pytest.mark.parametrize("unit", ["images", "characters", "audio_milliseconds"])
def test_other_units_are_counted(metrics: Metrics, unit: str) -> None:
    metrics.metered("search", "house", Usage(UsageSource.PROVIDER, **{unit: 7}), 1)  # type: ignore[arg-type]
    assert value(metrics, "gateway_units_total", team="search", model="house", unit=unit) == 7


@pytest.mark.parametrize(
    ("source", "counted"),
    [(UsageSource.PROVIDER, None), (UsageSource.ESTIMATED, 1), (UsageSource.PARTIAL, 1)],
)
def test_what_the_provider_did_not_tell_is_counted(
    metrics: Metrics, source: UsageSource, counted: int | None
) -> None:
    metrics.metered("search", "gpt-4o", Usage(source, input_tokens=1), 1)
    name = "gateway_estimated_attempts_total"
    assert value(metrics, name, model="gpt-4o", source=source.value) == counted


def test_the_sizes_of_requests_are_seen_by_type(metrics: Metrics) -> None:
    metrics.metered("search", "gpt-4o", USAGE, 1)
    labels = {"gen_ai_token_type": "input", "gen_ai_request_model": "gpt-4o"}
    assert value(metrics, "gen_ai_client_token_usage_sum", **labels) == 90


# Exchanges.


def test_an_exchange_is_counted_by_its_end(metrics: Metrics) -> None:
    metrics.finished(served_exchange())
    labels = {"team": "search", "endpoint": "chat_completions", "outcome": "served", "owner": "none"}
    assert value(metrics, "gateway_exchanges_total", **labels) == 1


def test_an_error_is_counted_by_whose_fault_it_was(metrics: Metrics) -> None:
    metrics.finished(refused(UpstreamFailed(ErrorCode.UPSTREAM_TIMEOUT, "")))
    assert value(metrics, "gateway_errors_total", code="upstream_timeout", owner="upstream") == 1


@pytest.mark.parametrize("kind", list(CredentialKind))
def test_requests_are_counted_by_the_kind_of_their_credential(metrics: Metrics, kind: CredentialKind) -> None:
    who = Principal(subject="", team="search", key_id="", key_name="", kind=kind)
    metrics.finished(served_exchange(principal=who))
    metrics.finished(served_exchange(principal=None))
    assert value(metrics, "gateway_credentials_total", team="search", kind=kind.value) == 1


def test_durations_are_seen_by_operation(metrics: Metrics) -> None:
    metrics.finished(served_exchange())
    labels = {"gen_ai_operation_name": "chat_completions", "gen_ai_request_model": "gpt-4o"}
    assert value(metrics, "gen_ai_server_request_duration_seconds_sum", **labels) == 1.0


def test_a_stream_shows_its_first_token_and_its_pace(metrics: Metrics) -> None:
    metrics.finished(served_exchange({"stream": True}))
    model = {"gen_ai_request_model": "gpt-4o"}
    first = value(metrics, "gen_ai_server_time_to_first_token_seconds_sum", **model)
    pace = value(metrics, "gen_ai_server_time_per_output_token_seconds_sum", **model)
    assert (first, pace) == (pytest.approx(0.2), pytest.approx(0.8 / 10))


@pytest.mark.parametrize(
    "changes",
    [{"call": None}, {"answered": None}, {"finished": None}, {"model": None}, {"attempts": []}],
)
def test_what_was_no_whole_stream_has_no_pace(metrics: Metrics, changes: dict[str, Any]) -> None:
    metrics.finished(served_exchange({"stream": True}, **changes))
    assert "gen_ai_server_time_per_output_token_seconds_sum" not in names(metrics)


def test_a_plain_answer_has_no_first_token(metrics: Metrics) -> None:
    metrics.finished(served_exchange())
    assert "gen_ai_server_time_to_first_token_seconds_sum" not in names(metrics)


def test_a_single_token_has_no_pace(metrics: Metrics) -> None:
    metrics.finished(served_exchange({"stream": True}, usage=Usage(UsageSource.PROVIDER, output_tokens=1)))
    assert "gen_ai_server_time_per_output_token_seconds_sum" not in names(metrics)


@pytest.mark.parametrize(
    ("status", "label"),
    [(None, "none"), (200, "200"), (429, "429"), (503, "503"), (206, "2xx"), (418, "4xx"), (599, "5xx")],
)
def test_attempts_are_counted_by_status(metrics: Metrics, status: int | None, label: str) -> None:
    metrics.attempted(Attempt("a", "openai", 1, status))
    assert value(metrics, "gateway_upstream_attempts_total", upstream="openai", status=label) == 1


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN, Mode.ENFORCE])
def test_decisions_of_rules_are_counted_by_mode(metrics: Metrics, mode: Mode) -> None:
    metrics.decided("search", Deny(ErrorCode.RATE_LIMIT_EXCEEDED, "slow down", "limits.x", mode))
    labels = {"team": "search", "rule": "limits.x", "code": "rate_limit_exceeded", "mode": mode.value}
    assert value(metrics, "gateway_rule_hits_total", **labels) == 1


# States.


def test_a_dependency_that_is_back_is_not_away(metrics: Metrics) -> None:
    metrics.degraded("redis", True)
    metrics.degraded("redis", False)
    assert value(metrics, "gateway_degraded", dependency="redis") == 0


def test_only_the_policy_in_force_is_told(metrics: Metrics) -> None:
    metrics.policies_loaded("old")
    metrics.policies_loaded("new")
    told = [dict(labels)["version"] for name, labels in series(metrics) if name == "gateway_policy_info"]
    assert told == ["new"]


def test_the_lag_of_a_revocation_is_seen(metrics: Metrics) -> None:
    for seconds in (0.03, 0.4, 1.5):
        metrics.revocation_lag(seconds)
    buckets = {bound: value(metrics, "gateway_revocation_lag_seconds_bucket", le=bound) for bound in LAGS}
    assert buckets == {"0.02": 0, "0.05": 1, "1.0": 2, "2.0": 3, "5.0": 3}


def test_without_a_revocation_there_is_no_lag_and_its_series_is_there(metrics: Metrics) -> None:
    assert value(metrics, "gateway_revocation_lag_seconds_count") == 0


def test_an_issuer_whose_keys_are_there_again_is_not_down(metrics: Metrics) -> None:
    metrics.issuer_down("entra", True)
    metrics.issuer_down("entra", False)
    assert value(metrics, "gateway_issuer_down", issuer="entra") == 0


def test_a_good_reload_ends_the_alarm_of_a_broken_one(metrics: Metrics) -> None:
    metrics.policies_broken()
    assert value(metrics, "gateway_policy_reload_failed") == 1
    metrics.policies_loaded("new")
    assert value(metrics, "gateway_policy_reload_failed") == 0


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("gateway_reservations_leaked_total", 1),
        ("gateway_malformed_requests_total", 1),
        ("gateway_log_lines_dropped_total", 3),
        ("gateway_overhead_seconds_count", 1),
    ],
)
def test_other_events_are_counted(metrics: Metrics, name: str, count: int) -> None:
    everything_happened(metrics)
    assert value(metrics, name) == count


# Bounds.


def test_an_endpoint_that_is_not_served_makes_no_series_of_its_own(metrics: Metrics) -> None:
    error = Refused(ErrorCode.ENDPOINT_NOT_ALLOWED, "")
    for endpoint in endpoint_table().endpoints:
        if endpoint.refusal is not None:
            metrics.finished(refused(error, endpoint=endpoint))
    told = {dict(labels)["endpoint"] for name, labels in series(metrics) if name == "gateway_exchanges_total"}
    assert told == {"not_served"}


def test_a_hostile_client_makes_no_series(metrics: Metrics) -> None:
    for number in range(500):
        junk = f"junk-{number}"
        endpoint = Endpoint(junk, "GET", f"/v1/{junk}", "x", refusal="no")
        metrics.finished(
            refused(
                Refused(ErrorCode.MODEL_NOT_ALLOWED, junk, param=junk, rule=junk),
                id=junk,
                method=junk,
                asked_model=junk,
                endpoint=endpoint,
            )
        )
        metrics.attempted(Attempt(junk, "openai", number, number, junk))
    assert b"junk" not in metrics.render()
    assert len(series(metrics)) < 60


# Limits.


def test_a_budget_shows_what_is_spent_of_how_much(metrics: Metrics) -> None:
    metrics.budget_charged("search", "team-month", 7, 2_000)
    metrics.budget_charged("search", "team-month", 1_640, 2_500)
    labels = {"team": "search", "budget": "team-month"}
    assert value(metrics, "gateway_budget_spent", **labels) == 1_640
    assert value(metrics, "gateway_budget_amount", **labels) == 2_500


def test_thresholds_are_counted_by_their_percent(metrics: Metrics) -> None:
    for percent in (80, 80, 95):
        metrics.budget_alerted("search", "team-month", percent)
    labels = {"team": "search", "budget": "team-month"}
    assert value(metrics, "gateway_budget_alerts_total", percent="80", **labels) == 2


def test_events_are_counted_by_what_became_of_them(metrics: Metrics) -> None:
    for result in ("delivered", "failed", "dropped", "delivered"):
        metrics.webhook(result)
    assert value(metrics, "gateway_webhook_events_total", result="delivered") == 2
    assert value(metrics, "gateway_webhook_events_total", result="dropped") == 1


def test_what_is_the_matter_with_redis_is_seen(metrics: Metrics) -> None:
    metrics.redis_unfit("eviction")
    metrics.redis_clock(-7.5)
    metrics.redis_emptied()
    assert value(metrics, "gateway_redis_findings_total", fault="eviction") == 1
    assert value(metrics, "gateway_redis_clock_offset_seconds") == -7.5
    assert value(metrics, "gateway_redis_emptied_total") == 1
