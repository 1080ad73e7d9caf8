"""A whole gateway, put together of its settings."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Final, ParamSpec, cast

import structlog
from aiohttp import web

from gateway import __version__
from gateway.accounting import Accounting
from gateway.app.ground import ground
from gateway.app.identity import identities
from gateway.app.installation import ENDPOINT_NAMES, load_policy_files, pepper_of
from gateway.app.limits import limits
from gateway.app.operators import operators
from gateway.audit.notebook import Notebook
from gateway.audit.policy_changes import PolicyChanges
from gateway.audit.refusals import RefusalTally
from gateway.audit.sign_ins import SignIns
from gateway.audit.trail import on_record
from gateway.auth.keys.pepper import check_pepper
from gateway.auth.revocation.known import KnownRevocations
from gateway.background import Pause
from gateway.core.clock import Clock, SystemClock
from gateway.core.errors import StoreUnavailable
from gateway.draining import Draining
from gateway.expectation import Expectations
from gateway.explaining.recent import Recent
from gateway.filters.reviewer import Reviewer
from gateway.gate import Gate
from gateway.limits.estimate import TypicalOutputs
from gateway.local_answers import LocalAnswers
from gateway.metering.interfaces import Ledger
from gateway.metering.recorder import Recorder
from gateway.metering.reports.organization import SqlOrganizationUsage
from gateway.metering.reports.pruning import Pruning
from gateway.metering.reports.turns import Turns
from gateway.oversight import Oversight
from gateway.pipeline import CallBounds, Pipeline
from gateway.policies.book import PolicyBook
from gateway.policies.reload import PolicyWatcher
from gateway.recovery import Recovery
from gateway.relay import Relay, StreamBounds, StreamWatch
from gateway.server.boundary import Boundary
from gateway.server.connection import ClientServer, OnMalformed
from gateway.server.incoming import BodyBounds
from gateway.server.listener import Listener, spelled
from gateway.server.own_headers import own_headers
from gateway.server.proxy import Proxy
from gateway.server.tls import ServerTls
from gateway.settings.sections import BoundSettings, TlsSettings, UpstreamSettings
from gateway.settings.tree import Settings
from gateway.shaping.shape import Shaper
from gateway.telemetry.logging import LogSink
from gateway.upstream.pool import Pool
from gateway.upstream.sender import Sender
from gateway.upstream.targets import Target, Targets, UpstreamKind
from gateway.wire.endpoints import endpoint_table
from gateway.wire.tokens import Tokenizer

_P = ParamSpec("_P")

_RECOVER_SECONDS: Final = 5.0
_RETENTION_SECONDS: Final = 3600.0
_REFUSALS_SECONDS: Final = 60.0
_NOTES_SECONDS: Final = 1.0
_WATCH_SECONDS: Final = 1.0
_CERTIFICATE_SECONDS: Final = 60.0
_KEEP_ALIVE_SECONDS: Final = 75.0
_LINGER_SECONDS: Final = 2.0
_REPORT_THREADS: Final = 2
"""Reports that clients and operators read at once; the database has to serve requests too."""
_REPORT_SECONDS: Final = 15.0
_REPORT_PATIENCE: Final = 5.0
"""Seconds that a report waits for its turn."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: what its owner needs to know of it, and to stop it by."""

    listener: Listener
    admin_address: str
    sink: LogSink
    ledger: Ledger

    @property
    def address(self) -> str:
        """Where clients connect: `host:port`."""
        return self.listener.address


