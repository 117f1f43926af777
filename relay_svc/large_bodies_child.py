"""The process that reads large bodies: from standard input to standard output, until its input ends.

The law: it answers each body by one message, and writes nothing else anywhere.
"""

import os
import sys
from typing import BinaryIO, Final

import msgspec

from relay_svc.named_models import Beside
from relay_svc.payload import PayloadFault, parse

_GIVES_WAY: Final = 10
"""Of Unix's niceness: on a machine without a core to spare, large bodies wait for small ones."""


class Found(msgspec.Struct, frozen=True, tag=True):
    """What routing needs of a body; `span` is where its model stands."""

    model: str
    span: tuple[int, int]
    stream: bool
    beside: tuple[Beside, ...]


class Fault(msgspec.Struct, frozen=True, tag=True):
    """What is wrong with a body."""

    message: str
    param: str | None


def main() -> None:
    """Serve until standard input ends, behind whatever serves small bodies."""
    os.nice(_GIVES_WAY)
    serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer each body."""
    while head := requests.read(8):
        said = msgspec.json.encode(_read(requests.read(int.from_bytes(head, "big"))))
        answers.write(len(said).to_bytes(4, "big") + said)
        answers.flush()


def _read(body: bytes) -> Found | Fault:
    try:
        found = parse(body)
    except PayloadFault as fault:
        return Fault(str(fault), fault.param)
    return Found(found.model, found.span, found.stream, found.beside)
