"""THE JOURNEY: the order of events for one exchange. This file is the only place that knows it.

Concerns decide and return values; `_enforce` is the one place that acts on a decision, and the only one
that knows the four modes of rules. Every exchange, however it ends, passes `_finish`, which does not
wait: a client that hangs up cannot lose its ledger line.
"""

import asyncio
from collections.abc import Iterable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import msgspec
import structlog

from gateway.accounting import CUTS, Accounting
from gateway.audit.refusals import RefusalTally
from gateway.auth.interfaces import Authenticator
from gateway.auth.tokens.exchange import TokenExchange
from gateway.core.call import Call, Form
from gateway.core.clock import Clock
from gateway.core.decision import Deny, Mode
from gateway.core.endpoint import JSON, MULTIPART, Endpoint
from gateway.core.errors import (
    ClientLeft,
    ErrorCode,
    GatewayError,
    Refused,
    StoreUnavailable,
    UpstreamFailed,
)
from gateway.core.exchange import Exchange, Outcome
from gateway.core.incoming import Incoming, Reply
from gateway.core.policy import Model, Policy
from gateway.core.principal import Principal
from gateway.draining import Draining
from gateway.expectation import Expectations, Expected
from gateway.explaining.counters import missed
from gateway.explaining.recent import Recent
from gateway.filters.reviewer import Reviewer
from gateway.gate import Gate
from gateway.limits.interfaces import Refusal
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservation, Reservations
from gateway.local_answers import LocalAnswers
from gateway.oversight import Oversight
from gateway.ownership.references import check_references
from gateway.policies.authorize import authorize_call, authorize_endpoint
from gateway.policies.book import PolicyBook
from gateway.relay import Relay
from gateway.shaping.shape import Shaper
from gateway.shaping.usage import asked_for_usage
from gateway.telemetry.exchange_log import log_exchange
from gateway.telemetry.metrics import Metrics
from gateway.upstream.interfaces import Answer, Outgoing, Upstreams
from gateway.wire.endpoints import CHAT_COMPLETIONS, EDITS, TOKEN_EXCHANGE, EndpointTable, Match
from gateway.wire.headers import check_head, media_type, to_client, to_upstream
from gateway.wire.legacy_edits import from_chat, to_chat
from gateway.wire.multipart import FormReader, parse_form
from gateway.wire.outgoing import encode
from gateway.wire.parse import parse_json
from gateway.wire.tokens import Tokenizer
from gateway.wire.usage_reader import AnswerReader, answer_reader

_T = TypeVar("_T")

