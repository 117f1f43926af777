"""What a thousand connections without a key cost those who have one: p99 with and without them, by turns.

`python -m bench.hostile`. The strangers run in a process of their own and only ever on the loopback interface; their number,
their pace and the time are bounded. What a stranger can do is a line of `WAYS`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2

from bench import machine
from bench.candidate import Candidate
from bench.load import quantile
from bench.peers.trunkline import candidate, started
from bench.peers.upstream import canned

STRANGERS: Final = 1_000
ROUNDS: Final = 3
SECONDS: Final = 10.0
RATE: Final = 40.0  # keyed requests a second
MOST_TIMES: Final = 3.0  # what p99 may grow by
_PACE: Final = 2.0  # seconds between two things that a stranger does
_CONNECTIONS: Final = 8
_DESCRIPTORS: Final = 4096
_HOST: Final = "127.0.0.1"

Way = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_OFFER: Final = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n"


async def offers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send many offers of another protocol ahead, in one piece."""
    while True:
        writer.write(_OFFER * 50)
        await writer.drain()
        await asyncio.sleep(_PACE)


async def slow_heads(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a head a byte at a time, and never the end of it."""
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(_PACE)


async def garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send what is no HTTP, as often as the server lets one."""
    while True:
        writer.write(b"\x16\x03\x01" + b"\0" * 200)
        await writer.drain()
        await asyncio.sleep(_PACE)


WAYS: Final[Mapping[str, Way]] = {"offers": offers, "slow heads": slow_heads, "garbage": garbage}
"""What strangers do, each on its share of the connections."""


async def _stranger(port: int, way: Way, delay: float) -> None:
    await asyncio.sleep(delay)
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(_HOST, port)
            try:
                async with asyncio.TaskGroup() as tasks:
                    doing = tasks.create_task(_quietly(way, reader, writer))
                    while await reader.read(1 << 16):
                        pass
                    doing.cancel()
            finally:
                writer.close()
        await asyncio.sleep(_PACE)


async def _quietly(way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await way(reader, writer)


async def attack(port: int, count: int) -> None:
    """Be so many strangers, until cancelled."""
    ways = itertools.cycle(WAYS.values())
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(_stranger(port, next(ways), _PACE * number / count))


@contextlib.contextmanager
def strangers(port: int, count: int) -> Iterator[None]:
    """Have a process be so many strangers until the end of the block."""
    command = [sys.executable, "-m", "bench.hostile", "--attack", str(port), "--strangers", str(count)]
    process = subprocess.Popen(command)
    try:
        time.sleep(2 * _PACE)  # all of them are there
        yield
    finally:
        process.kill()  # it owns nothing but its connections
        process.wait(30)


async def keyed(found: Candidate, seconds: float) -> list[float]:
    """Ask at a steady rate with a key; milliseconds from when each request was due to its response, in order of size."""
    post, took = found.post(), list[float]()
    limits = httpx2.Limits(max_connections=_CONNECTIONS * 4, max_keepalive_connections=_CONNECTIONS)
    headers = {"content-type": "application/json", **post.headers}
    async with httpx2.AsyncClient(timeout=30, trust_env=False, limits=limits) as client, asyncio.TaskGroup() as tasks:
        loop = asyncio.get_running_loop()
        begun = loop.time()

        async def ask(due: float) -> None:
            answer = await client.post(post.url, content=post.body, headers=headers)
            assert answer.status_code == 200, answer.text
            took.append((loop.time() - due) * 1e3)

        for number in range(round(seconds * RATE)):
            due = begun + number / RATE
            await asyncio.sleep(max(0.0, due - loop.time()))
            tasks.create_task(ask(due))
    return sorted(took)


def main() -> None:
    """Measure by turns, and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--attack", type=int, metavar="PORT", help="only be the strangers")
    options.add_argument("--strangers", type=int, default=STRANGERS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--seconds", type=float, default=SECONDS)
    given = options.parse_args()
    machine.prepare(_DESCRIPTORS)
    if given.attack:
        asyncio.run(attack(given.attack, given.strangers))
        return
    with tempfile.TemporaryDirectory() as name, canned(Path(name)) as upstream, started(Path(name)) as stack:
        found = candidate(stack, upstream.port)
        port = urlsplit(found.url).port or 0
        asyncio.run(keyed(found, 2.0))  # warm
        calm, attacked = list[float](), list[float]()
        for number in range(1, given.rounds + 1):
            calm += asyncio.run(keyed(found, given.seconds))
            with strangers(port, given.strangers):
                attacked += asyncio.run(keyed(found, given.seconds))
            print(f"round {number} of {given.rounds} done")
        _report(sorted(calm), sorted(attacked))


def _report(calm: list[float], attacked: list[float]) -> None:
    for label, took in (("calm", calm), ("attacked", attacked)):
        print(f"{label:9} p50 {quantile(took, 0.5):7.2f} ms   p99 {quantile(took, 0.99):7.2f} ms   of {len(took)}")
    times = quantile(attacked, 0.99) / quantile(calm, 0.99)
    print(f"p99 grows {times:.2f} times; at most {MOST_TIMES:g} is the aim")


if __name__ == "__main__":
    main()
