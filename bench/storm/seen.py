"""What is looked at during a storm: a router and its database, and picks for a served model that go on meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg

from admin_svc.migrate import migrate
from bench.followers import ENVIRONMENT, SEED, quantile
from bench.storm.rain import TOKEN, say
from prove.cluster import DATABASE, Member, free_port
from prove.postgres import HOST, Server
from trunkline.rpc import dial
from trunkline.v1 import router_pb2, router_pb2_grpc

EACH: Final = 0.002
"""Seconds between two picks for a served model on one stream."""
STEADY: Final = 4
"""Streams with picks for a served model."""


class Steady:
    """Picks for a served model, one after another on a stream, and how long each took."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.milliseconds: list[float] = []
        self.refused = 0

    async def run(self) -> None:
        """Pick on all streams until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(STEADY):
                tasks.create_task(self._pick())

    async def _pick(self) -> None:
        dialled = dial(self._address, TOKEN)
        call = router_pb2_grpc.RouterServiceStub(dialled.channel).PickChannels(metadata=dialled.metadata)
        item = router_pb2.PickChannelsRequest.Item(id=1, pick=router_pb2.Pick(model="model 1", group="default"))
        message = router_pb2.PickChannelsRequest(items=[item])
        while True:
            began = time.perf_counter()
            await call.write(message)
            answer: Any = await call.read()
            took = time.perf_counter() - began
            self.milliseconds.append(1e3 * took)
            self.refused += not answer.results[0].HasField("plan")
            await asyncio.sleep(max(0.0, EACH - took))

    def taken(self) -> list[float]:
        """Give the latencies since the last call."""
        found, self.milliseconds = self.milliseconds, []
        return found


class Phase:
    """What was seen in one phase of a round."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        """Latencies of served picks."""
        self.seconds = self.router_cpu = 0.0
        self.storms: list[float] = []
        """Seconds that storms took."""
        self.waited = {"router": 0.0, "asker": 0.0}
        """Seconds that threads stood ready without a core."""

    def quantile(self, percent: int) -> float:
        """Give a percentile of the latencies."""
        return quantile(sorted(self.milliseconds), percent)


class Bench:
    """One router, its database, and what is read of both."""

    def __init__(self, server: Server, router: Member, picks: int, seconds: float) -> None:
        self.server, self.router, self.picks, self.seconds = server, router, picks, seconds
        self._process: asyncio.subprocess.Process | None = None

    async def counts(self) -> dict[str, float]:
        """Read the router's counters, and the database's own."""
        text = await asyncio.to_thread(self._metrics)
        named = re.findall(
            r"^trunkline_router_(head_reads_total|head_read_seconds_sum)(?:\{.*\})? (\S+)$", text, re.MULTILINE
        )
        found: dict[str, float] = {}
        for name, value in named:
            found[name] = found.get(name, 0.0) + float(value)
        return found

    def _metrics(self) -> str:
        with urllib.request.urlopen(f"http://{HOST}:{self.router.http_port}/metrics", timeout=5.0) as answer:
            text: str = answer.read().decode()
        return text

    async def transactions(self) -> int:
        """Count the database's transactions so far; sessions report theirs within a second, or when they are asked."""
        async with await psycopg.AsyncConnection.connect(self.server.dsn(DATABASE), autocommit=True) as connection:
            cursor = await connection.execute(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            )
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def summon(self) -> None:
        """Start the process that storms. Before this one opens a channel: gRPC's threads do not survive a fork."""
        argv = [sys.executable, "-m", "bench.storm.rain", self.router.address]
        argv += ["--picks", str(self.picks), "--seconds", str(self.seconds)]
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, start_new_session=True)
        await self._line()

    @property
    def pid(self) -> int:
        """The router's process."""
        if self.router.process is None:
            raise AssertionError
        return self.router.process.pid

    @asynccontextmanager
    async def seen(self, steady: Steady, phase: Phase) -> AsyncIterator[None]:
        """Add to a phase what is seen meanwhile."""
        pids = {"router": self.pid, "asker": os.getpid()}
        steady.taken()
        began, used, before = time.perf_counter(), _used(self.pid), {name: _waited(pid) for name, pid in pids.items()}
        yield
        phase.milliseconds += steady.taken()
        phase.seconds += time.perf_counter() - began
        phase.router_cpu += _used(self.pid) - used
        for name, pid in pids.items():
            phase.waited[name] += _waited(pid) - before[name]

    async def rage(self, *, served: bool = False) -> dict[str, Any]:
        """Let one storm pass; tell how it went."""
        if self._process is None or self._process.stdin is None:
            raise AssertionError
        self._process.stdin.write(b"served\n" if served else b"unknown\n")
        told: dict[str, Any] = json.loads(await self._line())
        return told

    async def quiet(self, steady: Steady, phase: Phase) -> None:
        """Look on for a while."""
        async with self.seen(steady, phase):
            await asyncio.sleep(0.5)

    async def equal_load(self, steady: Steady, phase: Phase) -> None:
        """Let as many picks for served models pass."""
        async with self.seen(steady, phase):
            phase.storms.append((await self.rage(served=True))["seconds"])

    async def calm_storm(self, steady: Steady, phase: Phase) -> None:
        """Let a storm pass, and tell what it cost the database."""
        before, transactions = await self.counts(), await self.transactions()
        async with self.seen(steady, phase):
            told = await self.rage()
            phase.storms.append(told["seconds"])
        after = await self.counts()
        await asyncio.sleep(1.2)  # sessions report what they did
        reads = after["head_reads_total"] - before["head_reads_total"]
        each = (after["head_read_seconds_sum"] - before["head_read_seconds_sum"]) / max(1.0, reads)
        say(
            f"storm: {told['proven']} proven, {told['put off']} put off in {told['seconds']:.2f} s; {reads:.0f} head reads"
            f" of {1e3 * each:.2f} ms; {await self.transactions() - transactions} transactions in the database"
        )

    async def frozen_storm(self, steady: Steady, phase: Phase) -> None:
        """Let a storm pass while the database says nothing."""
        self.server.freeze()
        try:
            async with self.seen(steady, phase):
                told = await self.rage()
                phase.storms.append(told["seconds"])
        finally:
            self.server.thaw()
        say(f"frozen: {told['proven']} proven, {told['put off']} put off in {told['seconds']:.2f} s")
        await asyncio.sleep(0.5)

    async def _line(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            raise AssertionError
        return await self._process.stdout.readline()

    async def dismiss(self) -> None:
        """End it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def _used(pid: int) -> float:
    """Tell the seconds of CPU that a process used so far."""
    return time.clock_gettime(~pid << 3 | 2)  # the kernel's name for that clock, as clock_getcpuclockid makes it


def _waited(pid: int) -> float:
    """Sum the seconds that a process's threads stood ready without a core."""
    return sum(int(path.read_text().split()[1]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


@asynccontextmanager
async def running(directory: Path, picks: int, seconds: float) -> AsyncIterator[Bench]:
    """A database with a catalog, and a router on it."""
    server = Server(directory / "primary-1", free_port())
    server.make()
    await server.start()
    ports = free_port(), free_port()
    environment = {
        **ENVIRONMENT,
        "PATH": "/usr/bin:/bin",
        "TRUNKLINE_DSN": server.dsn(DATABASE),
        "TRUNKLINE_ROUTER_LISTEN": f"{HOST}:{ports[0]}",
        "TRUNKLINE_ROUTER_HTTP_LISTEN": f"{HOST}:{ports[1]}",
    }
    router = Member("router", "router_svc", environment, f"{HOST}:{ports[0]}", ports[1], directory / "router.log")
    try:
        async with await psycopg.AsyncConnection.connect(server.dsn(), autocommit=True) as connection:
            await connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        async with await psycopg.AsyncConnection.connect(server.dsn(DATABASE)) as connection:
            await migrate(connection)
            await connection.execute(SEED.encode())
        router.launch()
        await router.ready()
        yield Bench(server, router, picks, seconds)
    finally:
        router.signal(signal.SIGKILL)
        await router.gone()
        server.close()
