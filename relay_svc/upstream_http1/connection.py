"""One connection to an upstream: an asyncio protocol that carries one exchange at a time.

The law: a connection goes back to its pool only when the answer was read to its end, the request was sent to its end,
nothing came after either, and the upstream means to go on; in every other case it is closed at once, so that the upstream
sees it. It reports its end to the pool exactly once. An answer that nobody reads is not taken off the socket beyond a mark.

There is one timer a connection. It is left alone while it fires no later than it must; one that fires early looks at the
deadline and goes on. So a deadline that was met costs no timer.
"""

import asyncio
from typing import Any, Final, Protocol

from relay_svc.upstream import Sink
from relay_svc.upstream_http1.request import Origin
from relay_svc.upstream_http1.response import Reader

MOST_UNREAD: Final = 256 << 10
"""Bytes of an answer that are held unread before the socket is left alone; one read of the socket may come on top."""


class Keeper(Protocol):
    """Who owns connections: the pool."""

    def keep(self, connection: "Connection") -> None:
        """Take back a connection that can be used again."""
        ...

    def gone(self, connection: "Connection") -> None:
        """Learn that a connection is closed; told once."""
        ...


class Connection(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_busy",
        "_deadline",
        "_held",
        "_idle",
        "_keeper",
        "_sated",
        "_sink",
        "_timer",
        "_timer_at",
        "_total",
        "_transport",
        "_waiter",
        "closed",
        "late",
        "loop",
        "origin",
        "reader",
        "sent",
        "stuck",
        "used",
    )

    def __init__(self, origin: Origin, keeper: Keeper) -> None:
        """Belong to a keeper, unconnected; made in the event loop that it will live in."""
        self.origin = origin
        self.loop = asyncio.get_running_loop()
        self.reader = Reader()
        self.closed = False
        """Whether it is closed, or about to be."""
        self.used = False
        """Whether it has carried an exchange to its end."""
        self.late = False
        """Whether the deadline of the last wait has passed."""
        self.stuck = False
        """Whether the transport holds bytes that it could not send yet."""
        self.sent = False
        """Whether the exchange's request has been handed to the transport to its end."""
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self._busy = self._held = self._sated = False
        self._sink: Sink | None = None
        self._idle = self._total = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = self._timer_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> bool:
        """Whether it ever was connected."""
        return self._transport is not None

    @property
    def tls(self) -> Any:
        """The TLS object; None without TLS."""
        return None if self._transport is None else self._transport.get_extra_info("ssl_object")

    # ------------------------------------------------------------ called by the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP or TLS, always
        """Take the transport, unless nobody waits for it any more."""
        self._transport = transport
        # As soon as a byte cannot be sent we want to know, and again when all are: both bound the sending in time.
        transport.set_write_buffer_limits(high=1, low=0)
        if self.closed:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read; what comes unasked ends the connection."""
        reader, sink = self.reader, self._sink
        if sink is not None and (start := reader.whole_chunk(data)):
            self._give(sink, data, start)
            return
        if reader.complete or not self._busy:
            self.abort()
            return
        reader.feed(data)
        if sink is not None and not reader.over:
            if reader.unread:  # otherwise it was only what frames a part
                self._give(sink, reader.take())
            return
        if reader.unread > MOST_UNREAD and not self._held and self._transport is not None:
            self._held = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """End what is under way; a peer that will say no more is asked no more."""
        self._end()

    def connection_lost(self, _exc: Exception | None) -> None:
        """End what is under way."""
        self._end()
        self.abort()

    def pause_writing(self) -> None:
        """Note that bytes are waiting to be sent."""
        self.stuck = True

    def resume_writing(self) -> None:
        """Note that none are."""
        self.stuck = False
        self._wake()

    def _end(self) -> None:
        if self._busy:
            self.reader.end()
            self._wake()
        if not self._busy or self.reader.complete:
            self.abort()

    # ------------------------------------------------------------ called by an exchange

    def begin(self) -> None:
        """Begin an exchange."""
        self.reader.begin()
        self._busy = True
        self.sent = False

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes, as far as there is anyone to send them to."""
        if self._transport is not None and not self.closed:
            self._transport.write(data)

    def news(self, deadline: float) -> asyncio.Future[None]:
        """Give what to await until anything happens, or the deadline, in which case `late` is set."""
        waiter = self._waiter = self.loop.create_future()
        self._deadline, self.late = deadline, False  # another deadline: that the last one passed says nothing of it
        if self._timer is None:
            self._set_timer(deadline)
        elif self._timer_at > deadline:
            self._timer.cancel()
            self._set_timer(deadline)
        return waiter

    async def pour(self, sink: Sink, idle: float, total: float) -> bool:
        """Give a sink what comes until it takes no more, or the answer is over, or the time is, in which case `late` is set.

        The time is over at `total`, or when no part came for `idle` seconds. Tells whether the sink would take more. Raises
        whatever the sink raises.
        """
        self._sink, self._idle, self._total, self._sated = sink, idle, total, False
        try:
            await self.news(min(total, self.loop.time() + idle))
            return not self._sated
        finally:
            self._sink = None

    def take(self) -> bytes:
        """Take the body's bytes that are here, and let more come."""
        data = self.reader.take()
        if self._held:
            self._held = False
            if self._transport is not None and not self.closed:
                self._transport.resume_reading()
        return data

    def release(self) -> None:
        """End an exchange whose answer was read to its end."""
        self._busy = False
        reader = self.reader
        if self.closed or not reader.keep_alive or reader.surplus or self.stuck or not self.sent:
            self.abort()
        else:
            self._keeper.keep(self)

    def abort(self) -> None:
        """Close at once. May be repeated."""
        if self.closed:
            return
        self.closed = True
        self.reader.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        self._wake()
        self._keeper.gone(self)

    # ------------------------------------------------------------ waiting

    def _give(self, sink: Sink, data: bytes, start: int = 0) -> None:
        """Give the sink a part, which begins at `start` in its whole chunk, and wake whoever waits if it takes no more."""
        try:
            if sink.take_chunk(data, start) if start else sink.take(data):
                self._deadline = min(self._total, self.loop.time() + self._idle)
                return
        except Exception as fault:  # noqa: BLE001 - raised where the sink's owner waits
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(fault)
        self._sated = True
        self._wake()

    def poke(self) -> None:
        """Have whoever waits look again: something happened elsewhere."""
        self._wake()

    def _wake(self) -> None:
        self._sink = None  # set only while somebody waits
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _set_timer(self, when: float) -> None:
        self._timer_at = when
        self._timer = self.loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return  # nobody waits; who does next sets the timer
        if self.loop.time() < self._deadline:
            self._set_timer(self._deadline)
        else:
            self.late = True
            self._wake()
