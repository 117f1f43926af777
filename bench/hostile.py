"""What a thousand connections without a key cost those who have one: p99 with and without them, by turns.

`python -m bench.hostile`. The strangers do all of `bench.strangers.WAYS` at once, or those named with `--ways`. They are a
process of their own that gives way to all others, so that what is measured is the work that they make for the relay, not the
cores that they would take from it on a small machine. Beside p99 stand the lag of the relay's event loop, by its own measure,
and the CPU time that it used.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2

from bench import machine
from bench.candidate import Candidate
from bench.load import quantile
from bench.peers.trunkline import candidate, parts, started
from bench.peers.upstream import canned
from bench.processes import cpu_seconds
from bench.strangers import PACE, WAYS
from tests.acceptance.stack import Stack

STRANGERS: Final = 1_000
ROUNDS: Final = 5
SECONDS: Final = 8.0
RATE: Final = 40.0  # keyed requests a second
MOST_TIMES: Final = 3.0  # what p99 may grow by
_CONNECTIONS: Final = 8
_DESCRIPTORS: Final = 4096
_LAG: Final = re.compile(r'^trunkline_relay_loop_lag_seconds_bucket\{le="([^"]+)"\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(slots=True)
class Seen:
    """What was seen of all turns of a kind; times in milliseconds, CPU in seconds."""

    took: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    """The relay's own share of each, as it says itself: without the upstream, which has to share the machine as well."""
    lag: Counter[float] = field(default_factory=Counter)
    """How often the loop was at most so many seconds late."""
    cpu: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def line(self, label: str) -> str:
        """Tell it."""
        took, own, looks = sorted(self.took), sorted(self.own), self.lag[float("inf")]
        late = min((bound for bound, count in self.lag.items() if count >= 0.99 * looks), default=0.0)
        cores = ", ".join(f"{part} {used / self.seconds:.0%}" for part, used in self.cpu.items())
        return (
            f"{label:9} p50 {quantile(took, 0.5):7.2f} ms   p99 {quantile(took, 0.99):7.2f} ms   of {len(took)}   "
            f"of it the relay's p50 {quantile(own, 0.5):.2f} ms, p99 {quantile(own, 0.99):.2f} ms   "
            f"loop lag p99 at most {late * 1e3:g} ms   cores: {cores}"
        )


@contextlib.contextmanager
def strangers(port: int, count: int, ways: list[str]) -> Iterator[None]:
    """Have a process be so many strangers until the end of the block."""
    process = subprocess.Popen([sys.executable, "-m", "bench.strangers", str(port), str(count), *ways])
    try:
        time.sleep(2 * PACE)  # all of them are there
        yield
    finally:
        process.kill()  # it owns nothing but its connections
        process.wait(30)


async def keyed(found: Candidate, seconds: float, seen: Seen) -> None:
    """Ask at a steady rate with a key; what is seen is counted from when each request was due."""
    post = found.post()
    limits = httpx2.Limits(max_connections=_CONNECTIONS * 4, max_keepalive_connections=_CONNECTIONS)
    headers = {"content-type": "application/json", **post.headers}
    async with httpx2.AsyncClient(timeout=30, trust_env=False, limits=limits) as client, asyncio.TaskGroup() as tasks:
        loop = asyncio.get_running_loop()
        begun = loop.time()

        async def ask(due: float) -> None:
            answer = await client.post(post.url, content=post.body, headers=headers)
            assert answer.status_code == 200, answer.text
            seen.took.append((loop.time() - due) * 1e3)
            seen.own.append(float(answer.headers["x-trunkline-overhead-ms"]))

        for number in range(round(seconds * RATE)):
            due = begun + number / RATE
            await asyncio.sleep(max(0.0, due - loop.time()))
            tasks.create_task(ask(due))


def _lag(stack: Stack) -> Counter[float]:
    text = httpx2.get(f"{stack.addresses['relay_operations'][0]}/metrics", timeout=30).text
    return Counter({float(bound): int(float(count)) for bound, count in _LAG.findall(text)})


def _turn(stack: Stack, found: Candidate, seen: Seen, seconds: float) -> None:
    """Ask for a while, and watch the relay and its routers."""
    pids = {part: pids for part, pids in parts(stack).items() if part in ("relay", "router")}
    used, lag, begun = {part: cpu_seconds(those) for part, those in pids.items()}, _lag(stack), time.monotonic()
    asyncio.run(keyed(found, seconds, seen))
    seen.seconds += time.monotonic() - begun
    seen.cpu.update({part: cpu_seconds(those) - used[part] for part, those in pids.items()})
    seen.lag.update(_lag(stack) - lag)


def main() -> None:
    """Measure by turns, and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--strangers", type=int, default=STRANGERS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--seconds", type=float, default=SECONDS)
    options.add_argument("--ways", nargs="*", choices=list(WAYS), default=[], help="all of them, if none is named")
    given = options.parse_args()
    machine.prepare(_DESCRIPTORS)
    calm, attacked = Seen(), Seen()
    with tempfile.TemporaryDirectory() as name, canned(Path(name)) as upstream, started(Path(name)) as stack:
        found = candidate(stack, upstream.port)
        port = urlsplit(found.url).port or 0
        asyncio.run(keyed(found, 2.0, Seen()))  # warm
        for number in range(1, given.rounds + 1):
            _turn(stack, found, calm, given.seconds)
            with strangers(port, given.strangers, given.ways):
                _turn(stack, found, attacked, given.seconds)
            print(f"round {number} of {given.rounds} done", flush=True)
    print(calm.line("calm"))
    print(attacked.line("attacked"))
    for label, before, after in (
        ("p99", calm.took, attacked.took),
        ("the relay's share of it", calm.own, attacked.own),
    ):
        times = quantile(sorted(after), 0.99) / quantile(sorted(before), 0.99)
        print(f"{label} grows {times:.2f} times; at most {MOST_TIMES:g} is the aim")


if __name__ == "__main__":
    main()
