"""What hostile clients cost the keyed traffic of a relay: its p99 beside quiet, the relay's memory, and its event loop's lag.

    python -m bench.hostile [--seconds 8]

    unfinished   forty bodies of 30 MB with made-up keys; each client sends 4 MB as it is taken, and waits to be hung up on
    storm        the same, but each client sends all of it, as fast as it is taken, and begins anew at once
    mentions     bodies of 30 MB that say "model" ten thousand times, one after another, with a key that is known
    numbers      the same of small numbers, which cost a parser the most

The law of it: keyed traffic's p99 stays within three times that of quiet. The hostile clients are a process of their own,
which gives way to all others: on a small machine they would take the cores that the relay needs, as no client elsewhere
does. The lag is that of `/health`, asked every 5 ms: the relay's own loop answers it, so what holds the loop holds it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench import machine
from bench.candidate import Candidate
from bench.load import quantile
from bench.peers.trunkline import candidate, started
from bench.peers.upstream import canned
from bench.processes import forget_peak, peak_mib, resident_mib, tree

SIZE: Final = 30 << 20
UNFINISHED: Final = 40
CONNECTIONS: Final = 8
QUIET: Final = "quiet"
BODIES: Final[dict[str, Callable[[], bytes]]] = {
    "mentions": lambda: b'{"model":"none","x":[' + b'"model",' * 9_990 + b'1],"y":"' + b"a" * SIZE + b'"}',
    "numbers": lambda: b'{"model":"none","x":[' + b"1," * (SIZE // 2) + b"1]}",
}
UNFINISHED_SIZES: Final = {"unfinished": 4 << 20, "storm": SIZE}
"""Bytes that a client with a made-up key sends."""
ATTACKS: Final = (*UNFINISHED_SIZES, *BODIES)
_GIVES_WAY: Final = 19
_DESCRIPTORS: Final = 4096


@dataclass(slots=True)
class Seen:
    """What was seen of a phase; times in milliseconds."""

    keyed: list[float] = field(default_factory=list)
    failed: int = 0
    lag: list[float] = field(default_factory=list)
    resident: float = 0.0
    peak: float = 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """The relay, and what is asked of it."""

    host: str
    port: int
    keyed: bytes

    @classmethod
    def of(cls, asked: Candidate) -> Target:
        """Write the request of the keyed traffic."""
        address = urlsplit(asked.url)
        body = json.dumps({"model": asked.model, "messages": [{"role": "user", "content": "hi"}]}).encode()
        request = head(asked.headers["authorization"], len(body)) + body
        return cls(str(address.hostname), int(address.port or 80), request)


def head(authorization: str, length: int) -> bytes:
    """A chat request's head."""
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: {authorization}\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


# ---------------------------------------------------------------- what is measured


async def _ask(target: Target, request: bytes, pause: float, took: list[float], seen: Seen) -> None:
    """Ask again and again on one connection, each time a while after the last answer."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        while True:
            begun = time.perf_counter()
            writer.write(request)
            fields = await reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in fields.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0].split(b":")[1]))
            took.append((time.perf_counter() - begun) * 1e3)
            seen.failed += b" 200 " not in fields.split(b"\r\n", 1)[0]
            await asyncio.sleep(pause)
    finally:
        writer.close()


async def phase(target: Target, relay: int, seconds: float) -> Seen:
    """Watch the keyed traffic and the loop for a while."""
    seen = Seen()
    forget_peak(relay)
    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(_ask(target, target.keyed, 0.005, seen.keyed, seen)) for _ in range(CONNECTIONS)]
        health = b"GET /health HTTP/1.1\r\nhost: bench\r\n\r\n"
        asking.append(tasks.create_task(_ask(target, health, 0.005, seen.lag, seen)))
        await asyncio.sleep(seconds)
        seen.resident = resident_mib(relay)
        for each in asking:
            each.cancel()
    seen.peak = peak_mib(relay)
    return seen


# ---------------------------------------------------------------- the hostile clients


async def unfinished(host: str, port: int, sent: int) -> None:
    """Be one client that promises a body under a made-up key, and sends as much of it."""
    while True:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            with contextlib.suppress(OSError):
                writer.write(head(f"Bearer sk-{os.urandom(16).hex()}", SIZE))
                for _ in range((sent >> 16) - 1):
                    writer.write(b" " * 65536)
                    await writer.drain()
                await reader.read()
        finally:
            writer.transport.abort()


async def repeated(host: str, port: int, authorization: str, body: bytes) -> None:
    """Be one client that sends a body again and again."""
    while True:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                writer.write(head(authorization, len(body)) + body)
                await writer.drain()
                await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.transport.abort()


async def attack(kind: str, host: str, port: int, authorization: str) -> None:
    """Be hostile until killed."""
    async with asyncio.TaskGroup() as tasks:
        if kind in UNFINISHED_SIZES:
            for _ in range(UNFINISHED):
                tasks.create_task(unfinished(host, port, UNFINISHED_SIZES[kind]))
        else:
            tasks.create_task(repeated(host, port, authorization, BODIES[kind]()))


@contextlib.contextmanager
def attacked(kind: str, target: Target, authorization: str) -> Iterator[None]:
    """Have hostile clients until the end of the block."""
    if kind == QUIET:
        yield
        return
    told = json.dumps([kind, target.host, target.port, authorization])
    process = subprocess.Popen([sys.executable, "-m", "bench.hostile", "--attack"], stdin=subprocess.PIPE, text=True)
    try:
        assert process.stdin is not None
        process.stdin.write(told + "\n")
        process.stdin.close()
        time.sleep(1.0)
        yield
    finally:
        process.kill()
        process.wait()


# ---------------------------------------------------------------- telling


def _tell(kind: str, seen: Seen, quiet: Seen) -> None:
    keyed, lag = sorted(seen.keyed), sorted(seen.lag)
    times = quantile(keyed, 0.99) / quantile(sorted(quiet.keyed), 0.99)
    print(
        f"{kind:<12}{len(keyed):>7} asked{seen.failed:>4} failed  p50 {quantile(keyed, 0.5):>6.1f} ms"
        f"  p99 {quantile(keyed, 0.99):>7.1f} ms ({times:.1f} times quiet)"
        f"  lag p99 {quantile(lag, 0.99):>6.1f} ms, most {lag[-1] if lag else 0:>6.1f} ms"
        f"  relay {seen.resident:.0f} MiB, peak {seen.peak:.0f} MiB",
        flush=True,
    )


def main() -> None:
    """Measure each phase and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--attack", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        os.nice(_GIVES_WAY)
        asyncio.run(attack(*json.loads(sys.stdin.readline())))
        return
    machine.prepare(_DESCRIPTORS)
    with tempfile.TemporaryDirectory() as name, canned(Path(name)) as upstream, started(Path(name)) as stack:
        asked = candidate(stack, upstream.port)
        target, relay = Target.of(asked), tree(stack.addresses["pids"]["relay"])[0]
        asyncio.run(phase(target, relay, 1.0))
        found: dict[str, Seen] = {}
        for kind in (QUIET, *ATTACKS):
            with attacked(kind, target, asked.headers["authorization"]):
                found[kind] = asyncio.run(phase(target, relay, options.seconds))
            _tell(kind, found[kind], found[QUIET])


if __name__ == "__main__":
    main()
