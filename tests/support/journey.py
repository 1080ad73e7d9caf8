"""The real pipeline on memory stores: everything of a journey but its sockets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import msgspec

from gateway.accounting import Accounting
from gateway.audit.refusals import RefusalTally
from gateway.auth.front import FrontDoor
from gateway.auth.interfaces import KeyStore, StoredKey
from gateway.auth.keys.api_keys import hash_secret, new_key
from gateway.auth.keys.authenticator import KeyAuthenticator
from gateway.auth.keys.memory import MemoryKeyStore, MemoryUseStore
from gateway.auth.keys.uses import KeyUses
from gateway.auth.network.identity import NetworkIdentity
from gateway.auth.revocation.known import KnownRevocations
from gateway.auth.tokens.authenticator import TokenAuthenticator
from gateway.auth.tokens.exchange import TokenExchange
from gateway.auth.tokens.exchanged import ExchangedKeys
from gateway.auth.tokens.fetching import NotFetched
from gateway.auth.tokens.key_sets import KeySets
from gateway.auth.tokens.verifier import TokenVerifier
from gateway.background import Job
from gateway.core.actor import Act
from gateway.core.exchange import Exchange
from gateway.core.identity import Identity, Issuer
from gateway.core.policy import AllowList, Catalogue, Model, Policy, Price, Rates
from gateway.draining import Draining
from gateway.expectation import Expectations
from gateway.explaining.recent import Recent
from gateway.filters.reviewer import Reviewer
from gateway.gate import Gate
from gateway.limits.demands import Demands
from gateway.limits.estimate import TypicalOutputs
from gateway.limits.interfaces import Charged, Limiter
from gateway.limits.memory.limiter import MemoryLimiter
from gateway.limits.refusals import RecentRefusals
from gateway.limits.reservation import Reservations
from gateway.local_answers import LocalAnswers
from gateway.metering.recorder import Recorder
from gateway.metering.reports.turns import Turns
from gateway.oversight import Oversight
from gateway.pipeline import CallBounds, Pipeline
from gateway.policies.book import PolicyBook
from gateway.policies.policy_set import PolicySet, TeamPolicies
from gateway.relay import Relay, StreamBounds, StreamWatch
from gateway.shaping.shape import Shaper
from gateway.telemetry.metrics import Metrics
from gateway.wire.endpoints import endpoint_table
from gateway.wire.tokens import Tokenizer
from tests.support.clock import ManualClock
from tests.support.log import Log
from tests.support.memory import (
    JSON,
    Books,
    FreshLoader,
    MemoryAnswer,
    MemoryIncoming,
    MemoryReply,
    MemoryUpstreams,
    MemoryUsage,
)

PEPPER = b"a pepper for tests only"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}]}
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
COMPLETION = {"object": "chat.completion", "choices": [{"message": {"content": "Hello"}}], "usage": USAGE}

PRICE = Price(Rates(input=1_000_000, output=10_000_000))
CATALOGUE = Catalogue(
    {
        name: Model(name=name, upstream="openai", upstream_model=f"{name}-2024", prices=(PRICE,))
        for name in ("gpt-4o", "gpt-4o-mini", "whisper-1", "tts-1", "dall-e-2")
    },
    aliases={"fast": "gpt-4o-mini"},
)


def a_policy(**changes: Any) -> Policy:
    """A policy that allows all that the catalogue has."""
    policy = Policy(team="search", version="5f3c", catalogue=CATALOGUE, models=AllowList(("*",)))
    return replace(policy, **changes)


def a_completion() -> MemoryAnswer:
    return MemoryAnswer(msgspec.json.encode(COMPLETION))


async def _nothing(issuer: Issuer, url: str) -> bytes:
    """No issuer publishes anything here."""
    raise NotFetched("nothing is published")


def _unsaid(name: str, trouble: str | None) -> None:
    """Who is told of issuers here."""


class Journey:
    """One gateway without sockets, and a key of its team `search`."""

    def __init__(
        self,
        *tries: Any,
        policy: Policy | None = None,
        ledger: Books | None = None,
        limiter: Limiter | None = None,
        keys: KeyStore | None = None,
        clock: ManualClock | None = None,
        most: int = 100,
        json_bytes: int = 10_000,
    ) -> None:
        """`tries`: what comes of each attempt at the upstream; a completion when nothing is said."""
        self._number = 0
        self.clock = clock or ManualClock()
        self.log = Log()
        self.metrics = Metrics()
        self.ledger = ledger or Books()
        self.keys = keys or MemoryKeyStore()
        self.upstreams = MemoryUpstreams(*(tries or (a_completion(),)))
        self.gate = Gate(most=most, on_change=lambda inside: None)
        self.limiter = limiter or MemoryLimiter(clock=self.clock)
        self.usage = MemoryUsage()
        self.leaked: list[str] = []
        self.charged: list[Charged] = []
        self.handed_over: list[Job] = []
        self.watch = StreamWatch(clock=self.clock, bounds=StreamBounds())
        policy = policy or a_policy()
        self.book = PolicyBook(
            PolicySet(policy.version, policy.catalogue, {policy.team: TeamPolicies(policy)})
        )
        refusals = self.refusals = RecentRefusals(clock=self.clock)
        self.reservations = Reservations(
            limiter=self.limiter,
            loader=FreshLoader(self.limiter),
            demands=Demands(clock=self.clock),
            refusals=refusals,
            hand_over=self.handed_over.append,
            on_leak=self.leaked.append,
            on_charged=self.charged.extend,
        )
        tokenizer, self.outputs = Tokenizer(), TypicalOutputs()
        self.revocations = KnownRevocations()
        self.acts: list[Act] = []
        uses = KeyUses(store=MemoryUseStore(), clock=self.clock)
        self.authenticator = KeyAuthenticator(
            store=self.keys,
            pepper=PEPPER,
            clock=self.clock,
            revocations=self.revocations,
            uses=uses,
            address_of=attrgetter("peer"),
            refuse_after=0.0,
        )
        identity, nobody = Identity(), KeySets(clock=self.clock, fetch=_nothing, on_change=_unsaid)
        verifier = TokenVerifier(identity=lambda: identity, key_sets=nobody, clock=self.clock)
        exchanged = ExchangedKeys(
            pepper=PEPPER, identity=lambda: identity, clock=self.clock, revocations=self.revocations
        )
        tokens = TokenAuthenticator(
            identity=lambda: identity, verifier=verifier, revocations=self.revocations, clock=self.clock
        )
        front = FrontDoor(
            keys=self.authenticator,
            tokens=tokens,
            exchanged=exchanged,
            network=NetworkIdentity(
                identity=lambda: identity, revocations=self.revocations, clock=self.clock
            ),
            identity=lambda: identity,
        )
        self.oversight = Oversight(
            reservations=self.reservations,
            revocations=self.revocations,
            watch=self.watch,
            metrics=self.metrics,
        )
        self.recent = Recent()
        self.pipeline = Pipeline(
            clock=self.clock,
            gate=self.gate,
            endpoints=endpoint_table(),
            authenticator=front,
            policies=self.book,
            refusals=refusals,
            local_answers=LocalAnswers(
                usage=self.usage, turns=Turns(most=2, patience=0.01), clock=self.clock
            ),
            bounds=CallBounds(json_bytes=json_bytes, form_bytes=10_000, json_depth=10),
            reviewer=Reviewer(),
            shaper=Shaper(tokenizer=tokenizer),
            expectations=Expectations(outputs=self.outputs, tokenizer=tokenizer),
            reservations=self.reservations,
            accounting=Accounting(
                recorder=Recorder(ledger=self.ledger, clock=self.clock),
                outputs=self.outputs,
                tokenizer=tokenizer,
                metrics=self.metrics,
                clock=self.clock,
            ),
            upstreams=self.upstreams,
            relay=Relay(clock=self.clock, watch=self.watch),
            oversight=self.oversight,
            draining=Draining(),
            token_exchange=TokenExchange(
                verifier=verifier, exchanged=exchanged, revocations=self.revocations, clock=self.clock
            ),
            recent=self.recent,
            refusal_tally=RefusalTally(record=self._record, replica="replica_1"),
            tokenizer=tokenizer,
            metrics=self.metrics,
            log=self.log.logger,
        )

    async def _record(self, acts: Sequence[Act]) -> None:
        self.acts += acts

    async def key(self, team: str = "search", **changes: Any) -> str:
        """A new key of the team."""
        key_id, key = new_key()
        stored = StoredKey(
            id=key_id,
            team=team,
            name=key_id,
            secret_hash=hash_secret(PEPPER, key),
            created_at=0,
            issued_at=0,
            **changes,
        )
        await self.keys.add(stored, Act("cli:tests", "key.created", f"key:{key_id}"))
        return key

    async def request(
        self,
        body: Mapping[str, Any] | bytes = CHAT,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> MemoryIncoming:
        """A request with a good key, or another."""
        credential = await self.key() if key is None else key
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        fields = {"authorization": f"Bearer {credential}", "content-type": JSON, **(headers or {})}
        return MemoryIncoming(data, headers=fields, **options)

    def exchange(self, method: str = "POST") -> Exchange:
        self._number += 1
        return Exchange(
            id=f"req_{self._number}",
            method=method,
            received_at=self.clock.now(),
            started=self.clock.monotonic(),
        )

    async def run(
        self, incoming: MemoryIncoming | None = None, reply: MemoryReply | None = None
    ) -> tuple[Exchange, MemoryReply]:
        """One exchange, to its end. Raises what ended it early."""
        incoming = incoming or await self.request()
        reply = reply or MemoryReply()
        exchange = self.exchange(incoming.method)
        self.last = exchange  # also when it raises
        await self.pipeline.run(exchange, incoming, reply)
        return exchange, reply

    async def settle(self) -> None:
        """Do what was handed over."""
        jobs, self.handed_over[:] = list(self.handed_over), []
        for job in jobs:
            await job()
