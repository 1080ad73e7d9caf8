"""Facts about `gateway/policies/zones.py`."""

from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.policies.zones import ZoneName, zone_like, zone_names

NAMES: TypeAdapter[str] = TypeAdapter(ZoneName)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata"])
def test_a_zone_that_exists_is_good(name: str) -> None:
    assert NAMES.validate_python(name) == name


def test_every_zone_that_is_good_can_be_used() -> None:
    assert len(zone_names()) > 400
    assert [name for name in zone_names() if ZoneInfo(name).key != name] == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Europe",
        "Europe/",
        "/Europe/Berlin",
        "../zoneinfo/UTC",
        "europe/berlin",
        "Europe/Berlin ",
        "right/UTC",
        "localtime",
        "Factory",
        "UTC+1",
        "x" * 100_000,
        "Europe/Berlin\0",
        5,
    ],
)
def test_what_is_no_zone_is_refused(name: object) -> None:
    with pytest.raises(ValidationError):
        NAMES.validate_python(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("utc", "UTC"),
        ("Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("America/NewYork", "America/New_York"),
        ("Asia/Tokio", "Asia/Tokyo"),
    ],
)
def test_who_misses_a_zone_is_told_which_was_meant(name: str, meant: str) -> None:
    assert zone_like(name) == meant


@pytest.mark.parametrize("name", ["CEST", "UTC+1", "GMT+1", "Europe", "Middle-earth/Shire", ""])
def test_what_could_be_several_zones_is_not_guessed_at(name: str) -> None:
    assert zone_like(name) is None
