"""A multipart form is judged as it streams by: text fields are read, files only measured, all bytes are kept.

What two parsers could read differently is refused: anything before or after the form, a boundary inside a
part, bare line ends in headers, fields in another encoding, a second value where there can be only one. A
changed form is the same bytes with some parts written anew, left out or added.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Any, Final, Self, cast
from urllib.parse import unquote

import msgspec

from gateway.core.call import REMOVED, Call, Field, Form
from gateway.core.endpoint import MULTIPART, Endpoint
from gateway.core.errors import ErrorCode, Refused
from gateway.wire.parse import LARGEST_COUNT, require_model

MOST_PARTS: Final = 128
LONGEST_HEADER: Final = 8 * 1024
"""Bytes of all header fields of one part."""
CHUNK: Final = 64 * 1024
"""Bytes that are read from a spool at once."""

SINGLE: Final = frozenset(
    "background input_fidelity language model moderation n output_compression output_format partial_images"
    " prompt quality response_format size stream stream_format style temperature user".split()
)
"""Fields that have one text value. A second one, a list, or a file of that name is refused."""

_CRLF: Final = b"\r\n"
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # noqa: S105 - RFC 9110's word for a name
_HEADER_NAME: Final = re.compile(_TOKEN)
_PARAMETER: Final = re.compile(rf';[ \t]*+({_TOKEN})=("(?:[^"\\]++|\\.)*+"|[^\s;"\\]++)[ \t]*+')
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNENCODED: Final = frozenset({"binary", "8bit", "7bit"})
_UTF_8: Final = frozenset({"utf-8", "utf8", "us-ascii"})
_TRUTH: Final = frozenset({"true", "false", "True", "False", "1", "0", ""})


@dataclass(slots=True)
class _Part:
    """The part that is being read."""

    name: str
    filename: str | None
    length: int | None
    """What its own Content-Length says."""
    start: int = 0
    size: int = 0
    text: bytearray = field(default_factory=bytearray)


class FormReader:
    """Takes a form in portions of any size; how it was portioned makes no difference.

    Use it as a context manager. When the block is left by an exception, or before `finish`, the spool is
    closed; else the Form owns it, and whoever holds the Form closes that. At most `memory` bytes are held in
    memory, a longer body goes to a temporary file. Text fields may have `field_limit` bytes together.
    """

    def __init__(
        self, *, content_type: str, memory: int = 256 * 1024, field_limit: int = 1024 * 1024
    ) -> None:
        self.content_type = content_type
        self.members: dict[str, str | list[str]] = {}
        """Text fields. A name that is repeated, or ends in `[]`, has a list."""
        self.texts: list[str] = []
        """Names of parts, names of files, values of text fields."""
        self._boundary = _read_boundary(content_type)
        self._delimiter = b"--" + self._boundary
        self._spool = cast("IO[bytes]", SpooledTemporaryFile(max_size=memory))  # noqa: SIM115 - see __exit__
        self._step: Callable[[], bool] = self._read_opening
        self._pending = b""
        """Bytes not yet understood: a part of a header, or what may turn out to be a delimiter."""
        self._offset = 0
        """Where `_pending` begins in the body."""
        self._delimiter_at = 0
        self._part: _Part | None = None
        self._parts = 0
        self._text_left = field_limit
        self._fields: list[Field] = []
        self._files: list[tuple[str, int]] = []
        self._ended = False
        self._handed_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None or not self._handed_over:
            self._spool.close()

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body. Raises Refused (`invalid_multipart`)."""
        self._spool.write(data)
        self._pending += data
        while self._step():
            pass

    def finish(self) -> Form:
        """The form, when all of it was fed. Raises Refused (`invalid_multipart`) when it is not whole."""
        if not self._ended or self._pending not in (b"", _CRLF):
            raise _refused("The form ends before its closing boundary.")
        self._handed_over = True
        size = self._offset + len(self._pending)
        return Form(
            self._spool, size, self._boundary, self._delimiter_at, tuple(self._fields), tuple(self._files)
        )

    def _take(self, count: int) -> bytes:
        taken, self._pending = self._pending[:count], self._pending[count:]
        self._offset += count
        return taken

    # Each step says whether it came further; when not, it wants more bytes.

    def _read_opening(self) -> bool:
        if len(self._pending) < len(_CRLF) + len(self._delimiter):
            return False
        start = len(_CRLF) if self._pending.startswith(_CRLF) else 0
        if not self._pending.startswith(self._delimiter, start):
            raise _refused("The form does not begin with the boundary that its Content-Type names.")
        self._delimiter_at = start
        self._take(start + len(self._delimiter))
        self._step = self._read_after_delimiter
        return True

    def _read_after_delimiter(self) -> bool:
        if len(self._pending) < len(_CRLF):
            return False
        mark = self._take(len(_CRLF))
        if mark == _CRLF:
            self._step = self._read_header
        elif mark == b"--":
            self._ended = True
            self._step = self._read_epilogue
        else:
            raise _refused("A boundary is followed by neither a line end nor `--`.")
        return True

    def _read_header(self) -> bool:
        end = self._pending.find(_CRLF * 2)
        if max(end, len(self._pending) if end < 0 else 0) > LONGEST_HEADER:
            raise _refused(f"A part's header is longer than {LONGEST_HEADER} bytes.")
        if end < 0:
            return False
        block = self._take(end + 2 * len(_CRLF))[:end]
        if self._delimiter in block:
            raise _refused("A boundary stands inside a part's header.")
        self._begin(_read_part(block))
        self._step = self._read_content
        return True

    def _read_content(self) -> bool:
        at = self._pending.find(self._delimiter)
        if at < 0:
            self._absorb(self._take(max(0, len(self._pending) - len(_CRLF) - len(self._delimiter) + 1)))
            return False
        if self._pending[max(0, at - len(_CRLF)) : at] != _CRLF:
            raise _refused("A boundary stands inside a part: it must be at the beginning of a line.")
        self._absorb(self._take(at)[: -len(_CRLF)])
        self._end()
        self._take(len(self._delimiter))
        self._step = self._read_after_delimiter
        return True

    def _read_epilogue(self) -> bool:
        if not _CRLF.startswith(self._pending):
            raise _refused("The form goes on after its closing boundary.")
        return False

    def _begin(self, part: _Part) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _refused(f"The form has more than {MOST_PARTS} parts.")
        base, bracket, _ = part.name.partition("[")
        if base in SINGLE and (bracket or part.filename is not None or part.name in self.members):
            raise _refused(f"`{base}` must be one text field.", base)
        part.start = self._delimiter_at
        self.texts.append(part.name)
        if part.filename:
            self.texts += dict.fromkeys((part.filename, unquote(part.filename)))
        self._part = part

    def _absorb(self, content: bytes) -> None:
        part = self._current()
        part.size += len(content)
        if part.filename is None:
            self._text_left -= len(content)
            if self._text_left < 0:
                raise _refused("The form's text fields are too long.")
            part.text += content

    def _end(self) -> None:
        """The part is over; `_pending` begins with the delimiter after it."""
        part = self._current()
        self._delimiter_at = self._offset
        if part.length not in (None, part.size):
            raise _refused("A part's Content-Length is not its length.")
        if part.filename is None:
            self._fields.append(Field(part.name, part.start, self._offset))
            self._add(part.name, _read_text(part))
        else:
            self._files.append((part.name, part.size))

    def _add(self, name: str, value: str) -> None:
        self.texts.append(value)
        before = self.members.get(name)
        if before is None:
            self.members[name] = [value] if name.endswith("[]") else value
        else:
            self.members[name] = [*before, value] if isinstance(before, list) else [before, value]

    def _current(self) -> _Part:
        if self._part is None:
            raise RuntimeError("no part has begun")
        return self._part