@asynccontextmanager
async def assembled(
    settings: Settings,
    *,
    log_stream: BinaryIO | None = None,
    clock: Clock | None = None,
    pause: Pause = asyncio.sleep,
) -> AsyncIterator[Gateway]:
    """A gateway that listens, until the block is left: then it drains, and writes down what is left to write.

    `pause`: how what is done again and again waits for its next time. Raises BrokenPolicies,
    StoreUnavailable, ValueError and OSError before it listens.
    """
    clock = clock or SystemClock()
    bounds = settings.bounds
    policies = load_policy_files(settings)
    pepper = pepper_of(settings)
    async with AsyncExitStack() as stack:
        base = await ground(settings, stack, log_stream=log_stream, clock=clock, pause=pause)
        metrics, alarms, log, background = base.metrics, base.alarms, base.log, base.background
        await check_pepper(base.database, pepper)

        # who asks, what they may do, and how much they have left
        book = PolicyBook(policies)
        notebook = Notebook(database=base.database, clock=clock, log=log)
        background.every("audit_notes", _NOTES_SECONDS, notebook.flush)
        stack.push_async_callback(notebook.flush)
        changes = PolicyChanges(note=notebook.note, replica=base.replica)
        loaded = _each(metrics.policies_loaded, changes.loaded)
        loaded(book.version)
        watcher = PolicyWatcher(
            book=book,
            directory=settings.policies_dir,
            upstreams=settings.all_upstreams.keys(),
            endpoints=ENDPOINT_NAMES,
            log=log,
            loaded=loaded,
            broken=_each(metrics.policies_broken, changes.broken),
        )
        background.loop("policies", watcher.run)
        left = limits(base, stack)
        reservations, revocations = left.reservations, KnownRevocations()
        watch = StreamWatch(clock=clock, bounds=_stream_bounds(bounds))
        background.every("watch_streams", _WATCH_SECONDS, watch.tick)
        oversight = Oversight(
            reservations=reservations, revocations=revocations, watch=watch, metrics=metrics
        )
        background.every("oversee_streams", _WATCH_SECONDS, oversight.tick)
        known = await identities(
            base,
            stack,
            pepper=pepper,
            identity=lambda: book.policy_set.identity,
            revocations=revocations,
            on_revoked=oversight.cut_revoked,
        )

        # who answers, and what it costs
        tokenizer = Tokenizer()
        outputs = TypicalOutputs()
        pool = Pool(user_agent=f"openai-gateway/{__version__}")
        stack.callback(pool.close)
        recorder = Recorder(ledger=base.ledger, clock=clock, on_unpriced=alarms.unpriced)
        recovery = Recovery(
            recorder=recorder, policies=book, reservations=reservations, on_recovered=alarms.recovered
        )
        with suppress(TimeoutError):  # a long journal is gone on with when others are served already
            async with asyncio.timeout(_RECOVER_SECONDS):
                await recovery.recover()
        background.every("recover_attempts", _RECOVER_SECONDS, recovery.recover)
        if settings.ledger_keep_days is not None:
            pruning = Pruning(database=base.database, clock=clock)
            background.every("retention", _RETENTION_SECONDS, _retention(pruning, settings.ledger_keep_days))

        # what is answered without an upstream
        reports = base.further_threads(stack, threads=_REPORT_THREADS, timeout=_REPORT_SECONDS)
        local_answers = LocalAnswers(
            usage=SqlOrganizationUsage(reports, clock=clock, seconds=_REPORT_SECONDS),
            turns=Turns(most=_REPORT_THREADS, patience=_REPORT_PATIENCE),
            clock=clock,
        )

        # the journey, and the edges
        gate = Gate(most=bounds.open_exchanges, on_change=metrics.open_exchanges.set)
        recent = Recent()
        tally = RefusalTally(record=on_record(base.database, clock), replica=base.replica)
        background.every("refusals", _REFUSALS_SECONDS, tally.flush)
        stack.push_async_callback(tally.flush)
        pipeline = Pipeline(
            clock=clock,
            gate=gate,
            endpoints=endpoint_table(),
            authenticator=known.front,
            token_exchange=known.token_exchange,
            policies=book,
            refusals=left.refusals,
            local_answers=local_answers,
            bounds=CallBounds(
                json_bytes=bounds.json_body_bytes,
                form_bytes=bounds.form_body_bytes,
                json_depth=bounds.json_depth,
            ),
            reviewer=Reviewer(),
            shaper=Shaper(tokenizer=tokenizer),
            expectations=Expectations(outputs=outputs, tokenizer=tokenizer),
            reservations=reservations,
            accounting=Accounting(
                recorder=recorder,
                outputs=outputs,
                tokenizer=tokenizer,
                metrics=metrics,
                clock=clock,
                on_doubt=alarms.doubtful_usage,
            ),
            upstreams=Sender(pool=pool, targets=_targets(settings), clock=clock),
            relay=Relay(clock=clock, watch=watch, open_streams=metrics.open_streams.inc),
            oversight=oversight,
            draining=Draining(seconds=bounds.drain_answer_seconds, most=bounds.drain_answer_bytes),
            tokenizer=tokenizer,
            metrics=metrics,
            recent=recent,
            refusal_tally=tally,
            log=log,
        )
        clients = ClientServer(
            Proxy(
                pipeline=pipeline,
                boundary=Boundary(log=log),
                gate=gate,
                bounds=BodyBounds(seconds=bounds.body_seconds),
                write_seconds=bounds.client_write_seconds,
                clock=clock,
                own_headers=partial(own_headers, is_degraded=left.is_degraded),
            ),
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            head_seconds=bounds.head_seconds,
            on_malformed=alarms.malformed,
        )
        application = await operators(
            base,
            stack,
            pepper=pepper,
            book=book,
            known=known,
            revocations=revocations,
            left=left,
            local_answers=local_answers,
            pipeline=pipeline,
            recent=recent,
            sign_ins=SignIns(note=notebook.note, tally=tally, clock=clock),
            is_ready=lambda: not gate.draining,
        )
        admin_address = await stack.enter_async_context(
            _listening(
                application,
                settings.admin_listen,
                head_seconds=bounds.head_seconds,
                on_malformed=alarms.malformed,
            )
        )
        listener = Listener(clients=clients, gate=gate, drain_seconds=bounds.drain_seconds, log=log)
        tls = _tls(settings.tls)
        if tls is not None:
            background.every("certificate", _CERTIFICATE_SECONDS, _renewal(tls, log))
        await listener.open(*_host_and_port(settings.listen), ssl=tls.context if tls else None)
        stack.push_async_callback(listener.close)
        _settle_memory()
        log.info("listening", clients=listener.address, operators=admin_address, policy_version=book.version)
        yield Gateway(listener=listener, admin_address=admin_address, sink=base.sink, ledger=base.ledger)


