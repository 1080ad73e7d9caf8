"""Facts about `gateway/filters/catalogue.py`."""

from gateway.core.policy import FilterKind
from gateway.filters.catalogue import FILTERS


def test_every_kind_of_filter_is_there() -> None:
    assert set(FILTERS) == set(FilterKind)
