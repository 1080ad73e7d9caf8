"""What the provider says it has counted and charged: OpenAI's usage and costs API, read with distrust.

Nothing of it is taken before all of it is there. Costs are exact decimals until they are summed, and rounded
once for each day and model.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated, Final, Generic, Protocol, TypeVar

import msgspec

from gateway.metering.reconciliation.amounts import Amounts, Counted, Place

KINDS: Final = (
    "completions",
    "embeddings",
    "images",
    "audio_speeches",
    "audio_transcriptions",
    "moderations",
)
_IN_TOKENS: Final = frozenset({"completions", "embeddings"})
"""Kinds whose tokens are billed: those of moderations are free, and not in the ledger."""
_DAY: Final = 86_400
_PER_PAGE: Final = "31"
_MOST_PAGES: Final = 1_000
_TRIES: Final = 5
_LONGEST_WAIT: Final = 60.0
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_MICRO: Final = Decimal(1_000_000)
_LARGEST: Final = Decimal(10) ** 12
"""Dollars. What claims to be more is no cost."""
_EXACT: Final = Context(prec=100)

T = TypeVar("T")


class ProviderError(Exception):
    """The provider's books cannot be read. The sentence says why and what to do, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: int
    body: bytes
    retry_after: str = ""
    """The header as it came."""


class Fetch(Protocol):
    """One GET at the provider, with the administrator's key. Bounded in time and size; follows nothing."""

    async def __call__(self, path: str, query: Sequence[tuple[str, str]]) -> Page:
        """`path` begins with `/organization`. Raises ProviderError when there is no answer, or too much."""


Count = Annotated[int, msgspec.Meta(ge=0, le=10**15)]


class _Usage(msgspec.Struct):
    num_model_requests: Count = 0
    model: str | None = None
    input_tokens: Count = 0
    input_cached_tokens: Count | None = 0
    output_tokens: Count = 0


class _Money(msgspec.Struct):
    value: Decimal | None = None
    currency: str | None = None


class _Cost(msgspec.Struct):
    amount: _Money | None = None
    line_item: str | None = None


class _Bucket(msgspec.Struct, Generic[T]):
    start_time: int
    results: list[T]


class _Listing(msgspec.Struct, Generic[T]):
    data: list[_Bucket[T]]
    has_more: bool = False
    next_page: str | None = None


class Provider:
    """The books of one project, or of a whole organization."""

    def __init__(
        self,
        *,
        upstream: str,
        project: str,
        fetch: Fetch,
        pause: Callable[[float], Awaitable[None]],
        on_page: Callable[[], None] = lambda: None,
    ) -> None:
        """`upstream`: as whose figures they are given. `project`: empty for the whole organization.

        `on_page` is told of each page that was read.
        """
        self.upstream = upstream
        self.project = project
        self._fetch = fetch
        self._pause = pause
        self._on_page = on_page

    async def books(self, since: int, until: int) -> Mapping[Place, Counted]:
        """By day (since 1970) from `since` on and before `until`. Raises ProviderError."""
        books: defaultdict[Place, Counted] = defaultdict(Counted)
        for kind in KINDS:
            path = f"/organization/usage/{kind}"
            async for day, usage in self._read(_Listing[_Usage], path, "model", since, until):
                place = Place(day, self.upstream, usage.model or "")
                books[place] = books[place].plus(_counted(kind, usage))
        for place, dollars in (await self._costs(since, until)).items():
            books[place] = books[place].plus(Counted(Amounts(cost=_micro_dollars(dollars))))
        return dict(books)

    async def _costs(self, since: int, until: int) -> Mapping[Place, Decimal]:
        costs: defaultdict[Place, Decimal] = defaultdict(Decimal)
        path = "/organization/costs"
        async for day, cost in self._read(_Listing[_Cost], path, "line_item", since, until):
            place = Place(day, self.upstream, _model_of(cost.line_item))
            costs[place] = _EXACT.add(costs[place], _dollars(cost.amount))
        return costs

    async def _read(
        self, shape: type[_Listing[T]], path: str, group: str, since: int, until: int
    ) -> AsyncIterator[tuple[int, T]]:
        """Every result with its day, page by page."""
        query = [
            ("start_time", str(since * _DAY)),
            ("end_time", str(until * _DAY)),
            ("bucket_width", "1d"),
            ("limit", _PER_PAGE),
            ("group_by[]", group),
            *([("project_ids[]", self.project)] if self.project else []),
        ]
        cursors: list[str] = []
        while len(cursors) < _MOST_PAGES:
            page = await self._page(path, [*query, *(("page", cursor) for cursor in cursors[-1:])])
            listing = _decoded(shape, path, page.body)
            self._on_page()
            for bucket in listing.data:
                day = _day(bucket.start_time, since, until, path)
                for result in bucket.results:
                    yield day, result
            if not listing.has_more:
                return
            if not listing.next_page or listing.next_page in cursors:
                break
            cursors.append(listing.next_page)
        raise ProviderError(f"The pages of {path} do not come to an end. Ask for fewer days.")

    async def _page(self, path: str, query: Sequence[tuple[str, str]]) -> Page:
        for attempt in range(1, _TRIES + 1):
            page = await self._fetch(path, query)
            if page.status == 200:
                return page
            wait = _wait(page, attempt)
            if page.status not in _BUSY or wait > _LONGEST_WAIT or attempt == _TRIES:
                raise ProviderError(_refusal(page.status, self.upstream, path))
            await self._pause(wait)
        raise AssertionError("the last try returns or raises")