_TOKEN_FORM_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class CallBounds:
    """How large a request may be."""

    json_bytes: int
    form_bytes: int
    json_depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Takes one exchange from its first byte to its ledger line."""

    clock: Clock
    gate: Gate
    endpoints: EndpointTable
    authenticator: Authenticator
    policies: PolicyBook
    refusals: RecentRefusals
    local_answers: LocalAnswers
    bounds: CallBounds
    reviewer: Reviewer
    shaper: Shaper
    expectations: Expectations
    reservations: Reservations
    accounting: Accounting
    upstreams: Upstreams
    relay: Relay
    oversight: Oversight
    tokenizer: Tokenizer
    metrics: Metrics
    log: structlog.stdlib.BoundLogger
    draining: Draining
    token_exchange: TokenExchange
    recent: Recent
    refusal_tally: RefusalTally

    async def run(self, exchange: Exchange, incoming: Incoming, reply: Reply) -> None:
        """Raises what ended the exchange early: GatewayError, ClientLeft, or a fault of our own."""
        with self.gate:
            try:
                await self._travel(exchange, incoming, reply)
                exchange.conclude(_outcome_of_answer(exchange))
            except UpstreamFailed as error:
                exchange.conclude(Outcome.UPSTREAM_FAILED, error)
                raise
            except GatewayError as error:
                exchange.conclude(_outcome_of_refusal(exchange, error), error)
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
        if endpoint is TOKEN_EXCHANGE:
            await self._exchange_token(exchange, incoming, reply)
            return
        # 2  authenticate: who asks?
        principal = exchange.principal = await self._authenticate(incoming)
        # 3  find the policy: what may they do? Whoever was refused for rate a moment ago still is, unread.
        policy = exchange.policy = _certain(self.policies.policy_for(principal))
        self._refuse_again(exchange, self.refusals.find(principal, policy))
        self._enforce(exchange, _not_served(endpoint))
        self._enforce(exchange, authorize_endpoint(policy, endpoint))
        if endpoint.local:
            await self._answer_here(exchange, policy, match, incoming.query, reply)
            return
        # 4  read, within bounds, and parse, strictly
        call = exchange.call = await self._read(endpoint, incoming)
        with closing(call.body) if isinstance(call.body, Form) else nullcontext():
            self.oversight.check(principal)  # an upload can take hours
            # 5  authorise the model, the tools, and every object that the body names
            exchange.asked_model = call.model
            self._enforce(exchange, authorize_call(policy, call))
            self._enforce(exchange, check_references(call, policy.objects))
            model = exchange.model = _known(policy, call)
            # 6  review what is said
            self._enforce(exchange, await self.reviewer.review(policy.filters, call.texts))
            # 7  shape
            shaped = self.shaper.shape(_in_current_terms(call), policy, principal, model)
            self._enforce(exchange, shaped.notes)
            call = exchange.call = shaped.call
            # 8  reserve everything at once, or nothing
            expected = self.expectations.of(principal, policy, call, model, self.clock.now())
            self._enforce(exchange, expected.denials)
            with await self.reservations.reserve(
                exchange.id, principal, policy, model.name, expected.amounts, expected.bound
            ) as held:
                exchange.standings = held.standings
                exchange.missed = missed(held.refusal, exchange.received_at)
                self._enforce(exchange, held.denials)
                # 9 to 11 go on without the client, too, where the policy says so
                spend = partial(self._spend, exchange, held, call, model, expected, incoming)
                await self.draining.see_through(exchange, reply, spend)
        # 12 finish: done by `run`, whatever happened here

    async def _spend(
        self,
        exchange: Exchange,
        held: Reservation,
        call: Call,
        model: Model,
        expected: Expected,
        incoming: Incoming,
        reply: Reply,
    ) -> None:
        with self.accounting.of(exchange, held, call, model, expected), self.gate.until_cleared():
            # 9  send; every attempt is on record before its first byte
            outgoing, admit = _outgoing(call, incoming), self.accounting.admission(exchange, expected)
            with await self.upstreams.send(model, outgoing, admit) as answer:
                # 10 relay, while a side reader watches for usage; what outgrows `held` asks for more
                await self._relay(exchange, held, call, model, answer, reply)
        # 11 settle: done by leaving `accounting`, whatever happened inside

    async def _authenticate(self, incoming: Incoming) -> Principal:
        """A key that cannot be checked at the moment is not called wrong: clients would throw it away."""
        try:
            return _certain(await self.authenticator.authenticate(incoming))
        except StoreUnavailable as error:
            raise Refused(
                ErrorCode.OVERLOADED,
                "Your credential could not be checked at the moment. Send the request again.",
                retry_after=1.0,
            ) from error

    def _enforce(self, exchange: Exchange, decisions: Iterable[Deny]) -> None:
        """The one place that acts on decisions. Raises Refused for the first one that is enforced."""
        for deny in decisions:
            if deny.mode is Mode.OFF:
                continue
            self.metrics.decided(exchange.policy.team if exchange.policy else "unknown", deny)
            if deny.mode is Mode.ENFORCE:
                raise _refused(deny)
            exchange.notes.append(deny)

    def _refuse_again(self, exchange: Exchange, refusal: Refusal | None) -> None:
        if refusal is not None:
            exchange.standings = refusal.standings
            exchange.missed = missed(refusal, exchange.received_at)
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

    async def _answer_here(
        self, exchange: Exchange, policy: Policy, match: Match, query: str, reply: Reply
    ) -> None:
        """What the gateway knows: models that this caller may use, usage of its team. No ledger line."""
        body = await self.local_answers.answer(match.endpoint, match.params, query, policy)
        exchange.status = 200
        await reply.send(200, [("content-type", JSON)], body)

    async def _exchange_token(self, exchange: Exchange, incoming: Incoming, reply: Reply) -> None:
        """A workload's token for a short-lived key. Here the credential stands in the body."""
        status, answer = await self.token_exchange.answer(await incoming.read(_TOKEN_FORM_BYTES))
        exchange.status = status
        if status >= 400:
            refusal = Refused(
                ErrorCode.INVALID_API_KEY, answer["error_description"], rule="auth.token_exchange"
            )
            exchange.conclude(Outcome.REFUSED, refusal)
        headers = [("content-type", JSON), ("cache-control", "no-store")]
        await reply.send(status, headers, msgspec.json.encode(answer))

    async def _relay(
        self, exchange: Exchange, held: Reservation, call: Call, model: Model, answer: Answer, reply: Reply
    ) -> None:
        exchange.status = answer.status
        events = answer.content_type == "text/event-stream"
        headers = to_client(answer.headers, stream=events)
        reader = self._reader(call, model, answer)
        try:
            if exchange.endpoint is EDITS:
                await self.relay.pass_translated(exchange, answer, reader, reply, headers, from_chat)
            elif events:
                with self.oversight.over(exchange, held, reader, call, model):
                    await self.relay.pass_on(exchange, answer, reader, reply, headers)
            else:
                await self.relay.pass_on(exchange, answer, reader, reply, headers)
        finally:
            if not reply.started:
                exchange.status = None  # the client will be told of something else
            self.accounting.observe(exchange, reader, call, model)

    def _reader(self, call: Call, model: Model, answer: Answer) -> AnswerReader:
        """A compressed answer, which was not asked for, is opaque: it is relayed as it is, and estimated."""
        opaque = answer.headers.get("content-encoding", "identity") != "identity"
        return answer_reader(
            call.endpoint,
            "application/octet-stream" if opaque else answer.content_type,
            conceal_usage=not asked_for_usage(call),
            count_tokens=partial(self.tokenizer.count, encoding=model.encoding),
        )

    def _finish(self, exchange: Exchange) -> None:
        """Metrics, the one log line, and what explains it. Does not wait, and nothing skips it."""
        exchange.finished = self.clock.monotonic()
        self.metrics.finished(exchange)
        self.recent.keep(exchange)
        self.refusal_tally.count(exchange)
        log_exchange(self.log, exchange)


