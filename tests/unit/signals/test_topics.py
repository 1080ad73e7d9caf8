"""Hearers and answerers: each gets its own, and a fault of one harms nobody else."""

from gateway.signals.interfaces import MOST_BYTES
from gateway.signals.topics import Topics
from tests.support.log import Log


def fails(_: bytes) -> bytes:
    raise ZeroDivisionError


def test_all_who_hear_a_topic_hear_it_and_nobody_else() -> None:
    topics, heard = Topics(Log().logger), list[tuple[str, bytes]]()
    for name, topic in (("a", "keys"), ("b", "keys"), ("c", "policies")):
        topics.on(topic, lambda message, name=name: heard.append((name, message)))  # type: ignore[misc]
    topics.heard("keys", b"1")
    topics.heard("unheard-of", b"2")
    assert heard == [("a", b"1"), ("b", b"1")]


def test_what_one_hearer_raises_is_logged_and_the_next_hears() -> None:
    log = Log()
    topics, heard = Topics(log.logger), list[bytes]()
    topics.on("keys", fails)  # type: ignore[arg-type]
    topics.on("keys", heard.append)
    topics.heard("keys", b"1")
    (line,) = log.lines
    assert (line["event"], line["level"], line["topic"]) == ("signal_failed", "error", "keys")
    assert line["error"] == "ZeroDivisionError"
    assert heard == [b"1"]


def test_a_question_that_nobody_answers_has_no_answer() -> None:
    assert Topics(Log().logger).replied("explain", b"?") is None


def test_the_last_who_says_so_answers() -> None:
    topics = Topics(Log().logger)
    topics.answer("explain", lambda question: b"first")
    topics.answer("explain", lambda question: question + b"!")
    assert topics.replied("explain", b"?") == b"?!"


def test_an_answerer_that_fails_has_nothing_to_say() -> None:
    log = Log()
    topics = Topics(log.logger)
    topics.answer("explain", fails)
    assert topics.replied("explain", b"?") is None
    assert [line["event"] for line in log.lines] == ["signal_failed"]


def test_an_answer_that_is_too_long_is_none() -> None:
    log = Log()
    topics = Topics(log.logger)
    topics.answer("explain", lambda question: bytes(int(question)))
    assert topics.replied("explain", str(MOST_BYTES).encode()) == bytes(MOST_BYTES)
    assert topics.replied("explain", str(MOST_BYTES + 1).encode()) is None
    (line,) = log.lines
    assert (line["event"], line["topic"], line["bytes"]) == ("signal_too_long", "explain", MOST_BYTES + 1)
