"""What dead processes left: their attempts are settled in the ledger as estimated, and charged to limits.

A hold that was never settled ends with its lease, so without this a budget would forget what was sent in the
moment of a crash, while the ledger knows it.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

from gateway.auth.keys.api_keys import name_in
from gateway.core.decision import Deny
from gateway.core.errors import StoreUnavailable
from gateway.core.principal import Principal
from gateway.limits.amounts import NOTHING, Amounts, amounts_of
from gateway.limits.reservation import Reservations
from gateway.metering.interfaces import Admission
from gateway.metering.recorder import Recorder
from gateway.policies.book import PolicyBook

_by_exchange: Final = attrgetter("exchange_id")


class Recovery:
    """To be asked at the start, and then now and again."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        policies: PolicyBook,
        reservations: Reservations,
        on_recovered: Callable[[int], None],
    ) -> None:
        """`on_recovered`: told how many attempts there were, if there were any."""
        self._recorder = recorder
        self._policies = policies
        self._reservations = reservations
        self._on_recovered = on_recovered

    async def recover(self) -> None:
        """Settle what nobody else will. While the ledger is away, which it tells itself, nothing happens."""
        try:
            abandoned = await self._recorder.recover()
        except StoreUnavailable:
            return
        for exchange_id, attempts in groupby(sorted(abandoned, key=_by_exchange), _by_exchange):
            self._charge(exchange_id, list(attempts))
        if abandoned:
            self._on_recovered(len(abandoned))

    def _charge(self, exchange_id: str, attempts: Sequence[Admission]) -> None:
        """By the policies of today: those of its own day may be gone."""
        last = attempts[-1]
        principal = Principal(last.subject, last.team, last.key_id, name_in(last.subject))
        policy = self._policies.policy_for(principal)
        if not isinstance(policy, Deny):
            spent = _spent(attempts)
            self._reservations.charge(exchange_id, principal, policy, last.model or None, spent)


def _spent(attempts: Sequence[Admission]) -> Amounts:
    """Of all attempts together; the request counts once."""
    total = NOTHING
    for attempt in attempts:
        total = total.plus(amounts_of(attempt.estimate, attempt.estimated_cost))
    return total._replace(requests=1)