@asynccontextmanager
async def _listening(
    application: web.Application, address: str, *, head_seconds: float, on_malformed: OnMalformed
) -> AsyncIterator[str]:
    """The operators' listener, whose connections are as careful as the clients'; gives where it listens."""
    applied = web.AppRunner(application)
    await applied.setup()
    server = cast(web.Server, applied.server)
    connections = ClientServer(
        server.request_handler,
        request_factory=server.request_factory,
        access_log=None,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        head_seconds=head_seconds,
        on_malformed=on_malformed,
    )
    runner = web.ServerRunner(connections, shutdown_timeout=_LINGER_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, *_host_and_port(address)).start()
        yield spelled(runner.addresses[0])
    finally:
        await runner.cleanup()
        await applied.cleanup()


def _stream_bounds(bounds: BoundSettings) -> StreamBounds:
    return StreamBounds(
        gap=bounds.stream_gap_seconds,
        whole=bounds.stream_seconds,
        keep_alive=bounds.keep_alive_seconds,
    )


def _targets(settings: Settings) -> Targets:
    return Targets({name: _target(name, upstream) for name, upstream in settings.all_upstreams.items()})


def _target(name: str, upstream: UpstreamSettings) -> Target:
    return Target(
        name=name,
        base_url=upstream.base_url,
        api_key=upstream.api_key,
        kind=UpstreamKind(upstream.kind),
        api_version=upstream.api_version,
        connect_seconds=upstream.connect_seconds,
        first_byte_seconds=upstream.first_byte_seconds,
        proxy=upstream.proxy,
    )


def _tls(settings: TlsSettings) -> ServerTls | None:
    """Raises OSError, ValueError for files that cannot be used."""
    if settings.cert_file is None:
        return None
    return ServerTls(
        cert_file=settings.cert_file,
        key_file=settings.key_file,
        client_ca_file=settings.client_ca_file,
        client_certificates=settings.client_certificates,
    )


def _renewal(tls: ServerTls, log: structlog.stdlib.BoundLogger) -> Callable[[], Awaitable[None]]:
    """Takes a renewed certificate over. One that cannot be used is told of, and changes nothing."""

    async def renew() -> None:
        try:
            if tls.reload():
                log.info("certificate_renewed")
        except (OSError, ValueError) as error:
            log.error("certificate_unusable", why=str(error))

    return renew


def _each(*told: Callable[_P, None]) -> Callable[_P, None]:
    """Tells all of them."""

    def tell(*args: _P.args, **named: _P.kwargs) -> None:
        for each in told:
            each(*args, **named)

    return tell


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _retention(pruning: Pruning, days: int) -> Callable[[], Awaitable[None]]:
    async def retain() -> None:
        with suppress(StoreUnavailable):  # the next hour will do
            await pruning.retain(days)

    return retain


def _settle_memory() -> None:
    """What was made for the whole life of the process need not be looked at by every collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
