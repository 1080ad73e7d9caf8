"""Why a request ended as it did: for every way in which it can end, on any replica, with no word of it."""

import gc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import msgspec
import pytest

from gateway.core.call import Call
from gateway.core.decision import Deny, Mode
from gateway.core.errors import ClientLeft, ErrorCode, GatewayError, Refused, UpstreamFailed
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
from gateway.core.principal import CredentialKind, Principal
from gateway.core.standing import Standing
from gateway.core.usage import Observed
from gateway.explaining.explainer import MOST_REFUSALS, Explainer
from gateway.explaining.explanation import Counter, Decided, Explanation
from gateway.explaining.recent import Recent
from gateway.policies.book import PolicyBook
from gateway.policies.policy_set import PolicySet
from gateway.signals.interfaces import MOST_BYTES, Hear, Reply
from tests.support.exchanges import POLICY, served_exchange
from tests.support.journey import CATALOGUE, CHAT, Journey, a_policy
from tests.support.memory import EVENTS, Books, MemoryAnswer, MemoryReply

SMALL = Catalogue({name: replace(model, context_window=5) for name, model in CATALOGUE.models.items()})
BOOK = PolicyBook(PolicySet(POLICY.version, POLICY.catalogue, {}))
REFUSED = Refused(ErrorCode.RATE_LIMIT_EXCEEDED, "Too soon.", rule="limits.few", retry_after=1.5)
USED_UP = Refused(ErrorCode.INSUFFICIENT_QUOTA, "The budget is used up.", rule="budgets.month")
WARNED = Deny(ErrorCode.MODEL_NOT_ALLOWED, "It goes away.", "models.deprecated", Mode.WARN, "model")


class Neighbours:
    """Signals between replicas of one process; and what others shout among them."""

    def __init__(self, others: "list[Neighbours] | None" = None) -> None:
        self._all = [] if others is None else others
        self._all.append(self)
        self._replies: dict[str, Reply] = {}
        self.asked: list[str] = []
        self.noise: list[bytes] = []
        """What nobody of ours would answer."""

    def beside(self) -> "Neighbours":
        return Neighbours(self._all)

    def on(self, topic: str, hear: Hear) -> None: ...

    def answer(self, topic: str, reply: Reply) -> None:
        self._replies[topic] = reply

    async def tell(self, topic: str, message: bytes = b"") -> None: ...

    async def ask(
        self, topic: str, question: bytes, *, seconds: float = 0.5, enough: int | None = None
    ) -> list[bytes]:
        self.asked.append(topic)
        answers = [each._replies[topic](question) for each in self._all]
        return [*self.noise, *(answer for answer in answers if answer is not None)][:enough]

    async def run(self) -> None: ...


def an_explainer(
    recent: Recent,
    signals: Neighbours | None = None,
    *,
    replica: str = "a",
    book: PolicyBook = BOOK,
    origin: Callable[[Policy, str, str], str] = lambda policy, key_name, rule: "",
) -> Explainer:
    return Explainer(
        recent=recent, policies=book, signals=signals or Neighbours(), replica=replica, origin=origin
    )


def told(exchange: Exchange, **options: Any) -> Explanation:
    return an_explainer(Recent(), **options).tell(exchange)


def refused(number: int = 1, *, team: str = "search", **changes: Any) -> Exchange:
    principal = Principal(f"key:{team}/web", team, "k1", "web")
    return served_exchange(
        **{
            "id": f"req_{number}",
            "received_at": float(number),
            "principal": principal,
            "attempts": [],
            "outcome": Outcome.REFUSED,
            "status": 429,
            "error": REFUSED,
            **changes,
        }
    )


async def explained(journey: Journey, request_id: str) -> Explanation:
    explainer = an_explainer(journey.pipeline.recent, book=journey.book)
    explanation = await explainer.explain(request_id)
    assert explanation is not None
    return explanation


# Every way to be refused, by the real journey.


