"""The body of a form with files (`multipart/form-data`), read as it comes: the model it names, and that it is sound.

The law: pure. The client's own bytes go on; only a mapped model is spliced into them. What decides about the routing must
read the same to every parser: `model` stands there once, lines end as the standard says, and what is ambiguous is refused.
A fault is found before the bytes that hold it could have gone on. Memory is bounded: a part's headers, or as much of its
content as could be the beginning of a boundary; finding the parts costs a search in C, and there is a bound on their number.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from relay_svc.model_naming import is_refused_field
from relay_svc.upstream import Coming

MOST_PARTS: Final = 64
MOST_HEADERS: Final = 4096
"""Most bytes of one part's headers."""
LONGEST_VALUE: Final = 256
"""Longest model, in bytes."""

_BOUNDARY: Final = re.compile(rb'"([^"\r\n]{1,70})"|([^\s";]{1,70})')
_LONGEST_TYPE: Final = 1024  # bytes of a content type that are looked at
_DISPOSITION: Final = re.compile(rb"(?:^|\r\n)content-disposition:[ \t]*form-data([^\r\n]*)", re.IGNORECASE)
_NAME: Final = re.compile(rb';[ \t]*name=(?:"([^"\\\r\n]*)"|([^\s;"]+))', re.IGNORECASE)
_EXTENDED: Final = re.compile(rb";[ \t]*name\*", re.IGNORECASE)


class FormFault(ValueError):  # noqa: N818 - the client's fault, said as it is
    """A form that cannot be routed; `param` is the field at fault, if one is."""

    def __init__(self, message: str, param: str | None = None) -> None:
        """Keep the sentence for the client and the field's name."""
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class Form:
    """A form that is here whole: the bytes, the model asked for, where its value stands, and whether it asks for a stream."""

    body: bytes
    model: str
    span: tuple[int, int]
    stream: bool

    def addressed_to(self, model: str) -> bytes:
        """Give the body for an upstream's model. Raises ValueError when its name cannot stand in a form."""
        if model == self.model:
            return self.body
        start, end = self.span
        return b"".join((self.body[:start], named(model), self.body[end:]))


class ComingForm(Protocol):
    """A form of which only the beginning is here, its model within."""

    @property
    def model(self) -> str:
        """The model asked for."""
        ...

    @property
    def stream(self) -> bool:
        """Whether it asks for a stream, as far as it is here."""
        ...

    @property
    def again(self) -> bool:
        """Whether all that was sent of it is still here, so that it can be sent anew."""
        ...

    def addressed_to(self, model: str) -> Coming:
        """Give the body for an upstream's model, from its beginning. Raises ValueError as that of a Form does."""
        ...


def named(model: str) -> bytes:
    """Write an upstream's model as a field's value. Raises ValueError when it cannot stand there."""
    if not model.isprintable():
        raise ValueError("the upstream's model cannot stand in a form")
    return model.encode()


def parse(body: bytes, content_type: bytes) -> Form:
    """Read what routing needs of a form that is here whole. Raises FormFault."""
    reader = FormReader(content_type)
    reader.feed(body)
    reader.end()
    return Form(body, reader.model, reader.span, reader.stream)


class _State(Enum):
    START = auto()
    BOUNDARY = auto()
    """Right after one."""
    HEADERS = auto()
    CONTENT = auto()
    END = auto()


