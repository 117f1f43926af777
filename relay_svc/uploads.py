"""A form on its way up: its model is found, and what is read for that is held; the rest passes as it comes.

    read, held                      passing, kept while it is little
    ├── … model … ┤ as far as the model │ file, more fields …

The law: never whole in memory. What must be read before the model is known (a client may send its file first) is held in
memory up to a bound, and what is past it in a file without a name; of what passes then as much is kept, and once there was
more, all of that is let go. While everything sent is still held the form can be sent anew, to the same upstream or to
another; after that it cannot (`again`). A form that turns out unsound breaks the request off before its end has gone up.
"""

import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Final

from relay_svc import errors
from relay_svc.incoming import Incoming
from relay_svc.multipart import Form, FormFault, FormReader, named

MOST_SPILLED: Final = 1 << 30
"""Most bytes that all forms of a relay may hold in files at a time."""
_SLICE: Final = 256 << 10
"""Bytes that are read back at a time."""


class Spills:
    """How much is held in files."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.bytes = 0


class Upload:
    """One form."""

    def __init__(self, incoming: Incoming, content_type: bytes, held: int, spills: Spills) -> None:
        """Take the body, how much of it may be held in memory, and the count of what is not. Raises HttpRefusal."""
        self._incoming, self._most, self._spills = incoming, held, spills
        try:
            self._reader = FormReader(content_type)
        except FormFault as fault:
            raise errors.bad_body(str(fault), fault.param) from None
        self._head = bytearray()
        self._file: IO[bytes] | None = None
        """What did not fit in the head any more: it stays where it is, since to move it would hold everybody up."""
        self._spilled = 0
        self._kept: list[bytes] = []
        self._kept_size = 0
        self._ended = False
        self.again = True
        """Whether all that was sent is still here."""

    @property
    def model(self) -> str:
        """The model asked for."""
        return self._reader.model

    @property
    def stream(self) -> bool:
        """Whether a stream is asked for, as far as was read."""
        return self._reader.stream

    @property
    def count(self) -> int:
        """Bytes that have come."""
        return self._incoming.count

    def close(self) -> None:
        """Let go of all that is held."""
        self._incoming.close()
        self._head.clear()
        if self._file is not None:
            self._file.close()
        self._spills.bytes -= self._spilled
        self._spilled = 0
        self._kept.clear()

    async def open(self) -> "Form | Upload":
        """Read as far as the model; a form that is here whole then, and in memory, is given as such. Raises HttpRefusal."""
        while not self.model:
            if data := self._take():
                self._hold(data)
            elif not self._incoming.over:
                await self._incoming.news()
        if not self._ended or self._spilled:
            return self
        return Form(bytes(self._head), self.model, self._reader.span, self.stream)

    def addressed_to(self, model: str) -> "Sending":
        """Give it for an upstream's model, from its beginning. Raises ValueError when the name cannot stand in a form."""
        return Sending(self, self._reader.span, named(model))

    def _take(self) -> bytes:
        """Take what has come, and see that it is sound."""
        data = self._incoming.take()
        try:
            if data:
                self._reader.feed(data)
            if self._incoming.over and not self._ended:
                self._ended = True
                self._reader.end()
        except FormFault as fault:
            raise errors.bad_body(str(fault), fault.param) from None
        return data

    def _hold(self, data: bytes) -> None:
        if not self._spilled and len(self._head) + len(data) <= self._most:
            self._head += data
            return
        if self._spills.bytes + len(data) > MOST_SPILLED:
            raise errors.overloaded("forms with their files first are being read")
        self._spills.bytes += len(data)
        self._spilled += len(data)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
            self._file.write(data)
            self._file.flush()
        except OSError:
            raise errors.model_late(self._most) from None

    # ------------------------------------------------------------ for what sends it

    def pass_on(self) -> bytes:
        """Take what has come, keeping it while it is little. Raises HttpRefusal."""
        data = self._take()
        if data and self.again:
            self._kept_size += len(data)
            self.again = self._kept_size <= self._most
            if self.again:
                self._kept.append(data)
            else:
                self._kept.clear()
        return data

    @property
    def held(self) -> int:
        """Bytes that were taken and are here."""
        return len(self._head) + self._spilled + self._kept_size

    def pieces(self, span: tuple[int, int], model: bytes) -> Iterator[bytes]:
        """Give what is here, with another model."""
        yield from self._read(0, span[0])
        yield model
        yield from self._read(span[1], len(self._head) + self._spilled)
        yield from self._kept

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        while piece := self._piece(start, min(start + _SLICE, end)):
            start += len(piece)
            yield piece

    def _piece(self, start: int, end: int) -> bytes:
        in_file = start - len(self._head)
        if self._file is None or in_file < 0:
            return bytes(self._head[start:end])
        self._file.seek(in_file)
        return self._file.read(end - start)

    @property
    def incoming(self) -> Incoming:
        """What is still coming."""
        return self._incoming


class Sending:
    """A form being sent to one upstream: what is held, then what comes."""

    __slots__ = ("_held", "_held_left", "_model", "_span", "_upload")

    def __init__(self, upload: Upload, span: tuple[int, int], model: bytes) -> None:
        """Begin at the beginning."""
        self._upload, self._span, self._model = upload, span, model
        self._begin()

    def _begin(self) -> None:
        self._held = self._upload.pieces(self._span, self._model)
        self._held_left = self._upload.held + len(self._model) - (self._span[1] - self._span[0])

    @property
    def left(self) -> int | None:
        """Bytes still to be taken; None when nobody knows."""
        coming = self._upload.incoming.left
        return None if coming is None else self._held_left + coming

    @property
    def over(self) -> bool:
        """Whether all has been taken."""
        return not self._held_left and self._upload.incoming.over

    def take(self) -> bytes:
        """Take some. Raises HttpRefusal."""
        if self._held_left:
            piece = next(self._held)
            self._held_left -= len(piece)
            return piece
        return self._upload.pass_on()

    def tell(self, wake: Callable[[], None]) -> None:
        """Call `wake` when there is more."""
        if self._held_left:
            wake()
        else:
            self._upload.incoming.tell(wake)

    def rewind(self) -> bool:
        """Go back to the beginning, if all is still here."""
        if self._upload.again:
            self._begin()
        return self._upload.again
