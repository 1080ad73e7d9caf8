"""No key, no prompt, no answer is written down or told to anybody else, whether things go well or not."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.journeys.test_every_endpoint import FORM, form
from tests.support.house import ADMIN_TOKEN, PEPPER, UPSTREAM_KEY, Answer, House, hasten, house
from tests.support.wire import WireAnswer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT = "the canary sings at dusk"
FILE = b"canary-sound " * 50
FAULTS = ("500", "401", "429:30", "503_html", "cut_body", "cut:3", "stall:3", "hang")


class Libraries(logging.Handler):
    """What libraries log, however talkative they are told to be."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(logging.Formatter().format(record))

    def __enter__(self) -> "Libraries":
        self._before = logging.root.level
        logging.root.addHandler(self)
        logging.root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        logging.root.setLevel(self._before)
        logging.root.removeHandler(self)


@dataclass(frozen=True)
class Lived:
    """What a house leaves behind, and what must not be found in it."""

    secrets: tuple[str, ...]
    places: Mapping[str, bytes]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """Exchanges of every kind have been."""
    folder = tmp_path_factory.mktemp("lived")
    environment = {
        "GATEWAY_LOG_LEVEL": "debug",
        "GATEWAY_BOUNDS__STREAM_GAP_SECONDS": "0.1",
        "GATEWAY_BOUNDS__BODY_SECONDS": "0.1",
        "GATEWAY_UPSTREAM__FIRST_BYTE_SECONDS": "0.2",
    }
    with Libraries() as libraries:
        async with house(folder, environment=environment, pause=hasten) as house_:
            answer = await what_goes_well(house_)
            errors = await what_goes_wrong(house_)
            places = {
                "errors": errors,
                "metrics": (await house_.metrics()).encode(),
                "usage": await usage(house_),
            }
            assert len(await house_.ledger()) > 10
            places["ledger"] = files(folder)
        return Lived(
            secrets=(house_.key, house_.key[17:], PROMPT, FILE.decode()[:40], answer, UPSTREAM_KEY, PEPPER),
            places=places | {"log": house_.log.getvalue(), "libraries": "\n".join(libraries.said).encode()},
        )


async def what_goes_well(house_: House) -> str:
    """What the upstream answered."""
    answer = await house_.chat(PROMPT)
    assert (await house_.chat(PROMPT, stream=True)).status == 200
    assert (await house_.post("/embeddings", {"model": "embed", "input": PROMPT})).status == 200
    assert (await house_.post("/responses", {"model": "fast", "input": PROMPT, "stream": True})).status == 200
    body = form(("model", "whisper-1"), ("prompt", PROMPT), file=FILE)
    spoken = await house_.ask("POST", "/audio/transcriptions", data=body, headers={"content-type": FORM})
    assert spoken.status == 200
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


async def what_goes_wrong(house_: House) -> bytes:
    """All that clients are told of it, one after the other."""
    chat = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}]}
    told: list[Answer | WireAnswer] = [
        await house_.raw("/chat/completions", {**chat, "stream": stream, "metadata": {"simulate": fault}})
        for fault in FAULTS
        for stream in (False, True)
    ]
    told += [
        await house_.chat(PROMPT, max_tokens="many"),
        await house_.chat(PROMPT, model="gpt-99"),
        await house_.chat(f"{PROMPT} AKIA" + "Q3ZKX7TNW2MB5HYD"),
        await house_.chat(PROMPT, metadata={"key": house_.key}),
        await house_.chat(PROMPT * 9000, model="gpt-4o-mini"),
        await house_.post("/files", {"purpose": PROMPT}),
        await house_.post("/responses", {"model": "fast", "input": PROMPT, "previous_response_id": "resp_a"}),
    ]
    bodies = [answer.body for answer in told if b"error" in answer.body]
    for data in what_is_malformed(house_.key):
        async with house_.wire() as wire:
            await wire.send(data)
            bodies.append((await wire.answer()).body)
    assert len(bodies) > 20
    return b"\n".join(bodies)


def what_is_malformed(key: str) -> list[bytes]:
    line = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n"
    credential = f"authorization: Bearer {key}\r\n".encode()
    kind = b"content-type: application/json\r\n"
    prompt = PROMPT.encode()
    return [
        line + b"authorization Bearer " + key.encode() + b"\r\n\r\n",
        line + credential + credential + kind + b"\r\n",
        b"POST /v1/" + key.encode() + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        line + credential + kind + b"content-length: 100\r\n\r\n" + prompt,
        line + credential + kind + b"content-length: %d\r\n\r\n" % len(prompt) + prompt,
        line + credential + kind + b"transfer-encoding: chunked\r\n\r\n" + prompt,
        line + f"authorization: Bearer {key[:-1]}x\r\n".encode() + kind + b"content-length: 0\r\n\r\n",
    ]


async def usage(house_: House) -> bytes:
    """What operators are told of it."""
    token = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    async with house_.http.get(f"{house_.operators}/admin/usage?by=team,key,model", headers=token) as answer:
        assert answer.status == 200
        return await answer.read()


def files(folder: Path) -> bytes:
    """Everything on disk."""
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


@pytest.mark.parametrize("place", ["errors", "metrics", "usage", "ledger", "log", "libraries"])
async def test_nothing_secret_is_found_in(lived: Lived, place: str) -> None:
    said = lived.places[place]
    assert len(said) > 100
    assert [secret for secret in lived.secrets if secret.encode() in said] == []
