"""Finds upstream objects that a request names. Teams share one account there: an id opens any team's object.

The body is walked by the names of members and not by paths, because ids turn up in new places all the time.
What users and their programs define (metadata, JSON Schemas of tools and answers) is not walked: names mean
nothing there. Replayed output is no reference when it brings its own content; when it is only an id, the
provider looks it up, and then it is.

A model's name is no reference, `ft:` or not: the catalogue and the allow-lists say who may use which model.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.core.call import Call
from gateway.core.decision import Deny, Mode
from gateway.core.endpoint import Dialect
from gateway.core.errors import ErrorCode

IDS: Final = frozenset(
    "assistant_id consent container container_id conversation file_id input_file_id previous_response_id"
    " skill_id training_file tunnel_id validation_file".split()
)
"""Members that are an id when they are a string."""

LISTS: Final = frozenset("file_ids part_ids project_ids vector_store_ids".split())
"""Members that are lists of ids."""

HOLDERS: Final = frozenset("audio conversation prompt source video voice workflow".split())
"""Members that hold an object with an `id`."""

ITEMS: Final = frozenset({"input", "items"})
"""Lists of conversation items, where an object with nothing but an id is a reference."""

OPAQUE: Final = frozenset("attributes headers logit_bias metadata parameters properties schema".split())
"""Members whose content users define."""

MOST_DENIED: Final = 8
_LONGEST_SHOWN: Final = 100

_TELLING: Final = IDS | LISTS
_TELLING_WITH_ID: Final = HOLDERS | ITEMS | {"item_reference", "reasoning", "image_generation_call"}
"""Where none of the former stands, nor `id` with one of the latter, there is no reference."""
_LONGEST_NAME: Final = max(map(len, _TELLING | _TELLING_WITH_ID))
_LONGEST_COMPARED: Final = 64 * 1024


class Reference(NamedTuple):
    path: str
    """`messages.0.content.1.file.file_id`"""
    id: str


def check_references(call: Call, mode: Mode) -> list[Deny]:
    """Denies (`not_found`, in the policy's `objects` mode) for objects that the request names.

    `background: true` is refused in any mode: such an answer would be fetched later, by its id, and its usage
    would not be seen.
    """
    denies = []
    if call.endpoint.dialect is Dialect.RESPONSES and call.get("background") not in (None, False):
        denies.append(_IN_BACKGROUND)
    if mode is not Mode.OFF:
        denies += [_not_found(reference, mode) for reference in references(call)[:MOST_DENIED]]
    return denies


def references(call: Call) -> list[Reference]:
    """Every object of the provider that the body names."""
    found: list[Reference] = []
    if _may_name_any(call):
        _look_into_object(call.members, "", found)
    return found


def _may_name_any(call: Call) -> bool:
    """Nearly no request has the names in it that tell. Long bodies are not compared as a whole."""
    texts: Sequence[str] = call.texts
    if not isinstance(call.body, bytes) or len(call.body) > _LONGEST_COMPARED:
        texts = [text for text in texts if len(text) <= _LONGEST_NAME]
    return not _TELLING.isdisjoint(texts) or ("id" in texts and not _TELLING_WITH_ID.isdisjoint(texts))


def _look_into_object(members: Mapping[str, Any], path: str, found: list[Reference]) -> None:
    for name, value in members.items():
        kind = type(value)
        if kind is str:
            if name in IDS and value:
                found.append(Reference(path + name, value))
        elif name in OPAQUE:
            continue
        elif kind is dict:
            place = f"{path}{name}."
            if name in HOLDERS and _has_id(value):
                found.append(Reference(f"{place}id", value["id"]))
            _look_into_object(value, place, found)
        elif kind is list:
            _look_into_list(value, f"{path}{name}.", name, found)


def _look_into_list(items: list[Any], path: str, name: str, found: list[Reference]) -> None:
    for index, item in enumerate(items):
        kind = type(item)
        if kind is dict:
            place = f"{path}{index}."
            if "id" in item and _has_id(item) and _is_looked_up(item, name in ITEMS):
                found.append(Reference(f"{place}id", item["id"]))
            _look_into_object(item, place, found)
        elif kind is list:
            _look_into_list(item, f"{path}{index}.", name, found)
        elif name in LISTS and kind is str and item:
            found.append(Reference(f"{path}{index}", item))


def _has_id(value: dict[str, Any]) -> bool:
    named = value.get("id")
    return type(named) is str and named != ""


def _is_looked_up(item: dict[str, Any], is_conversation: bool) -> bool:
    """Whether the provider takes an item from its store, because it does not bring its own content."""
    kind = item.get("type")
    if kind is None:
        return is_conversation and "role" not in item and "content" not in item
    if kind == "reasoning":
        return not (item.get("encrypted_content") or item.get("content"))
    if kind == "image_generation_call":
        return not item.get("result")
    return bool(kind == "item_reference")


def _not_found(reference: Reference, mode: Mode) -> Deny:
    path = reference.path
    if len(path) > _LONGEST_SHOWN:
        path = f"{path[:_LONGEST_SHOWN]}..."
    reason = (
        f"No such object (`{path}`). This gateway cannot tell yet which team an object at the "
        "provider belongs to, so requests may not name any: send the content itself."
    )
    return Deny(ErrorCode.NOT_FOUND, reason, "objects", mode, path)


_IN_BACKGROUND: Final = Deny(
    code=ErrorCode.ENDPOINT_NOT_ALLOWED,
    reason="`background` is not served: its usage could not be metered. Send the request without it.",
    rule="objects.background",
    param="background",
)
