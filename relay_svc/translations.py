"""Watches that write an answer anew: translated between formats, put behind an adapter, or one after the other.

    Stream     event by event, with bounded state; one that ends badly ends in the client's own error event
    Whole      read to its end, up to a bound, and then written; an error in it is a `failure`, and nothing is written
    Adapter    what `providers.adapters` makes of an upstream that speaks no format of ours
    Chain      an adapter's answer, translated

The law: pure, and that of `answers.Watch`. A `failure` that is there before any byte was given is a failed attempt.
"""

from typing import Final

from relay_svc.answers import Ending, Watch
from relay_svc.dialects import (
    Dialect,
    DialectFault,
    Failure,
    Losses,
    Stamp,
    StreamReader,
    Translation,
    read_answer,
    stream_type,
    stream_writer,
    write_answer,
)
from relay_svc.dialects import Usage as DialectUsage
from relay_svc.dialects.answer import Kind
from relay_svc.dialects.errors import kind_of
from relay_svc.failure_words import FailureClass, class_of
from relay_svc.plan import NO_USAGE, Usage
from relay_svc.providers.adapters import Adapted

MAX_WHOLE: Final = 32 << 20
"""Most bytes of an answer that is read whole."""


def _usage(used: DialectUsage | None) -> Usage:
    return Usage(used.input, used.output) if used else NO_USAGE


_KINDS: Final = {
    FailureClass.RATE_LIMIT: Kind.RATE_LIMIT,
    FailureClass.QUOTA: Kind.BILLING,
    FailureClass.CREDENTIAL: Kind.AUTHENTICATION,
    FailureClass.MODEL_MISSING: Kind.NOT_FOUND,
    FailureClass.REGION: Kind.PERMISSION,
    FailureClass.CALLER: Kind.INVALID,
    FailureClass.POLICY: Kind.INVALID,
}


def _kind_of(code: str) -> Kind:
    """Tell what a vendor's number means, so that clients of every format are told the same."""
    kind = class_of(code)
    return _KINDS.get(kind, Kind.UPSTREAM) if kind else kind_of(0, code)


class Stream:
    """A stream, translated event by event."""

    def __init__(
        self,
        upstream: Dialect,
        client: Dialect,
        stamp: Stamp,
        losses: Losses,
        *,
        channel_id: int = 0,
        include_usage: bool,
        array: bool,
    ) -> None:
        """Begin with nothing seen. The losses of an answer are noted, never refused: it is paid for."""
        noted = losses.lenient()
        self._translation = Translation(
            StreamReader(upstream, noted),
            stream_writer(client, stamp, noted, include_usage=include_usage, array=array),
            channel_id,
        )
        self.content_type = stream_type(array=array)

    @property
    def failure(self) -> Failure | None:
        """Why it ended badly."""
        return self._translation.failure

    @property
    def over(self) -> bool:
        """Whether the client has been given all there is."""
        return self._translation.over

    def feed(self, chunk: bytes) -> bytes:
        """Translate what came."""
        return self._translation.feed(chunk)

    def end(self, *, clean: bool) -> Ending:
        """Say how it ended: the client's stream is always brought to an end that its reader understands."""
        rest = self._translation.end(clean=clean)
        return Ending(rest, whole=True, told=self._translation.failure is not None)

    def fail(self, failure: Failure) -> bytes:
        """End it by an error of the relay's own, in the client's own way; nothing where it has ended."""
        return self._translation.fail(failure)

    def usage(self) -> Usage:
        """Tell the tokens used."""
        return _usage(self._translation.usage)


class Whole:
    """A whole answer, translated at its end."""

    over = False
    content_type = b"application/json"

    def __init__(
        self,
        upstream: Dialect,
        client: Dialect,
        stamp: Stamp,
        losses: Losses,
        *,
        channel_id: int = 0,
        include_usage: bool,
        array: bool,
    ) -> None:
        """Begin with nothing seen."""
        del channel_id, include_usage, array  # a stream's
        self._upstream, self._client, self._stamp, self._losses = upstream, client, stamp, losses.lenient()
        self._shown = losses
        self._parts: list[bytes] = []
        self._size = 0
        self._usage: DialectUsage | None = None
        self.failure: Failure | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Keep it, up to the bound."""
        self._size += len(chunk)
        if self._size <= MAX_WHOLE:
            self._parts.append(chunk)
        else:
            self.over = True
        return b""

    def end(self, *, clean: bool) -> Ending:
        """Translate it."""
        if not clean and not self.over:
            return Ending(b"", whole=False)
        written = self._written()
        if isinstance(written, Failure):
            self.failure = written
            return Ending(b"", whole=True, told=True)
        return Ending(written, whole=True)

    def _written(self) -> bytes | Failure:
        if self._size > MAX_WHOLE:
            return Failure.broken(f"is longer than {MAX_WHOLE} bytes")
        try:
            answer = read_answer(self._upstream, b"".join(self._parts), self._losses)
            if isinstance(answer, Failure):
                return answer
            self._usage = answer.usage
            return write_answer(self._client, answer, self._stamp, self._losses)
        except DialectFault as fault:
            return Failure.broken(str(fault))

    def usage(self) -> Usage:
        """Tell the tokens used."""
        return _usage(self._usage)


class Adapter:
    """An adapter as a watch."""

    over = False

    def __init__(self, adapted: Adapted) -> None:
        """Take it."""
        self._adapted = adapted
        self.content_type = adapted.content_type

    @property
    def failure(self) -> Failure | None:
        """What the upstream said went wrong."""
        failed = self._adapted.failure
        return Failure(_kind_of(failed.code), failed.message, code=failed.code) if failed else None

    def begin(self, content_type: bytes) -> None:
        """Learn how the answer is written."""
        self._adapted.begin(content_type)

    def feed(self, chunk: bytes) -> bytes:
        """Give what goes to the client now."""
        return self._adapted.feed(chunk)

    def end(self, *, clean: bool) -> Ending:
        """Judge the answer."""
        return self._adapted.end(clean=clean)

    def usage(self) -> Usage:
        """Tell the tokens used."""
        return self._adapted.usage()


class Chain:
    """What one watch gives, fed to another."""

    def __init__(self, first: Adapter, second: Stream | Whole) -> None:
        """Join the two."""
        self._first, self._second = first, second

    @property
    def failure(self) -> Failure | None:
        """Why it failed: as the upstream said it, if it did."""
        return self._first.failure or self._second.failure

    @property
    def over(self) -> bool:
        """Whether the client has been given all there is."""
        return self._second.over

    def begin(self, content_type: bytes) -> None:
        """Learn how the answer is written."""
        self._first.begin(content_type)

    def feed(self, chunk: bytes) -> bytes:
        """Give what goes to the client now."""
        return self._second.feed(self._first.feed(chunk))

    def end(self, *, clean: bool) -> Ending:
        """Judge the answer by both."""
        ending = self._first.end(clean=clean)
        if self._first.failure is not None and isinstance(self._second, Whole):
            return Ending(b"", whole=True, told=True)
        given = self._second.feed(ending.rest)
        last = self._second.end(clean=ending.whole)
        return Ending(given + last.rest, last.whole, last.told)

    def fail(self, failure: Failure) -> bytes:
        """End it as a stream is ended."""
        return self._second.fail(failure) if isinstance(self._second, Stream) else b""

    def usage(self) -> Usage:
        """Tell the tokens used."""
        return self._first.usage()


Written = Stream | Whole | Adapter | Chain


def is_written(watch: Watch | None) -> bool:
    """Tell whether an answer is written anew."""
    return isinstance(watch, Written)
