"""What was asked for, read strictly by the table of operations: an unknown name is refused with the one that
was meant, a wrong value with the place where it stands.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from multidict import MultiMapping

from gateway.admin.interfaces import Asked
from gateway.admin.operations import Operation, Parameter
from gateway.admin.problems import Problem
from gateway.admin.shapes import Body
from gateway.core.actor import Actor
from gateway.policies.problems import did_you_mean
from gateway.wire.headers import media_type

LARGEST_BODY: Final = 256 * 1024
_BODY_SECONDS: Final = 30.0
_LONGEST_QUOTED: Final = 64
_DIGITS: Final = 18

_REPEAT_KEY: Final = re.compile(r"[!-~]{1,200}")
_PLACE: Final = re.compile(r"(.*) - at `\$\.?(.*)`", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\.?(.*)`)?", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(\w+)`(?: - at `\$\.?(.*)`)?")


async def read_asked(operation: Operation, actor: Actor, request: web.Request) -> Asked:
    """All that the handler needs to know. Raises Problem, and HTTPRequestEntityTooLarge."""
    query = {} if operation.reads_query_itself else read_query(operation.query, request.query)
    raw = b"" if operation.body is None else await _read_body(request)
    return Asked(
        actor=actor,
        path=dict(request.match_info),
        query=query,
        body=None if operation.body is None else read_body(operation.body, raw),
        raw_query=request.rel_url.raw_query_string,
        raw_body=raw,
    )


def repeat_key(request: web.Request) -> str | None:
    """What the header `idempotency-key` says. Raises Problem (400)."""
    keys = request.headers.getall("idempotency-key", [])
    if not keys:
        return None
    if len(keys) > 1 or not _REPEAT_KEY.fullmatch(keys[0]):
        sentence = "An idempotency key is given once: 1 to 200 visible characters of ASCII."
        raise Problem(400, sentence, field="idempotency-key")
    return keys[0]


def read_query(parameters: tuple[Parameter, ...], given: MultiMapping[str]) -> dict[str, Any]:
    """The parameters that say something: an empty text does not. Raises Problem (400)."""
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            raise Problem(400, _unknown("parameter", name, known), field=_quoted(name))
        if len(given.getall(name)) > 1:
            raise Problem(400, f"`{name}` may be given once.", field=name)
    for parameter in parameters:
        if parameter.required and not given.get(parameter.name):
            raise Problem(400, f"Say `{parameter.name}`.", field=parameter.name)
    said = [(known[name], value) for name, value in given.items()]
    return {each.name: _value(each, value) for each, value in said if value or each.whole or each.values}


def read_body(shape: type[Body], raw: bytes) -> Body:
    """The body in its shape; none at all is an empty object. Raises Problem: 400 for what is no JSON, 422 for
    JSON of another shape."""
    try:
        return msgspec.json.decode(raw.strip() or b"{}", type=shape)
    except msgspec.ValidationError as error:
        raise _misshapen(shape, str(error)) from None
    except RecursionError:
        raise Problem(400, "The body is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Problem(400, "The body is not JSON.") from None


async def _read_body(request: web.Request) -> bytes:
    if request.body_exists and media_type(request.headers.get("content-type", "")) != "application/json":
        raise Problem(415, "Send JSON, and say so: content-type: application/json.", field="content-type")
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise Problem(408, f"The body did not come within {_BODY_SECONDS:.0f} seconds.") from None


def _value(parameter: Parameter, value: str) -> Any:
    name = parameter.name
    if parameter.whole:
        number = int(value) if value.isascii() and value.isdecimal() and len(value) <= _DIGITS else -1
        if not parameter.at_least <= number <= parameter.at_most:
            bounds = f"from {parameter.at_least} to {parameter.at_most}"
            raise Problem(400, f"{name} must be a whole number {bounds}.", field=name)
        return number
    if parameter.values and value not in parameter.values:
        listed = ", ".join(f"`{each}`" for each in parameter.values)
        raise Problem(400, f"{name} must be one of {listed}.", field=name)
    if not re.fullmatch(parameter.pattern or ".*", value) or not value.isprintable():
        raise Problem(400, f"{name} is not spelled like one, or is too long.", field=name)
    return value


def _misshapen(shape: type[Body], said: str) -> Problem:
    if unknown := _UNKNOWN.fullmatch(said):
        name, place = unknown[1], unknown[2] or ""
        names = _members(shape, place)
        return Problem(422, _unknown("member", name, names), field=_within(place, _quoted(name)))
    if missing := _MISSING.fullmatch(said):
        return Problem(422, f"`{missing[1]}` is missing.", field=_within(missing[2] or "", missing[1]))
    if wrong := _PLACE.fullmatch(said):
        return Problem(422, f"{wrong[1]}.", field=wrong[2])
    return Problem(422, f"{said}.")


def _members(shape: type[Body], place: str) -> dict[str, Any]:
    """What may stand at a place of the body."""
    fields = {field.name: field.type for field in msgspec.structs.fields(shape)}
    inner = fields.get(place.partition(".")[0])
    return _members(inner, "") if isinstance(inner, type) and issubclass(inner, Body) else fields


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> str:
    near = did_you_mean(name, known)
    listed = f" There are: {', '.join(known)}." if known else ""
    return f"There is no {what} `{_quoted(name)}`{near or '.'}{'' if near else listed}"


def _within(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _quoted(name: str) -> str:
    """As far as a sentence bears what was sent."""
    return "".join(char if char.isprintable() else "?" for char in name[:_LONGEST_QUOTED])
