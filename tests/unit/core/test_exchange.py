"""How an exchange ends: once."""

from gateway.core.errors import ErrorCode, Refused, UpstreamFailed
from gateway.core.exchange import Exchange, Outcome

REFUSAL = Refused(ErrorCode.RATE_LIMIT_EXCEEDED, "slow down")


def exchange() -> Exchange:
    return Exchange(id="req_1", method="POST", received_at=0.0, started=0.0)


def test_an_exchange_begins_without_an_outcome() -> None:
    assert exchange().outcome is None


def test_an_error_brings_its_status() -> None:
    over = exchange()
    over.conclude(Outcome.REFUSED, REFUSAL)
    assert (over.outcome, over.error, over.status) == (Outcome.REFUSED, REFUSAL, 429)


def test_the_first_outcome_counts() -> None:
    over = exchange()
    over.conclude(Outcome.REFUSED, REFUSAL)
    over.conclude(Outcome.FAILED, UpstreamFailed(ErrorCode.INTERNAL_ERROR, "late"))
    assert (over.outcome, over.error, over.status) == (Outcome.REFUSED, REFUSAL, 429)


def test_a_status_that_is_out_stays_whatever_goes_wrong_later() -> None:
    over = exchange()
    over.status = 200
    over.conclude(Outcome.UPSTREAM_FAILED, UpstreamFailed(ErrorCode.UPSTREAM_ERROR, "broke off"))
    assert over.status == 200
