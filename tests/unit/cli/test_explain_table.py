"""What was decided about a request, as people read it."""

from typing import Any

import msgspec
import pytest

from gateway.cli.explain_table import print_explanation
from gateway.explaining.explanation import Counter, Decided, Explanation, WouldSend

REFUSED = Explanation(
    request_id="req_1",
    at=1_795_000_000.0,
    replica="gw-0",
    method="POST",
    endpoint="chat_completions",
    status=429,
    outcome="refused",
    owner="policy",
    code="rate_limit_exceeded",
    message="Too soon.",
    team="search",
    key_id="k1",
    key_name="web",
    subject="user:alice",
    credential="api_key",
    model="gpt-5",
    upstream="",
    policy_version="5f3c",
    policy_in_force=True,
    decisions=[
        Decided(
            rule="limits.few",
            code="rate_limit_exceeded",
            mode="enforce",
            reason="Too soon.",
            where="teams/search.yaml:12",
            retry_after=1.5,
        ),
        Decided(
            rule="models.deprecated",
            code="model_not_allowed",
            mode="warn",
            reason="Gone soon.",
            where="models.yaml:4",
            param="model",
        ),
    ],
    counters=[
        Counter(name="few", counts="requests", limit=6000, remaining=0, reset_seconds=12.5),
        Counter(name="month", counts="dollars", limit=50_000_000, remaining=120_000, reset_seconds=900_000),
        Counter(name="slots", counts="concurrent", limit=5, remaining=2, reset_seconds=0),
    ],
    duration_ms=1.234,
)


def printed(capsys: pytest.CaptureFixture[str], **changes: Any) -> str:
    print_explanation(msgspec.structs.replace(REFUSED, **changes))
    return capsys.readouterr().out


def test_a_refusal_is_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys).splitlines() == [
        "refused  429 rate_limit_exceeded  (policy)  req_1  2026-11-18 11:06:40 UTC",
        "Too soon.",
        "",
        "asked    POST chat_completions",
        "by       team search, key web (k1), user:alice",
        "model    gpt-5",
        "policy   5f3c",
        "took     1.2 ms",
        "replica  gw-0",
        "",
        "Decisions",
        "rule               mode     code                 where                 member  again in  reason",
        "limits.few         enforce  rate_limit_exceeded  teams/search.yaml:12              1.5s",
        "models.deprecated  warn     model_not_allowed    models.yaml:4         model             Gone soon.",
        "",
        "Counters",
        "limit      left         of  unit        whole in",
        "few           0      6,000  requests       12.5s",
        "month  0.120000  50.000000  USD          10 days",
        "slots         2          5  concurrent",
    ]


SENT: dict[str, Any] = {
    "upstream": "openai",
    "model": "gpt-5-2026",
    "stream": True,
    "changed": ["max_tokens"],
    "input_tokens": 1,
    "output_tokens": 2_000,
    "cost": 20_010,
    "most_cost": 40_000,
}
GOOD: dict[str, Any] = {
    "outcome": "would_be_sent",
    "status": None,
    "owner": None,
    "code": None,
    "message": None,
    "decisions": [],
    "counters": [],
}


def test_a_dry_run_says_what_would_be_sent(capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(capsys, **GOOD, would_send=WouldSend(**SENT)).splitlines()
    assert page[0] == "would be sent  req_1  2026-11-18 11:06:40 UTC"
    assert page[-3:] == [
        "sends    gpt-5-2026 to openai, as a stream",
        "expects  1 token in, 2,000 out, $0.020010, at most $0.040000",
        "changes  max_tokens",
    ]


def test_what_has_no_price_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    plain = WouldSend(**{**SENT, "cost": None, "most_cost": None, "changed": [], "stream": False})
    assert printed(capsys, **GOOD, would_send=plain).splitlines()[-2:] == [
        "sends    gpt-5-2026 to openai",
        "expects  1 token in, 2,000 out, no price",
    ]


def test_a_stranger_has_no_team(capsys: pytest.CaptureFixture[str]) -> None:
    nobody = dict.fromkeys(("team", "key_id", "key_name", "subject", "model", "policy_version"), "")
    page = printed(capsys, **nobody, endpoint="", decisions=[REFUSED.decisions[0]], counters=[])
    assert [line.split()[0] for line in page.splitlines()[3:6]] == ["asked", "took", "replica"]


def test_a_refusal_by_no_rule_is_the_gateways_own(capsys: pytest.CaptureFixture[str]) -> None:
    own = msgspec.structs.replace(REFUSED.decisions[0], rule="", where="")
    assert "\nthe gateway itself  enforce" in printed(capsys, decisions=[own])


def test_attempts_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\nsent     to openai, 2 attempts\n" in printed(capsys, upstream="openai", attempts=2)


def test_other_policies_in_force_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Other policy files are in force by now." in printed(capsys, policy_in_force=False)


@pytest.mark.parametrize("member", ["message", "subject", "model", "endpoint", "replica"])
def test_what_others_have_named_is_not_obeyed(capsys: pytest.CaptureFixture[str], member: str) -> None:
    page = printed(capsys, **{member: "[bold]a[/]\x1b[31m\nb"})
    assert "[bold]a[/]?[31m?b" in page
