"""What a storm of requests for models that nobody serves costs the database, and those who ask for what is served.

`python -m bench.storm` sends 10,000 such picks to one real router, in messages of 100 on ten streams; `--seconds` spreads
them over so long, and 0 sends them at once. Meanwhile picks for a served model go on, on four streams, each one 2 ms after
the last. Told are the router's reads of the head and the database's transactions during the storm, and the latency of the
served picks in four phases: in quiet; under the same load of picks for served models, from the same process at the same pace
(what a neighbour costs, whatever it asks); in the storm; and in a storm while the database is frozen. The four follow each
other in each round, for the machine is shared. Each round gives a p50 and a p99 of each phase; told are the medians of the
rounds, as times of the quiet and of the equal load. Storms repeat until a phase has its samples.

On a small machine whoever storms takes the cores that the router needs, which no client on a machine of its own does. So the
process that storms gives way to all others, and it is told how long router and asker stood ready without a core, which is
nobody's fault but the machine's, beside the CPU that the router used. `--real-time` has all of this bench run before whatever
else the machine does, and the storm after the rest of the bench; it needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg
import uvloop

from admin_svc.migrate import migrate
from bench.followers import ENVIRONMENT, SEED, quantile
from prove.cluster import DATABASE, Member, free_port
from prove.postgres import HOST, Server
from trunkline.errors import Reason
from trunkline.rpc import dial, read_refusal
from trunkline.secret import Secret
from trunkline.v1 import router_pb2, router_pb2_grpc

PICKS: Final = 10_000
STREAMS: Final = 10
"""Each holds at most 1,024 picks that wait."""
MESSAGE: Final = 100
EACH: Final = 0.002
"""Seconds between two picks for a served model on one stream."""
STEADY: Final = 4
"""Streams with picks for a served model."""
SAMPLES: Final = 2_000
"""Served picks that each phase of a round sees, at least."""
SECONDS: Final = 2.0
"""Seconds over which a storm is spread."""
ROUNDS: Final = 5
QUIET, EQUAL, STORM, FROZEN = "quiet", "equal load, served", "storm", "storm, database frozen"
_FIRST, _LAST = 10, 5
"""Priorities in the real-time class: of the bench, and of the storm."""
_NICE: Final = 10
"""How far the storm gives way elsewhere: more would end it, where other programs want all cores."""
_TOKEN: Final = Secret(ENVIRONMENT["TRUNKLINE_SERVICE_TOKEN"])


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
        dialled = dial(self._address, _TOKEN)
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


async def storm(address: str, picks: int, seconds: float) -> None:
    """Be the storm: at each line send all picks, for served models or not as it says, and say what came of them."""
    _give_way()
    streams = [await _open(address) for _ in range(STREAMS)]
    _say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        rains = [_items(picks // STREAMS, place, served=line.strip() == "served") for place in range(STREAMS)]
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            counts = [
                tasks.create_task(_rain(call, items, seconds, place / STREAMS))
                for place, (call, items) in enumerate(zip(streams, rains, strict=True))
            ]
        took, proven = time.perf_counter() - began, sum(count.result() for count in counts)
        _say(json.dumps({"seconds": took, "proven": proven, "put off": picks - proven}))


def _give_way() -> None:
    """Let every other process of the bench go first."""
    if os.sched_getscheduler(0) == os.SCHED_RR:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_LAST))
        return
    os.nice(_NICE)
    with suppress(OSError):  # where each session has a share of its own, being nice counts only within it
        Path("/proc/self/autogroup").write_text(str(_NICE))


async def _open(address: str) -> Any:
    dialled = dial(address, _TOKEN)
    await dialled.channel.channel_ready()
    return router_pb2_grpc.RouterServiceStub(dialled.channel).PickChannels(metadata=dialled.metadata)


def _items(count: int, place: int, *, served: bool) -> list[router_pb2.PickChannelsRequest.Item]:
    models = (f"model {number % 50}" if served else f"nobody serves {place}-{number}" for number in range(count))
    return [
        router_pb2.PickChannelsRequest.Item(id=number, pick=router_pb2.Pick(model=model, group="default"))
        for number, model in enumerate(models, 1)
    ]


async def _rain(call: Any, items: list[router_pb2.PickChannelsRequest.Item], seconds: float, late: float) -> int:
    """Send picks on one stream over some seconds and read all answers; give how many were answered for good.

    Streams do not send in step: each is late by its part of the time between two messages.
    """

    async def send() -> None:
        began, count = time.perf_counter(), len(items)
        for start in range(0, count, MESSAGE):
            await asyncio.sleep(began + seconds * (start + MESSAGE * late) / count - time.perf_counter())
            await call.write(router_pb2.PickChannelsRequest(items=items[start : start + MESSAGE]))

    left, settled = len(items), 0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        while left:
            for result in (await call.read()).results:
                left -= 1
                proven = not result.HasField("refusal") or read_refusal(result.refusal).reason is Reason.MODEL_UNKNOWN
                settled += proven
    return settled


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
        argv = [sys.executable, "-m", "bench.storm", "--storm", self.router.address]
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
        _say(
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
        _say(f"frozen: {told['proven']} proven, {told['put off']} put off in {told['seconds']:.2f} s")
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


async def measure(bench: Bench, rounds: int) -> list[dict[str, Phase]]:
    """Run rounds of all phases; give what was seen in each."""
    found: list[dict[str, Phase]] = []
    steady = Steady(bench.router.address)
    phases: dict[str, Callable[[Steady, Phase], Awaitable[None]]] = {
        QUIET: bench.quiet, EQUAL: bench.equal_load, STORM: bench.calm_storm, FROZEN: bench.frozen_storm
    }  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        picking = tasks.create_task(steady.run())
        await asyncio.sleep(1.0)
        for _ in range(rounds):
            found.append({name: Phase() for name in phases})
            for name, act in phases.items():
                while len(found[-1][name].milliseconds) < SAMPLES:
                    await act(steady, found[-1][name])
                    await asyncio.sleep(0.5)
        picking.cancel()
    if steady.refused:
        raise RuntimeError(f"{steady.refused} picks for a served model were refused")
    return found


def _tell(found: list[dict[str, Phase]]) -> None:
    """Tell the medians of the rounds, and how many times those of the quiet and of the equal load they are."""

    def median(name: str, percent: int) -> float:
        return statistics.median(phases[name].quantile(percent) for phases in found)

    for name in found[0]:
        against = "; ".join(
            f"times {base} {median(name, 50) / median(base, 50):.2f} / {median(name, 99) / median(base, 99):.2f}"
            for base in (QUIET, EQUAL)
        )
        rounds = [phases[name] for phases in found]
        count = sum(len(phase.milliseconds) for phase in rounds)
        _say(
            f"{name:24} {count:>6} served picks: {median(name, 50):.2f} / {median(name, 99):.2f} ms (p50 / p99), {against}"
        )
        seconds = sum(phase.seconds for phase in rounds)
        cores = {who: sum(phase.waited[who] for phase in rounds) / seconds for who in ("router", "asker")}
        used = sum(phase.router_cpu for phase in rounds) / seconds
        storms = [took for phase in rounds for took in phase.storms]
        _say(
            f"    each second: router {cores['router']:.2f} s without a core, asker {cores['asker']:.2f} s; "
            f"router {used:.2f} s of CPU" + (f"; a storm took {statistics.median(storms):.2f} s" if storms else "")
        )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure, or be the storm."""
    parser = argparse.ArgumentParser(prog="python -m bench.storm", description=__doc__)
    parser.add_argument("--picks", type=int, default=PICKS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="over how long a storm is spread")
    parser.add_argument(
        "--real-time", action="store_true", help="run before all else that the machine does; needs root"
    )
    parser.add_argument("--storm", help=argparse.SUPPRESS)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if given.storm:
            runner.run(storm(given.storm, given.picks, given.seconds))
            return
        if given.real_time:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_FIRST))
        with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name:
            directory = Path(name)
            directory.chmod(0o755)  # Postgres runs as another user where this one is root
            found = runner.run(_measured(directory, given.picks, given.seconds, given.rounds))
    _tell(found)


async def _measured(directory: Path, picks: int, seconds: float, rounds: int) -> list[dict[str, Phase]]:
    async with running(directory, picks, seconds) as bench:
        await bench.summon()
        try:
            return await measure(bench, rounds)
        finally:
            await bench.dismiss()


if __name__ == "__main__":
    main()
