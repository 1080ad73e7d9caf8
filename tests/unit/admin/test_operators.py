"""The operators' listener: what is open, what wants the token, and what it answers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import SecretStr

from gateway.admin.limits_page import LimitsPage
from gateway.admin.operators import Operators
from gateway.admin.organization_page import OrganizationPage
from gateway.auth.keys.memory import MemoryKeyStore
from gateway.core.errors import StoreUnavailable
from gateway.core.policy import Catalogue, Policy
from gateway.local_answers import LocalAnswers
from gateway.metering.interfaces import Admission, UsageRow
from gateway.metering.reports.turns import Turns
from gateway.policies.policy_set import PolicySet, TeamPolicies
from gateway.telemetry.metrics import Metrics
from tests.support.clock import ManualClock
from tests.support.limit_store import LimitStore
from tests.support.memory import MemoryUsage

TOKEN = "a token for tests only"
ENTRY = {"authorization": f"Bearer {TOKEN}"}
DAY = 24 * 3600 * 1000
ROW = UsageRow(
    group=("search",),
    attempts=2,
    input_tokens=90,
    cached_tokens=30,
    output_tokens=11,
    reasoning_tokens=5,
    images=0,
    audio_milliseconds=0,
    characters=0,
    cost=1234,
    unpriced=0,
    estimated=1,
)


class MemoryReports:
    """Implements `UsageReports` with rows that are known beforehand."""

    def __init__(self) -> None:
        self.rows: Sequence[UsageRow] = [ROW]
        self.asked: list[tuple[tuple[str, ...], int | None, int | None]] = []
        self.away = False

    async def usage(
        self,
        by: Sequence[str],
        since: int | None,
        until: int | None,
        only: Mapping[str, str] = MappingProxyType({}),
    ) -> Sequence[UsageRow]:
        if self.away:
            raise StoreUnavailable("the password is hush")
        if not set(by) <= {"team", "model", "key", "day", "endpoint"}:
            raise ValueError("there is no such group")
        self.asked.append((tuple(by), since, until))
        return self.rows

    async def unsettled(self) -> Sequence[Admission]:
        return []


def limits_page() -> LimitsPage:
    """What is left of a team that nothing limits."""
    catalogue = Catalogue(models={})
    teams = {"search": TeamPolicies(Policy(team="search", version="5f3c", catalogue=catalogue))}
    return LimitsPage(
        policies=lambda: PolicySet("5f3c", catalogue, teams),
        keys=MemoryKeyStore(),
        overview=LimitStore().overview(ManualClock()),
    )


def organization_page() -> OrganizationPage:
    """The usage of a house that nobody used."""
    answers = LocalAnswers(usage=MemoryUsage(), turns=Turns(most=1, patience=1.0), clock=ManualClock())
    return OrganizationPage(answers=answers)


class House:
    """What the operators look at."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.reports = MemoryReports()
        self.ready = True

    def operators(self, token: str | None) -> Operators:
        return Operators(
            metrics=self.metrics,
            reports=self.reports,
            limits=limits_page(),
            organization=organization_page(),
            token=None if token is None else SecretStr(token),
            is_ready=lambda: self.ready,
            policy_version=lambda: "5f3c",
        )


Client = TestClient[Any, Any]
Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def connect(house: House, aiohttp_client: Any) -> Connect:
    async def connect(token: str | None = TOKEN) -> Client:
        client: Client = await aiohttp_client(house.operators(token).application())
        return client

    return connect


@pytest.fixture
async def client(connect: Connect) -> Client:
    return await connect()


async def problem(answer: ClientResponse) -> dict[str, Any]:
    assert answer.content_type == "application/problem+json"
    told: dict[str, Any] = await answer.json()
    assert told["status"] == answer.status
    return told


# Open.


async def test_a_process_that_answers_is_alive(client: Client) -> None:
    answer = await client.get("/healthz")
    assert (answer.status, await answer.json()) == (200, {"status": "alive"})


async def test_a_gateway_is_ready(client: Client) -> None:
    answer = await client.get("/readyz")
    assert (answer.status, await answer.json()) == (200, {"status": "ready"})


async def test_a_gateway_that_drains_is_not_ready(client: Client, house: House) -> None:
    house.ready = False
    answer = await client.get("/readyz")
    assert (answer.status, await answer.json()) == (503, {"status": "draining"})


async def test_a_gateway_that_drains_is_alive(client: Client, house: House) -> None:
    house.ready = False
    assert (await client.get("/healthz")).status == 200


