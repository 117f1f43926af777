"""Requests of one HTTP connection in turn, and the time between them: uvicorn's protocol, with one timer a connection.

Law: a request is started when the response before it has ended. A connection idle for too long is closed; so is one whose
refused body goes on coming.

This file, `http_parting`, `http_connection` and `relay_svc.http_protocol` know uvicorn's inside; they are written for the
version in requirements/.
"""

import asyncio
from collections import deque
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from trunkline.http_bounds import HttpBounds

_LINGER: Final = 5.0
"""Seconds that the rest of a refused body is read and thrown away, so that the client gets to read the refusal."""
MOST_THROWN_AWAY: Final = 8 << 20
"""Bytes of it: a client that sends more than this after the refusal does not read."""


class KeptAlive(HttpToolsProtocol):
    """A connection that serves one request after another."""

    bounds: ClassVar[HttpBounds] = HttpBounds()

    cycle: Any
    """The last request taken in: uvicorn's cycle, or what a subclass has in its place."""
    pipeline: deque[tuple[Any, Any]]
    _serving: Any = None
    """The cycle that was started last; those behind it wait in the pipeline."""
    _timer: asyncio.TimerHandle | None = None
    _thrown_away = 0
    """Runs while a head or a body is awaited, or the connection is parted from."""
    _idle_since: float | None = None
    """When the last response ended, while nothing has come since."""

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._serving = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Do as uvicorn does, but leave a running keep-alive timer: starting one a request costs more than looking again."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._await_request(self.timeout_keep_alive)
        if self.cycle.more_body and self.cycle.response_complete:
            self._stop_timer()
            self._thrown_away = 0
            self._timer = self.loop.call_later(_LINGER, self.transport.close)

    def _throw_away(self, size: int) -> None:
        """Counts what comes behind a refusal; closes the connection past the bound."""
        self._thrown_away += size
        if self._thrown_away > MOST_THROWN_AWAY:
            self.transport.close()

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def _await_request(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Closes an idle connection, if it has been idle for long enough."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return  # the end of the response under way starts it anew
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._await_request(left)
        elif not self.transport.is_closing():
            self.hang_up()

    def hang_up(self) -> None:
        """Closes the connection once what was written is taken, for which there is a limit."""
        self.transport.close()
        if self.transport.get_write_buffer_size():  # a client that takes nothing would keep it for good
            self.loop.call_later(self.bounds.stall_limit, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
