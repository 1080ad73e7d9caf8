"""Facts about `gateway/policies/price_checks.py`."""

from collections.abc import Callable

import pytest

from gateway.policies.policy_set import PolicySet
from gateway.policies.problems import BrokenPolicies

Compiled = Callable[..., PolicySet]

MODELS = """
models:
  priced: {upstream: openai, max_output: 100}
  endless: {upstream: openai}
  unpriced: {upstream: openai, max_output: 100}
  embedding: {upstream: openai}
  free: {upstream: openai, max_output: 100}
"""
PRICES = """
models:
  priced: {input: 1, output: 2}
  endless: {input: 1, output: 2}
  embedding: {input: 1}
  free: {input: 0, output: 0}
"""
CEILING = f"{PRICES}ceiling: {{input: 100, output: 500}}"
DOLLARS = "{per: team, dollars: 5, every: day}"
STRICT = "{per: team, tokens: 5, every: day, strict: true}"
NO_PRICE = "has no price: say it in prices.yaml, or narrow the budget's `models`"


@pytest.fixture
def problems(compiled: Compiled) -> Callable[..., list[str]]:
    """What is wrong with these files; beside them there is a team `search` that says nothing."""

    def told(**texts: str) -> list[str]:
        try:
            compiled(**{"organization": "models: [priced]", "models": MODELS, "prices": PRICES, **texts})
        except BrokenPolicies as broken:
            return [str(problem) for problem in broken.problems]
        return []

    return told


@pytest.mark.parametrize("model", ["priced", "endless", "embedding", "free"])
def test_dollars_can_count_a_model_that_has_a_price(problems: Callable[..., list[str]], model: str) -> None:
    assert problems(organization=f"models: [{model}]\nbudgets: {{a: {DOLLARS}}}") == []


def test_dollars_cannot_count_a_model_without_a_price(problems: Callable[..., list[str]]) -> None:
    assert problems(organization=f"models: [unpriced]\nbudgets:\n  a: {DOLLARS}") == [
        f"organization.yaml:3: budgets.a: the budget `a` counts dollars, and the model `unpriced` {NO_PRICE}"
    ]


@pytest.mark.parametrize("word", ["ceiling", "refuse"])
def test_dollars_can_count_what_has_a_ceiling_or_is_refused(
    problems: Callable[..., list[str]], word: str
) -> None:
    text = f"models: [unpriced]\nunpriced: {word}\nbudgets: {{a: {DOLLARS}}}"

    assert problems(organization=text, prices=CEILING) == []


def test_a_ceiling_is_charged_where_the_book_has_one(problems: Callable[..., list[str]]) -> None:
    why = "prices.yaml has no `ceiling`: say there what is charged for what has no price"

    assert problems(organization="unpriced: ceiling") == [f"organization.yaml:1: unpriced: {why}"]
    assert problems(search="team: search\nkeys:\n  k: {unpriced: ceiling}") == [
        f"teams/search.yaml:3: keys.k.unpriced: {why}"
    ]


def test_whoever_takes_the_ceiling_away_is_told_what_it_was_good_for(
    problems: Callable[..., list[str]],
) -> None:
    organization = f"models: [unpriced]\nunpriced: ceiling\nbudgets: {{a: {DOLLARS}}}"

    told = problems(
        organization=organization, prices=CEILING, search="team: search\nkeys:\n  k:\n    unpriced: alarm"
    )

    assert told == [
        "teams/search.yaml:4: keys.k.unpriced: the inherited budget `a` counts dollars, "
        f"and the model `unpriced` {NO_PRICE}"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "models: [priced]\nbudgets: {a: {per: team, dollars: 5, every: day}}",
        'models: ["*"]\nbudgets: {a: {per: team, dollars: 5, every: day, models: [priced, e*g]}}',
        'models: ["*"]\nbudgets: {a: {per: team, requests: 5, every: day}}',
        'models: ["*"]\nbudgets: {a: {per: team, tokens: 5, every: day}}',
        'models: ["*"]\nbudgets: {a: {per: team, dollars: 5, every: day, mode: off}}',
        "models: []\nbudgets: {a: {per: team, dollars: 5, every: day}}",
        "budgets: {a: {per: team, dollars: 5, every: day}}",
    ],
)
def test_a_model_that_is_not_counted_needs_no_price(problems: Callable[..., list[str]], text: str) -> None:
    assert problems(organization=text) == []


@pytest.mark.parametrize("mode", ["shadow", "warn", "enforce"])
def test_a_budget_that_only_watches_needs_prices_too(problems: Callable[..., list[str]], mode: str) -> None:
    budget = f"{{per: team, dollars: 5, every: day, mode: {mode}, models: [unpriced]}}"

    assert len(problems(organization=f'models: ["*"]\nbudgets: {{a: {budget}}}')) == 1


