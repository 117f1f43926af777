"""How long a change takes from its commit until it is in force on every router, and how that grows with the routers.

`python -m bench.followers` runs one admin, in the process that measures, against real routers: up to eight are processes of
their own, further ones share a ninth (whose one event loop then does the work of many machines). The clock starts when the
COMMIT was acknowledged, and stops when the admin has heard from the last router that the change is in force there. Before
each change one bare query is timed, for the machine is shared: what counts is the ratio.

Since all share the machine's cores, the time of many routers is mostly their own work, done one after another. So the CPU is
told as well: what a change costs the admin and each router, and what routers without changes leave of the core that they
share.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import uvloop

from admin_svc.assembly import Running, serve
from admin_svc.broadcaster import Broadcaster
from admin_svc.records import Token
from admin_svc.settings import Settings as AdminSettings
from bench import report
from prove.cluster import DATABASE, free_port
from prove.postgres import HOST, Server
from prove.waiting import until
from router_svc.__main__ import Router
from router_svc.follower import State
from router_svc.settings import Settings as RouterSettings
from trunkline.settings import read
from trunkline.telemetry import configure

COUNTS: Final = (1, 2, 4, 8, 16, 32, 64, 100, 200, 300)
ALONE: Final = 8
"""Routers that have a process each."""
CHANGES: Final = 100
PAUSE: Final = 0.03
"""Seconds between two changes."""
LIMIT: Final = 20.0
_APART: Final = 0.05
"""Seconds between the starts of two routers in one process, or those that run would fall silent."""
_CHANNELS: Final = 200
_WARM: Final = 5
"""Changes that warm caches up."""
_IDLE: Final = 3.0
"""Seconds without a change, in which it is seen what following costs by itself."""
ENVIRONMENT: Final = {
    "TRUNKLINE_ADMIN_TOKEN": "bench-admin-token-0123456789abcdef",
    "TRUNKLINE_SERVICE_TOKEN": "bench-service-token-0123456789abcdef",
    "TRUNKLINE_PEPPER": "bench-pepper-0123456789abcdef0123456789",
    "TRUNKLINE_ENCRYPTION_KEYS": "k1:" + base64.b64encode(bytes(32)).decode(),
    "TRUNKLINE_LOG_LEVEL": "warning",
}
SEED: Final = """
INSERT INTO groups (name) VALUES ('default') ON CONFLICT DO NOTHING;
INSERT INTO channels (name, provider, base_url)
    SELECT 'channel ' || n, 'openai', 'http://127.0.0.1:9' FROM generate_series(1, 200) AS n;
