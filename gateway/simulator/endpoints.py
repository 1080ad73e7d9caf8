"""What a path means: the table of endpoints, under OpenAI's address and under both of Azure's."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from gateway.simulator import audio, catalogue, chat, completions, embeddings, images, moderations, responses
from gateway.simulator.answer import Answer
from gateway.simulator.ask import Ask
from gateway.simulator.bill import Kind
from gateway.simulator.errors import Refusal, azure_error, error, invalid


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who answers, what a request must have, and which model is meant when none is named."""

    answer: Callable[[Ask], Answer]
    needs: tuple[str, ...] = ()
    model: str | None = None
    """None: it has to be named. Empty: there is none."""
    method: str = "POST"
    kind: Kind = Kind.COMPLETIONS
    """As what it is billed, if it is."""
    source: str | None = None
    """The word of the usage API for where images come from."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request arrived."""

    endpoint: Endpoint
    model: str = ""
    """The model named by the path itself."""
    azure: bool = False


def _images(answer: Callable[[Ask], Answer], needs: str, model: str, verb: str) -> Endpoint:
    return Endpoint(answer, (needs,), model, kind=Kind.IMAGES, source=f"image.{verb}")


ENDPOINTS: Mapping[str, Endpoint] = {
    "/chat/completions": Endpoint(chat.answer, ("messages",)),
    "/completions": Endpoint(completions.answer, ("prompt",)),
    "/embeddings": Endpoint(embeddings.answer, ("input",), kind=Kind.EMBEDDINGS),
    "/responses": Endpoint(responses.answer, model="gpt-4.1"),
    "/moderations": Endpoint(moderations.answer, ("input",), "omni-moderation-latest", kind=Kind.MODERATIONS),
    "/images/generations": _images(images.generate, "prompt", "dall-e-2", "generation"),
    "/images/edits": _images(images.edit, "prompt", "gpt-image-1.5", "edit"),
    "/images/variations": _images(images.vary, "image", "dall-e-2", "variation"),
    "/audio/speech": Endpoint(audio.speak, ("input", "voice"), kind=Kind.AUDIO_SPEECHES),
    "/audio/transcriptions": Endpoint(audio.transcribe, ("file",), kind=Kind.AUDIO_TRANSCRIPTIONS),
    "/audio/translations": Endpoint(audio.translate, ("file",), kind=Kind.AUDIO_TRANSCRIPTIONS),
    "/models": Endpoint(catalogue.listing, model="", method="GET"),
    "/models/{model}": Endpoint(catalogue.one, method="GET"),
}

_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)(/.+)")


def is_azure(raw_path: str) -> bool:
    return raw_path.startswith("/openai/")


def locate(method: str, raw_path: str) -> Place:
    """The endpoint of a path as it was sent, percent-encoded and with query. Raises Refusal (404, 405)."""
    sent, _, query = raw_path.partition("?")
    path, model = sent.removeprefix("/openai"), ""
    if deployed := _DEPLOYMENT.fullmatch(sent):
        if "api-version" not in parse_qs(query):
            raise Refusal(azure_error(404, "404", "Resource not found"))
        model, path = unquote(deployed[1]), "/v1" + deployed[2]
    if path.startswith("/v1/models/"):
        path, model = "/v1/models/{model}", unquote(path.removeprefix("/v1/models/"))
    endpoint = ENDPOINTS.get(path.removeprefix("/v1")) if path.startswith("/v1/") else None
    if endpoint is None:
        raise Refusal(error(404, f"Invalid URL ({method} {sent})"))
    if method != endpoint.method:
        message = f"Only {endpoint.method} requests are accepted."
        raise Refusal(error(405, message, code="method_not_supported", headers={"allow": endpoint.method}))
    return Place(endpoint, model, is_azure(raw_path))


def check(endpoint: Endpoint, ask: Ask) -> None:
    """Raises Refusal: 400 for a missing member, 404 for a model that does not exist."""
    if ask.model:
        catalogue.check(ask.model, azure=ask.azure)
    elif endpoint.model is None:
        raise Refusal(error(400, "you must provide a model parameter"))
    files = {file.name.removesuffix("[]") for file in ask.files}
    for name in endpoint.needs:
        if name not in files and not ask.body.get(name):
            raise invalid(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
