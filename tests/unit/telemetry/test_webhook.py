"""The webhook: what arrives, how it is signed, and that nobody waits for whoever does not answer."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.webhook import Webhook, signature
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.support.log import Log

KEY = b"a key for tests only"
PATH = "/hook/hush?token=hush"


class Receiver:
    """Takes events, with the answers that it was told to give; 204 when it has no more."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.stuck = False
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []

    @property
    def events(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(body) for body in self.bodies]

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.bodies.append(await request.read())
        if self.stuck:
            await asyncio.Event().wait()
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"location": "/elsewhere", "set-cookie": "a=b"})


class Desk:
    """A webhook, and all that it tells."""

    def __init__(self, url: str, **options: Any) -> None:
        self.clock = ManualClock()
        self.log = Log()
        self.metrics = Metrics()
        self.pauses: list[float] = []
        self.webhook = Webhook(
            url=SecretStr(url),
            metrics=self.metrics,
            log=self.log.logger,
            clock=self.clock,
            pause=self._pause,
            **{"key": KEY, **options},
        )

    def put(self, *events: str) -> None:
        for event in events:
            self.webhook.put(event, {"budget": "team-month", "percent": 80})

    def count(self, result: str) -> int:
        name = f'gateway_webhook_events_total{{result="{result}"}} '
        lines = self.metrics.render().decode().splitlines()
        return next((int(float(line.removeprefix(name))) for line in lines if line.startswith(name)), 0)

    @property
    def is_away(self) -> bool:
        return b'gateway_degraded{dependency="webhook"} 1.0' in self.metrics.render()

    @property
    def told(self) -> list[tuple[str, str | None]]:
        return [(line["event"], line.get("why")) for line in self.log.lines]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.get_running_loop().create_task(self.webhook.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, seen: Callable[[], object]) -> None:
        async with self.running():
            await eventually(seen)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def url(receiver: Receiver) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver.take)
    server = TestServer(application)
    await server.start_server()
    yield str(server.make_url(PATH))
    await server.close()


@pytest.fixture
def desk(url: str) -> Desk:
    return Desk(url)


