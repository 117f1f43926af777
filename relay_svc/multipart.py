"""The body of a form with files (`multipart/form-data`): the model it names, and the bytes to send on.

The law: pure. The client's own bytes go on; only a mapped model is spliced into them. What decides about the routing must
read the same to every parser: `model` stands there once, lines end as the standard says, and what is ambiguous is refused.
Finding the parts costs a search in C for each, and there is a bound on their number.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

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
    """A form: the bytes, the model asked for, where its value stands, and whether it asks for a stream."""

    body: bytes
    model: str
    span: tuple[int, int]
    stream: bool

    def addressed_to(self, model: str) -> bytes:
        """Give the body for an upstream's model. Raises ValueError when its name cannot stand in a form."""
        if model == self.model:
            return self.body
        if not model.isprintable():
            raise ValueError("the upstream's model cannot stand in a form")
        start, end = self.span
        return b"".join((self.body[:start], model.encode(), self.body[end:]))


def parse(body: bytes, content_type: bytes) -> Form:
    """Read what routing needs. Raises FormFault."""
    delimiter = b"--" + _boundary(content_type)
    span: tuple[int, int] | None = None
    stream = False
    for name, start, end in _fields(body, delimiter):
        if name == b"model":
            if span is not None:
                raise FormFault("model is given more than once", "model")
            span = (start, end)
        elif name == b"stream":
            stream = body[start:end].strip().lower() == b"true"
    if span is None:
        raise FormFault("you must provide a model", "model")
    return Form(body, _model(body[span[0] : span[1]]), span, stream)


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


def _fields(body: bytes, delimiter: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Give each part's name, and where its content begins and ends."""
    if not body.startswith(delimiter):
        raise FormFault("the form does not begin with its boundary")
    place, left = len(delimiter), body.count(delimiter)
    for _ in range(MOST_PARTS):
        left -= 1
        if body.startswith(b"--", place):
            # A laxer parser would take a boundary within a part for one more part.
            if left or body[place + 2 :].strip():
                raise FormFault("the form has its boundary within a part, or goes on after its end")
            return
        start, end = _edges(body, delimiter, place)
        yield _name(body[place + 2 : start - 4]), start, end
        place = end + 2 + len(delimiter)
    raise FormFault(f"the form has more than {MOST_PARTS} parts")


def _edges(body: bytes, delimiter: bytes, place: int) -> tuple[int, int]:
    """Find where the content of the part after a boundary begins and ends."""
    if not body.startswith(b"\r\n", place):
        raise FormFault("a boundary of the form is no line of its own")
    headers = body.find(b"\r\n\r\n", place, place + MOST_HEADERS)
    if headers < 0:
        raise FormFault("a part of the form has no end of its headers")
    end = body.find(b"\r\n" + delimiter, headers + 4)
    if end < 0:
        raise FormFault("the form has no end")
    return headers + 4, end


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
