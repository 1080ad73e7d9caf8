"""What operators are told when something is the matter: one metric and one log line, each way."""

import structlog

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, StoreUnavailable
from gateway.core.ids import new_id
from gateway.telemetry.metrics import Metrics


class Alarms:
    """One method for each thing that can be the matter."""

    def __init__(self, *, metrics: Metrics, log: structlog.stdlib.BoundLogger, clock: Clock) -> None:
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._keys_away = False

    def redis(self, away: bool, why: str) -> None:
        """Limits are degraded from now on, or no longer."""
        self._metrics.degraded("redis", away)
        self._log.warning("redis_away" if away else "redis_back", why=why)

    def keys(self, trouble: StoreUnavailable | None) -> None:
        """Keys cannot be looked up, so that only those seen lately are known; or can again (None)."""
        if self._keys_away == (trouble is not None):
            return
        self._keys_away = trouble is not None
        self._metrics.degraded("keys", self._keys_away)
        if trouble is None:
            self._log.warning("keys_back")
        else:
            self._log.error("keys_away", why=str(trouble))

    def ledger(self, trouble: StoreUnavailable | None) -> None:
        """The ledger cannot be written, or can again (None)."""
        self._metrics.degraded("ledger", trouble is not None)
        if trouble is None:
            self._log.warning("ledger_back")
        else:
            self._log.error("ledger_away", why=str(trouble))

    def leaked(self, exchange_id: str) -> None:
        """A reservation was left without a settlement: a fault of ours."""
        self._metrics.reservation_leaked()
        self._log.error("reservation_leaked", request_id=exchange_id)

    def recovered(self, attempts: int) -> None:
        """Attempts that dead processes had left were settled as estimated."""
        self._log.warning("attempts_recovered", count=attempts)

    def malformed(self, error: GatewayError) -> str:
        """Bytes came that are not HTTP. Gives the request id under which that is logged."""
        request_id = new_id("req", self._clock)
        self._metrics.malformed()
        self._log.info("malformed_request", request_id=request_id, code=error.code)
        return request_id
