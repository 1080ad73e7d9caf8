"""Facts about `gateway/filters/reviewer.py`."""

import threading
from collections.abc import Sequence

import pytest

from gateway.core.decision import Deny, Mode
from gateway.core.errors import ErrorCode
from gateway.core.policy import FilterKind, FilterRule
from gateway.filters.reviewer import LONGEST_INLINE, MOST_PREPARED, SHORT, SLOW_SECONDS, Reviewer

NAMES = FilterRule("names", FilterKind.PATTERNS, patterns=("bluebird", "red.?fox"))
TOPICS = FilterRule("topics", FilterKind.PATTERNS, Mode.SHADOW, ("weather",), "Not about that.")
SECRETS = FilterRule("secrets", FilterKind.SECRETS, Mode.WARN)
RULES = (NAMES, TOPICS, SECRETS)
TOKEN = "ghp_" + "aB3" * 12


async def test_a_clean_request_passes() -> None:
    assert await Reviewer().review(RULES, ["role", "user", "content", "hello"]) == []


async def test_without_rules_nothing_is_looked_at() -> None:
    assert await Reviewer().review((), ["bluebird"]) == []


async def test_each_rule_that_finds_something_denies_once_in_its_own_mode() -> None:
    denies = await Reviewer().review(RULES, ["bluebird red fox bluebird", f"the weather {TOKEN}"])

    assert [(deny.code, deny.rule, deny.mode) for deny in denies] == [
        (ErrorCode.CONTENT_POLICY_VIOLATION, "filters.names", Mode.ENFORCE),
        (ErrorCode.CONTENT_POLICY_VIOLATION, "filters.topics", Mode.SHADOW),
        (ErrorCode.CONTENT_POLICY_VIOLATION, "filters.secrets", Mode.WARN),
    ]


@pytest.mark.parametrize("text", ["hello bluebird", f"hello {TOKEN}", "hello weather"])
async def test_what_was_found_is_never_quoted(text: str) -> None:
    denies = await Reviewer().review(RULES, [text])

    assert denies
    assert all(word not in repr(denies) for word in text.split())


async def test_a_rule_can_say_its_own_sentence() -> None:
    assert [deny.reason for deny in await Reviewer().review((TOPICS,), ["weather"])] == ["Not about that."]


async def test_names_of_members_are_texts_like_others() -> None:
    assert await Reviewer().review((NAMES,), ["tools", "bluebird_lookup"])


async def test_a_long_text_is_scanned_beside_the_event_loop() -> None:
    threads = []

    class Remembering:
        def patterns(self, rule: FilterRule) -> Sequence[str]:
            return rule.patterns

        def finding(self, rule: FilterRule, which: int) -> str:
            return "found"

    class Watched(str):
        __slots__ = ()

        def encode(self, *args: str) -> bytes:  # type: ignore[override]
            threads.append(threading.current_thread() is threading.main_thread())
            return super().encode(*args)

    reviewer = Reviewer(filters={FilterKind.PATTERNS: Remembering()})
    await reviewer.review((NAMES,), [Watched("short")])
    denies = await reviewer.review((NAMES,), [Watched("a"), "hay " * LONGEST_INLINE + "bluebird"])

    assert threads == [True, False]
    assert [deny.reason for deny in denies] == ["found"]


async def test_a_scan_that_takes_too_long_counts_as_a_match_of_every_rule() -> None:
    reviewer = Reviewer(deadline=0, longest_inline=10)

    denies = await reviewer.review(RULES, ["harmless, but long"])

    assert [(deny.rule, deny.mode) for deny in denies] == [
        ("filters.names", Mode.ENFORCE),
        ("filters.topics", Mode.SHADOW),
        ("filters.secrets", Mode.WARN),
    ]
    assert "could not be checked in time" in denies[0].reason


async def test_rules_whose_scan_was_slow_are_scanned_beside_the_event_loop_from_then_on() -> None:
    ticks = iter([0.0, SLOW_SECONDS * 2])
    reviewer = Reviewer(deadline=0, processor_time=lambda: next(ticks))

    first = await reviewer.review(RULES, ["harmless" * SHORT])
    second = await reviewer.review(RULES, ["harmless"])

    assert first == []
    assert "could not be checked in time" in second[0].reason


async def test_equal_rules_of_another_policy_version_are_prepared_anew_and_the_oldest_are_forgotten() -> None:
    reviewer = Reviewer()
    versions = [
        (FilterRule("names", FilterKind.PATTERNS, patterns=(f"word{n}x",)),) for n in range(MOST_PREPARED + 9)
    ]

    found: list[list[Deny]] = [
        await reviewer.review(rules, [f"word{n}x"]) for n, rules in enumerate(versions)
    ]

    assert all(found)
    assert len(reviewer._prepared) == MOST_PREPARED
    assert await reviewer.review(versions[0], ["word0x"])
