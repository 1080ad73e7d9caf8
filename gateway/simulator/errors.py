"""Errors in OpenAI's words: all four keys, always."""

from collections.abc import Mapping

from gateway.simulator.answer import Answer, Json, Part


class Refusal(Exception):
    """Raised wherever a request cannot be answered; carries what the client gets instead."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def error(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    kind: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """An error answer. `kind` is its `type`."""
    body: Json = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Answer(status=status, parts=(Part(body),), headers=headers or {})


def azure_error(status: int, code: str, message: str) -> Answer:
    """An error of Azure's own front door, which speaks otherwise than OpenAI."""
    return Answer(status=status, parts=(Part({"error": {"code": code, "message": message}}),))


def incorrect_key(key: str) -> Answer:
    """What OpenAI says of a wrong key, which it shows masked."""
    masked = f"{key[:5]}***{key[-2:]}" if len(key) > 12 else "***"
    message = f"Incorrect API key provided: {masked}. You can find your API key at https://platform.openai.com/account/api-keys."
    return error(401, message, code="invalid_api_key")


def invalid(message: str, param: str, code: str = "invalid_value") -> Refusal:
    """The request's own fault: 400."""
    return Refusal(error(400, message, code=code, param=param))
