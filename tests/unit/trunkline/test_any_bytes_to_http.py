"""Whatever bytes a stranger sends, the server's work is in proportion to them, and nothing of it calls itself."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from relay_svc.exchange import Exchange
from relay_svc.http_protocol import RelayConnection
from tests.harness.fuzz import examples
from trunkline import http_parting
from trunkline.http_bounds import HttpBounds
from trunkline.http_connection import BoundedConnection

BOUNDS = HttpBounds(max_head_bytes=2000, max_headers=20, max_target_bytes=200, max_pipelined=4)
OFFER = b"GET /v1/x HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n"
FRAGMENTS = [
    OFFER,
    b"GET /v1/x HTTP/1.1\r\nhost: x\r\n\r\n",
    b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n",
    b"POST /v1/x HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: a\r\ncontent-length: 5\r\n\r\n",
    b"POST /v1/x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"hello",
    b"connection: close\r\n",
    b"\r\n",
    b"a: b\r\n",
    b"x" * 300,
    b"\0",
]


class Transport:
    """What a connection writes to; it is never behind."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def get_extra_info(self, _name: str) -> None:
        """Nothing is known."""

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def write(self, data: bytes) -> None:
        """Keep what is written."""
        self.written += data

    def can_write_eof(self) -> bool:
        """As TCP can."""
        return True

    def write_eof(self) -> None:
        """End it."""

    def close(self) -> None:
        """Close it."""
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        """Nothing: all is read."""

    resume_reading = pause_reading


class Work:
    """What a connection did."""

    def __init__(self) -> None:
        self.requests = self.fed = self.lines = 0
        self.depths: set[int] = set()


def fed(pieces: list[bytes]) -> tuple[Work, Transport]:
    """Feed a connection, and count what it does. No task runs meanwhile, as within one read of a real socket."""
    work, transport = Work(), Transport()

    async def serve(_: Exchange) -> None:
        pass

    class Counted(RelayConnection):
        def begin_request(self) -> None:
            work.requests += 1
            depth, frame = 0, sys._getframe()
            while frame.f_back is not None:
                depth, frame = depth + 1, frame.f_back
            work.depths.add(depth)
            super().begin_request()

        def _take_offers(self, data: bytes, read: int) -> None:
            work.fed += 1
            super()._take_offers(data, read)

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:  # noqa: ARG002 - its name is uvicorn's
            self._serving = cycle

        def _note(self, fault: Any) -> None:
            work.lines += 1
            super()._note(fault)

    async def run() -> None:
        made = Counted.direct(serve, BOUNDS, frozenset())
        config = uvicorn.Config(lambda: None, http=made, log_config=None, lifespan="off")
        connection = made(config, ServerState(), {})
        connection.connection_made(transport)  # type: ignore[arg-type]  # as much of one as is needed
        for piece in pieces:
            connection.data_received(piece)
        connection.connection_lost(None)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(run())
    return work, transport


@given(st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=40), max_size=60), st.booleans())
@examples(300)
def test_any_bytes_cost_work_in_proportion_and_one_fault_at_most(fragments: list[bytes], whole: bool) -> None:
    """No more requests than may be ahead, one call a read, one fault a connection, however the bytes come."""
    work, transport = fed([b"".join(fragments)] if whole else fragments)
    assert work.requests <= 1 + BOUNDS.max_pipelined
    assert work.fed <= max(1, len(fragments))
    assert work.lines <= 1
    assert len(work.depths) <= 2  # the parser is fed a head anew at most one call deeper
    assert len(transport.written) < 1000


def test_a_flood_of_offers_in_one_read_is_read_no_further_than_what_may_be_ahead() -> None:
    """Each offer has the parser begin anew; there were thousands in a read, each within the call before."""
    work, _ = fed([OFFER * 5000])
    assert (work.requests, work.fed, work.lines) == (1 + BOUNDS.max_pipelined, 1, 1)
    assert len(work.depths) == 1


def test_faults_are_logged_once_a_minute_however_many_connections_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With how many there were since."""
    now, lines = [0.0], list[dict[str, Any]]()
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(http_parting, "log", type("Log", (), {"warning": lambda *_, **facts: lines.append(facts)}))
    made = BoundedConnection.bounded(BOUNDS)

    async def garbage() -> None:
        connection = made(uvicorn.Config(lambda: None, http=made, log_config=None, lifespan="off"), ServerState(), {})
        connection.connection_made(Transport())  # type: ignore[arg-type]  # as much of one as is needed
        connection.data_received(b"\0")
        connection.connection_lost(None)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        for second in range(0, 130, 1):
            now[0] = float(second)
            runner.run(garbage())
    assert [facts["times"] for facts in lines] == [1, 60, 60]
