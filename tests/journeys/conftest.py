"""Houses that many tests can share, since they leave nothing behind."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.simulator.pace import Pace
from gateway.simulator.simulator import Simulator
from tests.support.house import UPSTREAM_KEY, House, house
from tests.support.policy_files import write_policies

NOON = 1_795_003_200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """The house with the shipped policies."""
    async with house(tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house without a single rule, before a simulator for which it is always noon."""
    folder = tmp_path_factory.mktemp("plain")
    upstream = Simulator(api_keys=frozenset({UPSTREAM_KEY}), pace=Pace.instant(), clock=lambda: NOON)
    async with house(folder, policies=write_policies(folder), simulator=upstream) as opened:
        yield opened
