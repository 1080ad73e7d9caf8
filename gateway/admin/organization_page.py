"""OpenAI's usage and costs API on the operators' port, under its own paths: of all teams, or of those that
`project_ids` names. Answers and errors are spelled as the clients' are, so that the same scripts read both.
"""

from collections.abc import Mapping
from functools import partial

import msgspec

from gateway.admin.interfaces import Asked, Handler
from gateway.local_answers import LocalAnswers
from gateway.wire.endpoints import ORGANIZATION


class OrganizationPage:
    """Answers for every operation of the API."""

    def __init__(self, *, answers: LocalAnswers) -> None:
        self._answers = answers

    def handlers(self) -> Mapping[str, Handler]:
        return {endpoint.name: partial(self._answer, endpoint.name) for endpoint in ORGANIZATION}

    async def _answer(self, name: str, asked: Asked) -> msgspec.Raw:
        """Raises GatewayError."""
        return msgspec.Raw(await self._answers.usage(name, asked.raw_query, None))
