"""CPU of the relay's HTTP clients towards upstreams, against the canned upstream. `python -m bench.upstream_client`.

Each client runs in a process of its own on uvloop and keeps 32 connections busy; rounds alternate between the clients, so
that a machine that turns slow turns slow for all. The figure is CPU, user and system, of that process.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import uvloop

from relay_svc.plan import TimeLimits
from relay_svc.upstream import Upstream, UpstreamRequest
from relay_svc.upstream_http1 import Http1Upstream
from relay_svc.upstream_httpx2 import Httpx2Upstream

CONNECTIONS = 32
ROUNDS = 5
CLIENTS = {"http1": Http1Upstream, "httpx2": Httpx2Upstream}
REQUESTS = {("http1", False): 20_000, ("http1", True): 3_000, ("httpx2", False): 1_500, ("httpx2", True): 500}
"""Requests a round, by client and whether streamed: about a second of each."""
LIMITS = TimeLimits(connect=5, first_byte=30, idle=30, total=60)
HEADERS = [
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"user-agent", b"OpenAI/Python 3.54.0"),
    (b"accept-encoding", b"identity"),
    (b"x-request-id", b"3f8a2d1c9b7e4f60a5d2c1b0e9f8a7d6"),
    (b"authorization", b"Bearer sk-" + b"0" * 40),
]


def main() -> None:
    """Measure every client on both kinds of answer and print a table."""
    with subprocess.Popen([sys.executable, "-m", "bench.canned"], stdout=subprocess.PIPE, text=True) as upstream:
        assert upstream.stdout is not None
        port = upstream.stdout.readline().strip()
        try:
            for stream in (False, True):
                table("a stream of 21 chunks" if stream else "1 KB JSON", dict(rounds(port, stream=stream)))
        finally:
            upstream.kill()


def rounds(port: str, *, stream: bool) -> Iterator[tuple[str, list[float]]]:
    """CPU microseconds a request of each client, one figure a round, the rounds interleaved."""
    figures: dict[str, list[float]] = {name: [] for name in CLIENTS}
    for _ in range(ROUNDS):
        for name in CLIENTS:
            command = [sys.executable, "-m", "bench.upstream_client", name, port, str(int(stream))]
            printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
            figures[name].append(json.loads(printed))
    yield from figures.items()


def table(kind: str, figures: dict[str, list[float]]) -> None:
    """Print one kind's figures."""
    print(f"\n{kind}, {CONNECTIONS} connections, {ROUNDS} interleaved rounds: CPU µs a request, median (min–max)")
    for name, values in figures.items():
        print(f"  {name:8} {statistics.median(values):9.1f}   ({min(values):.1f}–{max(values):.1f})")


async def one(name: str, port: str, *, stream: bool) -> float:
    """CPU microseconds a request of one client, after a warm-up."""
    upstream: Upstream = CLIENTS[name](max_connections=2000, max_idle=500)
    body = json.dumps({"model": "m", "stream": stream, "messages": ["x" * 900]}, separators=(",", ":")).encode()
    request = UpstreamRequest(f"http://127.0.0.1:{port}/v1/chat/completions", HEADERS, body, LIMITS)
    count = REQUESTS[name, stream]
    await load(upstream, request, count // 10)
    before = time.process_time()
    await load(upstream, request, count)
    took = time.process_time() - before
    await upstream.aclose()
    return took / count * 1e6


async def load(upstream: Upstream, request: UpstreamRequest, count: int) -> None:
    """Send `count` requests, as many at once as there are connections."""
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            answer = await upstream.send(request)
            assert answer.status == 200
            while await answer.read():
                pass
            await answer.aclose()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CONNECTIONS):
            tasks.create_task(worker())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(uvloop.run(one(sys.argv[1], sys.argv[2], stream=sys.argv[3] == "1")))
    else:
        main()
