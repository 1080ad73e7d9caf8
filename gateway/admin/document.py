"""The OpenAPI document, made of the table of operations and the shapes that it names: it cannot say anything
else than what is done.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from gateway import __version__
from gateway.admin.operations import OPERATIONS, PATH_PARAMETERS, Operation, Parameter
from gateway.admin.problems import PROBLEM
from gateway.admin.sessions import COOKIE
from gateway.admin.shapes import ProblemDetails
from gateway.core.actor import Role

_JSON: Final = "application/json"
_REF: Final = "#/components/schemas/{name}"

_ALWAYS: Final = {
    400: "Something is not understood.",
    401: "Nobody is signed in.",
    403: "This role may not.",
    500: "The gateway failed.",
    503: "A store is away; try again.",
}
_OF_A_PATH: Final = {404: "There is none such, or it is none of your teams'."}
_OF_A_BODY: Final = {
    408: "The body did not come in time.",
    413: "The body is larger than 256 KiB.",
    415: "The body is not JSON.",
    422: "The body is JSON, and says something that cannot be done: `field` tells where.",
}
_OF_A_CHANGE: Final = {409: "The name is taken, or the same request is under way."}

_REPEAT_KEY: Final = {
    "name": "idempotency-key",
    "in": "header",
    "description": "The same request with the same key is done once, within a day; a repetition is answered "
    "as the first one was, without any secret, and with `idempotent-replayed: true`.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}

_DESCRIPTION: Final = (
    "What operators, auditors and team admins may ask of the gateway. Times are seconds since 1970, money is "
    "micro-dollars (1,000,000 are a dollar). Each operation names the roles that may ask for it (`x-roles`); "
    "a team admin is answered as if there were no teams but its own."
)


def openapi(operations: Iterable[Operation] = OPERATIONS) -> dict[str, Any]:
    """The whole document."""
    operations = tuple(operations)
    shapes = [shape for each in operations for shape in (each.answer, each.body) if _is_shape(shape)]
    _, schemas = msgspec.json.schema_components([*shapes, ProblemDetails], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gateway: operators' API", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


def path_parameters(path: str) -> list[Parameter]:
    """Those between braces."""
    return [PATH_PARAMETERS[name] for name in re.findall(r"{(\w+)}", path)]


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = [
        *(_parameter(each, "path") for each in path_parameters(operation.path)),
        *(_parameter(each, "query") for each in operation.query),
        *([_REPEAT_KEY] if operation.changes else []),
    ]
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "x-roles": [role.value for role in Role if role in operation.roles],
        "x-of-teams": operation.of_teams,
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": _body(operation)} if operation.body else {}),
        "responses": _responses(operation),
    }


def _parameter(parameter: Parameter, where: str) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": where,
        "description": parameter.meaning,
        "required": where == "path" or parameter.required,
        "schema": _schema_of(parameter, may_be_empty=where == "query" and not parameter.required),
        **({"example": parameter.example} if parameter.example else {}),
    }


def _schema_of(parameter: Parameter, *, may_be_empty: bool) -> dict[str, Any]:
    if parameter.whole:
        return {"type": "integer", "minimum": parameter.at_least, "maximum": parameter.at_most}
    if parameter.values:
        return {"type": "string", "enum": list(parameter.values)}
    if parameter.pattern is None:
        return {"type": "string"}
    return {"type": "string", "pattern": f"^({parameter.pattern}){'?' if may_be_empty else ''}$"}


def _body(operation: Operation) -> dict[str, Any]:
    shape = operation.body
    needed = shape is not None and any(field.required for field in msgspec.structs.fields(shape))
    example = {} if operation.example is None else {"example": dict(operation.example)}
    return {"required": needed, "content": {_JSON: {"schema": _reference(shape), **example}}}


def _responses(operation: Operation) -> dict[str, Any]:
    wrong = {
        **_ALWAYS,
        **(_OF_A_PATH if operation.of_teams else {}),
        **(_OF_A_BODY if operation.body else {}),
        **(_OF_A_CHANGE if operation.changes else {}),
    }
    return {
        str(operation.status): {
            "description": "Done.",
            "content": {_JSON: {"schema": _reference(operation.answer)}},
        },
        **{str(status): _problem(operation, text) for status, text in sorted(wrong.items())},
    }


def _problem(operation: Operation, text: str) -> Mapping[str, Any]:
    content = {PROBLEM: {"schema": _reference(ProblemDetails)}}
    if operation.reads_query_itself:
        content[_JSON] = {"schema": {"type": "object", "required": ["error"]}}
    return {"description": text, "content": content}


def _is_shape(shape: Any) -> bool:
    return shape not in (None, dict)


def _reference(shape: Any) -> dict[str, Any]:
    return {"$ref": _REF.format(name=shape.__name__)} if _is_shape(shape) else {"type": "object"}
