"""OpenAI's usage and costs API on the operators' port, under its own paths: of all teams, or of those that
`project_ids` names. Answers and errors are spelled as the clients' are, so that the same scripts read both.
"""

from typing import Final

from aiohttp import web

from gateway.core.errors import GatewayError
from gateway.local_answers import LocalAnswers
from gateway.wire.endpoints import ORGANIZATION
from gateway.wire.error_body import error_body, error_headers

_JSON: Final = ("content-type", "application/json")


class OrganizationPage:
    """Answers for every operation of the API."""

    def __init__(self, *, answers: LocalAnswers) -> None:
        self._answers = answers
        self._names = {endpoint.path: endpoint.name for endpoint in ORGANIZATION}

    def routes(self) -> list[web.RouteDef]:
        """What the operators' listener is to serve."""
        return [web.get(path, self._answer) for path in self._names]

    async def _answer(self, request: web.Request) -> web.Response:
        name, query = self._names[request.path], request.rel_url.raw_query_string
        try:
            body = await self._answers.usage(name, query, None)
        except GatewayError as error:
            headers = [_JSON, *error_headers(error)]
            return web.Response(body=error_body(error), status=error.kind.status, headers=headers)
        return web.Response(body=body, headers=[_JSON])
