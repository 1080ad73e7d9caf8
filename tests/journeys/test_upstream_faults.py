"""Who answers, or does not: what is tried again, what is passed on, and what it costs when it goes wrong."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from gateway.simulator.faults import Fault
from gateway.simulator.log import Completion
from gateway.simulator.server import running
from gateway.simulator.simulator import Simulator
from tests.journeys.test_every_endpoint import FORM, SOUND, form, without_ids
from tests.support.house import UPSTREAM_KEY, House, house
from tests.support.policy_files import write_policies
from tests.unit.upstream.stand_in import StandIn, cut, raw, standing_in, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def before(folder: Path, address: str) -> AsyncIterator[House]:
    """A house before another upstream."""
    environment = {"GATEWAY_UPSTREAM__BASE_URL": f"{address}/v1"}
    async with house(folder, policies=write_policies(folder), environment=environment) as opened:
        yield opened


def facing(folder: Path, upstream: StandIn) -> AbstractAsyncContextManager[House]:
    return before(folder, f"http://127.0.0.1:{upstream.port}")


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# tried again


@pytest.mark.parametrize("fault", [Fault("429", 0.02), Fault("500"), Fault("503_html")], ids=lambda f: f.name)
async def test_a_passing_fault_is_not_noticed_by_the_client(plain: House, fault: Fault) -> None:
    seen_before = len(plain.simulator.requests)
    plain.simulator.faults.next(fault)
    answer = await plain.chat()
    assert answer.status == 200
    first, second = plain.simulator.requests[seen_before:]
    assert first.body == second.body
    logged = await plain.line(answer.request_id)
    assert (logged["outcome"], logged["attempts"]) == ("served", 2)


async def test_each_attempt_has_a_ledger_line_of_its_own(plain: House) -> None:
    plain.simulator.faults.next(Fault("500"))
    answer = await plain.chat()
    failed, served = await plain.ledger(answer.request_id)
    assert (failed.number, failed.status, failed.cause, failed.cost) == (1, 500, "upstream_failed", 0)
    assert (served.number, served.status, served.cause, served.cost) == (2, 200, "served", 23)
    assert [line.upstream_request_id for line in (failed, served)] == [
        seen.request_id for seen in plain.simulator.requests[-2:]
    ]


async def test_a_form_is_sent_again_whole(plain: House) -> None:
    plain.simulator.faults.next(Fault("500"))
    body = form(("model", "whisper-1"), file=SOUND)
    answer = await plain.ask("POST", "/audio/transcriptions", data=body, headers={"content-type": FORM})
    assert answer.status == 200
    assert [seen.body for seen in plain.simulator.requests[-2:]] == [body, body]


async def test_a_lasting_fault_is_passed_on_after_three_attempts(plain: House) -> None:
    plain.simulator.faults.next(Fault("500"), times=3)
    answer = await plain.chat()
    assert (answer.status, answer.error["type"]) == (500, "server_error")
    lines = await plain.ledger(answer.request_id)
    assert [(line.number, line.status, line.cost) for line in lines] == [
        (1, 500, 0),
        (2, 500, 0),
        (3, 500, 0),
    ]
    assert (await plain.line(answer.request_id))["outcome"] == "upstream_failed"


async def test_a_sick_upstream_is_not_hit_harder_for_being_sick(tmp_path: Path) -> None:
    async with house(tmp_path, policies=write_policies(tmp_path)) as house_:
        house_.simulator.faults.next(Fault("500"), times=100)
        answers = await asyncio.gather(*[house_.chat() for _ in range(30)])
        assert {answer.status for answer in answers} == {500}
        assert len(house_.simulator.requests) <= 30 + 10 + 3


async def test_an_upstream_that_asks_for_patience_is_passed_on_at_once(plain: House) -> None:
    seen_before = len(plain.simulator.requests)
    plain.simulator.faults.next(Fault("429", 30))
    answer = await plain.chat()
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("30", "30000")
    assert not any(name.lower().startswith("x-ratelimit") for name in answer.headers)
    assert len(plain.simulator.requests) == seen_before + 1
    (line,) = await plain.ledger(answer.request_id)
    assert (line.status, line.cost) == (429, 0)


async def test_nothing_is_tried_again_that_may_be_under_way(tmp_path: Path) -> None:
    async with standing_in(cut(b"")) as upstream, facing(tmp_path, upstream) as house_:
        answer = await house_.chat()
        (line,) = await house_.ledger(answer.request_id)
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")
    assert len(upstream.requests) == 1
    assert (line.cause, line.source, line.status) == ("upstream_failed", "partial", None)
    assert line.input_tokens > 0


# no answer at all


async def test_an_upstream_that_is_not_there_is_a_502(tmp_path: Path) -> None:
    with nobody() as address:
        async with before(tmp_path, address) as house_:
            answer = await house_.chat()
            lines = await house_.ledger(answer.request_id)
    assert (answer.status, answer.error["code"]) == (502, "upstream_unreachable")
    assert [(line.number, line.cost, line.status) for line in lines] == [
        (1, 0, None),
        (2, 0, None),
        (3, 0, None),
    ]


async def test_an_upstream_that_is_silent_is_a_504(tmp_path: Path) -> None:
    settings = {"GATEWAY_UPSTREAM__FIRST_BYTE_SECONDS": "0.1"}
    async with house(tmp_path, environment=settings) as house_:
        answer = await house_.chat(metadata={"simulate": "hang"})
        assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")
        (seen,) = house_.simulator.requests
        async with asyncio.timeout(1):
            await seen.ended.wait()
        assert seen.completion is Completion.CLIENT_LEFT
        (line,) = await house_.ledger(answer.request_id)
        assert (line.cause, line.source) == ("upstream_failed", "partial")
        assert line.input_tokens > 0


async def test_an_upstream_that_does_not_speak_tls_is_a_502_not_worth_a_retry(tmp_path: Path) -> None:
    async with (
        running(Simulator(), host="localhost") as address,
        before(tmp_path, address.replace("http", "https").removesuffix("/v1")) as house_,
    ):
        answer = await house_.chat()
    assert (answer.status, answer.error["code"]) == (502, "upstream_tls_error")
    assert answer.headers["x-should-retry"] == "false"


# answers that are not for clients


@pytest.mark.parametrize(
    ("fault", "code", "retry"),
    [
        ("401", "upstream_auth_error", "false"),
        ("redirect", "upstream_redirect", "false"),
        ("cut_body", "upstream_error", None),
    ],
)
async def test_an_answer_that_is_not_for_clients_is_a_502(
    plain: House, fault: str, code: str, retry: str | None
) -> None:
    seen_before = len(plain.simulator.requests)
    answer = await plain.chat(metadata={"simulate": fault})
    assert (answer.status, answer.error["code"]) == (502, code)
    assert answer.headers.get("x-should-retry") == retry
    assert UPSTREAM_KEY not in answer.body.decode()
    assert len(plain.simulator.requests) == seen_before + 1
    logged = await plain.line(answer.request_id)
    assert (logged["outcome"], logged["code"]) == ("upstream_failed", code)


async def test_an_edges_page_is_not_passed_on(plain: House) -> None:
    plain.simulator.faults.next(Fault("503_html"), times=3)
    answer = await plain.chat()
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")
    assert b"html" not in answer.body


async def test_an_upstream_that_speaks_no_http_is_a_502(tmp_path: Path) -> None:
    async with (
        standing_in(raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")) as upstream,
        facing(tmp_path, upstream) as house_,
    ):
        answer = await house_.chat()
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")


async def test_what_follows_an_answer_is_never_another_clients(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n"
    smuggled = head + b'{"a":1}' + head + b'{"b":2}'
    async with (
        standing_in(raw(smuggled), whole(b'{"c":3}')) as upstream,
        facing(tmp_path, upstream) as house_,
    ):
        first, second = await house_.chat(), await house_.chat()
    assert b'"b"' not in first.body + second.body
    assert second.body == b'{"c":3}'


# answers that are


@pytest.mark.parametrize(
    ("members", "status"), [({"n": 500}, 400), ({"model": "gpt-4o-mini", "messages": {}}, 400)]
)
async def test_the_upstreams_own_refusal_is_passed_on_and_costs_nothing(
    plain: House, members: dict[str, object], status: int
) -> None:
    answer = await plain.chat(**members)
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello"}], **members}
    own = await plain.direct("/chat/completions", json=body)
    assert (answer.status, answer.body) == (own.status, own.body)
    assert answer.status == status
    (line,) = await plain.ledger(answer.request_id)
    assert (line.status, line.cost, line.source) == (400, 0, "provider")
    assert (await plain.line(answer.request_id))["outcome"] == "served"


async def test_a_long_answer_is_passed_on_whole(plain: House) -> None:
    body = {"model": "text-embedding-3-small", "input": [f"text {number}" for number in range(30)]}
    answer = await plain.post("/embeddings", body)
    own = await plain.direct("/embeddings", json=body)
    assert len(answer.body) > 800_000
    assert answer.body == own.body
    (line,) = await plain.ledger(answer.request_id)
    assert (line.input_tokens, line.source) == (own.json()["usage"]["prompt_tokens"], "provider")


async def test_a_long_answer_that_breaks_off_is_visibly_cut(plain: House) -> None:
    body = {
        "model": "text-embedding-3-small",
        "input": [f"text {number}" for number in range(30)],
        "metadata": {"simulate": "cut_body"},
    }
    answer = await plain.raw("/embeddings", body)
    assert (answer.status, answer.whole) == (200, False)
    (line,) = await plain.ledger(answer.headers["x-request-id"])
    assert (line.cause, line.source) == ("upstream_failed", "partial")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_compressed_answer_is_passed_on_as_it_is_and_estimated(plain: House, stream: bool) -> None:
    body = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Say hello"}],
        "stream": stream,
        "metadata": {"simulate": "gzip"},
    }
    answer = await plain.raw("/chat/completions", body)
    assert (answer.headers["content-encoding"], answer.whole) == ("gzip", True)
    seen = plain.simulator.requests[-1].body
    own = await plain.direct("/chat/completions", data=seen, headers={"content-type": "application/json"})
    assert without_ids(gzip.decompress(answer.body)) == without_ids(own.body)
    (line,) = await plain.ledger(answer.headers["x-request-id"])
    assert (line.source, line.cause) == ("estimated", "served")
    assert line.input_tokens > 0
    assert line.output_tokens > 0
    assert line.cost > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_says_nothing_of_usage_is_estimated_never_free(
    plain: House, stream: bool
) -> None:
    answer = await plain.chat(stream=stream, metadata={"simulate": "missing_usage"})
    (line,) = await plain.ledger(answer.request_id)
    assert (line.source, line.cause) == ("estimated", "served")
    assert line.output_tokens == pytest.approx(37, rel=0.5)
    assert line.cost > 0
    metrics = await plain.metrics()
    assert 'gateway_estimated_attempts_total{model="gpt-4o-mini",source="estimated"}' in metrics
