"""Who asks: keys in each of their three places, and every way in which a key can fail to be one."""

import sqlite3
import time
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.command import run
from tests.support.eventually import eventually
from tests.support.house import UPSTREAM_KEY, Answer, House, hasten, house
from tests.support.keys import make_key, revoke_key

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def asked_with(house_: House, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with house_.http.get(f"{house_.url}/models", headers=named) as answer:
        return Answer(answer.status, answer.headers, await answer.read())


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("authorization", "Bearer {}"),
        ("Authorization", "bearer  {}"),
        ("api-key", "{}"),
        ("x-api-key", "{}"),
    ],
)
async def test_a_key_is_taken_where_clients_put_it(home: House, header: str, form: str) -> None:
    assert (await asked_with(home, **{header: form.format(home.key)})).status == 200


async def test_the_same_key_in_two_places_is_one(home: House) -> None:
    answer = await asked_with(home, authorization=f"Bearer {home.key}", api_key=home.key)
    assert answer.status == 200


async def test_two_keys_are_none(home: House) -> None:
    other = await home.new_key("search", "other")
    answer = await asked_with(home, authorization=f"Bearer {home.key}", x_api_key=other)
    assert (answer.status, answer.error["code"]) == (400, "bad_request")


def mistyped(key: str) -> str:
    return key[:30] + ("a" if key[30] != "a" else "b") + key[31:]


@pytest.mark.parametrize(
    "spoil",
    [
        mistyped,
        lambda key: key[:-1],
        lambda key: key + "x",
        lambda key: key.upper(),
        lambda key: key[:16],
        lambda _: "",
        lambda _: "sk-proj-0123456789012345678901234567890123456789",
        lambda _: UPSTREAM_KEY,
        lambda _: "é" * 66,
        lambda _: "x" * 8000,
    ],
)
async def test_what_is_no_key_is_refused(home: House, spoil: object) -> None:
    assert callable(spoil)
    answer = await asked_with(home, authorization=f"Bearer {spoil(home.key)}")
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert answer.error.keys() == {"message", "type", "param", "code"}
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("authorization", ["Basic Zm9vOmJhcg==", "Bearer", "gwk_", ""])
async def test_what_is_no_bearer_is_refused(home: House, authorization: str) -> None:
    answer = await asked_with(home, authorization=authorization)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


async def test_a_key_of_another_gateway_is_refused_like_a_revoked_one(home: House, tmp_path: Path) -> None:
    async with house(tmp_path) as elsewhere:
        answer = await asked_with(home, api_key=elsewhere.key)
    assert answer.status == 401
    revoked = await home.new_key("search", "soon-revoked")
    await revoke_key(home.settings, revoked)
    refused = await asked_with(home, api_key=revoked)
    assert refused.error == answer.error


async def test_the_upstream_gets_the_gateways_key_and_no_other(home: House) -> None:
    await home.post(
        "/embeddings", {"model": "text-embedding-3-small", "input": "a"}, headers={"cookie": "a=b"}
    )
    headers = home.simulator.requests[-1].headers
    assert headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert home.key not in str(headers)
    assert "cookie" not in headers


async def test_a_revoked_key_stops_within_a_second(tmp_path: Path) -> None:
    async with house(tmp_path, pause=hasten) as house_:
        assert (await house_.get("/models")).status == 200
        await revoke_key(house_.settings, house_.key)

        async def is_refused() -> bool:
            return (await house_.get("/models")).status == 401

        await eventually(is_refused, seconds=1)


async def test_a_key_ends_on_its_day_even_in_the_middle_of_its_work(tmp_path: Path) -> None:
    clock = ManualClock(now=time.time())  # it is made by today's calendar
    async with house(tmp_path, clock=clock) as house_:
        key = await make_key(house_.settings, "search", "short", expires_at=int(clock.now()) + 30)
        assert (await asked_with(house_, api_key=key)).status == 200
        clock.advance(30)
        answer = await asked_with(house_, api_key=key)
        assert (answer.status, answer.error["code"]) == (401, "token_expired")


async def test_without_its_store_the_house_knows_the_keys_of_the_last_minute(tmp_path: Path) -> None:
    clock = ManualClock()
    async with house(tmp_path, clock=clock) as house_:
        late = await house_.new_key("search", "late")
        assert (await house_.get("/models")).status == 200
        with sqlite3.connect(tmp_path / "gateway.db") as database:
            database.execute("ALTER TABLE keys RENAME TO gone")
        database.close()
        clock.advance(59)
        assert (await house_.get("/models")).status == 200
        unknown = await asked_with(house_, api_key=late)
        assert (unknown.status, unknown.error["code"]) == (503, "overloaded")
        assert unknown.headers["retry-after"] == "1"
        clock.advance(2)
        assert (await house_.get("/models")).status == 503


@pytest.mark.timeout(240)  # commands are begun anew, on machines that may be busy
async def test_a_key_made_by_the_command_works_until_the_command_revokes_it(tmp_path: Path) -> None:
    async with house(tmp_path) as house_:
        words = ("keys", "create", "--team", "support", "--name", "by-hand")
        status, out, err = await run(*words, environment=house_.environment)
        key = out.strip()
        assert (status, len(key), key in err) == (0, 66, False)
        assert (await asked_with(house_, api_key=key)).status == 200

        status, _, _ = await run("keys", "revoke", key[4:16], environment=house_.environment)
        assert status == 0

        async def is_refused() -> bool:
            return (await asked_with(house_, api_key=key)).status == 401

        await eventually(is_refused)
