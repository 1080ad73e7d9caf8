"""No prompt, no answer, no header stands in the database or in a journal, on either engine.

Canaries are put wherever a client or an upstream can put a text. What is kept of all they say is bounded and
known: the model's name as it was asked (an alias or a model of the catalogue, nothing else is sent), and what
the upstream calls the model, the service tier and the request.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, select

from gateway.database.engine import open_database
from tests.journeys.test_every_endpoint import FORM, form
from tests.support.house import House, house

KNOWN = {
    *("fast", "embed", "gpt-3.5-turbo-instruct", "omni-moderation-latest"),
    *("gpt-image-1", "tts-1", "whisper-1"),
}
"""Names of models that are asked for here."""


async def say_everything(house_: House) -> list[str]:
    """All that was said and answered."""
    sung: list[str] = []

    def sing(place: str) -> str:
        sung.append(f"canary-{len(sung)}-sings-{place}")
        return sung[-1]

    headers = {name: sing(name) for name in ("user-agent", "x-request-id", "x-custom", "openai-organization")}
    chat: dict[str, Any] = {
        "model": "fast",
        "messages": [{"role": "user", "content": sing("prompt"), "name": sing("name")}],
        "metadata": {sing("key"): sing("value")},
        "user": sing("user"),
        "stop": [sing("stop")],
        "tools": [{"type": "function", "function": {"name": "f", "description": sing("tool")}}],
        "unheard_of": sing("unheard_of"),
    }
    answer = await house_.post("/chat/completions", chat, headers=headers)
    sung.append(answer.json()["choices"][0]["message"]["content"])
    streamed = await house_.post("/chat/completions", chat | {"stream": True}, headers=headers)
    assert streamed.status == 200
    asks = (
        ("/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": sing("completion")}),
        ("/embeddings", {"model": "embed", "input": [sing("embedding")]}),
        ("/moderations", {"input": sing("moderation")}),
        ("/responses", {"model": "fast", "input": sing("response"), "instructions": sing("instructions")}),
        ("/images/generations", {"model": "gpt-image-1", "prompt": sing("image"), "user": sing("painter")}),
        ("/audio/speech", {"model": "tts-1", "input": sing("speech"), "voice": "alloy"}),
        ("/chat/completions", chat | {"model": sing("model")}),
        ("/chat/completions", chat | {"metadata": {"simulate": "500"}}),
        ("/chat/completions", chat | {"messages": sing("malformed")}),
        (f"/files/{sing('path')}", {}),
    )
    for path, body in asks:
        await house_.post(path, body, headers=headers)
    file = sing("file").encode() * 40
    body = form(("model", "whisper-1"), ("prompt", sing("transcription")), file=file)
    await house_.ask("POST", "/audio/transcriptions", data=body, headers={"content-type": FORM})
    return sung


def texts(connection: Connection) -> Iterator[str]:
    """Every value of every table, also of those that no code of ours knows."""
    tables = MetaData()
    tables.reflect(connection)
    for table in tables.tables.values():
        for row in connection.execute(select(table)):
            yield f"{table.name}: {tuple(row)!r}"


async def test_nothing_that_was_said_is_kept(database_url: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    environment = {"GATEWAY_DATABASE_URL": database_url, "GATEWAY_JOURNAL__DIRECTORY": str(journal)}
    async with house(tmp_path, environment=environment) as house_:
        sung = await say_everything(house_)
        lines = await house_.ledger()
        journals = [file.read_bytes() for file in journal.rglob("*") if file.is_file()]
    database = open_database(database_url)
    kept = await database.read(lambda connection: list(texts(connection)))
    await database.close()
    assert len(sung) > 20
    assert {line.asked_model for line in lines} == KNOWN
    assert any("key:search/tests" in row for row in kept)
    assert [each for each in sung if any(each in row for row in kept)] == []
    assert [each for each in sung if any(each.encode() in file for file in journals)] == []
