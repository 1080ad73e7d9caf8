"""Facts about `gateway/policies/known.py`."""

from collections.abc import Callable

import pytest

from gateway.policies.known import Known
from gateway.policies.reading import Files, read_source

PolicyFiles = Callable[..., dict[str, bytes]]


@pytest.fixture
def known_of(policy_files: PolicyFiles) -> Callable[..., Known]:
    def read(**texts: str) -> Known:
        files = Files.of(read_source(name, content) for name, content in policy_files(**texts).items())
        return Known.of(files, {"openai"}, {"chat_completions", "responses"})

    return read


@pytest.mark.parametrize("pattern", ["chat_completions", "chat_*", "*"])
def test_a_pattern_that_matches_an_endpoint_is_good(known_of: Callable[..., Known], pattern: str) -> None:
    assert known_of().complaint_of_endpoint(pattern) is None


@pytest.mark.parametrize("pattern", ["gpt-4o", "gpt-*", "*"])
def test_a_pattern_that_matches_a_model_is_good(known_of: Callable[..., Known], pattern: str) -> None:
    assert known_of().complaint_of_model(pattern) is None


def test_what_matches_nothing_is_told_with_the_name_most_like_it(known_of: Callable[..., Known]) -> None:
    known = known_of(sales="team: sales")

    assert known.complaint_of_endpoint("response") == "`response` is no endpoint; did you mean `responses`?"
    assert known.complaint_of_model("gpt4o") == ("`gpt4o` is no model of models.yaml; did you mean `gpt-4o`?")
    assert known.complaint_of_model("fast") == (
        "`fast` is an alias; name the model it stands for, `gpt-4o-mini`"
    )
    assert known.complaint_of_team("sails") == "no file has a team `sails`; did you mean `sales`?"
    assert known.complaint_of_team("sales") is None


def test_names_of_what_cannot_be_read_are_not_judged(known_of: Callable[..., Known]) -> None:
    known = known_of(models="models: 5", sales="taem: sales")

    assert known.complaint_of_model("anything") is None
    assert known.complaint_of_team("anybody") is None
