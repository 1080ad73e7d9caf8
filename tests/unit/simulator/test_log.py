import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.simulator import log
from gateway.simulator.answer import Part
from gateway.simulator.log import Log, SeenRequest


def seen(body: bytes = b"") -> SeenRequest:
    headers = CIMultiDictProxy(CIMultiDict({"Authorization": "Bearer sk-secret"}))
    return SeenRequest(method="POST", raw_path="/v1/responses", headers=headers, body=body)


def test_a_part_that_was_sent_is_noted() -> None:
    request = seen()
    request.told(Part({"usage": {"total_tokens": 3}}, tokens=2))
    request.told(Part("[DONE]"))

    assert (request.told_tokens, request.usage) == (2, {"total_tokens": 3})


def test_a_request_shows_neither_key_nor_prompt() -> None:
    shown = repr(seen(b"a private prompt"))

    assert "sk-secret" not in shown
    assert "private" not in shown


def test_only_the_latest_requests_are_kept() -> None:
    kept = Log()
    for _ in range(log.MOST_REQUESTS + 5):
        kept.add(last := seen())

    assert len(list(kept)) == log.MOST_REQUESTS
    assert list(kept)[-1] is last


def test_large_bodies_push_older_ones_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST_BODY_BYTES", 10)
    kept = Log()
    for body in (b"1234", b"5678", b"90ab", b"x" * 100):
        kept.add(seen(body))
        assert sum(len(each.body) for each in kept) <= 10 or len(list(kept)) == 1

    assert [each.body for each in kept] == [b"x" * 100]
