"""Whether memory stays flat. `python -m bench.soak [--requests 1000000] [--streams 5000]`.

First many requests, with the memory of relay and routers and the relay's live objects looked at again and again; then many
streams that are open and say nothing, on one relay.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench import load, machine, report
from bench.peers.trunkline import candidate, parts, started
from bench.peers.upstream import Upstream, canned
from bench.processes import resident_mib
from bench.rounds import progress
from tests.harness.waiting import eventually

MOST_RELAY_MIB = 100.0
MOST_IDLE_MIB = 300.0
# From the second quarter of the requests to the last; the first fills caches and pools.
MOST_GROWTH_MIB = 3.0
MOST_GROWTH_OBJECTS = 0.02
MILLION = 1_000_000  # requests; a shorter run is not kept in `results/`
_PIECE_SECONDS = 10
_CONNECTIONS = 32
_OBJECTS = Path(__file__).parent / "objects"
_HOLD_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the relay after so many requests."""

    requests: int
    relay: float
    router: float
    objects: int


def growth(values: Sequence[float]) -> float:
    """From the second quarter to the last, medians of each; of at least four values."""
    quarter = len(values) // 4
    return statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter])


def requests(upstream: Upstream, directory: Path, count: int) -> bool:
    """Send them, look between, keep the curves. Gives whether memory stayed flat."""
    into = directory / "objects"
    with started(directory, PYTHONPATH=str(_OBJECTS), TRUNKLINE_BENCH_OBJECTS=str(into)) as stack:
        asked, looks, done = candidate(stack, upstream.port), [], 0
        pids = parts(stack)
        while done < count:
            run = load.for_seconds(asked.post(), directory, connections=_CONNECTIONS, seconds=_PIECE_SECONDS)
            done += run.requests
            resident = {part: sum(map(resident_mib, pids[part])) for part in ("relay", "router")}
            looks.append(Look(done, resident["relay"], resident["router"], _objects(pids["relay"][0], into)))
            progress(f"{done:,} requests, {run.failed} failed in the last piece; {looks[-1]}")
    if done >= MILLION:
        _keep(looks)
    return _flat(looks)


def _objects(relay: int, into: Path) -> int:
    into.unlink(missing_ok=True)
    os.kill(relay, signal.SIGUSR2)
    eventually(into.exists, 20.0, what="a count of the relay's objects")
    return int(into.read_text())


def _keep(looks: Sequence[Look]) -> None:
    frame = {
        "x_label": "requests",
        "linear_x": True,
        "x": [look.requests for look in looks],
        "command": "python -m bench.soak",
    }
    series = {
        "relay": [round(look.relay, 1) for look in looks],
        "both routers": [round(look.router, 1) for look in looks],
    }
    report.keep_curve("soak", {"name": "Memory by requests served", "unit": "MiB resident", "series": series, **frame})
    series = {"relay": [look.objects for look in looks]}
    name = "Objects alive in the relay by requests served"
    report.keep_curve("soak-objects", {"name": name, "unit": "objects", "series": series, **frame})


def _flat(looks: Sequence[Look]) -> bool:
    if len(looks) < 4:
        print("too few requests to tell whether memory is flat")
        return False
    last, more = looks[-1], growth([look.relay for look in looks])
    objects = growth([look.objects for look in looks]) / last.objects
    return all(
        [
            _bar("relay's growth, second to last quarter, MiB", more, MOST_GROWTH_MIB),
            _bar("both routers' growth, MiB", growth([look.router for look in looks]), MOST_GROWTH_MIB),
            _bar("growth of the relay's live objects, share", objects, MOST_GROWTH_OBJECTS),
            _bar(f"relay after {last.requests:,} requests, MiB", last.relay, MOST_RELAY_MIB),
        ]
    )


def streams(upstream: Upstream, directory: Path, count: int) -> bool:
    """Hold them open. Gives whether the relay stayed small and every stream open."""
    room = str(count + 500)
    with started(directory, TRUNKLINE_RELAY_MAX_CONNECTIONS=room) as stack:
        asked = candidate(stack, upstream.port, "/hold=1/v1")
        relay = parts(stack)["relay"][0]
        before = resident_mib(relay)
        where, post = urlsplit(asked.url), asked.post(stream=True)
        command = [str(where.hostname), str(where.port), asked.headers["authorization"], post.body.decode(), str(count)]
        with subprocess.Popen(
            [sys.executable, "-m", "bench.idle", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            opened = int(client.stdout.readline() or 0)
            time.sleep(_HOLD_SECONDS)
            during = resident_mib(relay)
            client.stdin.close()
            ended = int(client.stdout.readline() or count)
        print(f"  relay before, MiB: {before:.0f}; a stream costs {(during - before) * 1024 / count:.1f} KiB")
    return all(
        [
            _bar(f"relay with {opened:,} idle streams, MiB", during, MOST_IDLE_MIB),
            _bar("streams that did not open", count - opened, 0),
            _bar("streams that ended too early", ended, 0),
        ]
    )


def _bar(what: str, found: float, most: float) -> bool:
    print(f"  {'pass' if found <= most else 'FAIL':6}{found:10.2f} ≤ {most:g}   {what}", flush=True)
    return found <= most


def main() -> None:
    """Both; fails where a bar does."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=MILLION)
    parser.add_argument("--streams", type=int, default=5000)
    options = parser.parse_args()
    machine.prepare(2 * options.streams + 1000)
    held = []
    for measure, count in ((requests, options.requests), (streams, options.streams)):
        with tempfile.TemporaryDirectory() as name, canned(Path(name)) as upstream:
            if count:
                held.append(measure(upstream, Path(name), count))
    raise SystemExit(not all(held))


if __name__ == "__main__":
    main()
