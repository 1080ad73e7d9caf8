"""What was decided about a request, for people: how it ended, who asked for what, by which rules, and what
was left of each limit.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.table import Table

from gateway.cli.output import print_tables
from gateway.cli.tables import plain, table
from gateway.cli.wording import dollars, many
from gateway.core.policy import Counted
from gateway.explaining.explanation import Counter, Decided, Explanation, WouldSend
from gateway.limits.headers import duration

_COLOURS: Final = {"served": "green", "would_be_sent": "green", "client_left": "yellow"}
"""Of outcomes; of all others: red."""
_DAY: Final = 86_400


def print_explanation(told: Explanation) -> None:
    """The whole answer."""
    sections = {"Decisions": _decisions(told.decisions, told.message), "Counters": _counters(told.counters)}
    shown = {heading: each for heading, each in sections.items() if each.row_count}
    parts = [part for heading, each in shown.items() for part in (f"\n[bold]{heading}[/]", each)]
    print_tables(_heading(told), *_sentence(told), "", *_facts(told), *parts)


def _heading(told: Explanation) -> str:
    outcome = told.outcome.replace("_", " ")
    ended = f"[bold {_COLOURS.get(told.outcome, 'red')}]{plain(outcome)}[/]"
    error = " ".join(str(each) for each in (told.status, told.code) if each is not None)
    whose = f"[dim]({plain(told.owner)})[/]" if told.owner else ""
    at = datetime.fromtimestamp(told.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    words = (ended, plain(error) if error else "", whose, plain(told.request_id), f"[dim]{at}[/]")
    return "  ".join(word for word in words if word)


def _sentence(told: Explanation) -> Iterator[str]:
    if told.message:
        yield plain(told.message)


def _facts(told: Explanation) -> list[str]:
    """What there is to say, a line each."""
    facts = {
        "asked": " ".join(each for each in (told.method, told.endpoint) if each),
        "by": ", ".join(_who(told)),
        "model": told.model,
        "sent": f"to {told.upstream}, {many(told.attempts, 'attempt')}" if told.attempts else "",
        "policy": told.policy_version,
        "took": "" if told.duration_ms is None else f"{told.duration_ms:,.1f} ms",
        "replica": told.replica,
    }
    lines = [_fact(name, plain(value)) for name, value in facts.items() if value]
    if not told.policy_in_force:
        lines.append(_fact("", "[yellow]Other policy files are in force by now.[/]"))
    return lines + ([] if told.would_send is None else _would_send(told.would_send))


def _fact(name: str, value: str) -> str:
    return f"[dim]{name:<8}[/] {value}"


def _who(told: Explanation) -> Iterator[str]:
    if told.team:
        yield f"team {told.team}"
    if told.key_id:
        yield f"key {told.key_name} ({told.key_id})" if told.key_name != told.key_id else f"key {told.key_id}"
    if told.subject:
        yield told.subject


def _would_send(sent: WouldSend) -> list[str]:
    held = [many(sent.input_tokens, "token") + " in", f"{sent.output_tokens:,} out"]
    held.append("no price" if sent.cost is None else f"${dollars(sent.cost)}")
    if sent.most_cost is not None:
        held.append(f"at most ${dollars(sent.most_cost)}")
    lines = [
        _fact("sends", plain(f"{sent.model} to {sent.upstream}{', as a stream' if sent.stream else ''}")),
        _fact("expects", ", ".join(held)),
    ]
    return lines + ([_fact("changes", plain(", ".join(sent.changed)))] if sent.changed else [])


def _decisions(decisions: Sequence[Decided], said: str | None) -> Table:
    """`said`: the sentence that stands above them already."""
    rows = [
        (
            plain(each.rule) if each.rule else "[dim]the gateway itself[/]",
            _mode(each.mode),
            plain(each.code),
            plain(each.where) if each.where else "",
            plain(each.param) if each.param else "",
            "" if each.retry_after is None else _span(each.retry_after),
            plain(each.reason) if each.reason != said else "",
        )
        for each in decisions
    ]
    return table(("rule", "mode", "code", "where", "~member", ">again in", "~reason"), rows)


def _mode(mode: str) -> str:
    return plain(mode) if mode == "enforce" else f"[yellow]{plain(mode)}[/]"


def _counters(counters: Sequence[Counter]) -> Table:
    rows = [
        (
            plain(each.name),
            _amount(each, each.remaining),
            _amount(each, each.limit),
            "USD" if each.counts == Counted.DOLLARS else plain(each.counts.replace("_", " ")),
            _span(each.reset_seconds) if each.reset_seconds else "",
        )
        for each in counters
    ]
    return table(("limit", ">left", ">of", "unit", ">whole in"), rows)


def _amount(each: Counter, amount: int) -> str:
    return dollars(amount) if each.counts == Counted.DOLLARS else f"{amount:,}"


def _span(seconds: float) -> str:
    """So long: `1.5s`, `6m0s`, `11 days`."""
    return duration(seconds) if seconds < _DAY else many(int(seconds // _DAY), "day")
