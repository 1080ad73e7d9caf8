"""The operators' API is asked by schemathesis, on a real listener, whatever its own document allows and
forbids: it answers nothing else than what the document says, and never fails.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
import schemathesis
from aiohttp.test_utils import TestServer
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from gateway.admin.document import openapi
from gateway.auth.keys.checks import NewKey
from gateway.core.actor import Actor, Role
from tests.support.operators import OperatorsHouse, by

SCHEMA = schemathesis.openapi.from_dict(openapi())

NOT_HERE = [ignored_auth, positive_data_acceptance]
"""Who is let in is a matter of the matrix of roles. What is well spelled can still name what there is not."""


class Served(NamedTuple):
    """Where the API is, and what its paths can name."""

    address: str
    known: Mapping[str, str]


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    house = OperatorsHouse()
    key, _ = await house.desk.create(NewKey(team="search", name="web"), Actor("token:ops", Role.OPERATOR))
    async with TestServer(house.operators().application()) as server:
        known = {"key_id": key.id, "team": "search", "request_id": "req_1"}
        yield Served(str(server.make_url("")), known)
    assert house.log.of("internal_error") == []


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(served()) as served_:
        yield served_


@SCHEMA.parametrize()
@settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_operation_does_what_its_document_says(case: Case, api: Served) -> None:
    case.call_and_validate(base_url=api.address, headers=by("ops"), excluded_checks=NOT_HERE)


@SCHEMA.include(path_regex="{").parametrize()
@settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
def test_so_it_does_with_what_there_is(case: Case, api: Served) -> None:
    case.path_parameters.update({name: api.known[name] for name in case.path_parameters})
    left_out = [*NOT_HERE, negative_data_rejection]  # it may have been the path that was wrong
    case.call_and_validate(base_url=api.address, headers=by("ops"), excluded_checks=left_out)