async def test_metrics_are_told_to_whoever_asks(client: Client, house: House) -> None:
    house.metrics.malformed()
    answer = await client.get("/metrics")
    families = {family.name for family in text_string_to_metric_families(await answer.text())}
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "gateway_malformed_requests" in families


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_no_health_check_needs_the_ledger(client: Client, house: House, path: str) -> None:
    house.reports.away = True
    assert (await client.get(path)).status == 200


# Closed.


@pytest.mark.parametrize(
    "path",
    [
        *("/admin/usage", "/admin/policy", "/admin/limits", "/admin", "/admin/nothing", "/%61dmin/usage"),
        *(
            "/v1/organization/costs",
            "/v1/organization/usage/completions",
            "/%761/organization/costs",
            "/v1/x",
        ),
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"authorization": b"Bearer \xff".decode("utf-8", "surrogateescape")},
    ],
)
async def test_administration_is_refused_without_the_token(
    client: Client, path: str, headers: dict[str, str]
) -> None:
    raw = {
        name: value.encode("utf-8", "surrogateescape").decode("latin-1") for name, value in headers.items()
    }
    answer = await client.get(path, headers=raw)
    told = await problem(answer)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert TOKEN not in str(told)


@pytest.mark.parametrize("configured", [None, ""])
@pytest.mark.parametrize("given", ["Bearer ", "Bearer", "Bearer None", f"Bearer {TOKEN}"])
async def test_administration_is_closed_when_no_token_is_set(
    connect: Connect, configured: str | None, given: str
) -> None:
    client = await connect(configured)
    answer = await client.get("/admin/policy", headers={"authorization": given})
    assert answer.status == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_token_opens_it(client: Client, scheme: str) -> None:
    answer = await client.get("/admin/policy", headers={"authorization": f"{scheme} {TOKEN}"})
    assert (answer.status, await answer.json()) == (200, {"version": "5f3c"})


# Usage.


async def test_usage_is_told_by_team_for_thirty_days(client: Client, house: House) -> None:
    answer = await client.get("/admin/usage", headers=ENTRY)
    told = await answer.json()
    row = told["rows"][0]
    assert (told["by"], row["team"], row["cost_microdollars"]) == (["team"], "search", 1234)
    ((by, since, until),) = house.reports.asked
    assert (by, until) == (("team",), None)
    assert since is not None


async def test_usage_is_told_by_what_is_asked(client: Client, house: House) -> None:
    await client.get("/admin/usage?by=team,%20model&days=7", headers=ENTRY)
    assert house.reports.asked[0][0] == ("team", "model")


async def test_days_reach_back_from_now(client: Client, house: House) -> None:
    for days in (1, 8):
        await client.get(f"/admin/usage?days={days}", headers=ENTRY)
    (_, one, _), (_, eight, _) = house.reports.asked
    assert one is not None
    assert eight is not None
    assert 6.9 * DAY < one - eight <= 7 * DAY


@pytest.mark.parametrize(
    "query", ["by=nothing", "by=", "days=0", "days=-1", "days=x", "days=1.5", "days=3661", "days=99999999999"]
)
async def test_a_wrong_question_is_refused(client: Client, query: str) -> None:
    answer = await client.get(f"/admin/usage?{query}", headers=ENTRY)
    await problem(answer)
    assert answer.status == 400


async def test_a_ledger_that_is_away_is_told_without_its_words(client: Client, house: House) -> None:
    house.reports.away = True
    answer = await client.get("/admin/usage", headers=ENTRY)
    told = await problem(answer)
    assert (answer.status, "hush" in str(told)) == (503, False)


# Limits.


async def test_what_is_left_is_told(client: Client) -> None:
    answer = await client.get("/admin/limits?team=search", headers=ENTRY)
    told = await answer.json()
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert (told["team"], told["rates"], told["budgets"]) == ("search", [], [])


async def test_a_team_that_there_is_not_is_a_problem(client: Client) -> None:
    answer = await client.get("/admin/limits?team=serch", headers=ENTRY)
    told = await problem(answer)
    assert (answer.status, "Did you mean `search`?" in told["detail"]) == (404, True)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 405)])
async def test_what_does_not_exist_is_a_problem_too(
    client: Client, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)
    await problem(answer)
    assert answer.status == status


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence", "allow"),
    [
        ("GET", "/nothing", 404, "There is nothing at this path.", None),
        ("POST", "/healthz", 405, "This path does not take that method.", "GET,HEAD"),
    ],
)
async def test_what_there_is_not_is_told_in_a_sentence(
    client: Client, method: str, path: str, status: int, sentence: str, allow: str | None
) -> None:
    answer = await client.request(method, path)
    assert (answer.status, (await answer.json())["detail"]) == (status, sentence)
    assert answer.headers.get("allow") == allow