@dataclass(frozen=True)
class Case:
    """A request that is refused, and what is to be said of it."""

    name: str
    code: str
    rule: str = ""
    owner: str = "client"
    policy: Policy = field(default_factory=a_policy)
    request: dict[str, Any] = field(default_factory=dict)
    house: dict[str, Any] = field(default_factory=dict)
    tries: tuple[Any, ...] = ()
    before: int = 0
    """Requests that were sent before it."""
    team: str = "search"
    is_decision: bool = True
    """Whether the gateway itself said no."""


def few(counts: Counted = Counted.REQUESTS, amount: int = 1) -> Policy:
    return a_policy(limits=(Limit("few", counts, (Scope.TEAM,), amount, burst=amount),))


def said(content: str) -> dict[str, Any]:
    return {"body": {**CHAT, "messages": [{"role": "user", "content": content}]}}


CASES = [
    Case("unknown endpoint", "unknown_endpoint", request={"path": "/v1/nothing"}, team=""),
    Case("wrong method", "method_not_allowed", request={"method": "DELETE"}, team=""),
    Case("bad head", "unsupported_media_type", request={"headers": {"content-type": "text/html"}}, team=""),
    Case("wrong key", "invalid_api_key", "auth.api_key", request={"key": "wrong"}, team=""),
    Case("no policy", "permission_denied", "teams", "policy", team="others"),
    Case(
        "not served",
        "endpoint_not_allowed",
        "endpoints.not_served",
        "policy",
        request={"path": "/v1/batches"},
    ),
    Case(
        "endpoint", "endpoint_not_allowed", "endpoints", "policy", a_policy(endpoints=AllowList(("files",)))
    ),
    Case("model", "model_not_allowed", "models", "policy", a_policy(models=AllowList(("tts-1",)))),
    Case("no JSON", "invalid_json", request={"body": b"{"}),
    Case("too large", "request_too_large", house={"json_bytes": 10}),
    Case(
        "filter",
        "content_policy_violation",
        "filters.names",
        "policy",
        a_policy(filters=(FilterRule("names", FilterKind.PATTERNS, patterns=("(?i)codename",)),)),
        said("Codename Sunrise"),
    ),
    Case(
        "context window",
        "context_length_exceeded",
        "shaping.window",
        "client",
        a_policy(shaping=(ShapingRule("window", ShapingKind.CONTEXT_WINDOW),), catalogue=SMALL),
        said("word " * 50),
    ),
    Case("rate", "rate_limit_exceeded", "limits.few", "policy", few(), before=1),
    Case("rate, from memory", "rate_limit_exceeded", "limits.few", "policy", few(), before=2),
    Case("more than a limit", "request_exceeds_limit", "limits.few", "policy", few(Counted.TOKENS, 10)),
    Case(
        "budget",
        "request_exceeds_limit",
        "budgets.month",
        "policy",
        a_policy(budgets=(Budget("month", Counted.DOLLARS, (Scope.TEAM,), 10, Period.MONTH),)),
    ),
    Case("overloaded", "overloaded", "", "gateway", house={"most": 0}, team=""),
    Case("ledger away", "metering_unavailable", "", "gateway", house={"ledger": Books(good_for=0)}),
    Case(
        "upstream unreachable",
        "upstream_unreachable",
        "",
        "upstream",
        tries=(UpstreamFailed(ErrorCode.UPSTREAM_UNREACHABLE, "It cannot be reached."),),
        is_decision=False,
    ),
    Case("our own fault", "internal_error", "", "gateway", tries=(ZeroDivisionError(),), is_decision=False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_every_refusal_is_explained(case: Case) -> None:
    journey = Journey(*case.tries, policy=case.policy, **case.house)
    key = await journey.key(case.team or "search")
    for _ in range(case.before + 1):
        with suppress(GatewayError, ZeroDivisionError):
            await journey.run(await journey.request(**{"key": key, **case.request}))
    explanation = await explained(journey, journey.last.id)
    assert (explanation.code, explanation.owner, explanation.team) == (case.code, case.owner, case.team)
    assert (explanation.status, explanation.outcome) == (journey.last.status, journey.last.outcome)
    assert explanation.message
    decided = [(each.rule, each.code, each.mode) for each in explanation.decisions]
    assert decided == ([(case.rule, case.code, "enforce")] if case.is_decision else [])


# What is told.


async def test_what_was_served_is_explained_too() -> None:
    journey = Journey(policy=few(amount=60))
    exchange, _ = await journey.run()
    explanation, principal = await explained(journey, exchange.id), exchange.principal
    assert principal is not None
    assert explanation == Explanation(
        request_id=exchange.id,
        at=exchange.received_at,
        replica="a",
        method="POST",
        endpoint="chat_completions",
        status=200,
        outcome="served",
        owner=None,
        code=None,
        message=None,
        team="search",
        key_id=principal.key_id,
        key_name=principal.key_name,
        subject=principal.subject,
        credential="api_key",
        model="gpt-4o",
        upstream="openai",
        policy_version="5f3c",
        policy_in_force=True,
        decisions=[],
        counters=[Counter(name="few", counts="requests", limit=60, remaining=59, reset_seconds=1.0)],
        attempts=1,
        duration_ms=0.0,
    )


def test_a_decision_says_all_that_the_client_was_told() -> None:
    (decided,) = told(refused()).decisions
    assert decided == Decided(
        rule="limits.few",
        code="rate_limit_exceeded",
        mode="enforce",
        reason="Too soon.",
        where="",
        retry_after=1.5,
    )


def test_what_refused_comes_before_what_only_would_have() -> None:
    explanation = told(refused(notes=[WARNED]))
    assert [(each.rule, each.mode, each.param) for each in explanation.decisions] == [
        ("limits.few", "enforce", None),
        ("models.deprecated", "warn", "model"),
    ]


def test_a_counter_is_told_with_its_unit() -> None:
    standings = (Standing("a", Counted.TOKENS, 6000, 12, 58.8799),)
    assert told(refused(standings=standings)).counters == [
        Counter(name="a", counts="tokens", limit=6000, remaining=12, reset_seconds=58.88)
    ]


@pytest.mark.parametrize(
    ("policy", "counters"),
    [
        (
            a_policy(budgets=(Budget("month", Counted.DOLLARS, (Scope.TEAM,), 10, Period.MONTH),)),
            [Counter(name="month", counts="dollars", limit=10, remaining=10, reset_seconds=1_083_200.0)],
        ),
        (
            a_policy(budgets=(Budget("all", Counted.DOLLARS, (Scope.ORGANIZATION,), 10, Period.MONTH),)),
            [],
        ),
        (
            a_policy(limits=(Limit("none", Counted.CONCURRENT, (Scope.TEAM,), 0),)),
            [Counter(name="none", counts="concurrent", limit=0, remaining=0, reset_seconds=0.0)],
        ),
        (
            few(Counted.TOKENS, 10),
            [Counter(name="few", counts="tokens", limit=10, remaining=10, reset_seconds=0.0)],
        ),
    ],
    ids=["a budget", "a shared budget", "slots", "a rate"],
)
async def test_what_had_no_room_is_told_in_numbers(policy: Policy, counters: list[Counter]) -> None:
    journey = Journey(policy=policy)
    with suppress(GatewayError):
        await journey.run()
    assert (await explained(journey, journey.last.id)).counters == counters


def test_a_decision_says_where_its_rule_stands() -> None:
    asked = []

    def origin(policy: Policy, key_name: str, rule: str) -> str:
        asked.append((policy, key_name, rule))
        return "teams/search.yaml:12"

    explanation = told(refused(notes=[WARNED]), origin=origin)
    assert [each.where for each in explanation.decisions] == ["teams/search.yaml:12", "models.yaml"]
    assert asked == [(POLICY, "web", "limits.few")]


@pytest.mark.parametrize(
    "changes",
    [
        {"principal": None, "policy": None},
        {"policy": None},
        {"error": Refused(ErrorCode.INVALID_JSON, "It is no JSON.")},
    ],
    ids=["a stranger's", "without a policy", "by no rule"],
)
def test_what_no_file_says_stands_nowhere(changes: dict[str, Any]) -> None:
    (decided,) = told(refused(**changes), origin=lambda *_: "teams/search.yaml:12").decisions
    assert decided.where == ""


@pytest.mark.parametrize("rule", ["key.models", "limits.key.requests", "budgets.key.month"])
@pytest.mark.parametrize(
    ("kind", "where"),
    [
        (CredentialKind.API_KEY, "the key k1"),
        (CredentialKind.JWT, "identity.yaml"),
        (CredentialKind.CERTIFICATE, "identity.yaml"),
    ],
)
def test_what_a_credential_narrows_stands_with_it(rule: str, kind: CredentialKind, where: str) -> None:
    principal = Principal("user:alice", "search", "k1", "web", kind=kind)
    error = Refused(ErrorCode.MODEL_NOT_ALLOWED, "Not this one.", rule=rule)
    (decided,) = told(refused(principal=principal, error=error), origin=lambda *_: "").decisions
    assert decided.where == where


def test_other_policies_in_force_by_now_are_told() -> None:
    newer = PolicyBook(PolicySet("77ab", POLICY.catalogue, {}))
    assert told(refused()).policy_in_force
    assert not told(refused(), book=newer).policy_in_force
    assert told(refused(policy=None), book=newer).policy_in_force


def test_a_stream_that_was_cut_names_what_cut_it() -> None:
    explanation = told(served_exchange(outcome=Outcome.CUT, error=USED_UP, status=200))
    assert (explanation.outcome, explanation.code, explanation.status) == ("cut", "insufficient_quota", 200)
    assert [each.rule for each in explanation.decisions] == ["budgets.month"]


@pytest.mark.parametrize(
    ("changes", "owner", "word"),
    [
        ({"outcome": Outcome.CLIENT_LEFT, "status": 200}, "client", "client closed"),
        ({"status": 400}, "client", "status 400"),
        ({"outcome": Outcome.REFUSED, "status": 400, "principal": None}, "client", "token exchange"),
        ({"outcome": Outcome.UPSTREAM_FAILED, "status": 503}, "upstream", "status 503"),
        (
            {"outcome": Outcome.UPSTREAM_FAILED, "observed": Observed(error="server_error")},
            "upstream",
            "inside",
        ),
    ],
    ids=["left", "the upstream's own 400", "a token not traded", "its 503", "in its stream"],
)
def test_an_end_of_which_the_gateway_said_nothing_has_a_sentence(
    changes: dict[str, Any], owner: str, word: str
) -> None:
    explanation = told(served_exchange(**changes))
    assert (explanation.owner, explanation.code, explanation.decisions) == (owner, None, [])
    assert word in (explanation.message or "")


async def test_a_client_that_left_is_explained() -> None:
    journey, reply = Journey(MemoryAnswer(b"data: {}\n\n", content_type=EVENTS)), MemoryReply()
    reply.gone = True
    with pytest.raises(ClientLeft):
        await journey.run(reply=reply)
    assert (await explained(journey, journey.last.id)).outcome == "client_left"


# What is kept.


def reachable(thing: Any) -> list[Any]:
    """Everything that it holds, however deep."""
    code = (type, ModuleType, FunctionType, BuiltinFunctionType)
    seen: dict[int, Any] = {}
    waiting = [thing]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen and not isinstance(each, code):
            seen[id(each)] = each
            waiting += gc.get_referents(each)
            if isinstance(each, msgspec.Struct):  # of these the collector knows nothing
                waiting += [getattr(each, name) for name in each.__struct_fields__]
    return list(seen.values())


@pytest.mark.parametrize("content", ["Tell me of the canary", "Codename: canary"], ids=["served", "refused"])
async def test_nothing_that_a_client_sent_is_kept(content: str) -> None:
    names = FilterRule("names", FilterKind.PATTERNS, patterns=("(?i)codename",))
    journey = Journey(policy=a_policy(filters=(names,)))
    request = await journey.request(
        **said(content), headers={"x-canary": "canary"}, query="canary=1", path="/v1/chat/completions"
    )
    with suppress(GatewayError):
        await journey.run(request)
    kept = reachable(journey.pipeline.recent)
    assert any(each == journey.last.id for each in kept)
    assert [each for each in kept if isinstance(each, Call | BaseException | bytes)] == []
    assert [each for each in kept if isinstance(each, str) and "canary" in each.lower()] == []


def test_a_method_of_the_clients_own_making_is_not_kept() -> None:
    assert told(refused(method="CANARY")).method == ""


@pytest.mark.parametrize("part", ["reason", "param"])
def test_a_name_that_the_client_chose_is_kept_only_as_far_as_a_name_goes(part: str) -> None:
    long = "x" * 10_000
    note = replace(WARNED, reason=long) if part == "reason" else replace(WARNED, param=long)
    error = Refused(REFUSED.code, long, param=long)
    explanation = told(refused(error=error, notes=[note]))
    assert all(len(each.reason) <= 500 and len(each.param or "") <= 500 for each in explanation.decisions)
    assert len(explanation.message or "") == 500


def ids(explanations: list[Explanation]) -> list[str]:
    return [each.request_id for each in explanations]


async def test_a_flood_of_one_kind_does_not_push_out_the_others() -> None:
    kinds: dict[str, Callable[..., Exchange]] = {
        "served": served_exchange,
        "refused": refused,
        "stranger": lambda **changes: refused(principal=None, **changes),
    }
    for flood in kinds.values():
        recent = Recent(100)
        for name, kind in kinds.items():
            recent.keep(kind(id=name))
        for number in range(1000):
            recent.keep(flood(id=f"flood_{number}"))
        explainer = an_explainer(recent)
        found = [name for name in kinds if await explainer.explain(name)]
        assert len(found) == 2


async def test_what_is_remembered_is_bounded() -> None:
    recent = Recent(100)
    for number in range(1000):
        for kept in (served_exchange(), refused(), refused(principal=None)):
            kept.id = f"{kept.outcome}_{kept.principal is None}_{number}"
            recent.keep(kept)
    explainer = an_explainer(recent)
    found = [
        number
        for number in range(1000)
        for kind in ("served_False", "refused_False", "refused_True")
        if await explainer.explain(f"{kind}_{number}")
    ]
    assert len(found) == 100
    assert min(found) == 1000 - 70


# On any replica.


async def test_a_request_of_another_replica_is_explained() -> None:
    here, there = Recent(), Recent()
    signals = Neighbours()
    explainer = an_explainer(here, signals)
    an_explainer(there, signals.beside(), replica="b")
    there.keep(refused(7))
    explanation = await explainer.explain("req_7")
    assert explanation is not None
    assert (explanation.replica, explanation.code) == ("b", "rate_limit_exceeded")


async def test_nobody_is_asked_about_what_is_known_here() -> None:
    recent, signals = Recent(), Neighbours()
    recent.keep(refused(7))
    assert await an_explainer(recent, signals).explain("req_7")
    assert signals.asked == []


async def test_what_nobody_remembers_has_no_explanation() -> None:
    signals = Neighbours()
    an_explainer(Recent(), signals.beside(), replica="b")
    assert await an_explainer(Recent(), signals).explain("req_\ud800") is None


def other(request_id: str) -> bytes:
    return msgspec.json.encode([told(refused(id=request_id, team="others"))])


@pytest.mark.parametrize("noise", [b"", b"{}", b"\xff", b'[{"request_id": "req_7"}]', b"[]", other("req_8")])
async def test_an_answer_that_is_none_is_ignored(noise: bytes) -> None:
    signals = Neighbours()
    signals.noise.append(noise)
    explainer = an_explainer(Recent(), signals)
    assert await explainer.explain("req_7") is None
    assert await explainer.refusals(frozenset({"search"}), 10) == []


async def test_refusals_of_all_replicas_are_told_newest_first() -> None:
    recents = [Recent(), Recent()]
    signals = Neighbours()
    explainer = an_explainer(recents[0], signals)
    an_explainer(recents[1], signals.beside(), replica="b")
    for number in range(1, 7):
        recents[number % 2].keep(refused(number))
    assert ids(await explainer.refusals(None, 100)) == [f"req_{number}" for number in range(6, 0, -1)]
    assert ids(await explainer.refusals(None, 2)) == ["req_6", "req_5"]
    assert await explainer.refusals(None, 0) == []


async def test_a_cut_stream_is_among_the_refusals_and_a_failed_upstream_is_not() -> None:
    recent = Recent()
    recent.keep(refused(1, outcome=Outcome.CUT, error=USED_UP))
    recent.keep(refused(2, outcome=Outcome.UPSTREAM_FAILED))
    recent.keep(refused(3, outcome=Outcome.CLIENT_LEFT, error=None))
    recent.keep(served_exchange())
    assert ids(await an_explainer(recent).refusals(None, 10)) == ["req_1"]


async def test_a_team_is_told_of_its_own_refusals_alone() -> None:
    recents = [Recent(), Recent()]
    signals = Neighbours()
    explainer = an_explainer(recents[0], signals)
    an_explainer(recents[1], signals.beside(), replica="b")
    for number, recent in enumerate(recents):
        recent.keep(refused(10 + number))
        recent.keep(refused(20 + number, team="ads"))
        recent.keep(refused(30 + number, principal=None, policy=None))
    assert set(ids(await explainer.refusals(frozenset({"ads"}), 10))) == {"req_20", "req_21"}
    assert await explainer.refusals(frozenset(), 10) == []
    assert len(await explainer.refusals(None, 10)) == 6


async def test_few_are_the_newest_of_those_that_are_asked_for() -> None:
    recent = Recent()
    for number in range(1, 5):
        recent.keep(refused(number, team="ads"))
        recent.keep(refused(10 + number, principal=None))
    explainer = an_explainer(recent)
    assert ids(await explainer.refusals(frozenset({"ads"}), 2)) == ["req_4", "req_3"]
    assert ids(await explainer.refusals(None, 2)) == ["req_14", "req_13"]
    recent.keep(refused(9, team="search"))
    assert ids(await explainer.refusals(frozenset({"ads"}), 1)) == ["req_4"]


async def test_a_question_that_is_none_has_no_answer() -> None:
    signals = Neighbours()
    recent = Recent()
    recent.keep(refused())
    an_explainer(recent, signals)
    for question in (b"", b"{}", b"[]", b"\xff", b'{"teams": null, "most": -1}'):
        assert await signals.ask("refusals", question) == []


async def test_an_answer_fits_into_a_signal() -> None:
    recent, signals = Recent(), Neighbours()
    for number in range(1, MOST_REFUSALS + 50):
        recent.keep(refused(number, error=Refused(REFUSED.code, "ü" * 500), notes=[WARNED] * 3))
    an_explainer(recent, signals)
    (answer,) = await signals.ask("refusals", msgspec.json.encode({"teams": None, "most": 10_000}))
    assert MOST_BYTES // 2 < len(answer) <= MOST_BYTES
    assert msgspec.json.decode(answer)[0]["request_id"] == f"req_{MOST_REFUSALS + 49}"


def test_what_a_refusal_quotes_of_the_request_is_for_its_sender_alone() -> None:
    quoting = Refused(
        ErrorCode.MODEL_NOT_ALLOWED,
        "The model `gwk_mistaken` is not yours.",
        param="model",
        quotes="gwk_mistaken",
    )
    explanation = told(refused(error=quoting))
    assert explanation.message == "The model `…` is not yours."
    assert [(each.reason, each.param) for each in explanation.decisions] == [(explanation.message, "model")]
