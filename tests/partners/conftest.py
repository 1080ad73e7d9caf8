"""A house on a loop of its own, for clients that block; and the official Python SDK, in both kinds."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import pytest
from anyio.from_thread import start_blocking_portal
from openai import AsyncOpenAI, OpenAI

from tests.support.house import House, house


@contextmanager
def beside(opened: AbstractAsyncContextManager[House]) -> Iterator[House]:
    """Keep a house open in a thread of its own until the block is left."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(opened) as standing:
        yield standing


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for all: what partners ask of it leaves nothing behind."""
    with beside(house(tmp_path_factory.mktemp("house"))) as opened:
        yield opened


@pytest.fixture
def home(standing: House) -> Iterator[House]:
    """The house, with the shipped policies. Each test is held to what the simulator complains of."""
    yield standing
    left_over = standing.simulator.faults.take()
    assert (left_over, standing.simulator.complaints) == (None, [])


@pytest.fixture
def client(home: House) -> Iterator[OpenAI]:
    """The official SDK as an app has it, but for its retries."""
    with OpenAI(base_url=home.url, api_key=home.key, max_retries=0) as sdk:
        yield sdk


@pytest.fixture
async def async_client(home: House) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=home.url, api_key=home.key, max_retries=0) as sdk:
        yield sdk