class TestWhatArrives:
    async def test_an_event_is_json_with_its_time(self, desk: Desk, receiver: Receiver) -> None:
        desk.put("budget_threshold")
        await desk.until(lambda: desk.count("delivered") == 1)
        (event,) = receiver.events
        assert event == {
            "event": "budget_threshold",
            "at": "2026-11-18T11:06:40Z",
            "budget": "team-month",
            "percent": 80,
        }

    async def test_it_is_posted_to_the_very_address(self, desk: Desk, receiver: Receiver) -> None:
        desk.put("one")
        await desk.until(lambda: receiver.bodies)
        (request,) = receiver.requests
        assert (request.method, request.path_qs) == ("POST", PATH)
        assert request.headers["content-type"] == "application/json"

    async def test_events_arrive_in_order(self, desk: Desk, receiver: Receiver) -> None:
        desk.put("one", "two", "three")
        await desk.until(lambda: desk.count("delivered") == 3)
        assert [event["event"] for event in receiver.events] == ["one", "two", "three"]

    async def test_no_cookie_is_kept(self, desk: Desk, receiver: Receiver) -> None:
        desk.put("one", "two")
        await desk.until(lambda: desk.count("delivered") == 2)
        assert "cookie" not in receiver.requests[1].headers

    async def test_proxies_of_the_environment_are_not_asked(
        self, desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        desk.put("one")
        await desk.until(lambda: receiver.bodies)
        assert len(receiver.bodies) == 1


class TestSignature:
    async def test_an_event_is_signed_as_standard_webhooks_are(self, desk: Desk, receiver: Receiver) -> None:
        desk.put("one")
        await desk.until(lambda: receiver.bodies)
        headers = receiver.requests[0].headers
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + receiver.bodies[0]
        digest = hmac.new(KEY, signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        assert headers["webhook-timestamp"] == str(int(desk.clock.now()))

    def test_the_signature_is_that_of_their_specification(self) -> None:
        """The test vector of standardwebhooks' own libraries."""
        key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        event_id, timestamp = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"
        signed = signature(key, event_id, timestamp, b'{"test": 2432232314}')
        assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    async def test_without_a_key_nothing_is_signed(self, url: str, receiver: Receiver) -> None:
        desk = Desk(url, key=None)
        desk.put("one")
        await desk.until(lambda: receiver.bodies)
        headers = receiver.requests[0].headers
        assert "webhook-signature" not in headers
        assert headers["webhook-id"].startswith("evt_")


class TestTrouble:
    @pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500])
    async def test_what_is_not_taken_is_tried_again(
        self, desk: Desk, receiver: Receiver, status: int
    ) -> None:
        receiver.answers = [status, status]
        desk.put("one")
        await desk.until(lambda: desk.count("delivered"))
        assert (len(receiver.bodies), desk.pauses, desk.count("failed")) == (3, [1.0, 5.0], 0)
        assert desk.told == []

    async def test_a_second_try_is_known_for_one(self, desk: Desk, receiver: Receiver) -> None:
        receiver.answers = [500]
        desk.put("one")
        await desk.until(lambda: desk.count("delivered"))
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1

    async def test_no_redirect_is_followed(self, desk: Desk, receiver: Receiver) -> None:
        receiver.answers = [307, 307, 307]
        desk.put("one")
        await desk.until(lambda: desk.count("failed"))
        assert {request.path_qs for request in receiver.requests} == {PATH}

    async def test_what_fails_three_times_is_counted(self, desk: Desk, receiver: Receiver) -> None:
        receiver.answers = [500, 500, 503]
        desk.put("one", "two")
        await desk.until(lambda: desk.count("delivered"))
        assert (desk.count("failed"), len(receiver.bodies)) == (1, 4)

    async def test_a_failure_is_told_once(self, desk: Desk, receiver: Receiver) -> None:
        receiver.answers = [500] * 6
        desk.put("one", "two")
        await desk.until(lambda: desk.count("failed") == 2)
        assert desk.told == [("webhook_away", "status 500")]
        assert desk.is_away

    async def test_its_end_is_told_once(self, desk: Desk, receiver: Receiver) -> None:
        receiver.answers = [500] * 3
        desk.put("one", "two", "three")
        await desk.until(lambda: desk.count("delivered") == 2)
        assert desk.told == [("webhook_away", "status 500"), ("webhook_back", None)]
        assert not desk.is_away

    async def test_whoever_does_not_answer_is_not_waited_for(self, url: str, receiver: Receiver) -> None:
        desk = Desk(url, deadline=0.05)
        receiver.stuck = True
        desk.put("one")
        await desk.until(lambda: desk.count("failed"))
        assert len(receiver.bodies) == 3

    @pytest.mark.parametrize("address", ["http://127.0.0.1:9/hush", "http://[::1]:x/hush", "nonsense-hush"])
    async def test_an_address_where_nobody_is_ends_nothing(self, address: str) -> None:
        desk = Desk(address)
        desk.put("one", "two")
        await desk.until(lambda: desk.count("failed") == 2)
        assert [event for event, _ in desk.told] == ["webhook_away"]

    @pytest.mark.parametrize("address", ["http://127.0.0.1:9/hush?key=hush", "http://hush.invalid:x/hush"])
    async def test_no_line_tells_the_address(self, address: str) -> None:
        desk = Desk(address)
        desk.put("one")
        await desk.until(lambda: desk.count("failed"))
        assert "hush" not in desk.log.text
        assert "hush" not in repr(desk.webhook)


class TestTheQueue:
    async def test_the_oldest_is_dropped(self, url: str, receiver: Receiver) -> None:
        desk = Desk(url, most=2)
        desk.put("one", "two", "three")
        await desk.until(lambda: desk.count("delivered") == 2)
        assert [event["event"] for event in receiver.events] == ["two", "three"]
        assert desk.count("dropped") == 1

    def test_a_thousand_wait(self) -> None:
        desk = Desk("http://127.0.0.1:9")
        desk.put(*["one"] * 1_001)
        assert desk.count("dropped") == 1

    async def test_it_goes_on_when_it_is_begun_again(self, desk: Desk, receiver: Receiver) -> None:
        async with desk.running():
            pass
        desk.put("one")
        await desk.until(lambda: receiver.bodies)
        assert [event["event"] for event in receiver.events] == ["one"]
