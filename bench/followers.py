"""How long a change takes from its commit until it is in force on every router, and how that grows with the routers.

`python -m bench.followers` runs one admin, in the process that measures, against real routers: up to eight are processes of
their own, further ones share a ninth (whose one event loop then does the work of many machines). The clock starts when the
COMMIT was acknowledged, and stops when the admin has heard from the last router that the change is in force there. Before
each change one bare query is timed, for the machine is shared: what counts is the ratio.
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
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import psycopg
import uvloop

from admin_svc.assembly import Running, serve
from admin_svc.broadcaster import Broadcaster
from admin_svc.records import Token
from admin_svc.settings import Settings as AdminSettings
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
LIMIT: Final = 10.0
_APART: Final = 0.05
"""Seconds between the starts of two routers in one process, or those that run would fall silent."""
_CHANNELS: Final = 200
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


async def measure(dsn: str, broadcaster: Broadcaster, count: int, changes: int) -> dict[str, list[float]]:
    """Make changes and wait for each; give the milliseconds of each, and of a bare query before it."""
    found: dict[str, list[float]] = {"in force": [], "bare query": []}
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as hand:
        await until(lambda: len(broadcaster.fanout.peers) == count and not broadcaster.fanout.lagging(), 0.1)
        for number in range(changes + 5):
            await asyncio.sleep(PAUSE)
            began = time.perf_counter()
            await hand.execute("SELECT 1")
            bare = time.perf_counter() - began
            token = await _change(hand, number)
            began = time.perf_counter()
            told = await broadcaster.visible(token, "ALL", LIMIT)
            seconds = time.perf_counter() - began
            if not told.visible_on == told.of == count:
                raise RuntimeError(f"visible on {told.visible_on} of {told.of} instead of {count}: {told.lagging}")
            if number >= 5:  # the first warm caches up
                found["in force"].append(1e3 * seconds)
                found["bare query"].append(1e3 * bare)
    return found


async def _change(hand: psycopg.AsyncConnection[Any], number: int) -> Token:
    """Change one channel by hand, as the admin's own transaction does."""
    async with hand.transaction():
        await hand.execute("UPDATE channels SET priority = priority + 1 WHERE id = %s", (number % _CHANNELS + 1,))
        cursor = await hand.execute("SELECT revision, encode(chain, 'hex') FROM catalog")
        row = await cursor.fetchone()
    if row is None:
        raise AssertionError
    return Token(*row)


async def curve(counts: list[int], changes: int, directory: Path) -> list[dict[str, list[float]]]:
    """Measure with more and more routers."""
    server = Server(directory / "primary-1", free_port())
    server.make(max_connections="1400", shared_buffers="256MB")
    await server.start()
    hosts: list[Host] = []
    rows = []
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
                rows.append(await measure(dsn, broadcaster, count, changes if count <= 100 else changes // 2))
                _say(count, rows[-1])
    finally:
        for each in hosts:
            await each.end()
        server.close()
    return rows


def _say(count: int, row: dict[str, list[float]]) -> None:
    bare, seen = (sorted(row[name]) for name in ("bare query", "in force"))
    ratio = " / ".join(f"{quantile(seen, percent) / quantile(bare, percent):.1f}" for percent in (50, 99))
    sys.stdout.write(
        f"{count:>4} routers: commit to in force {quantile(seen, 50):7.2f} / {quantile(seen, 99):7.2f} ms (p50 / p99), "
        f"a bare query {quantile(bare, 50):5.2f} / {quantile(bare, 99):5.2f}, ratio {ratio}\n"
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
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if given.host:
            runner.run(host(given.host, given.dsn))
            return
        with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name:
            directory = Path(name)
            directory.chmod(0o755)  # Postgres runs as another user where this one is root
            rows = runner.run(curve(given.counts, given.changes, directory))
    given.results.parent.mkdir(exist_ok=True)
    given.results.write_text(json.dumps(written(given.counts, rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