@pytest.mark.parametrize("mode", ["off", "shadow", "warn"])
def test_a_list_that_stops_nobody_permits_every_model(problems: Callable[..., list[str]], mode: str) -> None:
    text = f"models: {{allow: [priced], mode: {mode}}}\nbudgets:\n  a: {DOLLARS}"

    assert [problem.split(": ")[1] for problem in problems(organization=text)] == ["budgets.a"]


@pytest.mark.parametrize(
    ("team", "places"),
    [
        ("models: [priced, endless]", []),
        ("models: [priced, unpriced]", ["teams/search.yaml:2: models.1"]),
        ("models:\n  allow:\n    - priced\n    - un*", ["teams/search.yaml:5: models.allow.1"]),
        ("models:\n  allow: [priced]\n  mode: warn", ["teams/search.yaml:4: models.mode"]),
        ("budgets:\n  a: {mode: off}\nmodels: [unpriced]", []),
        (
            "models: [unpriced]\nbudgets:\n  a: {per: team, dollars: 1, every: day}",
            ["teams/search.yaml:4: budgets.a"],
        ),
    ],
)
def test_what_an_inherited_budget_cannot_count_is_told_where_it_is_allowed(
    problems: Callable[..., list[str]], team: str, places: list[str]
) -> None:
    organization = f"models: [priced]\nbudgets:\n  a: {DOLLARS}"

    told = problems(organization=organization, search=f"team: search\n{team}")

    assert [": ".join(problem.split(": ")[:2]) for problem in told] == places


def test_an_inherited_budget_is_called_so(problems: Callable[..., list[str]]) -> None:
    organization = f"models: [priced]\nbudgets:\n  a: {DOLLARS}"

    assert problems(organization=organization, search="team: search\nmodels: [unpriced]") == [
        "teams/search.yaml:2: models.0: the inherited budget `a` counts dollars, "
        f"and the model `unpriced` {NO_PRICE}"
    ]


def test_a_mistake_is_told_once_however_many_inherit_it(problems: Callable[..., list[str]]) -> None:
    told = problems(
        organization=f"models: [unpriced]\nbudgets:\n  a: {DOLLARS}",
        search="team: search\nkeys: {nightly: {}, daily: {}}",
        ads="team: ads",
    )

    assert len(told) == 1


def test_a_teams_budget_counts_what_the_organization_allows(problems: Callable[..., list[str]]) -> None:
    told = problems(
        organization="models: [unpriced]",
        search=f"team: search\nkeys:\n  k:\n    budgets:\n      a: {DOLLARS}",
    )

    assert told == [
        "teams/search.yaml:5: keys.k.budgets.a: the budget `a` counts dollars, "
        f"and the model `unpriced` {NO_PRICE}"
    ]


def test_a_strict_budget_must_know_the_longest_answer(problems: Callable[..., list[str]]) -> None:
    assert problems(organization=f"models: [endless]\nbudgets:\n  a: {STRICT}") == [
        "organization.yaml:3: budgets.a: the strict budget `a` needs `max_output` of the model `endless`, "
        "since nothing else bounds an answer: say it in models.yaml, or narrow the budget's `models`"
    ]


@pytest.mark.parametrize(
    ("model", "budget"),
    [
        ("priced", "{per: team, dollars: 5, every: day, strict: true}"),
        ("unpriced", "{per: team, tokens: 5, every: day, strict: true}"),
        ("embedding", "{per: team, dollars: 5, every: day, strict: true}"),
        ("embedding", "{per: team, tokens: 5, every: day, strict: true}"),
        ("endless", "{per: team, input_tokens: 5, every: day, strict: true}"),
        ("endless", "{per: team, requests: 5, every: day, strict: true}"),
        ("endless", "{per: team, images: 5, every: day, strict: true}"),
        ("endless", "{per: team, output_tokens: 5, every: day}"),
    ],
)
def test_where_the_most_is_known_or_no_answer_counts_a_budget_may_be_strict(
    problems: Callable[..., list[str]], model: str, budget: str
) -> None:
    assert problems(organization=f"models: [{model}]\nbudgets: {{a: {budget}}}") == []


@pytest.mark.parametrize("unit", ["dollars", "tokens", "output_tokens"])
def test_whatever_counts_answers_must_know_the_longest(problems: Callable[..., list[str]], unit: str) -> None:
    budget = f"{{per: team, {unit}: 5, every: day, strict: true}}"

    assert len(problems(organization=f"models: [endless]\nbudgets: {{a: {budget}}}")) == 1


@pytest.mark.parametrize("broken", ["organization", "models", "prices"])
def test_while_a_file_that_it_needs_is_broken_nothing_is_judged(
    problems: Callable[..., list[str]], broken: str
) -> None:
    told = problems(
        **{broken: "odd: 1"}, search=f"team: search\nmodels: [unpriced]\nbudgets: {{a: {DOLLARS}}}"
    )

    assert [problem.split(":")[0] for problem in told] == [f"{broken}.yaml"] * len(told)
