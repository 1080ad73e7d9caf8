"""One request, understood. A member of the wrong type is refused as OpenAI refuses it."""

from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.simulator.answer import Json
from gateway.simulator.errors import Refusal, error, invalid
from gateway.simulator.form import Field, as_body, read_form

_PADDING = "q7Zk2mXw0vRt9bLs"
_TIERS = ("default", "flex", "priority", "scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What an endpoint gets to see. Members of a form are strings; these methods read either spelling."""

    model: str
    body: Json
    created: int
    """Unix time in whole seconds."""
    files: tuple[Field, ...] = ()
    azure: bool = False

    def flag(self, name: str) -> bool:
        return self.body.get(name) in (True, "true", "True")

    def text(self, name: str, default: str = "") -> str:
        value = self.body.get(name)
        return value if isinstance(value, str) else default

    def integer(self, name: str, default: int, most: int, *, least: int = 1) -> int:
        """A whole number from `least` to `most`."""
        value = self.body.get(name)
        if value is None:
            return default
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise invalid(f"Invalid '{name}': expected an integer from {least} to {most}.", name)
        return value

    def object(self, name: str) -> Json:
        """A nested object; empty when absent or null."""
        return member(self.body, name)

    def objects(self, name: str) -> list[Json]:
        """A list of objects; empty when absent or null."""
        value = self.body.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise invalid(f"Invalid type for '{name}': expected an array of objects.", name, "invalid_type")
        return value

    def strings(self, name: str) -> list[str]:
        """One text or several. A list of numbers is one text in tokens, a list of such lists several."""
        value: Any = self.body.get(name)
        several = isinstance(value, list) and not all(isinstance(item, int) for item in value)
        items: list[Any] = value if several else [value]
        texts = [" ".join(map(str, item)) if isinstance(item, list) else item for item in items]
        if not all(isinstance(text, str) and text for text in texts):
            raise invalid(f"'$.{name}' is invalid. Please check the API reference.", name)
        return texts

    def functions(self) -> dict[str, Json]:
        """The schemas of the function tools by name; chat nests them, the responses API lays them flat."""
        tools = [tool for tool in self.objects("tools") if tool.get("type") == "function"]
        bodies = [member(tool, "function") or tool for tool in tools]
        return {str(body.get("name")): member(body, "parameters") for body in bodies}

    def tool_choice(self) -> str:
        """`auto`, `none`, `required` or a function's name, from either spelling."""
        if isinstance(self.body.get("tool_choice"), dict):
            choice = self.object("tool_choice")
            return str((member(choice, "function") or choice).get("name"))
        return self.text("tool_choice", "auto")

    def schema(self, form: Json) -> Json | None:
        """The schema that chat's `response_format` or the responses API's `text.format` asks for."""
        if form.get("type") == "json_object":
            return {"properties": {"answer": {"type": "string"}}}
        return member(member(form, "json_schema") or form, "schema") or None

    def padding(self, position: int) -> Json:
        """The member of a delta that hides its size, unless the client declined it."""
        if self.object("stream_options").get("include_obfuscation") is False:
            return {}
        return {"obfuscation": _PADDING[: 1 + position * 7 % len(_PADDING)]}

    @property
    def tier(self) -> str:
        """The service tier that answers: the one that was asked for, if it is one."""
        asked = self.text("service_tier")
        return asked if asked in _TIERS else "default"

    def fault(self) -> str | None:
        """The name of the fault that the request asks for."""
        metadata = self.body.get("metadata")
        asked = metadata.get("simulate") if isinstance(metadata, dict) else self.body.get("simulate")
        return asked if isinstance(asked, str) else None


def member(parent: Json, name: str) -> Json:
    """A nested object; empty when absent or null. Raises Refusal (400) for anything else."""
    value = parent.get(name)
    if value is not None and not isinstance(value, dict):
        raise invalid(f"Invalid type for '{name}': expected an object.", name, "invalid_type")
    return value or {}


def read_body(body: bytes, content_type: str) -> tuple[Json, tuple[Field, ...]]:
    """The members of a body, and the files of a form. Raises Refusal (400)."""
    if content_type.startswith("multipart/form-data"):
        fields = read_form(body, content_type)
        return as_body(fields), tuple(field for field in fields if field.filename is not None)
    try:
        members = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, RecursionError) as reason:
        hint = "(HINT: This likely means you aren't using your HTTP library correctly.)"
        raise Refusal(error(400, f"We could not parse the JSON body of your request. {hint}")) from reason
    if not isinstance(members, dict):
        raise Refusal(error(400, "The JSON body of your request is not an object."))
    return members, ()