def parse_form(endpoint: Endpoint, reader: FormReader) -> Call:
    """The call that a form makes, once it was fed to the reader. Call it inside the reader's `with` block.

    Raises Refused: `invalid_multipart`, `invalid_value`.
    """
    form = reader.finish()
    require_model(endpoint, reader.members)
    _check_members(reader.members)
    return Call(endpoint, reader.content_type, form, reader.members, tuple(reader.texts))


def encode_form(call: Call) -> tuple[int, Iterator[bytes]]:
    """The size of the body to send, and its bytes in chunks; the very bytes that came when nothing changes.

    A changed field's part is written anew, without its old headers (one may state the length); a removed one
    is left out; a new one stands last. Files cannot be changed. Ask again for each attempt to send. Raises
    Refused (`invalid_multipart`) when the client's boundary occurs in a new value, TypeError when the body is
    no form. The chunks raise EOFError when the spool has lost bytes.
    """
    form = call.body
    if not isinstance(form, Form):
        raise TypeError("the body of this call is not a form")
    cuts = _cuts(form, call.members, call.changes)
    size = form.size + sum(len(text) - (end - start) for start, end, text in cuts)
    return size, _chunks(form, cuts)


def _cuts(form: Form, members: Mapping[str, Any], changes: Mapping[str, Any]) -> list[tuple[int, int, bytes]]:
    """What to leave out of the body, from where to where, and what to put there instead."""
    cuts: list[tuple[int, int, bytes]] = []
    last = b""
    for name, value in changes.items():
        new = _spelled(value)
        if new == _spelled(members.get(name)):
            continue
        parts = [part for part in form.fields if part.name == name]
        texts = [_written(form.boundary, name, text) for text in new]
        if len(parts) == len(texts):
            cuts += [(part.start, part.end, text) for part, text in zip(parts, texts, strict=True)]
        else:
            cuts += [(part.start, part.end, b"") for part in parts]
            last += b"".join(texts)
    return [*sorted(cuts), (form.end, form.end, last)]


