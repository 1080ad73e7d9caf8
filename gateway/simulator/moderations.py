"""Moderations: a text is flagged for every category that it names ("violence", "hate" ...)."""

from secrets import token_hex

from gateway.simulator.answer import Answer, Json, whole
from gateway.simulator.ask import Ask
from gateway.simulator.bill import Bill
from gateway.simulator.text import count, texts

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def answer(ask: Ask) -> Answer:
    content = ask.body["input"]
    # Strings are judged one by one, the typed parts of one message together.
    typed = isinstance(content, list) and any(isinstance(part, dict) for part in content)
    judged = [" ".join(texts(content))] if typed else ask.strings("input")
    results = [_result(text.lower()) for text in judged]
    body: Json = {"id": f"modr-{token_hex(12)}", "model": ask.model, "results": results}
    return whole(body, bill=Bill(input_tokens=sum(map(count, judged))))


def _result(text: str) -> Json:
    flags = {category: category in text for category in _CATEGORIES}
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": {category: 0.97 if flagged else 0.0001 for category, flagged in flags.items()},
        "category_applied_input_types": {category: ["text"] for category in _CATEGORIES},
    }
