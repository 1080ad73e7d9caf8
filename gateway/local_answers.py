"""What the gateway answers by itself: the models that a caller may use, and what its team has used. Nothing
goes upstream, nothing is charged, and nobody is told of another team.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from gateway.core.clock import Clock
from gateway.core.endpoint import Endpoint
from gateway.core.errors import ErrorCode, Refused, StoreUnavailable
from gateway.core.policy import Model, Policy
from gateway.metering.reports.organization import MOST_SUMS, LinesGone, OrganizationUsage, TooManySums
from gateway.metering.reports.turns import Turns
from gateway.policies.authorize import usable_model, usable_models
from gateway.wire.model_list import model_list, one_model
from gateway.wire.organization_usage import OPERATIONS, usage_page, usage_request

_RETRY_SECONDS: Final = 2.0
_WHOLE_DAYS: Final = (
    "Usage of that time is kept by whole days only: begin at midnight (UTC), with `bucket_width=1d`."
)


class LocalAnswers:
    """Bodies of good answers."""

    def __init__(self, *, usage: OrganizationUsage, turns: Turns, clock: Clock) -> None:
        self._usage = usage
        self._turns = turns
        self._clock = clock

    async def answer(
        self, endpoint: Endpoint, params: Mapping[str, str], query: str, policy: Policy
    ) -> bytes:
        """For one caller. Raises Refused."""
        if endpoint.name in OPERATIONS:
            return await self.usage(endpoint.name, query, policy.team)
        if "model" in params:
            return one_model(_listed(policy, params["model"]))
        return model_list(usable_models(policy))

    async def usage(self, name: str, query: str, team: str | None) -> bytes:
        """A page of an operation of the usage API. `team`: whose usage it is; None: everybody's.

        Raises Refused: `bad_request`, `invalid_value`; `overloaded` when the ledger is away, or too many ask.
        """
        request = usage_request(OPERATIONS[name], query, now=self._clock.now())
        question = request.question(team)
        try:
            async with self._turns.of(team or ""):
                sums = await self._usage.usage(question)
                # in a thread, since a page can be long, and streams must not wait for it
                return await asyncio.to_thread(usage_page, request, question.by, sums)
        except TooManySums:
            message = f"This page would have more than {MOST_SUMS:,} results. Ask for fewer buckets at once."
            raise Refused(ErrorCode.INVALID_VALUE, message, param="limit") from None
        except LinesGone:
            raise Refused(ErrorCode.INVALID_VALUE, _WHOLE_DAYS, param="start_time") from None
        except TimeoutError:
            raise _later("Other reports are being read at the moment.") from None
        except StoreUnavailable as error:
            raise _later("The ledger cannot be read at the moment, or not in time.") from error


def _listed(policy: Policy, name: str) -> Model:
    model = usable_model(policy, name)
    if model is None:
        raise Refused(
            ErrorCode.NOT_FOUND, "There is no such model, or your team may not use it.", param="model"
        )
    return model


def _later(why: str) -> Refused:
    return Refused(ErrorCode.OVERLOADED, f"{why} Send the request again.", retry_after=_RETRY_SECONDS)
