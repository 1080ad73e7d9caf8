"""A dry run: what the gateway would do with a request, by the very journey, without doing it.

Its law: nothing changes by it. Nothing is sent, held, counted, learnt, logged or remembered; what is only
looked at is what a request at this moment would find. A budget that nobody has asked for is loaded, as it
would be by whoever asks next.
"""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, cast

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.audit.refusals import RefusalTally
from gateway.core.actor import Act
from gateway.core.attempt import Attempt
from gateway.core.decision import Deny
from gateway.core.endpoint import JSON
from gateway.core.errors import ErrorCode, GatewayError, Refused
from gateway.core.exchange import Exchange
from gateway.core.ids import new_id
from gateway.core.incoming import Arrival, Certificate, HeaderList, Headers
from gateway.core.policy import Model
from gateway.core.principal import Principal
from gateway.core.spending import Spending
from gateway.explaining.counters import counter, is_shared, standing_of
from gateway.explaining.explainer import Explainer
from gateway.explaining.explanation import Counter, Explanation, WouldSend
from gateway.explaining.recent import Recent
from gateway.gate import Gate
from gateway.limits.bucket import MICRO
from gateway.limits.budget import State, Window
from gateway.limits.demands import Demands
from gateway.limits.interfaces import (
    Charged,
    Demand,
    Grant,
    Hold,
    Limiter,
    Loader,
    Look,
    More,
    Refusal,
    Spent,
    Unloaded,
)
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservations
from gateway.limits.verdict import Fit, judge
from gateway.pipeline import Pipeline
from gateway.telemetry.logging import LogSink, make_logger
from gateway.telemetry.metrics import Metrics
from gateway.upstream.interfaces import Answer, Outgoing

WOULD_BE_SENT: Final = "would_be_sent"
"""The outcome of what nothing refused."""

_HEADERS: Final[Headers] = cast(Headers, CIMultiDictProxy(CIMultiDict({"content-type": JSON})))


class NotRehearsed(ValueError):
    """Of this request no dry run can be made; the sentence says why."""


class Rehearsal:
    """Makes dry runs."""

    def __init__(self, *, pipeline: Pipeline, explainer: Explainer, limiter: Limiter, loader: Loader) -> None:
        """`pipeline`: the one that serves clients. `limiter` and `loader`: those of its reservations."""
        self._pipeline = replace(
            pipeline,
            metrics=Metrics(),
            log=make_logger(LogSink(io.BytesIO(), most_lines=1), "error"),
            recent=Recent(most=1),
            refusal_tally=RefusalTally(record=_unwritten, replica=""),
        )
        self._explainer = explainer
        self._limiter = limiter
        self._loader = loader

    async def rehearse(self, principal: Principal, method: str, path: str, body: bytes) -> Explanation:
        """What would become of this request by this caller. `path` may have a query, `body` is JSON.

        Raises NotRehearsed for an endpoint that takes forms; StoreUnavailable when nobody knows what is left.
        """
        clock = self._pipeline.clock
        exchange = Exchange(
            id=new_id("dry", clock), method=method, received_at=clock.now(), started=clock.monotonic()
        )
        onlooker = _Onlooker(self._limiter)
        pipeline = self._with(principal, onlooker)
        try:
            await pipeline.run(exchange, self._incoming(method, path, body), _Unheard())
        except _WouldBeSent:
            return self._sendable(exchange, onlooker)
        except GatewayError:
            pass  # the exchange has it
        told = self._explainer.tell(exchange)
        return msgspec.structs.replace(told, counters=self._counters(onlooker) or told.counters)

    def _with(self, principal: Principal, onlooker: "_Onlooker") -> Pipeline:
        clock = self._pipeline.clock
        reservations = Reservations(
            limiter=onlooker,
            loader=self._loader,
            demands=Demands(clock=clock),
            refusals=RecentRefusals(clock=clock),
            hand_over=_nobody,
            on_leak=_nobody,
            on_charged=_nobody,
        )
        return replace(
            self._pipeline,
            gate=Gate(most=1, on_change=_nobody),
            authenticator=_Acquainted(principal),
            reservations=reservations,
            upstreams=_Unasked(),
        )

    def _incoming(self, method: str, path: str, body: bytes) -> "_Incoming":
        path, _, query = path.partition("?")
        try:
            accepts = self._pipeline.endpoints.find(method, path).endpoint.accepts
        except Refused:
            accepts = frozenset()  # the journey says so
        if accepts and JSON not in accepts:
            raise NotRehearsed(f"{method} {path} takes a form. Dry runs are of JSON alone.")
        return _Incoming(method, path, query, body)

    def _sendable(self, exchange: Exchange, onlooker: "_Onlooker") -> Explanation:
        told = self._explainer.tell(exchange)
        return msgspec.structs.replace(
            told,
            outcome=WOULD_BE_SENT,
            status=None,
            owner=None,
            code=None,
            message=None,
            counters=self._counters(onlooker),
            would_send=self._would_send(exchange),
        )

    def _would_send(self, exchange: Exchange) -> WouldSend:
        principal, policy, call, model = exchange.principal, exchange.policy, exchange.call, exchange.model
        if principal is None or policy is None or call is None or model is None:
            raise RuntimeError("only what was judged is sent")
        expected = self._pipeline.expectations.of(principal, policy, call, model, exchange.received_at)
        return WouldSend(
            upstream=model.upstream,
            model=model.upstream_model,
            stream=call.stream,
            changed=sorted(call.changes),
            input_tokens=expected.usage.input_tokens,
            output_tokens=expected.usage.output_tokens,
            cost=expected.cost,
            most_cost=expected.bound.dollars if expected.bound else None,
        )

    def _counters(self, onlooker: "_Onlooker") -> list[Counter]:
        """Of every limit that counts such a request, as it stands before it."""
        at = self._pipeline.clock.now()
        return [
            counter(standing_of(demand, look.level, at))
            for demand, look in onlooker.found
            if look.loaded and not is_shared(demand)
        ]


