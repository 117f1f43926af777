"""Reads an answer's beginning: as far as it has to be here before the client is sent anything.

    passes as it is, whole     its first bytes
    passes as it is, a stream  its first content: until then another candidate may do better
    written anew, a stream     the same
    written anew, whole        all of it, and then it may still turn out to be an error

The law: what has come is kept, up to a bound, and nothing of it is sent. A stream that is silent beyond the limit for the
first byte has stalled.
"""

from typing import Any, Final

import msgspec

from relay_svc import outbound, provider_error, translations
from relay_svc.answers import Ending, EventStream, Watch
from relay_svc.deadlines import Deadlines
from relay_svc.dialects import Failure as Told
from relay_svc.dialects import Kind as ToldKind
from relay_svc.dialects.errors import envelope
from relay_svc.dialects.form import Dialect
from relay_svc.dialects.members import encode
from relay_svc.failover import Failure, Kind
from relay_svc.headers import first
from relay_svc.opening import Begun as Opened
from relay_svc.opening import Opening
from relay_svc.operations import Format
from relay_svc.outbound import Outbound
from relay_svc.plan import Unshown
from relay_svc.record import Attempt
from relay_svc.upstream import ReadTimeout, UpstreamAnswer

_MOST_KEPT: Final = 256 << 10
"""Bytes of a stream that are kept while its content has not begun; what is more than that is content enough."""


class Begun(Unshown, frozen=True):
    """A good answer whose beginning is here."""

    answer: UpstreamAnswer
    out: Outbound
    attempt: Attempt
    watch: Watch
    given: bytes
    """What goes to the client first."""
    ending: Ending | None = None
    """How it ended, if it is over already."""

    @property
    def events(self) -> bool:
        """Whether it is an event stream for the client."""
        if self.out.content_type:
            return self.out.content_type.startswith(b"text/event-stream")
        return isinstance(self.watch, EventStream)


class Refused(Unshown, frozen=True):
    """An answer that is none; `body` is the error's JSON where it told one."""

    failure: Failure
    body: bytes = b""
    written: Format = Format.OPENAI_CHAT


class Beginning:
    """One answer's beginning."""

    __slots__ = ("_answer", "_attempt", "_deadlines", "_out", "_watch")

    def __init__(self, answer: UpstreamAnswer, out: Outbound, deadlines: Deadlines, attempt: Attempt) -> None:
        """Take an answer whose head says that it is a success."""
        self._answer, self._out, self._deadlines, self._attempt = answer, out, deadlines, attempt
        kind = first(answer.headers, b"content-type")
        written = out.watch
        if isinstance(written, translations.Adapter | translations.Chain):
            written.begin(kind)
        self._watch: Watch = written or outbound.watch_of(out, kind, first(answer.headers, b"content-encoding"))

    async def read(self, patience: float) -> Begun | Refused:
        """Read it; `patience` is in seconds. Raises UpstreamFailure."""
        if self._out.whole and self._out.watch is not None:
            return await self._whole()
        if self._out.watch is None and not isinstance(self._watch, EventStream):
            chunk = await self._answer.read()
            given = self._watch.feed(chunk) if chunk else b""
            return self._begun(given, self._watch.end(clean=True) if self._answer.over or not chunk else None)
        return await self._opened(patience)

    def _begun(self, given: bytes, ending: Ending | None = None) -> Begun:
        return Begun(self._answer, self._out, self._attempt, self._watch, given, ending)

    async def _whole(self) -> Begun | Refused:
        watch = self._watch
        while not watch.over and (chunk := await self._answer.read()):
            watch.feed(chunk)
        return self._ended([], clean=True)

    def _ended(self, given: list[bytes], *, clean: bool) -> Begun | Refused:
        """Judge an answer that ended before its content began, or that was waited for."""
        ending = self._watch.end(clean=clean)
        if (told := self._told()) is not None:
            return told
        if not ending.whole:
            return Refused(Failure(Kind.BROKEN_ANSWER))
        return self._begun(b"".join(given), ending)

    def _told(self) -> Refused | None:
        watch = self._watch
        if isinstance(watch, translations.Written) and (failure := watch.failure) is not None:
            # A break is one whoever found it: what cannot be read on is no answer of the upstream's.
            return Refused(Failure(Kind.BROKEN_ANSWER, how=failure.how)) if failure.how else refused(failure)
        return None

    async def _opened(self, patience: float) -> Begun | Refused:
        opening = Opening()
        given: list[bytes] = []
        content: Refused | bool | None = None
        chunk = b""
        try:
            with self._deadlines.within(max(0.0, patience)):
                while content is None and (chunk := await self._answer.read()):
                    content = self._take(chunk, opening, given)
        except TimeoutError:
            if self._deadlines.expired:
                raise
            return Refused(Failure(Kind.STALLED))
        except ReadTimeout:  # the limit between two reads was the shorter one
            return Refused(Failure(Kind.STALLED))
        if isinstance(content, Refused):
            return content
        if not chunk:
            return self._ended(given, clean=True)
        return self._begun(b"".join(given))

    def _take(self, chunk: bytes, opening: Opening, given: list[bytes]) -> Refused | bool | None:
        """Take more; tells whether content has begun, None when it has not, or why it will not."""
        out = self._watch.feed(chunk)
        given.append(out)
        if (told := self._told()) is not None:
            return told
        if isinstance(self._watch, translations.Adapter | translations.Chain):
            return bool(out) or None  # the bytes are no stream of ours
        state = opening.feed(chunk)
        if state is Opened.FAILED:
            return _failed(opening.error, self._out.call.format)
        if state is Opened.CONTENT or sum(map(len, given)) > _MOST_KEPT:
            return True
        return None


def _failed(error: bytes, written: Format) -> Refused:
    event: Any = msgspec.json.decode(error)
    said = event
    if "error" not in event:  # the responses' ways: in the event itself, or in the response that failed
        response = event.get("response")
        said = {"error": response.get("error") if isinstance(response, dict) else event}
    body = encode(said)
    code, type_ = provider_error.read(body)
    return Refused(Failure(Kind.ANSWERED, 200, code, type_), body, written)


def refused(told: Told) -> Refused:
    """Make a failed attempt of an error that a success held."""
    status, body = envelope(Dialect.OPENAI_CHAT, told)
    if told.kind is ToldKind.UPSTREAM and not told.status:
        status = 200  # it says nothing but its code
    return Refused(Failure(Kind.ANSWERED, told.status or status, told.code), encode(body))