def _counted(kind: str, usage: _Usage) -> Counted:
    if kind not in _IN_TOKENS:
        return Counted(Amounts(requests=usage.num_model_requests))
    amounts = Amounts(
        requests=usage.num_model_requests,
        input_tokens=usage.input_tokens,
        cached_tokens=usage.input_cached_tokens or 0,
        output_tokens=usage.output_tokens,
    )
    return Counted(amounts, tells_tokens=True)


def _model_of(line_item: str | None) -> str:
    """`gpt-4o, input` is of that model. What is of no model (a tool's calls) is a name of its own."""
    return (line_item or "").partition(",")[0].strip()


def _dollars(amount: _Money | None) -> Decimal:
    value = Decimal(0) if amount is None or amount.value is None else amount.value
    if not value.is_finite() or abs(value) > _LARGEST:
        raise ProviderError("The provider's costs have an amount that is none. Try again later.")
    if amount is not None and (amount.currency or "usd").lower() != "usd":
        raise ProviderError("The provider's costs are not in US dollars, as the ledger is.")
    return value


def _micro_dollars(dollars: Decimal) -> int:
    return int(_EXACT.multiply(dollars, _MICRO).to_integral_value(ROUND_HALF_EVEN))


def _day(start: int, since: int, until: int, path: str) -> int:
    day, odd = divmod(start, _DAY)
    if odd or not since <= day < until:
        raise ProviderError(f"{path} answers for other days than those it was asked for.")
    return day


def _decoded(shape: type[_Listing[T]], path: str, body: bytes) -> _Listing[T]:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, RecursionError):
        raise ProviderError(
            f"What answers at {path} tells of usage otherwise than OpenAI. Is the upstream's base_url right?"
        ) from None


def _wait(page: Page, attempt: int) -> float:
    """Seconds: what the provider asks for, or twice as long each time."""
    asked = page.retry_after
    return float(asked) if asked.isascii() and asked.isdecimal() else float(2 ** (attempt - 1))


def _refusal(status: int, upstream: str, path: str) -> str:
    if status == 401:
        return (
            f"The provider does not know the admin_key of {upstream}. Make an admin key in the settings of "
            "the organization there; a project's key is none."
        )
    if status == 403:
        return (
            f"The provider lets the admin_key of {upstream} not read {path}. Give it the scope that reads "
            "usage and costs."
        )
    if status == 404:
        return f"There is no {path} at {upstream}. Is its base_url that of OpenAI, up to and including /v1?"
    if status == 429:
        return f"The provider has too many questions for {upstream} at the moment. Try again in some minutes."
    if status >= 500:
        return f"The provider cannot answer for {upstream} at the moment (status {status}). Try again later."
    return f"The provider refuses to tell of {upstream}: status {status} at {path}."
