"""Facts about `gateway/policies/problems.py`."""

import pytest

from gateway.policies.problems import BrokenPolicies, Problem, did_you_mean


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("teams/a.yaml", 3, "limits.x", "is wrong"), "teams/a.yaml:3: limits.x: is wrong"),
        (Problem("teams/a.yaml", 3, "", "is wrong"), "teams/a.yaml:3: is wrong"),
        (Problem("models.yaml", 0, "", "is missing"), "models.yaml: is missing"),
    ],
)
def test_a_problem_reads_like_a_compilers_message(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_broken_policies_tell_every_problem() -> None:
    problems = [Problem("a", 1, "", "one"), Problem("b", 2, "", "two")]

    assert str(BrokenPolicies(problems)) == "a:1: one\nb:2: two"


@pytest.mark.parametrize(
    ("name", "end"), [("evry", "; did you mean `every`?"), ("per", "; did you mean `per`?"), ("colour", "")]
)
def test_who_misses_a_name_is_told_the_one_most_like_it(name: str, end: str) -> None:
    assert did_you_mean(name, ["every", "per"]) == end
