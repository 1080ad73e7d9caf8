"""Who is let in at the operators' port: admin tokens, tokens of issuers, and the console's sessions."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.admin.sessions import COOKIE
from gateway.core.actor import Actor, Role
from gateway.core.errors import StoreUnavailable
from tests.support.operators import Client, OperatorsHouse, by, problem

ALICE = Actor("entra:alice", Role.OPERATOR)
A_JWT = "eyJhbGciOiJSUzI1NiJ9.e30.canary"
NEW = {"team": "search", "name": "web"}
FROM_CONSOLE = {"x-requested-with": "gateway-console"}


def cookie(house: OperatorsHouse, actor: Actor = ALICE, seconds: float = 60) -> dict[str, str]:
    return {"cookie": f"{COOKIE}={house.sessions.seal(actor, house.clock.now() + seconds)}"}


async def me(client: Client, headers: Mapping[str, str]) -> Any:
    answer = await client.get("/admin/me", headers=dict(headers))
    return (await answer.json())["name"] if answer.status == 200 else answer.status


@pytest.mark.parametrize("name", ["ops", "viewer", "search-lead"])
async def test_an_admin_token_says_who_asks(client: Client, name: str) -> None:
    assert await me(client, by(name)) == f"token:{name}"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_may_be_written_in_any_way(client: Client, scheme: str) -> None:
    token = by("ops")["authorization"].partition(" ")[2]
    assert await me(client, {"authorization": f"{scheme}  {token} "}) == "token:ops"


async def test_so_does_a_token_of_an_issuer(client: Client, house: OperatorsHouse) -> None:
    house.tokens[A_JWT] = ALICE
    assert await me(client, {"authorization": f"Bearer {A_JWT}"}) == "entra:alice"


async def test_a_token_that_makes_nobody_an_administrator_lets_nobody_in(client: Client) -> None:
    assert await me(client, {"authorization": f"Bearer {A_JWT}"}) == 401


async def test_when_the_issuers_keys_are_away_nobody_is_told_more(
    house: OperatorsHouse, aiohttp_client: Any
) -> None:
    async def away(token: str) -> Actor | None:
        raise StoreUnavailable(f"no answer for {token}")

    house.whose_token = away  # type: ignore[method-assign]
    client = await aiohttp_client(house.operators().application())
    answer = await client.get("/admin/me", headers={"authorization": f"Bearer {A_JWT}"})
    assert (answer.status, "canary" in await answer.text() + house.log.text) == (503, False)


async def test_a_session_says_who_asks(client: Client, house: OperatorsHouse) -> None:
    assert await me(client, cookie(house)) == "entra:alice"


async def test_a_session_that_has_ended_lets_nobody_in(client: Client, house: OperatorsHouse) -> None:
    headers = cookie(house)
    house.clock.advance(61)
    assert await me(client, headers) == 401


@pytest.mark.parametrize(
    "authorization", ["Bearer wrong", "Basic canary-token-of-ops", "canary-token-of-ops", ""]
)
async def test_a_wrong_token_is_not_made_good_by_a_session(
    client: Client, house: OperatorsHouse, authorization: str
) -> None:
    assert await me(client, {**cookie(house), "authorization": authorization}) == 401


async def test_two_tokens_are_none(client: Client) -> None:
    token = by("ops")["authorization"]
    answer = await client.get("/admin/me", headers=[("authorization", token), ("authorization", token)])
    assert answer.status == 401


# Who was not let in is counted.


@pytest.mark.parametrize(
    ("headers", "times"),
    [
        ({}, []),
        ({"cookie": f"{COOKIE}=forged"}, []),
        (by("ops"), []),
        ({"authorization": "Bearer canary"}, [2]),
        ({"authorization": "Basic canary"}, [2]),
        ({"authorization": ""}, [2]),
    ],
)
async def test_what_opens_nothing_is_counted_and_not_told(
    client: Client, house: OperatorsHouse, headers: Mapping[str, str], times: list[int]
) -> None:
    for _ in range(2):
        await me(client, headers)
    await house.tally.flush()
    assert [act.details["times"] for act in house.acts] == times
    assert {act.details["code"] for act in house.acts} <= {"unknown_holder"}
    assert "canary" not in str(house.acts)


# What another site may not send for.


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        (FROM_CONSOLE, 403),
        ({"sec-fetch-site": "same-origin"}, 403),
        ({**FROM_CONSOLE, "sec-fetch-site": "same-origin"}, 201),
        ({**FROM_CONSOLE, "sec-fetch-site": "same-site"}, 403),
        ({**FROM_CONSOLE, "sec-fetch-site": "cross-site"}, 403),
        ({**FROM_CONSOLE, "sec-fetch-site": "none"}, 403),
        ({**FROM_CONSOLE, "origin": "http://{host}"}, 201),
        ({**FROM_CONSOLE, "origin": "https://{host}"}, 201),
        ({**FROM_CONSOLE, "origin": "http://{host}.example.com"}, 403),
        ({**FROM_CONSOLE, "origin": "http://example.com"}, 403),
        ({**FROM_CONSOLE, "origin": "null"}, 403),
        ({**FROM_CONSOLE, "origin": "file://{host}"}, 403),
        ({**FROM_CONSOLE, "origin": "http://{host}", "sec-fetch-site": "cross-site"}, 403),
        ({"x-requested-with": "XMLHttpRequest", "sec-fetch-site": "same-origin"}, 403),
    ],
)
async def test_a_session_changes_things_from_the_console_alone(
    client: Client, house: OperatorsHouse, headers: Mapping[str, str], status: int
) -> None:
    host = f"{client.host}:{client.port}"
    sent = {name: value.replace("{host}", host) for name, value in headers.items()}
    answer = await client.post("/admin/keys", json=NEW, headers={**cookie(house), **sent})
    assert (answer.status, len(house.keys.acts)) == (status, int(status == 201))


async def test_a_foreign_request_is_told_why_it_is_refused(client: Client, house: OperatorsHouse) -> None:
    answer = await client.post("/admin/keys", json=NEW, headers=cookie(house))
    assert "from the console alone" in (await problem(answer))["detail"]


async def test_a_session_reads_wherever_the_request_comes_from(client: Client, house: OperatorsHouse) -> None:
    assert await me(client, {**cookie(house), "sec-fetch-site": "none"}) == "entra:alice"


async def test_a_token_needs_no_origin(client: Client) -> None:
    headers = {**by("ops"), "sec-fetch-site": "cross-site"}
    assert (await client.post("/admin/keys", json=NEW, headers=headers)).status == 201


async def test_a_session_lets_nobody_in_whose_token_was_taken_back(
    client: Client, house: OperatorsHouse
) -> None:
    headers = cookie(house)
    house.turned_out.append(ALICE)
    assert await me(client, headers) == 401
