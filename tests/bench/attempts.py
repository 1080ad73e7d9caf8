"""Attempts that arrive at a steady rate, whoever else still waits, and do nothing but write their lines."""

import asyncio
import time
from random import Random
from typing import Final

from gateway.core.attempt import Cause
from gateway.core.clock import SystemClock
from gateway.core.ids import new_id
from gateway.core.usage import Usage, UsageSource
from gateway.metering.interfaces import Admission, Ledger, PricedBy, Settlement

_ESTIMATE: Final = Usage(UsageSource.ESTIMATED, input_tokens=256, output_tokens=180)
_USED: Final = Usage(UsageSource.PROVIDER, input_tokens=120, cached_tokens=20, output_tokens=180)
_TEAMS: Final = 20
_KEYS: Final = 5
"""Of each team."""
_ANSWERS: Final = 0.005
"""Seconds for which an upstream answers."""


class Arrivals:
    """Attempts by the hundred, of some teams and keys, for each ledger the same."""

    def __init__(self, ledger: Ledger, *, per_second: float) -> None:
        self._ledger = ledger
        self._per_second = per_second
        self._chance = Random(1)
        self._clock = SystemClock()

    async def come(self, count: int) -> list[float]:
        """For how long each admission was waited for, in seconds. All are settled when it returns."""
        loop, at = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        waits: list[float] = []
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                at += self._chance.expovariate(self._per_second)
                if (pause := at - loop.time()) > 0:
                    await asyncio.sleep(pause)
                group.create_task(self._one(number, waits))
        return waits

    async def _one(self, number: int, waits: list[float]) -> None:
        admission = self._admission(number)
        began = time.perf_counter()
        await self._ledger.admit(admission)
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(_ANSWERS)
        self._ledger.settle(self._settlement(admission.attempt_id))

    def _admission(self, number: int) -> Admission:
        team, key = f"team-{number % _TEAMS}", number % (_TEAMS * _KEYS)
        return Admission(
            attempt_id=new_id("att", self._clock),
            exchange_id=f"req_{number:032x}",
            number=1,
            admitted_at=int(self._clock.now() * 1000),
            team=team,
            key_id=f"key_{key:026x}",
            subject=f"key:{team}/service-{key}",
            endpoint="chat_completions",
            asked_model="gpt-4o-mini",
            model="gpt-4o-mini",
            upstream="openai",
            policy_version="5f3c00aa11bb",
            stream=bool(number % 2),
            estimate=_ESTIMATE,
            estimated_cost=146,
        )

    def _settlement(self, attempt_id: str) -> Settlement:
        return Settlement(
            attempt_id=attempt_id,
            settled_at=int(self._clock.now() * 1000),
            cause=Cause.SERVED,
            status=200,
            usage=_USED,
            cost=126,
            answered_model="gpt-4o-mini-2024-07-18",
            service_tier="default",
            upstream_request_id="req_0123456789abcdef0123456789abcdef",
            priced_by=PricedBy.BOOK,
            price_version="5f3c00aa11bb",
        )
