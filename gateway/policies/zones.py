"""Time zones by their IANA names. Whoever misses one is told which was probably meant."""

from difflib import get_close_matches
from functools import cache
from typing import Annotated, Final
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

_NO_PLACES: Final = frozenset({"Factory", "localtime"})
"""What is no zone, or another one on every machine."""
_ALIKE: Final = 0.8


@cache
def zone_names() -> frozenset[str]:
    """All that exist. They are read from disk, once."""
    return frozenset(available_timezones()) - _NO_PLACES


def zone_like(name: str) -> str | None:
    """The zone that was probably meant: by its name in other letters, by its city, or by a slip of the pen.

    Offsets and abbreviations are not guessed at: `Etc/GMT+1` is an hour behind, and EST is not CEST.
    """
    wanted = name.casefold().replace(" ", "_")
    zones = {zone.casefold(): zone for zone in sorted(zone_names())}
    cities = [zone for zone in zones if "/" in zone and not zone.startswith("etc/")]
    like = [zone for zone in cities if zone.endswith(f"/{wanted}")]
    like = like or get_close_matches(wanted, cities, n=1, cutoff=_ALIKE)
    return zones.get(wanted) or next((zones[zone] for zone in like), None)


def _exists(name: str) -> str:
    if name in zone_names():
        return name
    like = zone_like(name)
    raise ValueError(
        f"`{name}` is no time zone; did you mean `{like}`?"
        if like
        else f"`{name}` is no time zone: say its IANA name, such as `Europe/Berlin`"
    )


ZoneName = Annotated[str, Field(max_length=64), AfterValidator(_exists)]
