"""A YAML file as plain values that remember their lines.

Its law: what a person reads is what the gateway reads. So `off` is a word and no boolean (YAML 1.2's plain
scalars), a key that stands twice is a mistake, and there are no tags, anchors or second documents.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

DEEPEST: Final = 32
"""Nesting beyond this is refused. It is why files are read event by event: libyaml's composer has no such
bound, and a file full of brackets overflows its stack."""

Path = tuple[str | int, ...]

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where there is one: 20 times faster
_MEANINGS: Final[tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...]] = (
    (re.compile(r"~|null|"), lambda text: None),
    (re.compile(r"true|false"), lambda text: text == "true"),
    (re.compile(r"[-+]?[0-9][0-9_]{0,17}"), lambda text: int(text.replace("_", ""))),
    (re.compile(r"[-+]?[0-9][0-9_]{0,17}\.[0-9]{1,18}"), lambda text: float(text.replace("_", ""))),
)


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that is wrong at one place of one file."""

    line: int
    path: Path
    message: str


@dataclass(slots=True)
class Document:
    """One file's content. Where it is wrong, `mistakes` says so and `value` holds what could be read."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    """The line of every key and list item, by its path."""
    mistakes: list[Mistake] = field(default_factory=list)

    def mistake(self, path: Path, message: str) -> Mistake:
        """A mistake at this place. Steps of the path that do not stand in the file are left out."""
        found: Path = ()
        for step in path:
            if (*found, step) in self.lines:
                found = (*found, step)
        return Mistake(self.lines.get(found, 0), found, message)


class _Unreadable(Exception):
    """The rest of the file cannot be understood."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.mistake = Mistake(line, (), f"is not YAML: {reason}")


def read_document(content: bytes) -> Document:
    """Read one file. Never raises: what is wrong with it is in `mistakes`."""
    document = Document()
    try:
        text = content.decode("utf-8-sig")
        _Reader(document, yaml.parse(text, Loader=_LOADER)).read()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        document.mistakes.append(Mistake(line, (), "is not UTF-8 text"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        document.mistakes.append(_Unreadable(line, error.problem or "its syntax is wrong").mistake)
    except yaml.YAMLError:
        document.mistakes.append(_Unreadable(0, "it has control characters").mistake)
    except _Unreadable as error:
        document.mistakes.append(error.mistake)
    return document


class _Reader:
    """Turns events into values and writes down their lines and mistakes."""

    def __init__(self, document: Document, events: Iterator[yaml.Event]) -> None:
        self._document = document
        self._events = events

    def read(self) -> None:
        """Fill the document. Raises _Unreadable, or YAMLError."""
        seen = False
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if seen:
                    raise _Unreadable(_line(event), "a second document begins")
                seen = True
                self._document.value = self._value(next(self._events), ())

    def _value(self, event: yaml.Event, path: Path) -> Any:
        if len(path) > DEEPEST:
            raise _Unreadable(_line(event), "it is nested too deeply")
        if isinstance(event, yaml.AliasEvent):
            return self._wrong(event, path, "anchors and aliases (`&`, `*`) are not used here: write it out")
        if getattr(event, "tag", None) is not None:
            self._wrong(event, path, "tags (`!`) are not used here")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return _scalar(event)

    def _mapping(self, path: Path) -> dict[str, Any]:
        members: dict[str, Any] = {}
        lines = self._document.lines
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise _Unreadable(_line(key), "a key must be a word")
            name = str(key.value)
            place = (*path, name)
            if place in lines:
                self._wrong(key, place, f"stands twice, first on line {lines[place]}")
                self._value(next(self._events), (*place, ""))
            else:
                lines[place] = _line(key)
                members[name] = self._value(next(self._events), place)
        return members

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            place = (*path, len(items))
            self._document.lines[place] = _line(event)
            items.append(self._value(event, place))
        return items

    def _wrong(self, event: yaml.Event, path: Path, message: str) -> None:
        self._document.mistakes.append(Mistake(_line(event), path, message))


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _scalar(event: yaml.Event) -> Any:
    """What a scalar stands for. Quoted ones, dates, and numbers too long to be meant, are words."""
    text = str(getattr(event, "value", ""))
    if getattr(event, "style", None):
        return text
    return next((meaning(text) for pattern, meaning in _MEANINGS if pattern.fullmatch(text)), text)
