"""OpenAI's usage and costs API, spelled from the ledger's sums. Its law: each operation below names the
endpoints that it counts, and every endpoint that is metered is counted by one of them, and by costs.

A project is a team, a user the subject, a line item the model: the ledger keeps one cost for an attempt, not
one for its input and one for its output. What the ledger does not know is null where it would tell groups
apart (the size of images), and absent where it would be a number (the text among the cached tokens).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.core.errors import ErrorCode, Refused
from gateway.core.usage_question import Sums, UsageQuestion, UsageSum, Whose
from gateway.wire.organization_query import DAY, HOUR, MINUTE, Limits, UsageQuery, read_usage_query

_DOLLAR: Final = 1_000_000
_MILLISECONDS: Final = 1000

_USAGE_LIMITS: Final[Limits] = {MINUTE: (60, 1440), HOUR: (24, 168), DAY: (7, 31)}
_COST_LIMITS: Final[Limits] = {DAY: (7, 180)}

_GROUPS: Final[Mapping[str, Whose | None]] = {
    "project_id": Whose.TEAM,
    "user_id": Whose.SUBJECT,
    "api_key_id": Whose.KEY,
    "model": Whose.MODEL,
    "line_item": Whose.MODEL,
    "service_tier": Whose.SERVICE_TIER,
    "source": Whose.ENDPOINT,
    "batch": None,
    "api_source": None,
    "size": None,
}
"""By what may be grouped, and where the ledger has it; None: there is but one value."""

_FILTERS: Final[Mapping[str, Whose]] = {
    "project_ids": Whose.TEAM,
    "user_ids": Whose.SUBJECT,
    "api_key_ids": Whose.KEY,
    "models": Whose.MODEL,
    "line_items": Whose.MODEL,
}

_ONE_VALUE: Final[Mapping[str, Any]] = {"batch": False, "api_source": "unlabeled", "size": None}
"""Nothing here is a batch or of the Agents API."""

_SOURCES: Final[Mapping[str, str]] = {
    "images_generations": "image.generation",
    "images_edits": "image.edit",
    "images_variations": "image.variation",
}

_ANYBODY: Final = ("project_id", "user_id", "api_key_id")
_WHOSE: Final = (*_ANYBODY, "model")
_PICKED: Final = ("project_ids", "user_ids", "api_key_ids", "models")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the API."""

    result: str
    """What its results call themselves."""
    measures: Callable[[Sums], dict[str, Any]]
    endpoints: tuple[str, ...]
    """Whose usage it is, by the names of the endpoint table; empty: of all."""
    groups: tuple[str, ...] = _WHOSE
    filters: tuple[str, ...] = _PICKED
    whole_days: bool = False

    @property
    def limits(self) -> Limits:
        """How many buckets a page has."""
        return _COST_LIMITS if self.whole_days else _USAGE_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRequest:
    """What is asked of the ledger, and how the answer is to be spelled."""

    operation: Operation
    query: UsageQuery

    def question(self, team: str | None) -> UsageQuestion:
        """`team`: whose usage may be seen, and nobody else's; None: everybody's."""
        query, operation = self.query, self.operation
        only = {_FILTERS[name]: values for name, values in query.only.items() if name in _FILTERS}
        if team is not None:
            only[Whose.TEAM] = only.get(Whose.TEAM, frozenset({team})) & {team}
        if operation.endpoints:
            sources = query.only.get("sources")
            only[Whose.ENDPOINT] = frozenset(
                name for name in operation.endpoints if sources is None or _SOURCES[name] in sources
            )
        if query.batch:
            only[Whose.ENDPOINT] = frozenset()
        return UsageQuestion(
            since=query.buckets[0][0],
            until=query.buckets[-1][1],
            width=query.width,
            by=tuple(dict.fromkeys(whose for name in query.group_by if (whose := _GROUPS[name]))),
            only=only,
        )


def usage_request(operation: Operation, query: str, *, now: float) -> UsageRequest:
    """Parse a query string. Raises Refused: `bad_request`, `invalid_value`."""
    read = read_usage_query(
        query,
        groups=operation.groups,
        filters=operation.filters,
        limits=operation.limits,
        whole=operation.whole_days,
        now=now,
    )
    if "sizes" in read.only:
        message = "'sizes' cannot be answered: this gateway does not record the size of images."
        raise Refused(ErrorCode.INVALID_VALUE, message, param="sizes")
    unknown = read.only.get("sources", frozenset()) - set(_SOURCES.values())
    if unknown:
        values = ", ".join(f"'{source}'" for source in _SOURCES.values())
        message = f"Invalid value for 'sources'. Supported values are: {values}."
        raise Refused(ErrorCode.INVALID_VALUE, message, param="sources")
    return UsageRequest(operation=operation, query=read)


