"""What operators are told: answers, and what is wrong with a request as problem details (RFC 9457). Nothing
of it is kept by whoever passes it on.
"""

from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.admin.shapes import ProblemDetails

PROBLEM: Final = "application/problem+json"

_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Problem(Exception):
    """What was asked is not done. `field`: what of the request is meant."""

    def __init__(self, status: int, detail: str, *, field: str = "", code: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.code = code


def answer(value: Any, *, status: int = 200, content_type: str = "application/json") -> web.Response:
    """Any value that JSON knows, or what a client is shown."""
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type=content_type, headers=_HEADERS)


def problem_answer(problem: Problem, request_id: str) -> web.Response:
    """A problem in its own media type."""
    details = ProblemDetails(
        type="about:blank",
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        request_id=request_id,
        field=problem.field,
        code=problem.code,
    )
    response = answer(details, status=problem.status, content_type=PROBLEM)
    if problem.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response
