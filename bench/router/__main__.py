"""`python -m bench.router [pure] [wire] [growth] [loads] [reloads]`: measure, print, write `bench/results/router.json`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.processes import resident_mib
from bench.report import keep_curve
from bench.router import growth, reloads
from bench.router.catalogs import EACH, filled
from bench.router.process import postgres, router

RESULTS: Final = Path("bench/results/router.json")
SIZES: Final = (20, 200, 2_000, 10_000, 20_000, 100_000, 200_000)
"""Channels; each has five abilities."""
GROWN: Final = (20, 200, 2_000, 20_000, 200_000)
LOADED: Final = (2_000, 20_000, 100_000)
CALLS: Final = (("unary", 32), ("stream", 1), ("stream", 4), ("stream", 8), ("stream", 32), ("stream", 128))
ROUNDS: Final = 5
SECONDS: Final = 2.0
RELOADS: Final = 4


def pure() -> list[dict[str, Any]]:
    """Pick and change by the number of abilities, each size in a process of its own so that none inherits a heap."""
    program = "import json, sys; from bench.router.pure import measured; print(json.dumps(measured(int(sys.argv[1]))))"
    rows = []
    for channels in SIZES:
        command = [sys.executable, "-c", program, str(channels)]
        rows.append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))
        costs = "  ".join(f"{name} {cost:7.2f}" for name, cost in rows[-1].items())
        print(
            f"  {channels * EACH:>9} abilities, CPU µs: {costs}   pick of 3 / bare {_ratio(rows[-1]):5.1f}", flush=True
        )
    names = {name: [row[name] for row in rows] for name in rows[0]}
    found = figure("pick and change by abilities", "CPU µs", [size * EACH for size in SIZES], names, "pure")
    keep_curve("abilities", found | {"x_label": "abilities, five a channel"})
    return [found]


def _ratio(row: dict[str, float]) -> float:
    return row["pick of 3"] / row["bare"]


def wire() -> list[dict[str, Any]]:
    """What a pick costs the router's process, by how it is asked."""
    with postgres() as server, router(server, 10_000) as running:
        for mode, in_flight in CALLS:
            running.call(mode, in_flight, 1.0)
        rounds = [[running.call(*call, SECONDS) for call in CALLS] for _ in range(ROUNDS)]
        resident = resident_mib(running.pid)
    costs = {}
    for place, (mode, in_flight) in enumerate(CALLS):
        cpu = [calls[place]["cpu_us"] for calls in rounds]
        costs[f"{mode}, {in_flight} in flight"] = [statistics.median(cpu)]
        print(
            f"  {mode:6} {in_flight:4} in flight: router CPU µs a pick {statistics.median(cpu):6.1f}"
            f" ({min(cpu):.1f}–{max(cpu):.1f}), p50 ms {statistics.median(c[place]['p50_ms'] for c in rounds):6.2f}"
        )
    ratio = costs["unary, 32 in flight"][0] / costs["stream, 32 in flight"][0]
    print(f"  picks a CPU second, stream over unary at 32: {ratio:.1f}; router RSS {resident:.0f} MiB")
    return [figure("router CPU a pick", "CPU µs", ["10,000 channels"], costs, "wire")]


def growing() -> list[dict[str, Any]]:
    """What a real router takes by the number of abilities: one curve a unit."""
    columns: dict[str, list[float]] = {}
    with postgres() as server:
        for channels in GROWN:
            with router(server, channels) as running:
                row = growth.measured(running)
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
            print(f"  {channels * EACH} abilities: " + ", ".join(f"{name} {value:.2f}" for name, value in row.items()))
    found = figure("a real router by abilities", "as named", [size * EACH for size in GROWN], columns, "growth")
    for file, unit in (("router-cpu", "CPU µs"), ("router-memory", "MiB"), ("router-load", "s")):
        shown = {"unit": unit, "series": growth.measured_in(unit, columns), "x_label": "abilities, five a channel"}
        keep_curve(file, found | shown)
    return [found]


def loads() -> list[dict[str, Any]]:
    """Full loads: time, turns of the event loop meanwhile, memory after each."""
    columns: dict[str, list[float]] = {}
    with postgres() as server:
        for channels in LOADED:
            with server.migrated_database() as dsn:
                filled(dsn, channels)
                command = [sys.executable, "-m", "bench.router.stalls", dsn, str(RELOADS)]
                told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
            again, resident = told["again"], told["resident_mib"]
            row = {"first load, s": told["first"]["seconds"], "RSS after the first load, MiB": resident[0]}
            row["RSS after the last reload, MiB"] = resident[-1]
            for name, key in (
                ("reload, s", "seconds"), ("wait p99.9 by the clock, ms", "clock_p999_ms"),
                ("wait p99.9 by CPU, ms", "cpu_p999_ms"), ("longest turn by CPU, ms", "longest_cpu_ms"),
                ("RSS at the peak, MiB", "peak_mib"),
            ):  # fmt: skip
                row[name] = statistics.median(reload[key] for reload in again)
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
            print(f"  {channels * EACH} abilities: " + ", ".join(f"{name} {value:.2f}" for name, value in row.items()))
    return [figure("full loads by abilities", "as named", [size * EACH for size in LOADED], columns, "loads")]


def reloading() -> list[dict[str, Any]]:
    """Full loads of real routers while they serve: waits of picks, and memory at its peak."""
    columns: dict[str, list[float]] = {}
    with postgres() as server:
        for channels in LOADED:
            with router(server, channels) as running:
                row = reloads.measured(running, RELOADS)
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
            told = ", ".join(f"{name} {value:.2f}" for name, value in row.items())
            print(f"  {channels * EACH} abilities: {told}", flush=True)
    x = [size * EACH for size in LOADED]
    return [figure("full loads of a real router by abilities", "as named", x, columns, "reloads")]


def figure(name: str, unit: str, x: list[Any], series: dict[str, list[float]], part: str) -> dict[str, Any]:
    """One figure as data."""
    command, date = f"python -m bench.router {part}", time.strftime("%Y-%m-%d")
    return {"name": name, "unit": unit, "x": x, "series": series, "command": command, "date": date}


PARTS: Final[dict[str, Callable[[], list[dict[str, Any]]]]] = {
    "pure": pure,
    "wire": wire,
    "growth": growing,
    "loads": loads,
    "reloads": reloading,
}


def main(wanted: list[str]) -> None:
    """Measure the parts wanted, and keep what the file has of the others."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for part in wanted or list(PARTS):
        print(part)
        done = PARTS[part]()
        names = {entry["name"] for entry in done}
        kept = [entry for entry in kept if entry["name"] not in names] + done
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
