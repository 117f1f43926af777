"""Passes an answer that has begun to the client, at the client's pace: byte for byte, or as it is written anew.

The law: from here on nothing is tried again. One chunk is in hand at a time: the next is read from the upstream when
the client has taken the last. An answer that ends badly is ended visibly: an event stream by an error event of the client's
own format, any other body by a connection that breaks off before its framing is whole. An answer is never cut short in
silence.
"""

from typing import Final

from relay_svc import metrics, record
from relay_svc.answers import Ending, Passing
from relay_svc.beginning import Begun
from relay_svc.dialects.answer import BROKE_OFF, FELL_SILENT, UNFINISHED, Failure, Kind
from relay_svc.dialects.errors import kind_of
from relay_svc.envelopes import event
from relay_svc.errors import UPSTREAM_TIMEOUT, HttpRefusal, cut_off, stream_broken
from relay_svc.exchange import Exchange
from relay_svc.headers import Headers, to_client
from relay_svc.masking import masked_headers
from relay_svc.operations import Format
from relay_svc.plan import Result
from relay_svc.record import Record
from relay_svc.translations import Chain, Stream
from relay_svc.upstream import ReadTimeout, UpstreamFailure

_UNBUFFERED: Final = (b"x-accel-buffering", b"no")
"""nginx holds events back until its buffer is full, unless it is told; it keeps the header to itself."""


class Forward:
    """One answer on its way."""

    def __init__(self, exchange: Exchange, noted: Record, begun: Begun, written: Format) -> None:
        """Take the client's side, the record, the answer and the client's format."""
        self._exchange, self._record, self._written = exchange, noted, written
        self._begun, self._watch = begun, begun.watch
        self.events = begun.events
        """Whether it is an event stream."""
        self._passing: Passing | None = None
        """What watches whole chunks, where they may go to the client as they are."""
        begun.attempt.streamed = self.events

    async def run(self) -> Result:
        """Pass it all on; tells how it ended. Raises ClientStalled."""
        begun = self._begun
        if begun.ending is not None and begun.out.whole and begun.out.watch is not None:
            return await self._at_once(begun.given + begun.ending.rest)
        self._exchange.start(begun.answer.status, self._headers())
        if begun.ending is not None:
            return await self._end(begun.given, begun.ending)
        await self._exchange.write(begun.given)
        if self._exchange.chunked and isinstance(self._watch, Passing):
            self._passing = self._watch
        last, fault = b"", None
        try:
            if not self._watch.over:
                last = self._watch.feed(await begun.answer.pour(self))
        except UpstreamFailure as failure:
            fault = failure
        if fault is not None and isinstance(self._watch, Stream | Chain):
            last += self._watch.fail(_failure(fault))
        return await self._end(last, self._watch.end(clean=fault is None), fault)

    def take(self, data: bytes) -> bool:
        """Pass on what came."""
        self._exchange.put(self._watch.feed(data))
        return not (self._exchange.behind or self._watch.over)

    def take_chunk(self, chunk: bytes, start: int) -> bool:
        """Pass on what came as the chunk that it came in, when nothing of it changes."""
        passing = self._passing
        if passing is None or not passing.passes(chunk, start):
            return self.take(chunk[start:-2])
        return self._exchange.pass_chunk(chunk, len(chunk) - start - 2)

    async def ready(self) -> bool:
        """Wait for the client. Raises ClientStalled."""
        if self._exchange.behind:
            await self._exchange.drained()
        return not self._watch.over

    async def _at_once(self, body: bytes) -> Result:
        headers = [*self._headers(), (b"content-length", b"%d" % len(body))]
        self._exchange.start(self._begun.answer.status, headers)
        await self._exchange.finish(body)
        self._record.usage, self._record.outcome = self._watch.usage(), record.SERVED
        return Result.SUCCESS

    def _headers(self) -> Headers:
        overhead = self._record.begin_answer()
        metrics.OVERHEAD_SECONDS.observe(overhead)
        out = self._begun.out
        headers = masked_headers(to_client(self._begun.answer.headers), self._begun.attempt.candidate.key)
        if out.content_type:
            headers = [(b"content-type", out.content_type)]
        elif self.events:  # it may have to end otherwise than the upstream promised
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        if self.events:
            headers.append(_UNBUFFERED)
        headers += self._record.headers(overhead)
        if out.losses:
            headers.append((b"x-trunkline-lost", out.losses.header()))
        if out.estimated:
            headers.append((b"x-trunkline-estimated", out.estimated))
        return headers

    async def _end(self, last: bytes, ending: Ending, fault: UpstreamFailure | None = None) -> Result:
        self._record.usage = self._watch.usage()
        last += ending.rest
        if ending.whole:
            await self._exchange.finish(last)
            return self._ended(told=ending.told)
        if last:
            await self._exchange.write(last)
        how = _failure(fault).how if fault is not None else UNFINISHED
        refusal = stream_broken(self._exchange.sent, self._begun.attempt.candidate.channel_id, how)
        self._record.outcome, self._record.reason = record.BROKEN, refusal.reason
        await self._break_off(None if ending.told else refusal)
        return _result(refusal.reason)

    def _ended(self, *, told: bool) -> Result:
        """Note how an answer ended whose ending the client was given, be it an error."""
        self._record.outcome = record.BROKEN if told else record.SERVED
        failure = self._watch.failure if isinstance(self._watch, Stream | Chain) else None
        if failure is None or not failure.how:
            return Result.UPSTREAM_ERROR if told else Result.SUCCESS
        self._record.reason = failure.reason
        return _result(failure.reason)

    async def end_early(self, refusal: HttpRefusal) -> None:
        """End an answer that has begun for a reason of the relay's own. Raises ClientStalled."""
        self._record.outcome, self._record.reason = record.BROKEN, refusal.reason
        refusal = cut_off(refusal, self._exchange.sent, self._begun.attempt.candidate.channel_id)
        if isinstance(self._watch, Stream | Chain):
            failure = Failure(kind_of(refusal.status), str(refusal), code=refusal.code, reason=refusal.reason)
            last = self._watch.fail(failure)
            if last:  # else its ending was made, and may not have been sent
                await self._exchange.finish(last)
                return
        await self._break_off(refusal)

    async def _break_off(self, refusal: HttpRefusal | None) -> None:
        """End it so that nobody takes it for a whole one. Raises ClientStalled."""
        if self.events and refusal is not None:
            await self._exchange.write(event(self._written, refusal.told(self._record.request_id)))
        # A client that knows no chunks takes the connection's end for the answer's: it gets a reset instead.
        self._exchange.break_off(abort=self._exchange.close_delimited and not self.events)


def _failure(fault: UpstreamFailure) -> Failure:
    return Failure.broken(FELL_SILENT, Kind.TIMEOUT) if isinstance(fault, ReadTimeout) else Failure.broken(BROKE_OFF)


def _result(reason: str) -> Result:
    return Result.READ_TIMEOUT if reason == UPSTREAM_TIMEOUT else Result.BROKEN_ANSWER
