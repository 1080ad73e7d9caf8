"""The journey: its order, the one place that enforces, and how an exchange can end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, NamedTuple

import msgspec
import pytest

from gateway.auth.interfaces import Revocation, RevocationKind, StoredKey
from gateway.auth.keys.memory import MemoryKeyStore
from gateway.core.attempt import Cause
from gateway.core.decision import Mode
from gateway.core.errors import (
    ClientLeft,
    ErrorCode,
    GatewayError,
    Refused,
    StoreUnavailable,
    UpstreamFailed,
)
from gateway.core.exchange import Exchange, Outcome
from gateway.core.policy import (
    AllowList,
    Budget,
    Catalogue,
    Counted,
    FilterKind,
    FilterRule,
    Limit,
    Period,
    Policy,
    Scope,
    ShapingKind,
    ShapingRule,
)
from gateway.core.principal import Principal
from gateway.core.usage import UsageSource
from gateway.core.usage_question import Whose
from gateway.limits.amounts import Amounts
from tests.support.journey import CATALOGUE, CHAT, COMPLETION, USAGE, Journey, a_completion, a_policy
from tests.support.memory import EVENTS, Books, MemoryAnswer, MemoryIncoming, MemoryReply

BROKEN = UpstreamFailed(ErrorCode.UPSTREAM_ERROR, "The upstream broke off its answer.")
USED_UP = Refused(ErrorCode.INSUFFICIENT_QUOTA, "The budget is used up.")
REVOKED = Refused(ErrorCode.INVALID_API_KEY, "The key was revoked.")
SMALL = Catalogue({name: replace(model, context_window=5) for name, model in CATALOGUE.models.items()})


def one_request(mode: Mode = Mode.ENFORCE) -> Limit:
    return Limit("team-requests", Counted.REQUESTS, (Scope.TEAM,), amount=1, burst=1, mode=mode)


def dollars(amount: int, mode: Mode = Mode.ENFORCE, *, strict: bool = False) -> Budget:
    return Budget("month", Counted.DOLLARS, (Scope.TEAM,), amount, Period.MONTH, mode=mode, strict=strict)


def no_secrets(mode: Mode = Mode.ENFORCE) -> FilterRule:
    return FilterRule("names", FilterKind.PATTERNS, mode, patterns=("(?i)codename",))


def window(mode: Mode = Mode.ENFORCE) -> ShapingRule:
    return ShapingRule("window", ShapingKind.CONTEXT_WINDOW, mode)


def clamp(mode: Mode = Mode.ENFORCE) -> ShapingRule:
    return ShapingRule("short", ShapingKind.CLAMP, mode, member="max_tokens", at_most=10)


async def error_of(journey: Journey, incoming: MemoryIncoming | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as failed:
        await journey.run(incoming)
    return failed.value


# What goes well.


async def test_an_answer_is_what_the_upstream_said() -> None:
    exchange, reply = await Journey().run()
    assert (reply.status, reply.json, reply.ended) == (200, COMPLETION, True)
    assert exchange.outcome is Outcome.SERVED


async def test_the_upstream_is_asked_what_the_client_asked() -> None:
    journey = Journey()
    await journey.run(await journey.request(query="api-version=1"))
    (sent,) = journey.upstreams.outgoing
    assert (sent.method, sent.path, sent.query) == ("POST", "/chat/completions", "api-version=1")
    assert journey.upstreams.bodies == [{**CHAT, "model": "gpt-4o-2024"}]


async def test_the_upstream_never_sees_the_clients_key() -> None:
    journey = Journey()
    key = await journey.key()
    await journey.run(await journey.request(key=key, headers={"cookie": "a=b", "x-forwarded-for": "::1"}))
    (sent,) = journey.upstreams.outgoing
    assert key not in str(sent.headers)
    assert {name for name, _ in sent.headers} == {"content-type", "content-length", "accept-encoding"}


async def test_an_alias_is_resolved_for_the_upstream() -> None:
    journey = Journey()
    exchange, _ = await journey.run(await journey.request({**CHAT, "model": "fast"}))
    assert journey.upstreams.bodies[0]["model"] == "gpt-4o-mini-2024"
    assert (exchange.asked_model, exchange.model and exchange.model.name) == ("fast", "gpt-4o-mini")


async def test_what_was_used_is_on_record() -> None:
    journey = Journey()
    await journey.run()
    (settlement,) = journey.ledger.settled
    assert (settlement.cause, settlement.usage.input_tokens) == (Cause.SERVED, 9)


async def test_the_answer_is_given_back_when_it_is_over() -> None:
    answer = a_completion()
    await Journey(answer).run()
    assert answer.given_back


async def test_an_answer_that_breaks_is_given_back_too() -> None:
    answer = MemoryAnswer(b"{", BROKEN)
    await error_of(Journey(answer))
    assert answer.given_back


async def test_a_legacy_edit_is_asked_as_a_chat_and_answered_as_an_edit() -> None:
    journey = Journey()
    edit = {"model": "gpt-4o", "input": "Helo", "instruction": "Mend it"}
    _, reply = await journey.run(await journey.request(edit, path="/v1/edits"))
    assert journey.upstreams.outgoing[0].path == "/chat/completions"
    assert reply.json["object"] == "edit"


async def test_a_stream_has_the_headers_of_one() -> None:
    journey = Journey(MemoryAnswer(b"data: [DONE]\n\n", content_type=EVENTS))
    _, reply = await journey.run(await journey.request({**CHAT, "stream": True}))
    assert reply.headers["cache-control"] == "no-cache, no-transform"
    assert reply.headers["x-accel-buffering"] == "no"


CHUNK = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}\n\n'


@pytest.mark.parametrize(
    ("options", "shown"),
    [({}, b""), ({"stream_options": {"include_usage": True}}, CHUNK)],
    ids=["hid", "asked"],
)
async def test_the_usage_of_a_stream_is_read_and_shown_to_those_who_asked(
    options: dict[str, Any], shown: bytes
) -> None:
    journey = Journey(MemoryAnswer(CHUNK, b"data: [DONE]\n\n", content_type=EVENTS))
    exchange, reply = await journey.run(await journey.request({**CHAT, "stream": True, **options}))
    assert reply.body == shown + b"data: [DONE]\n\n"
    assert exchange.usage is not None
    assert exchange.usage.source is UsageSource.PROVIDER
    assert journey.upstreams.bodies[0]["stream_options"] == {"include_usage": True}


async def test_a_compressed_answer_is_passed_on_as_it_is_and_estimated() -> None:
    answer = MemoryAnswer(b"\x1f\x8b...", headers={"content-encoding": "gzip"})
    exchange, reply = await Journey(answer).run()
    assert (reply.body, reply.headers["content-encoding"]) == (b"\x1f\x8b...", "gzip")
    assert exchange.usage is not None
    assert exchange.usage.source is UsageSource.ESTIMATED


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nID3\r\n--b--\r\n'
)


async def test_a_form_is_passed_on() -> None:
    journey = Journey(MemoryAnswer(b'{"text": "Hello"}'))
    incoming = await journey.request(
        FORM, path="/v1/audio/transcriptions", headers={"content-type": "multipart/form-data; boundary=b"}
    )
    exchange, _ = await journey.run(incoming)
    assert exchange.outcome is Outcome.SERVED
    assert exchange.call is not None
    assert exchange.call.get("model") == "whisper-1-2024"


@pytest.mark.parametrize(
    "tries", [(MemoryAnswer(b"{}"),), (BROKEN,), (ZeroDivisionError(),)], ids=["served", "broken", "faulty"]
)
async def test_a_form_is_closed_however_it_ends(tries: tuple[Any, ...]) -> None:
    journey = Journey(*tries)
    incoming = await journey.request(
        FORM, path="/v1/audio/transcriptions", headers={"content-type": "multipart/form-data; boundary=b"}
    )
    await asyncio.wait([asyncio.create_task(journey.run(incoming))])
    call = journey.last.call
    assert call is not None
    assert not isinstance(call.body, bytes)
    assert call.body.spool.closed


# What takes time to arrive.


@dataclass
class Arriving:
    """An `Incoming` that a revocation overtakes: its body ends when its team has been taken back."""

    journey: Journey
    head: MemoryIncoming

    def __getattr__(self, name: str) -> Any:
        return getattr(self.head, name)

    async def body(self, limit: int) -> AsyncIterator[bytes]:
        yield await self.read(limit)

    async def read(self, limit: int) -> bytes:
        revocation = Revocation("rev_1", RevocationKind.TEAM, "search", 0, 2**40, 0, "ops")
        self.journey.revocations.replace([revocation])
        return await self.head.read(limit)


@pytest.mark.parametrize(
    ("body", "path", "content_type"),
    [
        (msgspec.json.encode(CHAT), "/v1/chat/completions", "application/json"),
        (FORM, "/v1/audio/transcriptions", "multipart/form-data; boundary=b"),
    ],
)
async def test_what_has_arrived_when_its_credential_is_revoked_is_not_sent(
    body: bytes, path: str, content_type: str
) -> None:
    journey = Journey()
    head = await journey.request(body, path=path, headers={"content-type": content_type})
    exchange = journey.exchange()
    with pytest.raises(Refused) as refused:
        await journey.pipeline.run(exchange, Arriving(journey, head), MemoryReply())
    assert (refused.value.code, refused.value.rule) == (ErrorCode.INVALID_API_KEY, "auth.revocation")
    assert (exchange.outcome, journey.upstreams.outgoing, journey.ledger.admitted) == (
        Outcome.REFUSED,
        [],
        [],
    )


# What the gateway answers by itself.


async def catalogue(journey: Journey, path: str) -> Any:
    _, reply = await journey.run(await journey.request(b"", method="GET", path=path))
    return reply.json


async def test_models_are_those_that_the_caller_may_use() -> None:
    journey = Journey(policy=a_policy(models=AllowList(("gpt-*",))))
    listed = await catalogue(journey, "/v1/models")
    assert [model["id"] for model in listed["data"]] == ["gpt-4o", "gpt-4o-mini"]
    assert journey.upstreams.outgoing == []


@pytest.mark.parametrize("name", ["gpt-4o", "gpt%2D4o", "%67pt-4o"])
async def test_one_model_is_found_by_its_name(name: str) -> None:
    assert (await catalogue(Journey(), f"/v1/models/{name}"))["id"] == "gpt-4o"


@pytest.mark.parametrize("name", ["unheard-of", "%2567pt-4o", "whisper-1"])
async def test_one_model_that_the_caller_may_not_use_is_not_found(name: str) -> None:
    journey = Journey(policy=a_policy(models=AllowList(("gpt-*",))))
    error = await error_of(journey, await journey.request(b"", method="GET", path=f"/v1/models/{name}"))
    assert error.code is ErrorCode.NOT_FOUND


async def test_usage_is_that_of_the_callers_team() -> None:
    journey = Journey()
    incoming = await journey.request(b"", method="GET", path="/v1/organization/costs", query="start_time=0")
    exchange, reply = await journey.run(incoming)
    (question,) = journey.usage.questions
    assert (reply.json["object"], question.only) == ("page", {Whose.TEAM: {"search"}})
    assert (exchange.outcome, exchange.attempts, incoming.was_read) == (Outcome.SERVED, [], False)


async def test_usage_is_refused_to_whom_its_endpoint_is_not_allowed() -> None:
    journey = Journey(policy=a_policy(endpoints=AllowList(("chat_completions",))))
    incoming = await journey.request(b"", method="GET", path="/v1/organization/costs", query="start_time=0")
    assert (await error_of(journey, incoming)).code is ErrorCode.ENDPOINT_NOT_ALLOWED
    assert journey.usage.questions == []


# The four modes, in the one place that knows them.


@dataclass(frozen=True)
class Rule:
    """A rule that a request breaks, in any mode."""

    name: str
    code: ErrorCode
    policy: Callable[[Mode], Policy]
    body: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    """Under which it is counted."""


RULES = [
    Rule(
        "endpoints",
        ErrorCode.ENDPOINT_NOT_ALLOWED,
        lambda mode: a_policy(endpoints=AllowList(("embeddings",), mode)),
        label="endpoints",
    ),
    Rule(
        "models",
        ErrorCode.MODEL_NOT_ALLOWED,
        lambda mode: a_policy(models=AllowList(("whisper-1",), mode)),
        label="models",
    ),
    Rule(
        "objects",
        ErrorCode.NOT_FOUND,
        lambda mode: a_policy(objects=mode),
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        label="objects",
    ),
    Rule(
        "filter",
        ErrorCode.CONTENT_POLICY_VIOLATION,
        lambda mode: a_policy(filters=(no_secrets(mode),)),
        {"messages": [{"role": "user", "content": "Codename Sunrise"}]},
        label="filters.names",
    ),
    Rule(
        "context window",
        ErrorCode.CONTEXT_LENGTH_EXCEEDED,
        lambda mode: a_policy(shaping=(window(mode),), catalogue=SMALL),
        {"messages": [{"role": "user", "content": "word " * 50}]},
        label="shaping.window",
    ),
    Rule(
        "limit",
        ErrorCode.REQUEST_EXCEEDS_LIMIT,
        lambda mode: a_policy(
            limits=(Limit("few", Counted.TOKENS, (Scope.TEAM,), amount=10, burst=10, mode=mode),)
        ),
        label="limits.few",
    ),
    Rule(
        "budget",
        ErrorCode.REQUEST_EXCEEDS_LIMIT,
        lambda mode: a_policy(budgets=(dollars(10, mode),)),
        label="budgets.month",
    ),
    Rule(
        "bound",
        ErrorCode.REQUEST_EXCEEDS_LIMIT,
        lambda mode: a_policy(budgets=(dollars(1_000_000, mode, strict=True),)),
        label="budgets.month",
    ),
]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


async def broken(rule: Rule, mode: Mode) -> tuple[Journey, Exchange, GatewayError | None]:
    """A request that breaks the rule, and what came of it."""
    journey = Journey(policy=rule.policy(mode))
    incoming = await journey.request({**CHAT, **rule.body})
    try:
        await journey.run(incoming)
    except GatewayError as error:
        return journey, journey.last, error
    return journey, journey.last, None


def decisions(journey: Journey) -> list[str]:
    lines = journey.metrics.render().decode().splitlines()
    return [line for line in lines if line.startswith("gateway_rule_hits_total")]


@each_rule
async def test_a_rule_that_is_enforced_refuses(rule: Rule) -> None:
    journey, exchange, error = await broken(rule, Mode.ENFORCE)
    assert error is not None
    assert error.code is rule.code
    assert (exchange.outcome, exchange.error) == (Outcome.REFUSED, error)
    assert journey.upstreams.outgoing == []


@each_rule
@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN])
async def test_a_rule_that_is_not_enforced_only_notes(rule: Rule, mode: Mode) -> None:
    journey, exchange, error = await broken(rule, mode)
    assert error is None
    assert exchange.outcome is Outcome.SERVED
    assert [(note.code, note.mode) for note in exchange.notes] == [(rule.code, mode)]
    assert len(journey.upstreams.outgoing) == 1


@each_rule
async def test_a_rule_that_is_off_is_none(rule: Rule) -> None:
    journey, exchange, error = await broken(rule, Mode.OFF)
    assert error is None
    assert (exchange.notes, decisions(journey)) == ([], [])


@each_rule
@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN, Mode.ENFORCE])
async def test_a_decision_is_counted_with_its_mode(rule: Rule, mode: Mode) -> None:
    journey, _, _ = await broken(rule, mode)
    (counted,) = decisions(journey)
    assert f'rule="{rule.label}"' in counted
    assert f'mode="{mode}"' in counted
    assert 'team="search"' in counted


async def test_what_is_refused_says_which_rule_it_was() -> None:
    _, _, error = await broken(RULES[3], Mode.ENFORCE)
    assert error is not None
    assert error.rule == "filters.names"


async def test_a_clamp_changes_what_is_sent() -> None:
    journey = Journey(policy=a_policy(shaping=(clamp(),)))
    exchange, _ = await journey.run(await journey.request({**CHAT, "max_tokens": 500}))
    assert journey.upstreams.bodies[0]["max_tokens"] == 10
    assert exchange.notes == []


async def test_a_clamp_in_the_shadow_changes_nothing() -> None:
    journey = Journey(policy=a_policy(shaping=(clamp(Mode.SHADOW),)))
    exchange, _ = await journey.run(await journey.request({**CHAT, "max_tokens": 500}))
    assert journey.upstreams.bodies[0]["max_tokens"] == 500
    assert [note.mode for note in exchange.notes] == [Mode.SHADOW]


async def test_an_endpoint_that_is_not_served_is_refused_whatever_the_policy_says() -> None:
    journey = Journey(policy=a_policy(endpoints=AllowList((), Mode.OFF)))
    error = await error_of(journey, await journey.request(b"", method="GET", path="/v1/files"))
    assert error.code is ErrorCode.ENDPOINT_NOT_ALLOWED


# The order of refusals.


@dataclass
class Plan:
    """A request that goes well, before faults are added to it."""

    policy: Policy = field(default_factory=a_policy)
    body: dict[str, Any] = field(default_factory=lambda: dict(CHAT))
    raw: bytes | None = None
    path: str = "/v1/chat/completions"
    key: str | None = None
    team: str = "search"
    headers: dict[str, str] = field(default_factory=dict)
    draining: bool = False
    refused_before: bool = False
    good_for: int = 1000
    upstream: Any = field(default_factory=a_completion)


def _said(plan: Plan, part: dict[str, Any]) -> None:
    plan.body["messages"] = [*plan.body["messages"], part]


def _ruled(plan: Plan, **changes: Any) -> None:
    plan.policy = replace(plan.policy, **changes)


def _broke_the_filter(plan: Plan) -> None:
    _said(plan, {"role": "user", "content": "Codename X"})
    _ruled(plan, filters=(no_secrets(),))


class Fault(NamedTuple):
    """Something that is wrong with a request, or with the house."""

    name: str
    code: ErrorCode
    add: Callable[[Plan], None]


FAULTS = [
    Fault("draining", ErrorCode.DRAINING, lambda plan: setattr(plan, "draining", True)),
    Fault("path", ErrorCode.UNKNOWN_ENDPOINT, lambda plan: setattr(plan, "path", "/v1/nowhere")),
    Fault("head", ErrorCode.BAD_REQUEST, lambda plan: plan.headers.update(expect="the worst")),
    Fault("key", ErrorCode.INVALID_API_KEY, lambda plan: setattr(plan, "key", "sk-wrong")),
    Fault("team", ErrorCode.PERMISSION_DENIED, lambda plan: setattr(plan, "team", "unheard-of")),
    Fault("again", ErrorCode.RATE_LIMIT_EXCEEDED, lambda plan: setattr(plan, "refused_before", True)),
    Fault(
        "endpoint",
        ErrorCode.ENDPOINT_NOT_ALLOWED,
        lambda plan: _ruled(plan, endpoints=AllowList(("embeddings",))),
    ),
    Fault("body", ErrorCode.INVALID_JSON, lambda plan: setattr(plan, "raw", b"{")),
    Fault("model", ErrorCode.MODEL_NOT_ALLOWED, lambda plan: plan.body.update(model="unheard-of")),
    Fault(
        "object",
        ErrorCode.NOT_FOUND,
        lambda plan: _said(plan, {"role": "user", "content": [{"file": {"file_id": "file-1"}}]}),
    ),
    Fault(
        "filter",
        ErrorCode.CONTENT_POLICY_VIOLATION,
        _broke_the_filter,
    ),
    Fault(
        "window",
        ErrorCode.CONTEXT_LENGTH_EXCEEDED,
        lambda plan: _ruled(plan, shaping=(window(),), catalogue=SMALL),
    ),
    Fault(
        "bound",
        ErrorCode.REQUEST_EXCEEDS_LIMIT,
        lambda plan: _ruled(plan, budgets=(dollars(1_000_000, strict=True),)),
    ),
    Fault(
        "limit",
        ErrorCode.REQUEST_EXCEEDS_LIMIT,
        lambda plan: _ruled(plan, limits=(Limit("few", Counted.TOKENS, (Scope.TEAM,), amount=1, burst=1),)),
    ),
    Fault("record", ErrorCode.METERING_UNAVAILABLE, lambda plan: setattr(plan, "good_for", 0)),
    Fault("upstream", ErrorCode.UPSTREAM_ERROR, lambda plan: setattr(plan, "upstream", BROKEN)),
]


async def refused_by(plan: Plan) -> tuple[GatewayError, MemoryIncoming]:
    journey = Journey(plan.upstream, policy=plan.policy, ledger=Books(good_for=plan.good_for))
    journey.gate.draining = plan.draining
    key = plan.key or await journey.key(plan.team)
    incoming = await journey.request(
        plan.body if plan.raw is None else plan.raw, key=key, path=plan.path, headers=plan.headers
    )
    if plan.refused_before:
        await refuse_for_rate(journey, key)
    return await error_of(journey, incoming), incoming


async def refuse_for_rate(journey: Journey, key: str) -> None:
    """As if the key had just asked once too often."""
    principal = await journey.pipeline.authenticator.authenticate(
        MemoryIncoming(headers={"authorization": f"Bearer {key}"})
    )
    if isinstance(principal, Principal):
        policy = replace(journey.book.policy_set.teams["search"].policy, limits=(one_request(),))
        for number in range(2):
            held = await journey.reservations.reserve(
                f"before_{number}", principal, policy, "gpt-4o", Amounts(requests=1)
            )
            held.settle(Amounts(requests=1))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_every_fault_has_its_code(fault: Fault) -> None:
    plan = Plan()
    fault.add(plan)
    error, _ = await refused_by(plan)
    assert error.code is fault.code


@pytest.mark.parametrize(("earlier", "later"), list(combinations(FAULTS, 2)), ids=lambda fault: fault.name)
async def test_of_two_faults_the_earlier_one_is_told(earlier: Fault, later: Fault) -> None:
    plan = Plan()
    later.add(plan)
    earlier.add(plan)
    error, _ = await refused_by(plan)
    assert error.code is earlier.code


@pytest.mark.parametrize("fault", FAULTS[:7], ids=lambda fault: fault.name)
async def test_a_body_is_not_read_before_it_is_known_who_asks_for_what(fault: Fault) -> None:
    plan = Plan()
    fault.add(plan)
    _, incoming = await refused_by(plan)
    assert not incoming.was_read


async def test_who_is_refused_again_is_told_what_is_left_and_when_to_come() -> None:
    journey = Journey(policy=a_policy(limits=(one_request(),)))
    key = await journey.key()
    await journey.run(await journey.request(key=key))
    first = await error_of(journey, await journey.request(key=key))
    again = await error_of(journey, await journey.request(key=key))
    assert first.code is again.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert journey.last.standings[0].remaining == 0
    assert again.retry_after == first.retry_after


@pytest.mark.parametrize("amount", [1, 5])
async def test_what_is_left_of_a_limit_is_known(amount: int) -> None:
    limit = replace(one_request(), amount=amount, burst=amount)
    exchange, _ = await Journey(policy=a_policy(limits=(limit,))).run()
    assert [standing.remaining for standing in exchange.standings] == [amount - 1]


async def test_a_key_that_cannot_be_checked_is_not_called_wrong() -> None:
    class Away(MemoryKeyStore):
        async def find(self, key_id: str) -> StoredKey | None:
            raise StoreUnavailable("away")

    error = await error_of(Journey(keys=Away()))
    assert (error.code, error.retry_after) == (ErrorCode.OVERLOADED, 1.0)


async def test_a_full_gateway_turns_away() -> None:
    assert (await error_of(Journey(most=0))).code is ErrorCode.OVERLOADED


async def test_a_refusal_costs_nothing() -> None:
    journey = Journey(policy=a_policy(filters=(no_secrets(),), limits=(one_request(),)))
    body = {**CHAT, "messages": [{"role": "user", "content": "Codename X"}]}
    for _ in range(3):
        error = await error_of(journey, await journey.request(body))
        assert error.code is ErrorCode.CONTENT_POLICY_VIOLATION
    assert journey.ledger.admitted == []


# How it ends.


@dataclass(frozen=True)
class End:
    name: str
    tries: tuple[Any, ...]
    outcome: Outcome
    status: int | None
    error: ErrorCode | None = None
    raises: type[BaseException] | None = None


def _answer(status: int, body: bytes = b'{"error": {"code": "x"}}') -> MemoryAnswer:
    return MemoryAnswer(body, status=status)


ENDS = [
    End("served", (a_completion(),), Outcome.SERVED, 200),
    End("the client's mistake", (_answer(400),), Outcome.SERVED, 400),
    End("not found", (_answer(404),), Outcome.SERVED, 404),
    End("limited by the upstream", (_answer(429),), Outcome.UPSTREAM_FAILED, 429),
    End("failed by the upstream", (_answer(500),), Outcome.UPSTREAM_FAILED, 500),
    End("away", (_answer(503),), Outcome.UPSTREAM_FAILED, 503),
    End(
        "an error inside a good stream",
        (MemoryAnswer(b'data: {"error": {"code": "x"}}\n\n', content_type=EVENTS),),
        Outcome.UPSTREAM_FAILED,
        200,
    ),
    End("no answer", (BROKEN,), Outcome.UPSTREAM_FAILED, 502, ErrorCode.UPSTREAM_ERROR, UpstreamFailed),
    End(
        "a broken answer of which the client saw nothing",
        (MemoryAnswer(b"{", BROKEN),),
        Outcome.UPSTREAM_FAILED,
        502,
        ErrorCode.UPSTREAM_ERROR,
        UpstreamFailed,
    ),
    End(
        "a broken stream",
        (MemoryAnswer(b"data: 1\n\n", BROKEN, content_type=EVENTS),),
        Outcome.UPSTREAM_FAILED,
        200,
        ErrorCode.UPSTREAM_ERROR,
        UpstreamFailed,
    ),
    End("a fault", (ZeroDivisionError(),), Outcome.FAILED, 500, ErrorCode.INTERNAL_ERROR, ZeroDivisionError),
    End(
        "a fault in the middle",
        (MemoryAnswer(b"data: 1\n\n", ZeroDivisionError(), content_type=EVENTS),),
        Outcome.FAILED,
        200,
        ErrorCode.INTERNAL_ERROR,
        ZeroDivisionError,
    ),
    End(
        "no more room in a budget",
        (MemoryAnswer(b"data: 1\n\n", USED_UP, content_type=EVENTS),),
        Outcome.CUT,
        200,
        ErrorCode.INSUFFICIENT_QUOTA,
        Refused,
    ),
    End(
        "a revoked key",
        (MemoryAnswer(b"data: 1\n\n", REVOKED, content_type=EVENTS),),
        Outcome.CUT,
        200,
        ErrorCode.INVALID_API_KEY,
        Refused,
    ),
    End("the client left", (ClientLeft("gone"),), Outcome.CLIENT_LEFT, None, None, ClientLeft),
    End("called off", (asyncio.CancelledError(),), Outcome.CLIENT_LEFT, None, None, asyncio.CancelledError),
]
each_end = pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)


async def ended(end: End) -> Journey:
    journey = Journey(*end.tries)
    incoming = await journey.request({**CHAT, "stream": True})
    if end.raises is None:
        await journey.run(incoming)
    else:
        with pytest.raises(end.raises):
            await journey.run(incoming)
    return journey


@each_end
async def test_every_end_has_its_outcome(end: End) -> None:
    exchange = (await ended(end)).last
    assert exchange.outcome is end.outcome
    assert (exchange.error and exchange.error.code) == end.error


@each_end
async def test_the_status_is_what_the_client_was_told(end: End) -> None:
    assert (await ended(end)).last.status == end.status


@each_end
async def test_every_end_is_logged_in_one_line(end: End) -> None:
    journey = await ended(end)
    (line,) = journey.log.of("exchange")
    assert (line["request_id"], line["outcome"], line["status"]) == ("req_1", end.outcome, end.status)


@each_end
async def test_every_end_is_counted_once(end: End) -> None:
    journey = await ended(end)
    lines = journey.metrics.render().decode().splitlines()
    (counted,) = [line for line in lines if line.startswith("gateway_exchanges_total")]
    assert f'outcome="{end.outcome}"' in counted
    assert counted.endswith(" 1.0")


@each_end
async def test_whoever_was_inside_is_outside_at_every_end(end: End) -> None:
    journey = await ended(end)
    assert journey.gate.inside == 0
    await journey.gate.empty()


@each_end
async def test_every_attempt_is_settled_once_at_every_end(end: End) -> None:
    journey = await ended(end)
    assert len(journey.ledger.admitted) == len(journey.ledger.settled) == 1


@each_end
async def test_every_reservation_is_settled_at_every_end(end: End) -> None:
    journey = await ended(end)
    assert journey.leaked == []


async def test_the_client_can_leave_at_any_moment() -> None:
    """Called off at each of its waits in turn, an exchange is finished and settled all the same."""
    for turns in range(30):
        journey = Journey(policy=a_policy(limits=(one_request(),)))
        task = asyncio.create_task(journey.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        await asyncio.wait([task])
        await journey.settle()
        assert len(journey.ledger.admitted) == len(journey.ledger.settled)
        assert (journey.leaked, journey.gate.inside) == ([], 0)
        assert len(journey.log.of("exchange")) == (0 if turns == 0 else 1)


async def test_a_client_that_leaves_while_the_upstream_is_silent_is_charged_for_what_it_asked() -> None:
    journey = Journey(asyncio.Event())
    task = asyncio.create_task(journey.run())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    (settlement,) = journey.ledger.settled
    assert (settlement.cause, settlement.usage.source) == (Cause.CLIENT_LEFT, UsageSource.PARTIAL)
    assert settlement.usage.input_tokens > 0


async def test_a_client_that_leaves_in_the_middle_is_charged_for_what_passed() -> None:
    word = b'data: {"choices":[{"delta":{"content":"hello there"}}]}\n\n'
    reply = MemoryReply()
    answer = MemoryAnswer(word, lambda: setattr(reply, "gone", True), word, content_type=EVENTS)
    journey = Journey(answer)
    incoming = await journey.request({**CHAT, "stream": True})
    with pytest.raises(ClientLeft):
        await journey.run(incoming, reply)
    (settlement,) = journey.ledger.settled
    assert (settlement.cause, settlement.usage.source) == (Cause.CLIENT_LEFT, UsageSource.PARTIAL)
    assert settlement.usage.output_tokens > 0


async def test_what_still_waits_when_the_gateway_stops_is_told_so() -> None:
    journey = Journey(asyncio.Event())
    task = asyncio.create_task(error_of(journey))
    for _ in range(20):
        await asyncio.sleep(0)
    journey.gate.clear()
    assert (await task).code is ErrorCode.DRAINING
    assert journey.last.outcome is Outcome.FAILED
    assert len(journey.ledger.settled) == 1


async def test_what_was_really_spent_is_what_the_budget_is_charged() -> None:
    journey = Journey(_answer(500), a_completion(), policy=a_policy(budgets=(dollars(1_000_000),)))
    await journey.run()
    await journey.settle()
    (charged,) = journey.charged
    assert charged.after - charged.before == sum(line.cost or 0 for line in journey.ledger.settled) == 39


async def test_what_answers_had_is_what_the_next_is_expected_to_have() -> None:
    usage = {**USAGE, "completion_tokens": 4256, "total_tokens": 4265}
    journey = Journey(MemoryAnswer(msgspec.json.encode({**COMPLETION, "usage": usage})))
    key = await journey.key()
    for _ in range(3):
        await journey.run(await journey.request(key=key))
    estimates = [admission.estimate.output_tokens for admission in journey.ledger.admitted]
    assert estimates == [256, 756, 1194]


async def test_a_retry_is_an_attempt_of_its_own() -> None:
    journey = Journey(_answer(500), a_completion())
    exchange, _ = await journey.run()
    assert [attempt.number for attempt in exchange.attempts] == [1, 2]
    assert [line.attempt_id for line in journey.ledger.settled] == ["att_1", "att_2"]


async def test_the_log_never_says_what_was_said() -> None:
    journey = Journey(MemoryAnswer(b'{"choices": [{"message": {"content": "Sunrise"}}]}'))
    key = await journey.key()
    body = {**CHAT, "messages": [{"role": "user", "content": "Codename"}]}
    await journey.run(await journey.request(body, key=key))
    assert not any(word in journey.log.text for word in ("Codename", "Sunrise", key))
