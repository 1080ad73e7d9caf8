"""Facts about `gateway/policies/price_book_checks.py`. The messages are in tests/golden/policies/prices."""

from collections.abc import Callable
from itertools import product

import pytest

from gateway.core.policy import Price
from gateway.metering.prices.pricing import line_for
from gateway.policies.policy_set import PolicySet
from gateway.policies.problems import BrokenPolicies

Compiled = Callable[..., PolicySet]


@pytest.fixture
def places(compiled: Compiled) -> Callable[..., list[str]]:
    """Where something is wrong with these lines of `gpt-4o`, each one line of text."""

    def told(*lines: str, **texts: str) -> list[str]:
        book = "models:\n  gpt-4o:\n" + "".join(f"    - {{input: 1{line}}}\n" for line in lines)
        try:
            compiled(**{"prices": book, **texts})
        except BrokenPolicies as broken:
            return [f"{problem.line} {problem.path}" for problem in broken.problems]
        return []

    return told


@pytest.mark.parametrize(
    "lines",
    [
        [""],
        ["", ", tier: flex", ", tier: batch", ", above: 100", ", above: 200", ", upstream: azure"],
        [", until: 2026-12-01", ", from: 2026-12-01, until: 2027-01-01", ", from: 2027-01-01"],
        [", until: 2026-12-01", ", from: 2027-01-01"],
        ["", ", from: 2026-12-01, tier: flex", ", until: 2026-12-01, tier: flex"],
        ["", ", tier: flex", ", tier: flex, above: 100", ", upstream: azure, tier: flex"],
    ],
)
def test_lines_that_fit_different_attempts_stand_side_by_side(
    places: Callable[..., list[str]], lines: list[str]
) -> None:
    assert places(*lines) == []


@pytest.mark.parametrize("kind", ["", ", tier: flex", ", above: 100", ", upstream: azure"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", ""),
        ("", ", from: 2026-12-01"),
        (", until: 2026-12-02", ", from: 2026-12-01"),
        (", from: 2026-12-01, until: 2027-12-01", ", from: 2027-01-01, until: 2027-01-02"),
        (", from: 2027-01-01, until: 2027-01-02", ", from: 2026-12-01"),
    ],
)
def test_of_two_lines_that_fit_the_same_attempts_the_second_is_told(
    places: Callable[..., list[str]], kind: str, first: str, second: str
) -> None:
    base = [""] if kind else []
    assert places(*base, kind + first, kind + second) == [f"{4 + len(base)} models.gpt-4o.{1 + len(base)}"]


@pytest.mark.parametrize(
    "lines",
    [
        [", above: 100"],
        [", above: 100", ", upstream: azure"],
        ["", ", tier: flex, above: 100"],
        ["", ", upstream: azure, above: 100"],
        [", until: 2026-12-01", ", above: 100, from: 2026-12-01"],
    ],
)
def test_a_price_for_long_input_needs_one_for_short_input(
    places: Callable[..., list[str]], lines: list[str]
) -> None:
    (place,) = places(*lines)
    assert place.endswith(".above")


def test_a_tier_needs_a_line_for_the_standard_tier(places: Callable[..., list[str]]) -> None:
    assert places(", tier: flex") == ["2 models.gpt-4o"]
    assert places(", tier: flex", ", tier: flex, above: 10") == ["2 models.gpt-4o"]


def test_while_the_models_cannot_be_read_their_names_are_not_judged(
    places: Callable[..., list[str]],
) -> None:
    assert places("", ", upstream: nowhere", models="odd: 1") == ["0 ", "1 odd", "4 models.gpt-4o.1.upstream"]


def fitting(lines: tuple[Price, ...], tier: str, tokens: int, at: float, upstream: str) -> list[Price]:
    """Lines that fit, of the most particular kind of all that fit."""
    fit = [
        line
        for line in lines
        if line.tier == tier
        and line.since <= at < line.until
        and (not line.above or line.above < tokens)
        and line.upstream in ("", upstream)
    ]
    best = max(((line.upstream, line.above) for line in fit), default=None)
    return [line for line in fit if (line.upstream, line.above) == best]


def test_of_a_book_that_is_good_one_line_at_most_fits_any_attempt(compiled: Compiled) -> None:
    catalogue = compiled(
        prices="""
        models:
          gpt-4o:
            - {input: 1, until: 2026-12-01}
            - {input: 2, from: 2026-12-01}
            - {input: 3, above: 100}
            - {input: 4, above: 200, from: 2026-12-01}
            - {input: 5, tier: flex}
            - {input: 6, tier: flex, above: 100, until: 2026-12-01}
            - {input: 7, upstream: azure, from: 2026-12-01}
            - {input: 8, upstream: azure, above: 150, from: 2026-12-01}
        """
    ).catalogue
    model = catalogue.models["gpt-4o"]
    change = 1_796_083_200.0  # 1 December 2026
    seen = set()
    for tier, tokens, at, upstream in product(
        ("", "flex", "batch"),
        (0, 1, 100, 101, 150, 151, 200, 201),
        (0.0, change - 1, change, change + 1),
        ("openai", "azure"),
    ):
        fit = fitting(model.prices, tier, tokens, at, upstream)
        assert len(fit) <= 1
        assert line_for(model, at, tier, tokens, upstream) == (fit[0] if fit else None)
        seen |= {line.rates.input for line in fit}
    assert seen == {each * 1_000_000 for each in range(1, 9)}
