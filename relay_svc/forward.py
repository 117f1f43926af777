"""Passes an answer that has begun to the client, byte for byte, at the client's pace.

The law: from here on nothing is tried again. One chunk is in hand at a time: the next is read from the upstream when
the client has taken the last. An answer that ends badly is ended visibly: an event stream by an error event and without
`[DONE]`, any other body by a connection that breaks off before its framing is whole. An answer is never cut short in
silence.
"""

from relay_svc import answers, metrics, record
from relay_svc.attempts import Begun
from relay_svc.errors import HttpRefusal, upstream_broken, upstream_timeout
from relay_svc.exchange import Exchange
from relay_svc.headers import first, to_client
from relay_svc.plan import Result
from relay_svc.record import Record
from relay_svc.upstream import ReadTimeout, UpstreamFailure


class Forward:
    """One answer on its way."""

    def __init__(self, exchange: Exchange, noted: Record, begun: Begun) -> None:
        """Take the client's side, the record and the answer."""
        self._exchange, self._record = exchange, noted
        self._begun = begun
        kind = first(begun.answer.headers, b"content-type")
        self._watch = answers.watch(kind, first(begun.answer.headers, b"content-encoding"))
        self.events = isinstance(self._watch, answers.EventStream)
        """Whether it is an event stream."""
        begun.attempt.streamed = self.events

    async def run(self) -> Result:
        """Pass it all on; tells how it ended. Raises ClientStalled."""
        await self._start()
        fault: UpstreamFailure | None = None
        answer, chunk = self._begun.answer, self._begun.chunk
        try:
            while chunk:
                await self._exchange.write(self._watch.feed(chunk))
                chunk = await answer.read()
        except UpstreamFailure as failure:
            fault = failure
        self._record.usage = self._watch.usage()
        return await self._end(fault)

    async def _start(self) -> None:
        overhead = self._record.begin_answer()
        metrics.OVERHEAD_SECONDS.observe(overhead)
        headers = to_client(self._begun.answer.headers)
        if self.events:  # it may have to end otherwise than the upstream promised
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        await self._exchange.start(self._begun.answer.status, headers + self._record.headers(overhead))

    async def _end(self, fault: UpstreamFailure | None) -> Result:
        ending = self._watch.end(clean=fault is None)
        if ending.whole:
            await self._exchange.finish(ending.rest)
            self._record.outcome = record.BROKEN if ending.told else record.SERVED
            return Result.UPSTREAM_ERROR if ending.told else Result.SUCCESS
        self._record.outcome = record.BROKEN
        timed_out = isinstance(fault, ReadTimeout)
        refusal = upstream_timeout() if timed_out else upstream_broken()
        self._record.reason = refusal.reason
        await end_badly(self._exchange, self._record, None if ending.told else refusal, events=self.events)
        return Result.READ_TIMEOUT if timed_out else Result.BROKEN_ANSWER


async def end_badly(exchange: Exchange, noted: Record, refusal: HttpRefusal | None, *, events: bool) -> None:
    """End an answer that has begun so that nobody takes it for a whole one. Raises ClientStalled."""
    if events and refusal is not None:
        # The blank line first: an event too large to be held back may be open.
        await exchange.write(b"\n\ndata: " + refusal.body(noted.request_id) + b"\n\n")
    # A client that knows no chunks takes the connection's end for the answer's: it gets a reset instead.
    exchange.break_off(abort=exchange.close_delimited and not events)
