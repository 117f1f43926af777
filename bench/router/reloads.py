"""What picks feel, and what memory it takes, while a real router reads the whole catalog again.

The router falls behind what the database remembers of its history, as one that was away for long, so that it must read
everything. Meanwhile a caller in a process of its own asks at a steady pace, and counts each pick from when it was due, so
that picks held up by a message under way count as long as they waited. Before that it asks as long without any reload: that
is what the machine alone does to it.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.router.process import Running

PACE: Final = 400
"""Picks a second."""
SECONDS: Final = 6.0
"""Of quiet, and at least of each reload."""
_PATIENCE: Final = 120.0  # seconds for a reload
_CHANGE: Final = "UPDATE channels SET weight = weight % 10 + 1 WHERE id = 1"
_FORGET: Final = "DELETE FROM revisions WHERE revision < (SELECT max(revision) FROM revisions)"
_LAG: Final = "trunkline_router_loop_lag_seconds_bucket"
_LATE: Final = 0.01  # seconds, of the bars


def measured(running: Running, reloads: int) -> dict[str, float]:
    """Reload again and again; tell the waits of picks in milliseconds, the router's own lag, and its memory in MiB."""
    resident = memory(running.pid)["VmRSS"]
    quiet = _asked(running, SECONDS)
    before, rounds, seconds, peaks = running.metrics(), [], [], []
    for _ in range(reloads):
        Path(f"/proc/{running.pid}/clear_refs").write_text("5")  # its peak counts anew
        took, asked = _reloaded(running)
        rounds.append(asked)
        seconds.append(took)
        peaks.append(memory(running.pid)["VmHWM"])
    after = running.metrics()
    turns, late = (_lag(after, bound) - _lag(before, bound) for bound in ("+Inf", str(_LATE)))
    times = sorted(wait for asked in rounds for wait in asked["waits_ms"])
    return {
        "reload, s": sorted(seconds)[len(seconds) // 2],
        "wait p99.9 without a reload, ms": quiet["p999_ms"],
        "wait p50 in a reload, ms": times[len(times) // 2],
        "wait p99.9 in a reload, ms": times[len(times) * 999 // 1000],
        "longest wait in a reload, ms": times[-1],
        "turns of the loop later than 10 ms, %": 100 * (turns - late) / turns,
        "RSS after the first load, MiB": resident,
        "RSS at the peak of a reload, MiB": max(peaks),
        "RSS after the last reload, MiB": memory(running.pid)["VmRSS"],
    }


def memory(pid: int) -> dict[str, float]:
    """Give what the kernel says of a process's memory, in MiB."""
    found = re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return {name: int(kib) / 1024 for name, kib in found}


def _reloaded(running: Running) -> tuple[float, dict[str, Any]]:
    """Force one full load while a caller asks; give its seconds, and what the caller saw from its start to its end."""
    loads = _full_loads(running)
    caller = running.caller("paced", PACE, _PATIENCE)
    time.sleep(1.0)  # it is on its way
    began = time.monotonic()
    with psycopg.connect(running.dsn) as connection:
        connection.execute(_CHANGE)
        connection.execute(_FORGET)
    deadline = began + _PATIENCE
    while _full_loads(running) == loads:
        if time.monotonic() > deadline:
            raise TimeoutError("the router did not read everything")
        time.sleep(0.2)
    took = time.monotonic() - began
    time.sleep(1.0)  # what was replaced is let go
    caller.terminate()
    printed, _ = caller.communicate(timeout=30)
    return took, json.loads(printed)


def _asked(running: Running, seconds: float) -> dict[str, Any]:
    printed, _ = running.caller("paced", PACE, seconds).communicate(timeout=seconds + 60)
    answer: dict[str, Any] = json.loads(printed)
    return answer


def _full_loads(running: Running) -> float:
    return running.metrics().get('trunkline_router_loads_total{kind="full"}', 0.0)


def _lag(metrics: dict[str, float], bound: str) -> float:
    return metrics[f'{_LAG}{{le="{bound}"}}']