class FormReader:
    """Reads one form."""

    def __init__(self, content_type: bytes) -> None:
        """Begin with nothing read. Raises FormFault."""
        self._delimiter = b"--" + _boundary(content_type)
        self._state = _State.START
        self._unread = bytearray()
        self._read = 0
        """Bytes before those unread."""
        self._parts = 0
        self._field = b""
        """The name of the part whose content is being read."""
        self._value = b""
        """What is here of that content, where it matters."""
        self._begin = 0
        self.model = ""
        """The model; empty until its value is here."""
        self.span = (0, 0)
        """Where that stands."""
        self.stream = False
        """Whether a stream is asked for, as far as has been read."""

    def feed(self, data: bytes) -> None:
        """Read more. Raises FormFault."""
        self._unread += data
        while self._STEPS[self._state](self):
            pass

    def end(self) -> None:
        """Take note that this was all. Raises FormFault."""
        if self._state is _State.START:
            raise FormFault("the form does not begin with its boundary")
        if self._state is not _State.END:
            raise FormFault("the form has no end")
        if not self.model:
            raise FormFault("you must provide a model", "model")

    # Each step reads on, and tells whether the next may.

    def _start(self) -> bool:
        if not self._unread.startswith(self._delimiter[: len(self._unread)]):
            raise FormFault("the form does not begin with its boundary")
        if len(self._unread) < len(self._delimiter):
            return False
        return self._go(_State.BOUNDARY, len(self._delimiter))

    def _boundary(self) -> bool:
        if len(self._unread) < 2:  # noqa: PLR2004 - what follows a boundary
            return False
        if self._unread.startswith(b"--"):
            return self._go(_State.END, 2)
        if not self._unread.startswith(b"\r\n"):
            raise FormFault("a boundary of the form is no line of its own")
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise FormFault(f"the form has more than {MOST_PARTS} parts")
        return self._go(_State.HEADERS, 0)

    def _headers(self) -> bool:
        end = self._unread.find(b"\r\n\r\n", 0, MOST_HEADERS)
        if end < 0:
            if len(self._unread) >= MOST_HEADERS:
                raise FormFault("a part of the form has no end of its headers")
            return False
        self._field, self._value = _name(bytes(self._unread[2:end])), b""
        if is_refused_field(self._field.decode("utf-8", "replace")):
            name = self._field.decode("utf-8", "replace")[:64]
            raise FormFault(f"{name} is not taken: which model stands behind it cannot be checked", name)
        if self._field == b"model" and self.span != (0, 0):
            raise FormFault("model is given more than once", "model")
        self._begin = self._read + end + 4
        return self._go(_State.CONTENT, end + 4)

    def _content(self) -> bool:
        found = self._unread.find(self._delimiter)
        if found < 0:
            # What could be the beginning of a boundary, with the end of the line before it, is looked at again.
            self._keep(max(0, len(self._unread) - len(self._delimiter) - 1))
            return False
        if not self._unread.endswith(b"\r\n", 0, found):
            # A laxer parser would take it for one more part.
            raise FormFault("the form has its boundary within a part")
        self._keep(found - 2)
        self._end_field()
        return self._go(_State.BOUNDARY, 2 + len(self._delimiter))

    def _ended(self) -> bool:
        if self._unread.strip():
            raise FormFault("the form goes on after its end")
        return self._go(_State.END, len(self._unread)) and False

    def _keep(self, count: int) -> None:
        """Have read so much content."""
        if self._field in (b"model", b"stream"):
            self._value += self._unread[: min(count, LONGEST_VALUE + 1)]
            if len(self._value) > LONGEST_VALUE:
                if self._field == b"model":
                    raise FormFault("model is no model's name", "model")
                self._value = self._value[:LONGEST_VALUE]
        self._go(_State.CONTENT, count)

    def _end_field(self) -> None:
        if self._field == b"model":
            self.model, self.span = _model(self._value), (self._begin, self._read)
        elif self._field == b"stream":
            self.stream = self._value.strip().lower() == b"true"

    def _go(self, state: _State, count: int) -> bool:
        del self._unread[:count]
        self._read += count
        self._state = state
        return True

    _STEPS: Final = {
        _State.START: _start,
        _State.BOUNDARY: _boundary,
        _State.HEADERS: _headers,
        _State.CONTENT: _content,
        _State.END: _ended,
    }


def _boundary(content_type: bytes) -> bytes:
    kind, *parameters = content_type[:_LONGEST_TYPE].split(b";")
    given = [value for name, _, value in (parameter.partition(b"=") for parameter in parameters) if _is_boundary(name)]
    found = _BOUNDARY.fullmatch(given[0].strip()) if len(given) == 1 else None
    if kind.strip().lower() != b"multipart/form-data" or found is None:
        raise FormFault("the body must be multipart/form-data with one boundary")
    return found[1] or found[2]


def _is_boundary(name: bytes) -> bool:
    return name.strip().lower() == b"boundary"


def _model(value: bytes) -> str:
    try:
        model = value.decode()
    except UnicodeDecodeError:
        raise FormFault("model must be UTF-8", "model") from None
    if not model:
        raise FormFault("you must provide a model", "model")
    if len(value) > LONGEST_VALUE or not model.isprintable():
        raise FormFault("model is no model's name", "model")
    return model


def _name(headers: bytes) -> bytes:
    rest = headers.replace(b"\r\n", b"")
    if b"\r" in rest or b"\n" in rest:
        raise FormFault("a part of the form has a header whose line ends otherwise")
    dispositions = _DISPOSITION.findall(headers)
    if len(dispositions) != 1:
        raise FormFault("a part of the form has no content-disposition, or more than one")
    names = _NAME.findall(dispositions[0])
    if len(names) != 1 or _EXTENDED.search(dispositions[0]):
        raise FormFault("a part of the form has no plain name, or more than one")
    return bytes(names[0][0] or names[0][1])