INSERT INTO channel_models (channel_id, model) SELECT id, 'model ' || id % 50 FROM channels;
INSERT INTO channel_groups (channel_id, group_name) SELECT id, 'default' FROM channels ON CONFLICT DO NOTHING;
"""


class Host:
    """A process that runs as many routers as it is told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def launch(cls, name: str, dsn: str) -> Host:
        """Start one without any router."""
        argv = (sys.executable, "-m", "bench.followers", "--host", name, "--dsn", dsn)
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe))

    async def grow(self, count: int) -> None:
        """Have it run so many routers."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError
        self._process.stdin.write(f"{count}\n".encode())
        await self._process.stdout.readline()

    @property
    def cpu(self) -> float:
        """Seconds of CPU used so far."""
        return time.clock_gettime(~self._process.pid << 3 | 2)  # that clock, as clock_getcpuclockid names it

    async def end(self) -> None:
        """End it."""
        self._process.kill()
        await self._process.wait()


async def host(name: str, dsn: str) -> None:
    """Be a host: each line of input says how many routers to run, each line of output that they serve."""
    loop, lines = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    routers: list[Router] = []
    working: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as tasks:
        while line := await lines.readline():
            for number in range(len(routers), int(line)):
                routers.append(Router(read(RouterSettings, _told_router(f"{name}-{number}", dsn))))
                working.append(tasks.create_task(routers[-1].serve(asyncio.Event())))
                await asyncio.sleep(_APART)
            await until(lambda: all(router.cache.state is State.SERVING for router in routers), 0.05)
            sys.stdout.write("serving\n")
            sys.stdout.flush()
        for work in working:
            work.cancel()


def _told_router(name: str, dsn: str) -> dict[str, str]:
    where = {f"TRUNKLINE_ROUTER_{what}": f"{HOST}:0" for what in ("LISTEN", "HTTP_LISTEN")}
    return {**ENVIRONMENT, **where, "TRUNKLINE_DSN": dsn, "TRUNKLINE_ROUTER_ID": name}


@contextlib.asynccontextmanager
async def admin(dsn: str) -> AsyncIterator[Broadcaster]:
    """An admin in this process."""
    where = {f"TRUNKLINE_ADMIN_{what}": f"{HOST}:0" for what in ("LISTEN", "HTTP_LISTEN")}
    settings = read(AdminSettings, {**ENVIRONMENT, **where, "TRUNKLINE_DSN": dsn})
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(settings, stop, ready.set_result))
        yield (await ready).broadcaster
        stop.set()


class Work:
    """The CPU that admin and routers use, without changes and for them."""

    def __init__(self, hosts: list[Host]) -> None:
        self._hosts = hosts
        self._idle = [0.0, 0.0, 0.0]

    def _now(self) -> list[float]:
        return [time.process_time(), sum(host.cpu for host in self._hosts), self._hosts[-1].cpu]

    async def idle(self) -> float:
        """See what is used without changes; give the share of its core that the process of many routers uses so."""
        began, before = time.perf_counter(), self._now()
        await asyncio.sleep(_IDLE)
        seconds = time.perf_counter() - began
        self._idle = [(after - first) / seconds for after, first in zip(self._now(), before, strict=True)]
        return self._idle[2]

    @contextlib.contextmanager
    def of_changes(self) -> Iterator[list[float]]:
        """Fill a list with the milliseconds that changes cost the admin and all routers, beyond what is used without."""
        found: list[float] = []
        began, before = time.perf_counter(), self._now()
        yield found
        seconds = time.perf_counter() - began
        used = zip(self._now(), before, self._idle, strict=True)
        found += [1e3 * max(0.0, after - first - idle * seconds) for after, first, idle in used][:2]


async def measure(dsn: str, broadcaster: Broadcaster, count: int, changes: int, work: Work) -> dict[str, list[float]]:
    """Make changes and wait for each; give the milliseconds of each, of a bare query before it, and of CPU a change."""
    found: dict[str, list[float]] = {"in force": [], "bare query": []}
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as hand:
        await until(lambda: len(broadcaster.fanout.peers) == count and not broadcaster.fanout.lagging(), 0.1)
        found["idle"] = [await work.idle()]
        with work.of_changes() as used:
            for number in range(changes + _WARM):
                await asyncio.sleep(PAUSE)
                seconds, bare = await _timed(hand, broadcaster, count, number)
                if number >= _WARM:
                    found["in force"].append(1e3 * seconds)
                    found["bare query"].append(1e3 * bare)
    found["admin"], found["routers"] = ([cost / (changes + _WARM)] for cost in used)
    return found


async def _timed(
    hand: psycopg.AsyncConnection[Any], broadcaster: Broadcaster, count: int, number: int
) -> tuple[float, float]:
    """Make one change; give the seconds until it was in force everywhere, and those of a bare query before it."""
    began = time.perf_counter()
    await hand.execute("SELECT 1")
    bare = time.perf_counter() - began
    token = await _change(hand, number)
    began = time.perf_counter()
    told = await broadcaster.visible(token, "ALL", LIMIT)
    seconds = time.perf_counter() - began
    if not told.visible_on == told.of == count:
        raise RuntimeError(f"visible on {told.visible_on} of {told.of} instead of {count}: {told.lagging}")
    return seconds, bare


async def _change(hand: psycopg.AsyncConnection[Any], number: int) -> Token:
    """Change one channel by hand, as the admin's own transaction does."""
    async with hand.transaction():
        await hand.execute("UPDATE channels SET priority = priority + 1 WHERE id = %s", (number % _CHANNELS + 1,))
        cursor = await hand.execute("SELECT revision, encode(chain, 'hex') FROM catalog")
        row = await cursor.fetchone()
    if row is None:
        raise AssertionError
    return Token(*row)


Keep = Callable[[list[int], list[dict[str, list[float]]]], None]
"""Takes numbers of routers, and what was measured with each."""