def _spelled(value: Any) -> list[str]:
    """A member's value as texts of form fields. Whatever is not text is spelled as in JSON."""
    if value is None or value is REMOVED:
        return []
    values = value if isinstance(value, list | tuple) else [value]
    return [each if isinstance(each, str) else msgspec.json.encode(each).decode() for each in values]


def _written(boundary: bytes, name: str, text: str) -> bytes:
    quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    part = f'Content-Disposition: form-data; name="{quoted}"\r\n\r\n{text}\r\n'.encode()
    if b"--" + boundary in part:
        raise _refused("The form's boundary occurs in one of its fields.")
    return b"--" + boundary + _CRLF + part


def _chunks(form: Form, cuts: list[tuple[int, int, bytes]]) -> Iterator[bytes]:
    at = 0
    for start, end, text in [*cuts, (form.size, form.size, b"")]:
        while at < start:
            form.spool.seek(at)
            chunk = form.spool.read(min(CHUNK, start - at))
            if not chunk:
                raise EOFError("the form is longer than its spool")
            at += len(chunk)
            yield chunk
        if text:
            yield text
        at = end


def _check_members(members: Mapping[str, Any]) -> None:
    if members.get("stream", "") not in _TRUTH:
        raise Refused(ErrorCode.INVALID_VALUE, "`stream` must be true or false.", param="stream")
    number = members.get("n", "1")
    if not (number.isascii() and number.isdigit() and len(number) <= 10 and int(number) <= LARGEST_COUNT):
        message = f"`n` must be a whole number from 0 to {LARGEST_COUNT}."
        raise Refused(ErrorCode.INVALID_VALUE, message, param="n")


def _read_boundary(content_type: str) -> bytes:
    """RFC 2046: 1 to 70 characters of a small set, the last one not a space."""
    kind, parameters = _read_parameters(content_type)
    boundary = parameters.get("boundary", "")
    if kind != MULTIPART or not _BOUNDARY.fullmatch(boundary):
        raise _refused("The Content-Type must be multipart/form-data with a valid boundary.")
    return boundary.encode()


def _read_part(block: bytes) -> _Part:
    headers = _read_headers(block)
    kind, parameters = _read_parameters(headers.get("content-disposition", ""))
    if kind != "form-data" or "name" not in parameters:
        raise _refused("Every part needs the header Content-Disposition: form-data with a name.")
    filename = parameters.get("filename")
    if "filename*" in parameters:
        filename = f"{filename or ''} {parameters['filename*']}"
    if "\\" in parameters["name"]:
        raise _refused("A part's name must not contain a backslash.")
    length = headers.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) < 16):
        raise _refused("A part's Content-Length is not a number.")
    _check_encoding(headers, is_text=filename is None)
    return _Part(parameters["name"], filename, None if length is None else int(length))


def _read_headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    try:
        lines = block.decode().split("\r\n")
    except UnicodeDecodeError:
        raise _refused("A part's header is not UTF-8.") from None
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not _HEADER_NAME.fullmatch(name) or name in headers or _CONTROL.search(value):
            raise _refused("A part's header is malformed.")
        headers[name] = value.strip(" \t")
    return headers


def _read_parameters(header: str) -> tuple[str, dict[str, str]]:
    """`form-data; name="x"` in its pieces: each parameter once, and no RFC 2231 spelling but `filename*`."""
    kind = header.partition(";")[0]
    parameters: dict[str, str] = {}
    at = len(kind)
    while at < len(header):
        found = _PARAMETER.match(header, at)
        name = found[1].lower() if found else ""
        if found is None or name in parameters or ("*" in name and name != "filename*"):
            raise _refused("A header's parameters are malformed.")
        parameters[name] = found[2].removeprefix('"').removesuffix('"')
        at = found.end()
    return kind.strip(" \t").lower(), parameters


def _check_encoding(headers: Mapping[str, str], *, is_text: bool) -> None:
    """Content must mean the same to a parser that honours these headers and to one that does not."""
    if headers.get("content-transfer-encoding", "binary").lower() not in _UNENCODED:
        raise _refused("A part has a Content-Transfer-Encoding.")
    if "content-encoding" in headers or headers.get("content-type", "").lower().startswith("multipart/"):
        raise _refused("A part is compressed, or a form itself.")
    if is_text and "content-type" in headers:
        _, parameters = _read_parameters(headers["content-type"])
        if parameters.get("charset", "utf-8").lower() not in _UTF_8:
            raise _refused("Text fields must be UTF-8.")


def _read_text(part: _Part) -> str:
    try:
        text = part.text.decode()
    except UnicodeDecodeError:
        raise _refused("Text fields must be UTF-8.") from None
    if part.name == "_charset_" and text.lower() not in _UTF_8:
        raise _refused("Text fields must be UTF-8.")
    return text


def _refused(message: str, param: str | None = None) -> Refused:
    return Refused(ErrorCode.INVALID_MULTIPART, message, param=param)