class _WouldBeSent(Exception):
    """Everything is decided, and nothing is against it."""


class _Unasked:
    """`Upstreams` of whom nobody asks anything: not even an admission."""

    async def send(
        self, model: Model, outgoing: Outgoing, admit: Callable[[Attempt], Awaitable[None]]
    ) -> Answer:
        raise _WouldBeSent


class _Acquainted:
    """An `Authenticator` that knows who asks."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    async def authenticate(self, arrival: Arrival) -> Principal | Deny:
        return self._principal


class _Onlooker:
    """A `Limiter` that looks, and holds nothing."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self.found: list[tuple[Demand, Look]] = []
        """What the last hold would have drawn on."""

    async def reserve(self, hold: Hold) -> Grant | Refusal | Unloaded:
        looks = await self._limiter.look(hold.demands)
        self.found = list(zip(hold.demands, looks, strict=True))
        fit = [_fit(demand, look) for demand, look in self.found]
        return judge(hold.demands, fit, [look.level for look in looks])

    async def extend(self, mores: Sequence[More]) -> Sequence[Demand | None]:
        return [None for _ in mores]

    async def settle(self, spents: Sequence[Spent]) -> Sequence[Charged]:
        return ()

    async def renew(self, holds: Sequence[Hold]) -> None:
        """Nothing is held."""

    async def load(self, demand: Demand, spending: Spending) -> None:
        await self._limiter.load(demand, spending)

    async def look(self, demands: Sequence[Demand]) -> Sequence[Look]:
        return await self._limiter.look(demands)

    async def buckets(self, tag: str) -> Sequence[str]:
        return await self._limiter.buckets(tag)


class _Incoming:
    """A request that is all there."""

    version = "1.1"
    peer = ""
    certificate: Certificate | None = None

    def __init__(self, method: str, path: str, query: str, content: bytes) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = _HEADERS
        self._content = content

    async def body(self, limit: int) -> AsyncIterator[bytes]:
        yield await self.read(limit)

    async def read(self, limit: int) -> bytes:
        if len(self._content) > limit:
            raise Refused(
                ErrorCode.REQUEST_TOO_LARGE,
                f"The request body is larger than the {limit:,} bytes that this endpoint takes.",
            )
        return self._content


class _Unheard:
    """A `Reply` to nobody."""

    started = False
    taken = True

    async def send(self, status: int, headers: HeaderList, body: bytes) -> None:
        """What the gateway answers by itself."""

    async def start(self, status: int, headers: HeaderList) -> None: ...

    async def write(self, data: bytes) -> None: ...

    async def end(self) -> None: ...

    def cut(self) -> None: ...


def _nobody(_: object) -> None:
    """Who is told."""


async def _unwritten(acts: Sequence[Act]) -> None:
    """Where it is put on record."""


def _fit(demand: Demand, look: Look) -> Fit:
    """Whether it would be held: what every store finds, of what it shows."""
    limit, _, cost, rate, window = demand
    if rate is not None:
        return Fit.YES if rate.fits(look.level, cost * MICRO) else Fit.NO
    if window is None:
        return Fit.YES if look.level < limit.amount else Fit.NO
    return _fits_budget(look, cost, window) if look.loaded else Fit.UNLOADED


def _fits_budget(look: Look, cost: int, window: Window) -> Fit:
    state = State(window.edges[1], look.spent, look.level - look.spent, look.set_aside)
    if state.fits(cost, window.amount):
        return Fit.YES
    if state.fits_without_slices(cost, window.amount):
        return Fit.SET_ASIDE
    return Fit.HELD if state.fits_without_holds(cost, window.amount) else Fit.NO
