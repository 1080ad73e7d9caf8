"""Who hears what in this process, and who answers. A fault of one of them harms nobody else."""

from collections import defaultdict

import structlog

from gateway.signals.interfaces import MOST_BYTES, Hear, Reply


class Topics:
    """Hearers and answerers by topic."""

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self._hearers: defaultdict[str, list[Hear]] = defaultdict(list)
        self._replies: dict[str, Reply] = {}

    def on(self, topic: str, hear: Hear) -> None:
        self._hearers[topic].append(hear)

    def answer(self, topic: str, reply: Reply) -> None:
        self._replies[topic] = reply

    def heard(self, topic: str, message: bytes) -> None:
        """Pass on what was told."""
        for hear in self._hearers.get(topic, ()):
            try:
                hear(message)
            except Exception as error:  # noqa: BLE001 - it is logged, and others go on
                self._fault(topic, error)

    def replied(self, topic: str, question: bytes) -> bytes | None:
        """What is answered here; None: nothing."""
        reply = self._replies.get(topic)
        if reply is None:
            return None
        try:
            answer = reply(question)
        except Exception as error:  # noqa: BLE001 - it is logged, and others go on
            self._fault(topic, error)
            return None
        return answer if answer is None or self.fits(topic, answer) else None

    def fits(self, topic: str, message: bytes) -> bool:
        """Whether it is not too long. It is logged if it is."""
        if len(message) > MOST_BYTES:
            self._log.error("signal_too_long", topic=topic, bytes=len(message))
        return len(message) <= MOST_BYTES

    def _fault(self, topic: str, error: Exception) -> None:
        self._log.error("signal_failed", topic=topic, error=type(error).__name__, exc_info=error)
