"""The operators' listener: what is open, who may ask for what, and what is said of what goes wrong. The
matrix of roles is made of the table of operations.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientResponse, web
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import SecretStr

from gateway.admin.about_page import AboutPage
from gateway.admin.operations import OPERATIONS, Operation
from gateway.admin.operators import Operators
from gateway.admin.sign_in import AdminToken
from gateway.auth.interfaces import StoredKey
from gateway.auth.keys.checks import NewKey
from gateway.core.actor import Actor, Role
from tests.support.operators import ADMINS, AN_IMPORTED, Client, OperatorsHouse, by, problem

OPS = Actor("token:ops", Role.OPERATOR)


class Sample(NamedTuple):
    """How an operation is asked for, about a team."""

    other: int
    """What somebody of another team is answered."""
    query: Mapping[str, str] = {}
    body: Mapping[str, Any] | None = None


class About(NamedTuple):
    """What is asked about."""

    team: str
    key: str
    request: str


NOTHING = About("nosuch", "nosuchkeyyet", "req_nosuch")
"""There is none such."""

_TEAM = {"team": "{team}"}
_ORGANIZATION = Sample(403, {"start_time": "1794000000"})

SAMPLES: Mapping[str, Sample] = {
    "me": Sample(200),
    "document": Sample(200),
    "teams": Sample(200),
    "team": Sample(404),
    "policy": Sample(403),
    "keys": Sample(404, _TEAM),
    "create_key": Sample(422, body={"team": "{team}", "name": "new"}),
    "import_key": Sample(422, body={"team": "{team}", "name": "old", "sha256": AN_IMPORTED}),
    "key": Sample(404),
    "rotate_key": Sample(404, body={"overlap_seconds": 60}),
    "disable_key": Sample(404),
    "enable_key": Sample(404),
    "revoke_key": Sample(404, body={"reason": "lost"}),
    "revocations": Sample(200),
    "revoke": Sample(422, body={"kind": "team", "value": "{team}"}),
    "usage": Sample(404, _TEAM),
    "limits": Sample(404, _TEAM),
    "explain": Sample(404),
    "rehearse": Sample(422, body={"team": "{team}", "path": "/v1/chat/completions", "body": {}}),
    "refusals": Sample(404, _TEAM),
    "audit": Sample(403, _TEAM),
    "verify_audit": Sample(403),
    **{each.name: _ORGANIZATION for each in OPERATIONS if each.reads_query_itself},
}
EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


async def a_key(house: OperatorsHouse, team: str = "search", name: str = "web") -> tuple[StoredKey, str]:
    return await house.desk.create(NewKey(team=team, name=name), OPS)


async def of_search(house: OperatorsHouse) -> About:
    """What the team `search` has."""
    key, _ = await a_key(house)
    return About("search", key.id, "req_1")


async def ask(
    client: Client, operation: Operation, about: About, headers: Mapping[str, str]
) -> ClientResponse:
    """As its sample says."""
    sample = SAMPLES[operation.name]
    path = operation.path.format(team=about.team, key_id=about.key, request_id=about.request)
    query = _filled(sample.query, about)
    body = None if sample.body is None else _filled(sample.body, about)
    return await client.request(operation.method, path, params=query, json=body, headers=dict(headers))


def _filled(sample: Mapping[str, Any], about: About) -> dict[str, Any]:
    return {name: about.team if value == "{team}" else value for name, value in sample.items()}


# Who may what.


def test_every_operation_has_its_sample() -> None:
    assert SAMPLES.keys() == {operation.name for operation in OPERATIONS}


@EVERY
@pytest.mark.parametrize("name", ["ops", "viewer", "auditor", "search-lead"])
async def test_an_operation_is_done_for_its_roles_alone(
    client: Client, house: OperatorsHouse, operation: Operation, name: str
) -> None:
    answer = await ask(client, operation, await of_search(house), by(name))
    allowed = ADMINS[name].role in operation.roles
    assert answer.status == (operation.status if allowed else 403)
    if not allowed:
        told = (await problem(answer))["detail"]
        assert all(f"`{role}`" in told for role in operation.roles)


@EVERY
async def test_what_is_another_teams_is_for_a_team_admin_as_if_it_were_not(
    client: Client, house: OperatorsHouse, operation: Operation
) -> None:
    about = await of_search(house)
    before = len(house.keys.acts), list(house.revocations.revocations)
    theirs = await ask(client, operation, about, by("ads-lead"))
    nobodys = await ask(client, operation, NOTHING, by("ads-lead"))
    assert (theirs.status, nobodys.status) == (SAMPLES[operation.name].other,) * 2
    told, retold = await theirs.json(), await nobodys.json()
    for each in (told, retold):
        each.pop("request_id", None)
    assert str(told).replace("`search`", "`nosuch`") == str(retold)
    assert (len(house.keys.acts), house.revocations.revocations) == before


@EVERY
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {ADMINS['ops'].token.get_secret_value()}x"},
        {"cookie": "gateway_session=wrong"},
    ],
)
async def test_nothing_is_done_for_whoever_is_not_signed_in(
    client: Client, house: OperatorsHouse, operation: Operation, headers: Mapping[str, str]
) -> None:
    answer = await ask(client, operation, await of_search(house), headers)
    told = await problem(answer)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "canary" not in str(told)


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/nothing", "/%61dmin/usage", "/%761/organization/costs", "/v1/x"]
)
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer \udcff", "canary-token-of-ops"])
async def test_nor_is_anybody_told_what_there_is(client: Client, path: str, authorization: str) -> None:
    raw = authorization.encode("utf-8", "surrogateescape").decode("latin-1")
    assert (await client.get(path, headers={"authorization": raw})).status == 401


@pytest.mark.parametrize("given", ["Bearer ", "Bearer", "Bearer None"])
async def test_an_empty_token_lets_nobody_in(aiohttp_client: Any, given: str) -> None:
    house = OperatorsHouse(admins=[AdminToken("admin", SecretStr(""), Role.OPERATOR)])
    client = await aiohttp_client(house.operators().application())
    assert (await client.get("/admin/me", headers={"authorization": given})).status == 401


def test_pages_that_do_not_fit_the_table_are_refused(house: OperatorsHouse) -> None:
    operators = house.operators()
    with pytest.raises(ValueError, match="do not fit"):
        Operators(
            pages=[AboutPage()],
            sign_in=operators._sign_in,
            repeats=house.repeats,
            metrics=house.metrics,
            is_ready=bool,
            clock=house.clock,
            log=house.log.logger,
        )


# Open.


async def test_a_process_that_answers_is_alive(client: Client) -> None:
    answer = await client.get("/healthz")
    assert (answer.status, await answer.json()) == (200, {"status": "alive"})


async def test_a_gateway_is_ready(client: Client) -> None:
    answer = await client.get("/readyz")
    assert (answer.status, await answer.json()) == (200, {"status": "ready"})


async def test_a_gateway_that_drains_is_not_ready(client: Client, house: OperatorsHouse) -> None:
    house.ready = False
    answer = await client.get("/readyz")
    assert (answer.status, await answer.json()) == (503, {"status": "draining"})


async def test_a_gateway_that_drains_is_alive(client: Client, house: OperatorsHouse) -> None:
    house.ready = False
    assert (await client.get("/healthz")).status == 200


async def test_metrics_are_told_to_whoever_asks(client: Client, house: OperatorsHouse) -> None:
    house.metrics.malformed()
    answer = await client.get("/metrics")
    families = {family.name for family in text_string_to_metric_families(await answer.text())}
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "gateway_malformed_requests" in families


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_no_health_check_needs_the_ledger(client: Client, house: OperatorsHouse, path: str) -> None:
    house.reports.away = True
    assert (await client.get(path)).status == 200


# What goes wrong.


async def test_a_store_that_is_away_is_told_without_its_words(client: Client, house: OperatorsHouse) -> None:
    house.reports.away = True
    answer = await client.get("/admin/usage", headers=by("ops"))
    told = await problem(answer)
    assert (answer.status, "hush" in str(told)) == (503, False)


async def test_a_fault_of_ours_is_told_by_a_request_id_and_logged_under_it(
    client: Client, house: OperatorsHouse
) -> None:
    house.explainer.known = [None]  # type: ignore[list-item]
    answer = await client.get("/admin/explain/req_1", headers=by("ops"))
    told = await problem(answer)
    (line,) = house.log.of("internal_error")
    assert (answer.status, line["request_id"], line["error"]) == (500, told["request_id"], "AttributeError")


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence", "allow"),
    [
        ("GET", "/nothing", 404, "There is nothing at this path.", None),
        ("POST", "/healthz", 405, "This path does not take that method.", "GET,HEAD"),
        ("DELETE", "/admin/keys", 405, "This path does not take that method.", "GET,HEAD,POST"),
    ],
)
async def test_what_there_is_not_is_told_in_a_sentence(
    client: Client, method: str, path: str, status: int, sentence: str, allow: str | None
) -> None:
    answer = await client.request(method, path, headers=by("ops"))
    assert (answer.status, (await problem(answer))["detail"]) == (status, sentence)
    assert answer.headers.get("allow") == allow


async def test_a_body_has_its_bound(client: Client) -> None:
    answer = await client.post("/admin/keys", json={"team": "x" * 300_000}, headers=by("ops"))
    assert (answer.status, (await problem(answer))["detail"]) == (413, "The body is larger than 256 KiB.")


async def test_no_answer_is_kept_on_the_way(client: Client) -> None:
    for path, headers in (("/admin/me", by("ops")), ("/admin/me", {}), ("/healthz", {})):
        answer = await client.get(path, headers=headers)
        told = answer.headers["cache-control"], answer.headers["x-content-type-options"]
        assert told == ("no-store", "nosniff")


async def test_the_console_answers_beside_the_api(aiohttp_client: Any) -> None:
    async def away(_: web.Request) -> web.Response:
        raise web.HTTPSeeOther("/console")

    class Console:
        def routes(self) -> list[web.RouteDef]:
            return [web.get("/", away)]

    house = OperatorsHouse(console=Console())
    client = await aiohttp_client(house.operators().application())
    answer = await client.get("/", allow_redirects=False)
    assert (answer.status, answer.headers["location"]) == (303, "/console")


# Once.


NEW = {"team": "search", "name": "web"}


def once(name: str = "ops", key: str = "k-1") -> dict[str, str]:
    return {**by(name), "idempotency-key": key}


async def test_a_repetition_is_answered_as_the_first_was_without_the_secret(
    client: Client, house: OperatorsHouse
) -> None:
    first = await client.post("/admin/keys", json=NEW, headers=once())
    again = await client.post("/admin/keys", json=NEW, headers=once())
    told, retold = await first.json(), await again.json()
    assert (first.status, again.status, len(house.keys.acts)) == (201, 201, 1)
    assert (told["key"], retold["secret"]) == (retold["key"], None)
    assert told["secret"].startswith("gwk_")
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")


async def test_what_is_kept_for_repetitions_holds_no_secret(client: Client, house: OperatorsHouse) -> None:
    secret = (await (await client.post("/admin/keys", json=NEW, headers=once())).json())["secret"]
    assert secret not in str(house.repeats.rows)


async def test_an_idempotency_key_is_good_for_one_request(client: Client) -> None:
    await client.post("/admin/keys", json=NEW, headers=once())
    answer = await client.post("/admin/keys", json={**NEW, "name": "other"}, headers=once())
    told = await problem(answer)
    assert (answer.status, told["code"], told["field"]) == (422, "idempotency_key_reuse", "idempotency-key")


async def test_it_is_not_good_for_another_operation_with_the_same_body(client: Client) -> None:
    key = (await (await client.post("/admin/keys", json=NEW, headers=once())).json())["key"]["id"]
    assert (await client.post(f"/admin/keys/{key}/disable", headers=once(key="k-2"))).status == 200
    assert (await client.post(f"/admin/keys/{key}/enable", headers=once(key="k-2"))).status == 422


async def test_everybody_has_idempotency_keys_of_their_own(client: Client, house: OperatorsHouse) -> None:
    for name in ("ops", "search-lead"):
        body = {**NEW, "name": name}
        assert (await client.post("/admin/keys", json=body, headers=once(name))).status == 201
    assert len(house.keys.acts) == 2


async def test_of_many_at_once_one_is_done(client: Client, house: OperatorsHouse) -> None:
    answers = await asyncio.gather(*(client.post("/admin/keys", json=NEW, headers=once()) for _ in range(8)))
    assert {answer.status for answer in answers} <= {201, 409}
    secrets = [(await answer.json())["secret"] for answer in answers if answer.status == 201]
    assert (len(house.keys.acts), len([secret for secret in secrets if secret])) == (1, 1)


async def test_what_is_under_way_is_not_done_again(client: Client, house: OperatorsHouse) -> None:
    assert (await client.post("/admin/keys", json=NEW, headers=once())).status == 201
    ((place, (hash_, _)),) = house.repeats.rows.items()
    house.repeats.rows[place] = (hash_, None)
    answer = await client.post("/admin/keys", json=NEW, headers=once())
    assert (answer.status, (await problem(answer))["field"]) == (409, "idempotency-key")


async def test_a_failure_is_not_kept(client: Client, house: OperatorsHouse) -> None:
    wrong = {**NEW, "team": "serch"}
    for _ in range(2):
        assert (await client.post("/admin/keys", json=wrong, headers=once())).status == 422
    assert house.repeats.rows == {}


async def test_a_secret_is_told_even_if_the_answer_cannot_be_kept(
    client: Client, house: OperatorsHouse
) -> None:
    house.repeats.away = True
    answer = await client.post("/admin/keys", json=NEW, headers=once())
    assert (answer.status, bool((await answer.json())["secret"])) == (201, True)


@pytest.mark.parametrize("key", ["", "x" * 201, "two words", "h\u00e9"])
async def test_an_idempotency_key_is_visible_and_short(client: Client, key: str) -> None:
    answer = await client.post("/admin/keys", json=NEW, headers=once(key=key))
    assert (answer.status, (await problem(answer))["field"]) == (400, "idempotency-key")


# Secrets.


async def test_no_answer_and_no_line_holds_a_secret_or_a_hash(client: Client, house: OperatorsHouse) -> None:
    key, secret = await a_key(house)
    about = About("search", key.id, "req_1")
    hidden = [secret, key.secret_hash.hex(), *(each.token.get_secret_value() for each in ADMINS.values())]
    for operation in OPERATIONS:
        for name in (*ADMINS, None):
            answer = await ask(client, operation, about, by(name) if name else {})
            text = f"{await answer.text()} {answer.headers}"
            made = (await answer.json()).get("secret") if answer.status < 300 else None
            assert [each for each in hidden if each in text] == []
            assert made is None or operation.name in ("create_key", "rotate_key")
    assert [each for each in hidden if each in house.log.text] == []
