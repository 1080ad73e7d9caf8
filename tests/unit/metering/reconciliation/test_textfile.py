from collections.abc import Callable, Iterable
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from gateway.metering.reconciliation.compare import Comparison
from gateway.metering.reconciliation.explain import explain_all
from gateway.metering.reconciliation.textfile import textfile
from tests.unit.metering.reconciliation.books import DAY, PLACE, comparison, more

Parse = Callable[[str], Iterable[Any]]
PARSERS: dict[str, Parse] = {
    "prometheus": parser.text_string_to_metric_families,
    "openmetrics": openmetrics_families,
}


def samples(parse: Parse, *comparisons: Comparison, holds: bool = True) -> dict[tuple[str, str], float]:
    """Values by name and model."""
    text = textfile(explain_all(comparisons, today=DAY + 10), now=1_795_003_200.7, within_tolerance=holds)
    return {
        (sample.name.removeprefix("gateway_reconciliation_"), sample.labels.get("model", "")): sample.value
        for family in parse(text.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
def test_both_formats_in_use_are_written(parse: Parse) -> None:
    told = samples(parse, comparison(counted=more(requests=1, output_tokens=10, cost=-65)))
    assert told == {
        ("difference_microdollars", "gpt-4o"): -65,
        ("difference_tokens", "gpt-4o"): 10,
        ("difference_requests", "gpt-4o"): 1,
        ("ratio", "gpt-4o"): pytest.approx(1 / 11, abs=1e-6),
        ("within_tolerance", ""): 1,
        ("timestamp_seconds", ""): 1_795_003_200,
    }


def test_the_days_of_a_model_are_one_sample() -> None:
    days = [comparison(counted=more(cost=100), place=PLACE._replace(day=DAY + day)) for day in (0, 1)]
    assert samples(openmetrics_families, *days)["difference_microdollars", "gpt-4o"] == 200


def test_a_reconciliation_that_found_differences_says_so() -> None:
    assert samples(openmetrics_families, holds=False)["within_tolerance", ""] == 0


@pytest.mark.parametrize("model", ['a "b"', "back\\slash", "two\nlines", "größe", ""])
def test_any_name_can_be_a_label(model: str) -> None:
    told = samples(openmetrics_families, comparison(counted=more(cost=7), place=PLACE._replace(model=model)))
    assert told["difference_microdollars", model] == 7


def test_it_ends_as_openmetrics_has_it() -> None:
    assert textfile([], now=0, within_tolerance=True).endswith(b"# EOF\n")