def usage_page(request: UsageRequest, by: tuple[Whose, ...], sums: Iterable[UsageSum]) -> bytes:
    """The answer's body: every bucket of the page, with what is in it. `by`: the groups of the sums."""
    width = request.query.width
    found: dict[int, list[UsageSum]] = {}
    for each in sums:
        found.setdefault(each.bucket, []).append(each)
    data = [
        {
            "object": "bucket",
            "start_time": start,
            "end_time": end,
            "results": [_result(request, by, each) for each in found.get(start - start % width, ())],
        }
        for start, end in request.query.buckets
    ]
    following = request.query.next_page
    return msgspec.json.encode(
        {"object": "page", "data": data, "has_more": following is not None, "next_page": following}
    )


def _result(request: UsageRequest, by: tuple[Whose, ...], found: UsageSum) -> dict[str, Any]:
    operation, group_by = request.operation, request.query.group_by
    group = dict(zip(by, found.group, strict=True))
    return {
        "object": operation.result,
        **operation.measures(found.sums),
        **{name: _group(name, group) if name in group_by else None for name in operation.groups},
    }


def _group(name: str, group: Mapping[Whose, str]) -> Any:
    whose = _GROUPS[name]
    if whose is None:
        return _ONE_VALUE[name]
    value = group[whose]
    return _SOURCES[value] if whose is Whose.ENDPOINT else value or None


def _completions(sums: Sums) -> dict[str, Any]:
    """As documented: `input_tokens` includes cached and written ones, audio and images; the parts are told
    beside it. Reasoning is text.
    """
    written = sums.cache_write_tokens
    return {
        "input_tokens": sums.input_tokens,
        "input_cached_tokens": sums.cached_tokens,
        "input_uncached_tokens": max(0, sums.input_tokens - sums.cached_tokens - written),
        "input_cache_write_tokens": written,
        "input_audio_tokens": sums.audio_input_tokens,
        "input_image_tokens": sums.image_input_tokens,
        "output_tokens": sums.output_tokens,
        "output_text_tokens": max(
            0, sums.output_tokens - sums.audio_output_tokens - sums.image_output_tokens
        ),
        "output_audio_tokens": sums.audio_output_tokens,
        "output_image_tokens": sums.image_output_tokens,
        **_requests(sums),
    }


def _input(sums: Sums) -> dict[str, Any]:
    return {"input_tokens": sums.input_tokens, **_requests(sums)}


def _images(sums: Sums) -> dict[str, Any]:
    return {"images": sums.images, **_requests(sums)}


def _characters(sums: Sums) -> dict[str, Any]:
    return {"characters": sums.characters, **_requests(sums)}


def _seconds(sums: Sums) -> dict[str, Any]:
    """Whole ones, as published. Rounded up: what was used is never none."""
    return {"seconds": -(-sums.audio_milliseconds // _MILLISECONDS), **_requests(sums)}


def _requests(sums: Sums) -> dict[str, Any]:
    """Each attempt is a request made to a model; one that failed and was made again is two."""
    return {"num_model_requests": sums.attempts}


def _costs(sums: Sums) -> dict[str, Any]:
    """`unpriced` is ours, and there only when the amount is not the whole of it."""
    amount = {"value": sums.cost / _DOLLAR, "currency": "usd"}
    unknown = {"unpriced": sums.unpriced} if sums.unpriced else {}
    return {"amount": amount, "quantity": None, "quantity_unit": None, **unknown}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "usage_completions": Operation(
        result="organization.usage.completions.result",
        measures=_completions,
        endpoints=("chat_completions", "completions", "responses", "edits"),
        groups=(*_WHOSE, "batch", "service_tier", "api_source"),
        filters=(*_PICKED, "batch"),
    ),
    "usage_embeddings": Operation(
        result="organization.usage.embeddings.result",
        measures=_input,
        endpoints=("embeddings",),
    ),
    "usage_moderations": Operation(
        result="organization.usage.moderations.result",
        measures=_input,
        endpoints=("moderations",),
    ),
    "usage_images": Operation(
        result="organization.usage.images.result",
        measures=_images,
        endpoints=tuple(_SOURCES),
        groups=(*_WHOSE, "size", "source"),
        filters=(*_PICKED, "sizes", "sources"),
    ),
    "usage_audio_speeches": Operation(
        result="organization.usage.audio_speeches.result",
        measures=_characters,
        endpoints=("audio_speech",),
    ),
    "usage_audio_transcriptions": Operation(
        result="organization.usage.audio_transcriptions.result",
        measures=_seconds,
        endpoints=("audio_transcriptions", "audio_translations"),
    ),
    "usage_costs": Operation(
        result="organization.costs.result",
        measures=_costs,
        endpoints=(),
        groups=(*_ANYBODY, "line_item", "api_source"),
        filters=("project_ids", "api_key_ids", "line_items"),
        whole_days=True,
    ),
}
"""By the names of the endpoint table."""
