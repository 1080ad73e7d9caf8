"""Facts about `gateway/policies/problems.py`."""

import pytest

from gateway.policies.problems import BrokenPolicies, Problem


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
