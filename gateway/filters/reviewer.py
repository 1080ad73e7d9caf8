"""Reviews what a request says, before it is sent.

A filter that cannot finish has not said yes: a scan that takes too long counts as a match of every rule.
Long texts are scanned beside the event loop, and so is everything for a policy whose patterns turned out to
be slow (`x.{1000}` makes the automaton build a state for every byte).
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.decision import Deny
from gateway.core.errors import ErrorCode
from gateway.core.policy import FilterKind, FilterRule
from gateway.filters.catalogue import FILTERS
from gateway.filters.interfaces import Filter
from gateway.filters.scan import Scanner

LONGEST_INLINE: Final = 100_000
"""Characters up to which a scan is done on the event loop: 0.3 ms."""
SHORT: Final = 2_000
"""Characters up to which no scan can be slow."""
SLOW_SECONDS: Final = 0.003
"""A scan on the event loop that takes more processor time is the last one there for its rules."""
DEADLINE_SECONDS: Final = 0.25
MOST_PREPARED: Final = 256


@dataclass(slots=True)
class _Prepared:
    """The filter rules of a policy, ready to scan with."""

    rules: tuple[FilterRule, ...]
    """Kept, so that no other rules can have their identity."""
    scanner: Scanner
    owners: tuple[tuple[FilterRule, int], ...]
    """For each pattern of the scanner: whose it is, and which one there."""
    is_slow: bool = False


class Reviewer:
    """Holds compiled patterns for the rules in use."""

    def __init__(
        self,
        *,
        filters: Mapping[FilterKind, Filter] = FILTERS,
        deadline: float = DEADLINE_SECONDS,
        longest_inline: int = LONGEST_INLINE,
        processor_time: Callable[[], float] = time.thread_time,
    ) -> None:
        """`deadline`: seconds for a scan in a thread."""
        self._filters = filters
        self._deadline = deadline
        self._longest_inline = longest_inline
        self._processor_time = processor_time
        self._prepared: dict[int, _Prepared] = {}

    async def review(self, rules: tuple[FilterRule, ...], texts: Sequence[str]) -> list[Deny]:
        """A Deny (`content_policy_violation`) for every rule that found something; it never quotes it."""
        if not rules:
            return []
        prepared = self._ready(rules)
        length = sum(map(len, texts))
        if prepared.is_slow or length > self._longest_inline:
            try:
                async with asyncio.timeout(self._deadline):
                    found = await asyncio.to_thread(prepared.scanner.scan, texts)
            except TimeoutError:
                return [_deny(rule, _UNFINISHED) for rule in rules]
        elif length <= SHORT:
            found = prepared.scanner.scan(texts)
        else:
            started = self._processor_time()
            found = prepared.scanner.scan(texts)
            prepared.is_slow = self._processor_time() - started > SLOW_SECONDS
        return self._denies(prepared, found) if found else []

    def _denies(self, prepared: _Prepared, found: list[int]) -> list[Deny]:
        first: dict[str, tuple[FilterRule, int]] = {}
        for number in found:
            rule, which = prepared.owners[number]
            first.setdefault(rule.name, (rule, which))
        return [
            _deny(rule, rule.message or self._filters[rule.kind].finding(rule, which))
            for rule, which in first.values()
        ]

    def _ready(self, rules: tuple[FilterRule, ...]) -> _Prepared:
        """Rules are known by identity: to compare hundreds of patterns costs more than to look for them."""
        prepared = self._prepared.get(id(rules))
        if prepared is None:
            if len(self._prepared) >= MOST_PREPARED:
                del self._prepared[next(iter(self._prepared))]
            prepared = self._prepared[id(rules)] = self._prepare(rules)
        return prepared

    def _prepare(self, rules: tuple[FilterRule, ...]) -> _Prepared:
        spelled = [(rule, self._filters[rule.kind].patterns(rule)) for rule in rules]
        owners = tuple((rule, which) for rule, patterns in spelled for which in range(len(patterns)))
        scanner = Scanner([pattern for _, patterns in spelled for pattern in patterns])
        return _Prepared(rules, scanner, owners)


_UNFINISHED: Final = "The request's content could not be checked in time. Send less text at once."


def _deny(rule: FilterRule, reason: str) -> Deny:
    return Deny(ErrorCode.CONTENT_POLICY_VIOLATION, reason, f"filters.{rule.name}", rule.mode)
