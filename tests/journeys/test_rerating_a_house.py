"""Whatever was sent, and however it ended: by the book by which it was charged, re-rating changes nothing."""

from pathlib import Path
from typing import Any

from gateway.app.installation import load_policy_files
from gateway.core.clock import SystemClock
from gateway.core.policy import Unpriced
from gateway.database.engine import open_database
from gateway.metering.reports.ranges import Range
from gateway.metering.reports.rerating import Report, Rerating, Rules
from gateway.wire.endpoints import SERVED
from tests.journeys.test_every_endpoint import FORM, form
from tests.support.house import House, house

FAULTS = ("500", "cut_body", "cut:3", "503_html")
MESSAGES = [{"role": "user", "content": "Say hello"}]
ASKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello"}),
    ("/embeddings", {"model": "embed", "input": ["Say hello"]}),
    ("/moderations", {"input": "Say hello"}),
    ("/responses", {"model": "fast", "input": "Say hello", "stream": True}),
    ("/images/generations", {"model": "gpt-image-1", "prompt": "A bird"}),
    ("/audio/speech", {"model": "tts-1", "input": "Say hello", "voice": "alloy"}),
    ("/chat/completions", {"model": "fast", "messages": MESSAGES, "service_tier": "flex"}),
)


async def spend(house_: House) -> None:
    for stream in (False, True):
        assert (await house_.chat(stream=stream)).status == 200
        for fault in FAULTS:
            members = {"stream": stream, "metadata": {"simulate": fault}}
            await house_.raw("/chat/completions", {"model": "gpt-4o-mini", "messages": MESSAGES, **members})
    for path, body in ASKS:
        assert (await house_.post(path, body)).status == 200, path
    body = form(("model", "whisper-1"), file=b"RIFF" + bytes(40_000))
    await house_.ask("POST", "/audio/transcriptions", data=body, headers={"content-type": FORM})


async def rerate(house_: House) -> Report:
    database = open_database(house_.settings.database_url.get_secret_value())
    rules = Rules(
        catalogue=load_policy_files(house_.settings).catalogue,
        meters={endpoint.name: endpoint.meter for endpoint in SERVED},
        unpriced=lambda team, key_id: Unpriced.ALARM,
    )
    try:
        return await Rerating(database=database, clock=SystemClock(), rules=rules).rerate(
            Range(), writes=False, by="cli:ops"
        )
    finally:
        await database.close()


async def test_the_same_book_says_the_same(tmp_path: Path) -> None:
    async with house(tmp_path) as house_:
        await spend(house_)
        attempts = await house_.ledger()
        report = await rerate(house_)
    assert len({line.endpoint for line in attempts}) == 8
    assert sum(change.attempts for change in report.changes.values()) == len(attempts)
    assert [change for change in report.changes.values() if change.touched] == []
    assert (report.kept, report.crashed) == (0, 0)
