"""What is wrong, as RFC 9457 tells it."""

import msgspec
import pytest

from gateway.admin.problems import Problem, problem_answer


def told(problem: Problem) -> dict[str, object]:
    body = problem_answer(problem, "req_1").body
    assert isinstance(body, bytes)
    details: dict[str, object] = msgspec.json.decode(body)
    return details


def test_a_problem_says_what_is_meant() -> None:
    assert told(Problem(422, "No.", field="team", code="x")) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "No.",
        "request_id": "req_1",
        "field": "team",
        "code": "x",
    }


def test_what_is_not_known_is_left_out() -> None:
    assert told(Problem(404, "No.")).keys() == {"type", "title", "status", "detail", "request_id"}


@pytest.mark.parametrize(("status", "wanted"), [(401, "Bearer"), (403, None)])
def test_who_is_not_signed_in_is_told_how(status: int, wanted: str | None) -> None:
    assert problem_answer(Problem(status, "No."), "req_1").headers.get("www-authenticate") == wanted
