"""The operators' API, ready to be asked."""

from typing import Any

import pytest

from tests.support.operators import Client, OperatorsHouse


@pytest.fixture
def house() -> OperatorsHouse:
    return OperatorsHouse()


@pytest.fixture
async def client(house: OperatorsHouse, aiohttp_client: Any) -> Client:
    client: Client = await aiohttp_client(house.operators().application())
    return client
