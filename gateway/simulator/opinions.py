"""What a gateway must never forward. A complaint names the header, never its value."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

_NEVER = (
    ("cookie", "a client's cookie"),
    ("proxy-*", "meant for one hop"),
    ("te", "meant for one hop"),
    ("trailer", "meant for one hop"),
    ("upgrade", "meant for one hop"),
    ("keep-alive", "meant for one hop"),
    ("x-forwarded-*", "tells who the client is"),
    ("forwarded", "tells who the client is"),
)
_KEY_HEADERS = ("api-key", "x-api-key")
_GATEWAY_KEY = "gwk_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """Judges headers. Of OpenAI's own, organisation and project, only the expected value is welcome."""

    organization: str | None = None
    project: str | None = None

    def complaints(self, headers: Iterable[tuple[str, str]], *, azure: bool) -> Iterator[str]:
        for name, value in headers:
            if reason := self._objection(name.lower(), value, azure):
                yield f"{name}: {reason}"

    def _objection(self, name: str, value: str, azure: bool) -> str | None:
        if _GATEWAY_KEY in value.lower():
            return "a key of the gateway's own"
        if name in _KEY_HEADERS and not azure:
            return "OpenAI takes keys in Authorization only"
        if name == "connection" and value.lower() != "keep-alive":
            return "meant for one hop"
        expected = {"openai-organization": self.organization, "openai-project": self.project}
        if name in expected and value != expected[name]:
            return "chosen by the client"
        return next((reason for pattern, reason in _NEVER if fnmatchcase(name, pattern)), None)
