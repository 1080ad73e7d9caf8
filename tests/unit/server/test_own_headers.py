"""The headers that are the gateway's own."""

from typing import Any

import pytest

from gateway.core.decision import Deny, Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import Counted
from gateway.core.standing import Standing
from gateway.server.own_headers import own_headers
from tests.unit.server.edge import an_exchange

STANDING = Standing(limit="team-requests", counts=Counted.REQUESTS, amount=100, remaining=99, reset=0.6)


def headers(*, degraded: bool = False, **changes: Any) -> dict[str, str]:
    return dict(own_headers(an_exchange(**changes), is_degraded=lambda: degraded))


def note(mode: Mode, rule: str = "models") -> Deny:
    return Deny(ErrorCode.MODEL_NOT_ALLOWED, "It goes away, née.", rule, mode)


def warnings(*notes: Deny) -> list[str]:
    return headers(notes=list(notes))["x-gateway-warning"].split(" | ")


def test_every_answer_has_the_request_id_and_our_name() -> None:
    assert headers() == {"x-request-id": "req_1", "server": "gateway"}


def test_what_is_left_of_the_limits_is_told() -> None:
    told = headers(standings=(STANDING,))
    assert told["x-ratelimit-limit-requests"] == "100"
    assert told["x-ratelimit-remaining-requests"] == "99"


def test_a_warning_names_the_rule_its_code_and_the_reason_in_plain_letters() -> None:
    assert warnings(note(Mode.WARN)) == ["models; model_not_allowed; It goes away, n?e."]


def test_a_reason_cannot_bring_another_header_in() -> None:
    evil = Deny(ErrorCode.MODEL_NOT_ALLOWED, "The model `x\r\nset-cookie: evil\0`", "models", Mode.WARN)
    assert warnings(evil) == ["models; model_not_allowed; The model `x??set-cookie: evil?`"]


def test_a_long_reason_is_cut_short() -> None:
    (told,) = warnings(Deny(ErrorCode.MODEL_NOT_ALLOWED, "x" * 10_000, "models", Mode.WARN))
    assert len(told) < 300


def test_warnings_stand_one_after_another() -> None:
    told = warnings(note(Mode.WARN, "models"), note(Mode.WARN, "filters.names"))
    assert [warning.partition(";")[0] for warning in told] == ["models", "filters.names"]


def test_many_warnings_are_cut_short() -> None:
    assert len(warnings(*[note(Mode.WARN, f"filters.{number}") for number in range(20)])) == 4


@pytest.mark.parametrize("notes", [[], [note(Mode.SHADOW)]], ids=["nothing", "a shadow"])
def test_what_is_in_the_shadow_stays_there(notes: list[Deny]) -> None:
    assert "x-gateway-warning" not in headers(notes=notes)


def test_a_warning_beside_a_shadow_stands_alone() -> None:
    (told,) = warnings(note(Mode.SHADOW, "models"), note(Mode.WARN, "filters.names"))
    assert told.startswith("filters.names; model_not_allowed; ")


def test_degraded_limits_are_told() -> None:
    assert headers(degraded=True)["x-gateway-degraded"] == "limits"
