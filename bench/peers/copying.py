"""A proxy on uvloop that copies bytes and reads none of them: what a Python process costs before it does anything.

`python -m bench.peers.copying UPSTREAM` listens, prints its port, and has a connection to the upstream for each of its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import cast

import uvloop

from bench.candidate import Candidate
from bench.peers.starting import printed_port, program
from bench.processes import tree

_BACKLOG = 8192


@contextmanager
def copying(upstream: int, directory: Path) -> Iterator[Candidate]:
    """Run it."""
    command = [sys.executable, "-m", "bench.peers.copying", str(upstream)]
    with program(command, directory / "copying.log", prints_port=True) as process:
        yield Candidate(
            name="uvloop, copying",
            version=version("uvloop"),
            url=f"http://127.0.0.1:{printed_port(process)}/v1/chat/completions",
            parts=lambda: {"copying": tree(process.pid)},
        )


class _End(asyncio.Protocol):
    """One end of a connection: what comes in here goes out at the other."""

    def __init__(self) -> None:
        self.other: _End | None = None
        self.early: list[bytes] = []
        """What came in before there was another end."""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.early.append(data)
        else:
            self.other.transport.write(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class _Client(_End):
    """The client's end, which has the upstream's made."""

    def __init__(self, upstream: int, tasks: asyncio.TaskGroup) -> None:
        super().__init__()
        self._upstream, self._tasks = upstream, tasks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._tasks.create_task(self._connect())

    async def _connect(self) -> None:
        made, other = await asyncio.get_running_loop().create_connection(_End, "127.0.0.1", self._upstream)
        self.other, other.other = other, self
        made.write(b"".join(self.early))
        if self.transport is None or self.transport.is_closing():  # it left meanwhile
            made.close()


async def _serve(upstream: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Client(upstream, tasks), "127.0.0.1", 0, backlog=_BACKLOG)
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1])))
