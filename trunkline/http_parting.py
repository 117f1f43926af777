"""How an HTTP connection is taken or turned away, and how it ends for a fault.

Law: a connection at fault ends once the requests taken in before the fault are answered, and its client gets to read why. A
fault is one count in a metric; its log line comes at most once a minute, however many connections have it.
"""

import asyncio
import time
from typing import Any, ClassVar, Final

from prometheus_client import Counter

from trunkline import descriptors, http_faults
from trunkline.http_faults import HttpFault, Words, plain_words
from trunkline.http_keep_alive import KeptAlive
from trunkline.sparing import Sparing
from trunkline.telemetry import get_logger

log = get_logger()

REFUSED: Final = Counter("trunkline_http_refused_total", "HTTP connections ended by the server for a fault.", ["fault"])

_PARTING: Final = 2.0
"""Seconds for a client to read the last words of a connection."""
_MOST_TURNED_AWAY: Final = 128
"""Connections above the bound that are still told why; beyond them they are only closed."""


class Parting(KeptAlive):
    """A connection that can be refused."""

    words: Words = staticmethod(plain_words)
    turned_away: ClassVar[set[Any]] = set()
    """Connections of this server above its bound, while they are told why."""
    sparing: ClassVar[Sparing] = Sparing()

    url = b""
    """As far as it has come, of the last request."""
    peer = ""
    _in_head = True
    _head_bytes = 0
    _over = False
    """Whether all that still comes is thrown away."""
    _parted = False
    """Whether the last words are said."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Takes the connection, or turns it away."""
        super().connection_made(transport)
        self.timeout_keep_alive = self.bounds.idle_timeout  # type: ignore[assignment]  # uvicorn takes fractions as well
        self.peer = self.client[0] if self.client else ""
        fault = self._no_room()
        if fault is None:
            self._await_head()
        else:
            self._turn_away(fault)

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets go of everything."""
        self.turned_away.discard(self)
        self._stop_timer()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)

    def _no_room(self) -> HttpFault | None:
        if len(self.connections) - len(self.turned_away) > self.bounds.max_connections:
            return http_faults.TOO_MANY_CONNECTIONS
        connected = self.transport.get_extra_info("socket")
        if connected is not None and connected.fileno() >= descriptors.highest_for_clients():
            descriptors.note("clients")
            return http_faults.OUT_OF_DESCRIPTORS
        return None

    def _turn_away(self, fault: HttpFault) -> None:
        self._note(fault)
        self._over = True
        if len(self.turned_away) >= _MOST_TURNED_AWAY:
            self.transport.abort()
            return
        self.turned_away.add(self)
        self._part(fault)

    # ------------------------------------------------------------ time

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.bounds.head_timeout, self._head_late)

    def _head_late(self) -> None:
        self._timer = None
        if self._head_bytes:
            self._refuse(http_faults.HEAD_TOO_SLOW)
        else:
            self.transport.close()

    def await_body(self) -> None:
        """Bounds the time that the body under way may take."""
        self._timer = self.loop.call_later(self.bounds.body_timeout, self._body_late)

    def _body_late(self) -> None:
        self._timer = None
        self._refuse(http_faults.BODY_TOO_SLOW)

    # ------------------------------------------------------------ faults

    def _refuse(self, fault: HttpFault) -> None:
        """Ends the connection for a fault, once the requests taken in before it are answered."""
        self._stop_timer()
        if self._over or self.transport.is_closing():
            return
        self._note(fault)
        self._over = True
        behind = self._in_head
        if not behind and self.pipeline and self.pipeline[0][0] is self.cycle:  # the body of one that waits is at fault
            self.pipeline.popleft()
            behind = True
        last = self.pipeline[0][0] if self.pipeline else self._serving
        if not behind:  # the body of the request being served; never a second response to it, nor one within it
            if not self.cycle.response_started:
                self.transport.write(self.last_words(fault))
            self.transport.close()
        elif last is None or last.response_complete:
            self._part(fault)
        else:
            self.cycle = last
            last.keep_alive = False

    def _note(self, fault: HttpFault) -> None:
        REFUSED.labels(fault.code).inc()
        if times := self.sparing.count(fault.code, time.monotonic()):
            log.warning("HTTP connections refused", fault=fault.code, times=times, last_peer=self.peer)

    def last_words(self, fault: HttpFault) -> bytes:
        """The whole response to a fault."""
        return self.words(fault, self.url)

    def _part(self, fault: HttpFault) -> None:
        """Says the last words, and throws away what still comes for a while: closing at once would take the words back."""
        self.transport.write(self.last_words(fault))
        if not self.transport.can_write_eof():  # TLS
            self.transport.close()
            return
        self.transport.write_eof()
        self._parted = True
        self._timer = self.loop.call_later(_PARTING, self.transport.abort)
