"""The same statements for both engines, each with its own marks."""

import pytest
from sqlalchemy import create_engine

from gateway.database.statements import insertion, replacement
from gateway.database.tables import WORKERS

URLS = {"?": "sqlite://", "%s": "postgresql+psycopg://host/name"}


@pytest.mark.parametrize("mark", URLS)
def test_a_row_is_added_unless_it_is_there(mark: str) -> None:
    assert insertion(create_engine(URLS[mark]), WORKERS) == (
        f"INSERT INTO workers (id, lease_until) VALUES ({mark}, {mark}) ON CONFLICT DO NOTHING"
    )


@pytest.mark.parametrize("mark", URLS)
def test_a_row_takes_the_place_of_its_like(mark: str) -> None:
    assert replacement(create_engine(URLS[mark]), WORKERS) == (
        f"INSERT INTO workers (id, lease_until) VALUES ({mark}, {mark})"
        " ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until"
    )
