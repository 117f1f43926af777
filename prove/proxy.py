"""A TCP proxy that can be told to misbehave, each direction for itself.

The law: bytes are never changed or reordered. In a fault they are late (`STALL`, `LATE`, `TRICKLE`), or the connection is
gone (`reset`), or they vanish (`BLACKHOLE`), after which their connection is of no more use and is reset when the fault
ends, as a router between two hosts would have it. A connection made during a fault suffers it from its first byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from enum import Enum
from typing import Final

from prove.postgres import HOST
from prove.waiting import until

_CHUNK: Final = 65_536
_DROP: Final = 24  # bytes of a trickle
_FAR: Final = 0.12  # seconds that `LATE` adds to each direction: another continent
_DROP_PAUSE: Final = 0.01  # seconds between two of them: 2,400 bytes a second
_AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


class Mode(Enum):
    """What happens to bytes of one direction."""

    PASS = "pass"  # noqa: S105 - a mode's name
    STALL = "stall"
    LATE = "late"
    TRICKLE = "trickle"
    BLACKHOLE = "blackhole"


class _Lane:
    """One direction of every connection."""

    def __init__(self) -> None:
        self.mode = Mode.PASS
        self.flowing = asyncio.Event()
        self.flowing.set()

    def turn(self, mode: Mode) -> None:
        self.mode = mode
        if mode is Mode.STALL:
            self.flowing.clear()
        else:
            self.flowing.set()


class _Pair:
    """One connection through the proxy."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.writers = (near, far)
        self.lost_bytes = False

    def reset(self) -> None:
        for writer in self.writers:
            raw: socket.socket | None = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                if raw is not None:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            writer.transport.abort()


class Proxy:
    """Listens on a port and passes connections on to another."""

    def __init__(self, target: int, *, port: int = 0) -> None:
        """Take the port to pass on to, and the port to listen on."""
        self.target = target
        self.port = port
        self._lanes = (_Lane(), _Lane())
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[object] | None] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def turn(self, mode: Mode, *, to_server: bool = True, to_client: bool = True) -> None:
        """Begin to misbehave, or go back to `PASS` in both directions."""
        for lane, chosen in zip(self._lanes, (to_server, to_client), strict=True):
            lane.turn(mode if chosen else Mode.PASS)
        if mode is Mode.PASS:
            for pair in [pair for pair in self._pairs if pair.lost_bytes]:
                pair.reset()

    def reset(self) -> None:
        """Cut every connection."""
        for pair in list(self._pairs):
            pair.reset()

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
        self.turn(Mode.PASS)
        self.reset()
        for task in list(self._tasks):
            if task is not None:
                task.cancel()
        await until(lambda: not self._tasks, 0)

    async def _serve(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        """Serve one connection to its end. asyncio owns the task; `close` ends it, so that its end is no fault."""
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self._connected(near_in, near_out)
        except asyncio.CancelledError:
            near_out.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _connected(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        try:
            far_in, far_out = await asyncio.open_connection(HOST, self.target)
        except OSError:
            near_out.transport.abort()
            return
        pair = _Pair(near_out, far_out)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(near_in, far_out, self._lanes[0], pair))
                tasks.create_task(self._pump(far_in, near_out, self._lanes[1], pair))
        finally:
            self._pairs.discard(pair)
            for writer in pair.writers:
                writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, lane: _Lane, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                await self._pass_on(data, sink, lane, pair)
        with contextlib.suppress(OSError):
            if not sink.transport.is_closing() and sink.can_write_eof():
                sink.write_eof()

    async def _pass_on(self, data: bytes, sink: asyncio.StreamWriter, lane: _Lane, pair: _Pair) -> None:
        while data:
            await lane.flowing.wait()
            if lane.mode is Mode.BLACKHOLE or pair.lost_bytes:
                pair.lost_bytes = True
                return
            if lane.mode is Mode.LATE:
                await asyncio.sleep(_FAR)
            if sink.transport.is_closing():  # its other direction was cut meanwhile
                return
            size = _DROP if lane.mode is Mode.TRICKLE else _CHUNK
            sink.write(data[:size])
            data = data[size:]
            await sink.drain()
            if lane.mode is Mode.TRICKLE:
                await asyncio.sleep(_DROP_PAUSE)
