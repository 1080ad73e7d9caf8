"""`GET /admin/me` and `GET /admin/openapi.json`: who is signed in, and what there is to be asked."""

from collections.abc import Mapping
from typing import Any

from gateway.admin.document import openapi
from gateway.admin.interfaces import Asked, Handler
from gateway.admin.shapes import Me


class AboutPage:
    """The document is made once."""

    def __init__(self) -> None:
        self._document = openapi()

    def handlers(self) -> Mapping[str, Handler]:
        return {"me": self.me, "document": self.document}

    async def me(self, asked: Asked) -> Me:
        actor = asked.actor
        return Me(name=actor.name, role=actor.role.value, teams=sorted(actor.teams))

    async def document(self, _: Asked) -> dict[str, Any]:
        return self._document
