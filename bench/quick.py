"""What a request costs, what the gateway adds, and how fast a change is in force. `make bench-quick`, about two minutes.

Rounds are interleaved (direct, relayed, direct, …), since the machine is shared; CPU a request comes from /proc.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from bench import wrk
from bench.processes import cpu_seconds, resident_mib
from tests.acceptance.stack import Stack, running, unique

ROUNDS = 5
SECONDS = 4
CHANGES = 200
BODY = {"model": "", "messages": [{"role": "user", "content": "x" * 900}]}


def main() -> None:
    """Measure everything and print it."""
    with tempfile.TemporaryDirectory() as name, canned() as upstream:
        directory = Path(name)
        directory.chmod(0o755)
        with running(directory) as stack:
            model = unique("model")
            stack.channel(f"http://127.0.0.1:{upstream}/v1", model)
            key = stack.api_key()
            load(stack, upstream, model, key, directory)
            propagation(stack)


class canned:  # noqa: N801 - used as a function
    """The canned upstream in a process of its own."""

    def __enter__(self) -> int:
        """Start it; answer its port."""
        self._process = subprocess.Popen([sys.executable, "-m", "bench.canned"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._process.kill()
        self._process.communicate()


def load(stack: Stack, upstream: int, model: str, key: str, directory: Path) -> None:
    """CPU a request at 32 connections, and the latency added at one."""
    print(f"\n1 KB JSON, canned upstream, {ROUNDS} interleaved rounds of {SECONDS} s, medians (min–max)\n")
    direct, relayed = f"http://127.0.0.1:{upstream}/v1/chat/completions", f"{stack.relay}/v1/chat/completions"
    bodies = {
        "JSON": json.dumps({**BODY, "model": model}, separators=(",", ":")),
        "SSE, 21 chunks": json.dumps({**BODY, "model": model, "stream": True}, separators=(",", ":")),
    }
    for kind, body in bodies.items():

        def one(url: str, connections: int, body: str = body) -> wrk.Load:
            return wrk.run(url, body, key, directory, connections=connections, seconds=SECONDS)

        one(relayed, 32)  # warm
        busy = [(one(direct, 32), *costed(stack, lambda: one(relayed, 32))) for _ in range(ROUNDS)]
        print(f"{kind}, 32 connections")
        row("requests/s direct", [bare.rate for bare, _, _ in busy])
        row("requests/s relayed", [through.rate for _, through, _ in busy])
        for part in busy[0][2]:
            row(f"CPU µs a request, {part}", [costs[part] for _, _, costs in busy])
        quiet = [(one(direct, 1), one(relayed, 1)) for _ in range(ROUNDS)]
        print(f"{kind}, one connection")
        row("added latency p50, ms", [through.p50 - bare.p50 for bare, through in quiet])
        row("added latency p99, ms", [through.p99 - bare.p99 for bare, through in quiet])
        print()
    for name in ("relay", "router", "admin"):
        print(f"  {name + ' RSS, MiB':38}", ", ".join(f"{resident_mib(pid):.0f}" for pid in processes(stack)[name]))


def processes(stack: Stack) -> dict[str, list[int]]:
    """The process ids of each part."""
    pids = stack.addresses["pids"]
    listed = {
        part: pids[part] if isinstance(pids[part], list) else [pids[part]] for part in ("relay", "router", "admin")
    }
    return {**listed, "postgres": stack.postgres_pids()}


def costed(stack: Stack, measure: Callable[[], wrk.Load]) -> tuple[wrk.Load, dict[str, float]]:
    """A run, and the CPU microseconds a request of each part during it."""
    parts = processes(stack)
    before = {part: cpu_seconds(pids) for part, pids in parts.items()}
    done = measure()
    return done, {part: (cpu_seconds(pids) - before[part]) / done.requests * 1e6 for part, pids in parts.items()}


def propagation(stack: Stack) -> None:
    """Commit to in force on both routers: the wait of `wait=ALL` over that of `wait=NONE`, beside a database round trip."""
    channel = stack.channel("http://127.0.0.1:9/v1", unique("model"))
    path = f"/api/v1/channels/{channel['id']}"

    def change(number: int, wait: str) -> float:
        start = time.perf_counter()
        stack.ask("PATCH", path, {"remark": str(number)}, wait=wait)
        return (time.perf_counter() - start) * 1e3

    with psycopg.connect(stack.addresses["dsn"], autocommit=True) as connection:

        def trip() -> float:
            start = time.perf_counter()
            connection.execute("SELECT revision FROM catalog")
            return (time.perf_counter() - start) * 1e3

        rows = [(change(number, "NONE"), change(number, "ALL"), trip()) for number in range(CHANGES)]
    print(f"\n{CHANGES} changes through the admin's HTTP face, 2 routers, ms (p50, p99)\n")
    none, every, trips = (sorted(column) for column in zip(*rows, strict=True))
    for name, column in (
        ("answered after commit", none),
        ("answered in force on all", every),
        ("one bare query", trips),
    ):
        print(f"  {name:38} {quantile(column, 50):8.2f} {quantile(column, 99):8.2f}")
    print(f"  {'commit to in force, p50 of the pairs':38} {statistics.median(b - a for a, b, _ in rows):8.2f}")


def quantile(values: list[float], percent: int) -> float:
    """A percentile of sorted values."""
    return values[min(len(values) - 1, len(values) * percent // 100)]


def row(name: str, values: list[float]) -> None:
    """Print one figure."""
    digits = 0 if statistics.median(values) >= 100 else 2
    low, middle, high = min(values), statistics.median(values), max(values)
    print(f"  {name:38} {middle:10.{digits}f}   ({low:.{digits}f}–{high:.{digits}f})")


if __name__ == "__main__":
    main()
