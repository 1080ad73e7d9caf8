"""Multipart forms: bytes in, fields out, in their order. Waits for nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import HTTP

from gateway.simulator.answer import Json
from gateway.simulator.errors import Refusal, error


@dataclass(frozen=True, slots=True)
class Field:
    """One part of a form; a file has a file name."""

    name: str
    value: bytes
    filename: str | None = None


def read_form(body: bytes, content_type: str) -> tuple[Field, ...]:
    """The fields of a form. Raises Refusal (400) when it is cut off or has no boundary."""
    head = EmailMessage(HTTP)
    head["content-type"] = content_type
    boundary = head.get_boundary()
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + (boundary or "").encode())
    if not boundary or not parts or not parts.pop().startswith(b"--"):
        raise Refusal(error(400, "Could not parse multipart form"))
    return tuple(_field(part) for part in parts)


def _field(part: bytes) -> Field:
    head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    disposition = message_from_bytes(head, policy=HTTP)["content-disposition"]
    names = disposition.params if disposition else {}
    if "name" not in names:
        raise Refusal(error(400, "Could not parse multipart form: a part without a name"))
    return Field(names["name"], value, names.get("filename"))


def as_body(fields: Iterable[Field]) -> Json:
    """The text fields as if they had come in JSON: `name[]` gathers into a list."""
    body: Json = {}
    for field in fields:
        text = field.value.decode(errors="replace")
        if field.filename is None and field.name.endswith("[]"):
            body.setdefault(field.name[:-2], []).append(text)
        elif field.filename is None:
            body[field.name] = text
    return body