async def curve(counts: list[int], changes: int, directory: Path, keep: Keep) -> None:
    """Measure with more and more routers; what was measured is kept whatever becomes of the next."""
    server = Server(directory / "primary-1", free_port())
    server.make(max_connections="1400", shared_buffers="256MB")
    await server.start()
    hosts: list[Host] = []
    rows: list[dict[str, list[float]]] = []
    try:
        async with await psycopg.AsyncConnection.connect(server.dsn(), autocommit=True) as connection:
            await connection.execute(f"CREATE DATABASE {DATABASE}".encode())
        dsn = server.dsn(DATABASE)
        hosts = [await Host.launch(f"host-{number}", dsn) for number in range(ALONE + 1)]
        async with admin(dsn) as broadcaster:
            async with await psycopg.AsyncConnection.connect(dsn) as connection:
                await connection.execute(SEED.encode())
            for count in counts:
                for number, each in enumerate(hosts[:ALONE]):
                    await each.grow(int(number < count))
                await hosts[ALONE].grow(max(0, count - ALONE))
                some = changes if count <= 100 else changes // 2
                rows.append(await measure(dsn, broadcaster, count, some, Work(hosts)))
                _say(count, rows[-1])
                keep(counts[: len(rows)], rows)
    finally:
        for each in hosts:
            await each.end()
        server.close()


def _say(count: int, row: dict[str, list[float]]) -> None:
    bare, seen = (sorted(row[name]) for name in ("bare query", "in force"))
    ratio = " / ".join(f"{quantile(seen, percent) / quantile(bare, percent):.1f}" for percent in (50, 99))
    sys.stdout.write(
        f"{count:>4} routers: commit to in force {quantile(seen, 50):7.2f} / {quantile(seen, 99):7.2f} ms (p50 / p99), "
        f"a bare query {quantile(bare, 50):5.2f} / {quantile(bare, 99):5.2f}, ratio {ratio}; CPU a change: "
        f"admin {row['admin'][0]:.2f} ms, a router {row['routers'][0] / count:.2f} ms; "
        f"the shared process uses {row['idle'][0]:.2f} of a core without changes\n"
    )
    sys.stdout.flush()


def quantile(values: list[float], percent: int) -> float:
    """A percentile of sorted values."""
    return values[min(len(values) - 1, len(values) * percent // 100)]


def written(counts: list[int], rows: list[dict[str, list[float]]]) -> dict[str, Any]:
    """Put the curve in the form that results are kept in."""

    def series(name: str, percent: int) -> list[float]:
        return [round(quantile(sorted(row[name]), percent), 3) for row in rows]

    return {
        "name": "commit to in force on every router",
        "unit": "ms",
        "x": counts,
        "series": {
            "p50": series("in force", 50),
            "p99": series("in force", 99),
            "bare query p50": series("bare query", 50),
            "bare query p99": series("bare query", 99),
            "the admin's CPU a change": series("admin", 50),
            "a router's CPU a change": [
                round(row["routers"][0] / count, 3) for count, row in zip(counts, rows, strict=True)
            ],
        },
        "command": "python -m bench.followers",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def main() -> None:
    """Measure, or be a host of routers."""
    parser = argparse.ArgumentParser(prog="python -m bench.followers", description=__doc__)
    parser.add_argument(
        "--counts", type=int, nargs="+", default=list(COUNTS), help="how many routers, one after another"
    )
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results") / "followers.json")
    parser.add_argument("--host", help=argparse.SUPPRESS)
    parser.add_argument("--dsn", help=argparse.SUPPRESS)
    given = parser.parse_args()
    configure("bench", "error", "text")

    def keep(counts: list[int], rows: list[dict[str, list[float]]]) -> None:
        given.results.parent.mkdir(exist_ok=True)
        given.results.write_text(json.dumps(written(counts, rows), indent=1) + "\n")
        report.draw([str(given.results)])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if given.host:
            runner.run(host(given.host, given.dsn))
            return
        with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name:
            directory = Path(name)
            directory.chmod(0o755)  # Postgres runs as another user where this one is root
            runner.run(curve(given.counts, given.changes, directory, keep))


if __name__ == "__main__":
    main()