def _certain(decision: _T | Deny) -> _T:
    """What was decided for, or the refusal."""
    if isinstance(decision, Deny):
        raise _refused(decision)
    return decision


def _refused(deny: Deny) -> Refused:
    return Refused(
        deny.code,
        deny.reason,
        param=deny.param,
        retry_after=deny.retry_after,
        rule=deny.rule,
        quotes=deny.quotes,
    )


def _not_served(endpoint: Endpoint) -> list[Deny]:
    """A Deny for what nobody may use yet, whatever a policy says: it could be neither owned nor metered."""
    if endpoint.refusal is None:
        return []
    reason = f"{endpoint.method} {endpoint.path} is not served here: {endpoint.refusal}."
    return [Deny(ErrorCode.ENDPOINT_NOT_ALLOWED, reason, rule="endpoints.not_served")]


def _known(policy: Policy, call: Call) -> Model:
    """The catalogue's entry. There is one: a call whose model has none was refused by `authorize_call`."""
    model = policy.catalogue.find(call.model or "")
    if model is None:
        raise Refused(ErrorCode.MODEL_NOT_ALLOWED, "There is no such model.", param="model")
    return model


def _in_current_terms(call: Call) -> Call:
    """Legacy edits are asked of the upstream as chat completions."""
    return to_chat(call, CHAT_COMPLETIONS) if call.endpoint is EDITS else call


def _outgoing(call: Call, incoming: Incoming) -> Outgoing:
    body, size = encode(call)
    return Outgoing(
        method=call.endpoint.method,
        path=call.endpoint.path.removeprefix("/v1"),
        query=incoming.query,
        headers=to_upstream(incoming.headers, call.content_type, size),
        body=body,
    )


def _outcome_of_refusal(exchange: Exchange, error: GatewayError) -> Outcome:
    """Of what we would not do, or not go on with."""
    if not exchange.attempts:
        return Outcome.REFUSED
    return Outcome.CUT if error.code in CUTS else Outcome.FAILED


def _outcome_of_answer(exchange: Exchange) -> Outcome:
    """Of an answer that was relayed to its end. The upstream tells its faults by status or in the stream."""
    status = exchange.status or 500
    in_band = exchange.observed is not None and exchange.observed.error is not None and status < 400
    return Outcome.UPSTREAM_FAILED if status >= 500 or status == 429 or in_band else Outcome.SERVED
