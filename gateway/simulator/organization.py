"""OpenAI's usage and costs of an organization, for administrators: the account's sums, in buckets and pages.

Not simulated: the kinds of usage that nothing here makes (vector stores, sessions, searches), and sums by
user, by key or by size, which nobody here has.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import msgspec

from gateway.simulator.account import DAY, MINUTE, Account, Slot, Sum
from gateway.simulator.answer import Answer, Json, whole
from gateway.simulator.bill import Bill, Kind
from gateway.simulator.errors import Refusal, error, invalid
from gateway.simulator.price_list import PICO, items

PREFIX: Final = "/v1/organization/"

_USAGE: Final = f"{PREFIX}usage/"
_COSTS: Final = f"{PREFIX}costs"
_WIDTHS: Final = {"1m": (MINUTE, 60, 1440), "1h": (3600, 24, 168), "1d": (DAY, 7, 31)}
"""Seconds of a bucket; how many there are in a page, and how many at most."""
_COST_WIDTHS: Final = {"1d": (DAY, 7, 180)}
_NOBODYS: Final = ("user_id", "api_key_id")

Group = tuple[str | None, ...]


class _Range(NamedTuple):
    """The buckets of one page, and where the next page begins."""

    starts: Sequence[int]
    width: int
    since: int
    until: int
    next_page: int | None


def answer(account: Account, method: str, raw_path: str, *, now: float) -> Answer:
    """Usage of a kind, or costs. Raises Refusal (400, 404, 405)."""
    path, _, query = raw_path.partition("?")
    kind = path.removeprefix(_USAGE)
    if path != _COSTS and kind not in list(Kind):
        raise Refusal(error(404, f"Invalid URL ({method} {path})"))
    if method != "GET":
        refusal = error(405, "Only GET requests are accepted.", headers={"allow": "GET"})
        raise Refusal(refusal)
    given = {name.removesuffix("[]"): values for name, values in parse_qs(query).items()}
    if path == _COSTS:
        return _costs(account, given, now)
    return _usage(account, Kind(kind), given, now)


def _usage(account: Account, kind: Kind, given: Mapping[str, list[str]], now: float) -> Answer:
    groups = _groups(given, ("project_id", "model", *_GROUPS_OF.get(kind, ()), *_NOBODYS))
    asked = _range(given, _WIDTHS, now)

    def results(slots: Iterable[tuple[Slot, Sum]]) -> Iterator[Json]:
        sums: dict[Group, Sum] = {}
        for slot, each in slots:
            key = tuple(_value(slot, name) if name in groups else None for name in _NAMES[kind])
            had = sums.get(key, Sum(0, Bill()))
            sums[key] = Sum(had.requests + each.requests, had.bill.plus(each.bill))
        for key, each in sorted(sums.items(), key=lambda item: tuple(map(str, item[0]))):
            yield _result(kind, dict(zip(_NAMES[kind], key, strict=True)), each)

    return _page(asked, _chosen(account, given, asked, kind), results)


def _costs(account: Account, given: Mapping[str, list[str]], now: float) -> Answer:
    groups = _groups(given, ("project_id", "line_item", *_NOBODYS))
    asked = _range(given, _COST_WIDTHS, now)

    def results(slots: Iterable[tuple[Slot, Sum]]) -> Iterator[Json]:
        sums: dict[Group, list[tuple[int, int, str]]] = {}
        for slot, each in slots:
            for item in items(slot.model, each.bill, slot.tier):
                project = slot.project if "project_id" in groups else None
                line = item.name if "line_item" in groups else None
                sums.setdefault((project, line), []).append((item.amount, item.quantity, item.unit))
        for (project, line), parts in sorted(sums.items(), key=lambda item: tuple(map(str, item[0]))):
            yield {
                "object": "organization.costs.result",
                "amount": {"value": _dollars(sum(amount for amount, _, _ in parts)), "currency": "usd"},
                "line_item": line,
                "project_id": project,
                "user_id": None,
                "api_key_id": None,
                "quantity": sum(quantity for _, quantity, _ in parts) if line else None,
                "quantity_unit": parts[0][2] if line else None,
            }

    return _page(asked, _chosen(account, given, asked, None), results)


def _chosen(
    account: Account, given: Mapping[str, list[str]], asked: _Range, kind: Kind | None
) -> dict[int, list[tuple[Slot, Sum]]]:
    """What was used in each bucket of the page, after the filters."""
    chosen: dict[int, list[tuple[Slot, Sum]]] = {start: [] for start in asked.starts}
    if any(given.get(f"{name}s") for name in _NOBODYS):
        return chosen
    wanted = {name: given[f"{name}s"] for name in ("project_id", "model") if given.get(f"{name}s")}
    for slot, each in account:
        start = slot.minute // asked.width * asked.width
        is_wanted = kind in (None, slot.kind) and asked.since <= slot.minute < asked.until
        if start in chosen and is_wanted and all(_value(slot, name) in wanted[name] for name in wanted):
            chosen[start].append((slot, each))
    return chosen


def _page(
    asked: _Range,
    chosen: Mapping[int, list[tuple[Slot, Sum]]],
    results: Callable[[Iterable[tuple[Slot, Sum]]], Iterator[Json]],
) -> Answer:
    data = [
        {
            "object": "bucket",
            "start_time": start,
            "end_time": start + asked.width,
            "results": list(results(chosen[start])),
        }
        for start in asked.starts
    ]
    has_more = asked.next_page is not None
    next_page = f"page_{_cursor(asked.next_page)}" if asked.next_page is not None else None
    return whole({"object": "page", "data": data, "has_more": has_more, "next_page": next_page})


def _range(given: Mapping[str, list[str]], widths: Mapping[str, tuple[int, int, int]], now: float) -> _Range:
    name = given.get("bucket_width", ["1d"])[0]
    if name not in widths:
        raise invalid(f"Invalid 'bucket_width': there are {', '.join(widths)}.", "bucket_width")
    width, usual, most = widths[name]
    since = _integer(given, "start_time", 0, 1 << 40)
    until = _integer(given, "end_time", 0, 1 << 40, usual=int(now) + 1)
    limit = _integer(given, "limit", 1, most, usual=usual)
    if until <= since:
        raise invalid("Invalid 'end_time': it must be after 'start_time'.", "end_time")
    first = _begun(given["page"][0]) if given.get("page") else since // width * width
    end = min(until, first + limit * width)
    return _Range(
        starts=range(first, end, width),
        width=width,
        since=since // MINUTE * MINUTE,
        until=until,
        next_page=first + limit * width if first + limit * width < until else None,
    )


def _integer(
    given: Mapping[str, list[str]], name: str, least: int, most: int, *, usual: int | None = None
) -> int:
    text = given.get(name, [""])[0]
    if not text and usual is not None:
        return usual
    if not text:
        raise invalid(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    if not text.isdecimal() or not least <= int(text) <= most:
        raise invalid(f"Invalid '{name}': expected an integer from {least} to {most}.", name)
    return int(text)


def _groups(given: Mapping[str, list[str]], known: Sequence[str]) -> list[str]:
    groups = [name for value in given.get("group_by", []) for name in value.split(",")]
    if unknown := [name for name in groups if name not in known]:
        raise invalid(f"Invalid 'group_by': '{unknown[0]}'. There are: {', '.join(known)}.", "group_by")
    return groups


def _cursor(start: int) -> str:
    return urlsafe_b64encode(str(start).encode()).decode()


def _begun(page: str) -> int:
    try:
        return int(urlsafe_b64decode(page.removeprefix("page_")))
    except ValueError as reason:
        raise invalid("Invalid 'page': it is no cursor of ours.", "page") from reason


def _value(slot: Slot, name: str) -> str | None:
    """What a group or a filter is about."""
    return {
        "project_id": slot.project,
        "model": slot.model,
        "service_tier": slot.tier,
        "source": slot.source,
    }.get(name)


def _dollars(pico: int) -> msgspec.Raw:
    """An exact number in JSON."""
    return msgspec.Raw(f"{pico // PICO}.{pico % PICO:012}".encode())


def _result(kind: Kind, group: Mapping[str, str | None], each: Sum) -> Json:
    return {
        "object": f"organization.usage.{kind}.result",
        **_UNITS[kind](each.bill),
        "num_model_requests": each.requests,
        **group,
        **({"batch": None} if kind is Kind.COMPLETIONS else {}),
    }


def _completions(bill: Bill) -> dict[str, int]:
    return {
        "input_tokens": bill.input_tokens,
        "input_cached_tokens": bill.cached_tokens,
        "input_uncached_tokens": bill.input_tokens - bill.cached_tokens,
        "input_audio_tokens": bill.audio_input_tokens,
        "output_tokens": bill.output_tokens,
        "output_audio_tokens": bill.audio_output_tokens,
    }


_UNITS: Final[Mapping[Kind, Callable[[Bill], dict[str, Any]]]] = {
    Kind.COMPLETIONS: _completions,
    Kind.EMBEDDINGS: lambda bill: {"input_tokens": bill.input_tokens},
    Kind.MODERATIONS: lambda bill: {"input_tokens": bill.input_tokens},
    Kind.IMAGES: lambda bill: {"images": bill.images},
    Kind.AUDIO_SPEECHES: lambda bill: {"characters": bill.characters},
    Kind.AUDIO_TRANSCRIPTIONS: lambda bill: {"seconds": bill.seconds},
}
_GROUPS_OF: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.COMPLETIONS: ("batch", "service_tier"),
    Kind.IMAGES: ("size", "source"),
}
_NAMES: Final[Mapping[Kind, tuple[str, ...]]] = {
    kind: (
        *("project_id", *_NOBODYS, "model"),
        *(name for name in _GROUPS_OF.get(kind, ()) if name != "batch"),
    )
    for kind in Kind
}
"""The members of a result that say what it is about; null where it was not asked to be grouped by them."""
