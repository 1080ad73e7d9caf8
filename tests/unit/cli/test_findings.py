import pytest

from gateway.cli.findings import Finding, findings
from gateway.metering.reconciliation.amounts import Amounts, Lines
from gateway.metering.reconciliation.compare import Comparison
from gateway.metering.reconciliation.explain import Reason, explain_all
from tests.unit.metering.reconciliation.books import AMOUNTS, DAY, PLACE, comparison, more

BOUND = Amounts(input_tokens=50, output_tokens=50, cost=300)


def found(*comparisons: Comparison, today: int = DAY + 10) -> list[Finding]:
    return list(findings(explain_all(comparisons, today=today)))


def sentence(each: Comparison, **options: int) -> str:
    (finding,) = found(each, **options)
    return finding.sentence


@pytest.mark.parametrize(
    ("each", "told"),
    [
        (
            comparison(recorded=None),
            "unmetered path. The provider counts 10 requests, 1,000 input tokens, 200 cached tokens, 100 "
            "output tokens, 0.003250 USD of what the gateway has not a single line for",
        ),
        (
            comparison(counted=more(requests=1, output_tokens=7, cost=1_234_567)),
            "traffic outside the gateway. The provider counts 1 request, 7 output tokens, 1.234567 USD more",
        ),
        (
            comparison(counted=more(requests=1), into_next=Amounts(requests=1)),
            "midnight. 1 request, provider less ledger, is no more than what was under way",
        ),
        (
            comparison(counted=more(input_tokens=-6, output_tokens=15), lines=Lines(10, bound=BOUND)),
            "estimates. -6 input tokens, 15 output tokens is no more than",
        ),
        (comparison(counted=more(cost=999), unpriced=1), "unpriced. The ledger lacks the cost of 1 attempt,"),
        (
            comparison(counted=AMOUNTS._replace(cost=4875)),
            "price change. The tokens agree and the cost does not: the provider charges 1.5000 times",
        ),
        (comparison(recorded=AMOUNTS._replace(cost=0)), "charges other prices than the book's"),
        (comparison(counted=more(output_tokens=900)), "unexplained. 900 output tokens remains"),
    ],
)
def test_every_reason_is_a_sentence(each: Comparison, told: str) -> None:
    said = sentence(each)
    assert said.startswith("openai gpt-4o, 1 day: ")
    assert told in said
    assert said.endswith(".")


def test_figures_that_are_not_final_are_late() -> None:
    assert "late. The provider has 2 requests less than the ledger" in sentence(
        comparison(counted=more(requests=-2)), today=DAY
    )


def test_what_has_no_model_is_told_so() -> None:
    each = comparison(recorded=None, place=PLACE._replace(model=""))
    assert sentence(each).startswith("openai (no model), 1 day: unmetered path.")


def test_what_nobody_can_tell_any_more_is_said() -> None:
    each = comparison(counted=more(output_tokens=900), lines=Lines(4))
    assert "Of 6 attempts the lines are no longer kept" in sentence(each)


def test_the_days_of_a_model_are_one_sentence() -> None:
    days = [comparison(counted=more(requests=day), place=PLACE._replace(day=DAY + day)) for day in (1, 2)]
    (finding,) = found(*days)
    assert (finding.days, finding.amounts) == ({DAY + 1, DAY + 2}, Amounts(requests=3))
    assert finding.sentence.startswith("openai gpt-4o, 2 days: ")


def test_a_ratio_is_told_when_it_is_the_same_every_day() -> None:
    days = [
        comparison(counted=AMOUNTS._replace(cost=cost), place=PLACE._replace(day=DAY + number))
        for number, cost in enumerate((6500, 6500))
    ]
    assert "2.0000 times" in found(*days)[0].sentence
    days[1] = comparison(counted=AMOUNTS._replace(cost=9750), place=PLACE._replace(day=DAY + 1))
    assert "other prices" in found(*days)[0].sentence


def test_rounding_is_told_once_for_all_models() -> None:
    two = [
        comparison(counted=more(cost=off), place=PLACE._replace(model=model))
        for model, off in (("a", 2), ("b", -3))
    ]
    (finding,) = found(*two)
    assert (finding.model, finding.amounts.cost) == ("all models", -1)
    assert finding.sentence.startswith("openai all models, 1 day: rounding. -0.000001 USD, since")


def test_models_come_in_order_and_their_reasons_as_they_are_asked() -> None:
    two = [
        comparison(counted=more(requests=1, output_tokens=-900), place=PLACE._replace(model=model))
        for model in ("b", "a")
    ]
    assert [(each.model, each.reason) for each in found(*two)] == [
        ("a", Reason.OUTSIDE),
        ("a", Reason.UNEXPLAINED),
        ("b", Reason.OUTSIDE),
        ("b", Reason.UNEXPLAINED),
    ]
