"""THE JOURNEY: the order of events for one exchange. This file is the only place that knows it.

Concerns decide and return values; `_enforce` is the one place that acts on a decision, and the only one that knows the
four modes of rules. Every exchange, however it ends, passes `_finish`, which does not wait: a client that hangs up
cannot lose its ledger line.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import structlog

from gateway.auth.interfaces import Authenticator
from gateway.core.attempt import Attempt, Cause
from gateway.core.call import Call, Form
from gateway.core.clock import Clock
from gateway.core.decision import Deny, Mode
from gateway.core.endpoint import MULTIPART, Endpoint
from gateway.core.errors import (
    ClientLeft,
    ErrorCode,
    GatewayError,
    Refused,
    StoreUnavailable,
    UpstreamFailed,
)
from gateway.core.exchange import Exchange, Outcome
from gateway.core.incoming import HeaderList, Incoming, Reply
from gateway.core.policy import Model, Policy
from gateway.core.usage import Observed, Usage
from gateway.filters.reviewer import Reviewer
from gateway.gate import Gate
from gateway.limits.estimate import expected_tokens
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservation, Reservations
from gateway.metering.recorder import Recorder
from gateway.metering.usage import estimate
from gateway.ownership.references import check_references
from gateway.policies.authorize import authorize_call, authorize_endpoint, usable_models
from gateway.policies.book import PolicyBook
from gateway.relay import Relay
from gateway.shaping.shape import Shaper
from gateway.shaping.usage import asked_for_usage
from gateway.telemetry.exchange_log import log_exchange
from gateway.telemetry.metrics import Metrics
from gateway.upstream.interfaces import Answer, Outgoing, Upstreams
from gateway.wire.endpoints import EDITS, MODELS, EndpointTable
from gateway.wire.headers import check_head, media_type, to_client, to_upstream
from gateway.wire.legacy_edits import from_chat, to_chat
from gateway.wire.model_list import model_list, one_model
from gateway.wire.multipart import FormReader, encode_form, parse_form
from gateway.wire.parse import parse_json
from gateway.wire.patch import encode_json
from gateway.wire.tokens import Tokenizer
from gateway.wire.usage_reader import AnswerReader, answer_reader

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CallBounds:
    """How large a request may be."""

    json_bytes: int
    form_bytes: int
    json_depth: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Takes one exchange from its first byte to its ledger line."""

    clock: Clock
    gate: Gate
    endpoints: EndpointTable
    authenticator: Authenticator
    policies: PolicyBook
    refusals: RecentRefusals
    bounds: CallBounds
    reviewer: Reviewer
    shaper: Shaper
    reservations: Reservations
    upstreams: Upstreams
    relay: Relay
    recorder: Recorder
    tokenizer: Tokenizer
    metrics: Metrics
    log: structlog.stdlib.BoundLogger

    async def run(self, exchange: Exchange, incoming: Incoming, reply: Reply) -> None:
        """Raises what ended the exchange early: GatewayError, ClientLeft, or a fault of our own."""
        with self.gate.pass_through():
            try:
                await self._travel(exchange, incoming, reply)
                exchange.conclude(_outcome_of_answer(exchange))
            except UpstreamFailed as error:
                exchange.conclude(Outcome.UPSTREAM_FAILED, error)
                raise
            except GatewayError as error:
                exchange.conclude(Outcome.REFUSED, error)
                raise
            except (ClientLeft, asyncio.CancelledError):
                exchange.conclude(Outcome.CLIENT_LEFT)
                raise
            except Exception:
                exchange.conclude(Outcome.FAILED, GatewayError(ErrorCode.INTERNAL_ERROR, "internal error"))
                raise
            finally:
                self._finish(exchange)

    async def _travel(self, exchange: Exchange, incoming: Incoming, reply: Reply) -> None:
        self.gate.check()
        # 1  arrive: which operation is it, and can its head be trusted?
        match = self.endpoints.find(incoming.method, incoming.path)
        endpoint = exchange.endpoint = match.endpoint
        check_head(incoming, endpoint.accepts)
        # 2  authenticate: who asks?
        principal = exchange.principal = _certain(await self.authenticator.authenticate(incoming.headers))
        # 3  find the policy: what may they do? Whoever was refused a moment ago still is, unread.
        policy = exchange.policy = _certain(self.policies.policy_for(principal))
        self._enforce(exchange, self.refusals.find(principal))
        self._enforce(exchange, authorize_endpoint(policy, endpoint))
        if endpoint.local:
            return await self._answer_locally(exchange, policy, match.params, reply)
        # 4  read, within bounds, and parse, strictly
        call = exchange.call = await self._read(endpoint, incoming)
        # 5  authorise the model, the tools, and every object that the body names
        exchange.asked_model = call.model
        self._enforce(exchange, authorize_call(policy, call))
        self._enforce(exchange, check_references(call, policy.objects))
        model = exchange.model = _known(policy, call)
        # 6  review what is said
        self._enforce(exchange, await self.reviewer.review(policy.filters, call.texts))
        # 7  shape
        shaped = self.shaper.shape(_in_todays_words(call), policy, principal, model)
        self._enforce(exchange, shaped.notes)
        call = exchange.call = shaped.call
        # 8  reserve everything at once, or nothing
        with await self.reservations.reserve(
            exchange.id, principal, policy, model.name, expected_tokens(call)
        ) as held:
            exchange.standings = held.standings
            self._enforce(exchange, held.denials)
            try:
                # 9  send; every attempt is on record before its first byte
                outgoing = _outgoing(call, incoming)
                async with self.upstreams.send(model, outgoing, self._admission(exchange)) as answer:
                    # 10 relay, while a side reader watches for usage
                    await self._relay(exchange, answer, reply)
            finally:
                # 11 settle with what was really spent
                self._settle(exchange, held)
        # 12 finish: see `run`

    def _enforce(self, exchange: Exchange, decisions: Iterable[Deny]) -> None:
        """The one place that acts on decisions. Raises Refused for the first one that is enforced."""
        for deny in decisions:
            if deny.mode is Mode.OFF:
                continue
            self.metrics.decided(exchange.policy.team if exchange.policy else "unknown", deny)
            if deny.mode is Mode.ENFORCE:
                raise Refused(
                    deny.code, deny.reason, param=deny.param, retry_after=deny.retry_after, rule=deny.rule
                )
            exchange.notes.append(deny)

    def _refuse_again(self, exchange: Exchange, refusal: Refusal | None) -> None:
        """Whoever was refused for rate a moment ago still is, with the standings that they had."""
        if refusal is not None:
            exchange.standings = refusal.standings
            self._enforce(exchange, (refusal.deny,))

    async def _read(self, endpoint: Endpoint, incoming: Incoming) -> Call:
        content_type = incoming.headers.get("content-type", "")
        if media_type(content_type) != MULTIPART:
            body = await incoming.read(self.bounds.json_bytes)
            return parse_json(endpoint, content_type, body, max_depth=self.bounds.json_depth)
        with FormReader(content_type=content_type) as reader:
            async for data in incoming.body(self.bounds.form_bytes):
                reader.feed(data)
            return parse_form(endpoint, reader)

    async def _answer_locally(
        self, exchange: Exchange, policy: Policy, params: Mapping[str, str], reply: Reply
    ) -> None:
        """GET /v1/models and /v1/models/{model}: from the catalogue, what this caller may use."""
        if "model" not in params:
            body = model_list(usable_models(policy))
        else:
            model = usable_model(policy, unquote(params["model"]))
            if model is None:
                raise Refused(ErrorCode.NOT_FOUND, "There is no such model, or your team may not use it.", param="model")
            body = one_model(model)
        exchange.status = 200
        await reply.send(200, [("content-type", JSON)], body)

    def _admission(self, exchange: Exchange) -> Callable[[Attempt], Awaitable[None]]:
        async def admit(attempt: Attempt) -> None:
            exchange.attempts.append(attempt)
            await self.recorder.admit(exchange, attempt)

        return admit

    async def _relay(self, exchange: Exchange, answer: Answer, reply: Reply) -> None:
        call = exchange.call
