"""A value that satisfies a simple JSON Schema, for tool arguments and structured outputs.

Understood: type, properties, items, enum, const, $ref, anyOf and its like, bounds, formats. Not: pattern.
"""

from typing import Any

from gateway.simulator.answer import Json
from gateway.simulator.errors import invalid

_DEEPEST = 12
_SHALLOW = 4
"""Below this depth a schema that contains itself comes to its end: no optional members, items or branches."""
_MOST_VALUES = 1_000
_MOST_ITEMS = 100
_LONGEST_STRING = 10_000

_FORMATS = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "email": "ada@example.com",
    "uuid": "6f1ed002-ab5d-4f3c-9a57-0b1d5a7c2e10",
    "uri": "https://example.com/",
}


def example(schema: Json) -> Any:
    """The same value each time; what is too deep or large becomes null. Raises Refusal (400) for nonsense."""
    try:
        return _Builder(schema).value(schema, depth=0)
    except (TypeError, AttributeError) as reason:
        raise invalid("Invalid schema.", "schema", "invalid_json_schema") from reason


class _Builder:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._left = _MOST_VALUES

    def value(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if depth > _DEEPEST or self._left < 0 or not isinstance(schema, dict):
            return None
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        if "$ref" in schema:
            return self.value(self._resolve(str(schema["$ref"])), depth + 1)
        for branches in ("anyOf", "oneOf", "allOf"):
            if schema.get(branches):
                # By custom the way out of a recursion, `null`, comes last.
                return self.value(schema[branches][0 if depth < _SHALLOW else -1], depth + 1)
        return self._typed(schema, depth)

    def _typed(self, schema: Json, depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        match kind[0] if isinstance(kind, list) else kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return _number(schema)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return _string(schema)

    def _object(self, schema: Json, depth: int) -> Json:
        properties: Json = schema.get("properties") or {}
        wanted = schema.get("required") or [] if depth >= _SHALLOW else properties
        return {name: self.value(properties.get(name), depth + 1) for name in wanted}

    def _array(self, schema: Json, depth: int) -> list[Any]:
        length = max(schema.get("minItems", 0), 0 if depth >= _SHALLOW else 1)
        return [self.value(schema.get("items", {}), depth + 1) for _ in range(min(length, _MOST_ITEMS))]

    def _resolve(self, reference: str) -> Any:
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            found = found.get(step) if isinstance(found, dict) else None
        return found


def _number(schema: Json) -> int | float:
    least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    most = schema.get("maximum", schema.get("exclusiveMaximum", least + 43) - 1)
    return max(least, min(42, most))  # type: ignore[no-any-return]


def _string(schema: Json) -> str:
    text = _FORMATS.get(schema.get("format", ""), "quiet harbour")
    if "format" not in schema:
        text = text.ljust(min(schema.get("minLength", 0), _LONGEST_STRING), "x")[: schema.get("maxLength")]
    return text
