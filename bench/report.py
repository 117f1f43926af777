"""Says what was found: a table a scenario, the bars, the doubts; and keeps the data and a picture of it.

`python -m bench.report CURVE.json …` draws curves that are there already.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine, svg
from bench.figures import Bar, Figure, Results, Samples, bars, capacity, doubts
from bench.measure import LATENCY, SCENARIOS, Sample, Scenario

RESULTS = Path(__file__).parent / "results"


def print_all(results: Results, missing: Mapping[str, str], *, with_bars: bool) -> None:
    """Everything, the bars last."""
    for name, samples in results.items():
        _print_scenario(SCENARIOS[name], samples)
    for name, reason in missing.items():
        print(f"\n{name} was not measured: {reason}")
    found = doubts(results)
    print("\nNOISY RUN, not to be quoted:\n  " + "\n  ".join(found) if found else "\nA quiet run.")
    if with_bars:
        print("\nBars\n")
        for bar in bars(results):
            print(f"  {_verdict(bar):12} {bar.found:8.2f}   {bar.what}")


def _verdict(bar: Bar) -> str:
    return {True: "pass", False: "FAIL", None: "not measured"}[bar.held]


def _print_scenario(scenario: Scenario, samples: Samples) -> None:
    rounds = max(len(several) for several in samples.values())
    print(f"\n{scenario.title}: {rounds} interleaved rounds, medians (range)\n")
    cost = f"CPU µs a {'stream' if scenario.stream else 'request'}"
    print(f"  {'':26}{cost:>22}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'RSS MiB':>9}{'failed':>8}")
    for name, several in samples.items():
        _print_row(name, several)
        parts = list(several[0].cpu) if len(several[0].cpu) > 1 else []
        for part in parts:
            figure = Figure.of(one.cpu[part] for one in several)
            memory = Figure.of(one.rss[part] for one in several)
            print(f"    {part:24}{_with_range(figure):>22}{'':>32}{memory.median:>9.0f}")
    if scenario is LATENCY:
        _print_added(samples)
    elif (factor := capacity(samples)) is not None and not scenario.stream:
        print(f"  the upstream alone is {factor:.1f} × the fastest gateway")


def _print_row(name: str, several: Sequence[Sample]) -> None:
    rate, p50, p99, rss = (
        Figure.of(values).median
        for values in zip(*((one.rate, one.p50, one.p99, sum(one.rss.values())) for one in several), strict=True)
    )
    cost = _with_range(Figure.of(one.total_cpu for one in several))
    failed = sum(one.failed for one in several)
    print(f"  {name:26}{cost:>22}{rate:>12,.0f}{p50:>10.2f}{p99:>10.2f}{rss:>9.0f}{failed:>8}")


def _print_added(samples: Samples) -> None:
    print("\n  added to the upstream's own latency, ms        p50                    p99")
    for name, found in added_latency(samples).items():
        print(f"  {name:34}{_with_range(found[0], 2):>22} {_with_range(found[1], 2):>22}")


def added_latency(samples: Samples) -> dict[str, tuple[Figure, Figure]]:
    """What each candidate added at p50 and p99, each round against that round's own direct run."""
    direct = samples.get("upstream", ())
    return {
        name: (
            Figure.of(one.p50 - bare.p50 for one, bare in zip(several, direct, strict=False)),
            Figure.of(one.p99 - bare.p99 for one, bare in zip(several, direct, strict=False)),
        )
        for name, several in samples.items()
        if name != "upstream" and direct
    }


def _with_range(figure: Figure, digits: int = 0) -> str:
    return f"{figure.median:,.{digits}f} ({figure.low:,.{digits}f}–{figure.high:,.{digits}f})"


def keep(name: str, results: Results, versions: Mapping[str, str], missing: Mapping[str, str], command: str) -> None:
    """Write the data as one file, and a picture of each scenario's costs."""
    data = {
        "name": name,
        "command": command,
        "date": today(),
        "machine": machine.describe(),
        "versions": versions,
        "missing": missing,
        "doubts": doubts(results),
        "bars": [{**dataclasses.asdict(bar), "held": bar.held} for bar in bars(results)],
        "samples": {
            scenario: {
                candidate: [dataclasses.asdict(one) for one in several] for candidate, several in samples.items()
            }
            for scenario, samples in results.items()
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    for scenario, samples in results.items():
        if scenario != LATENCY.name:
            picture = _costs(SCENARIOS[scenario], samples, command)
            (RESULTS / f"{name}-{scenario}.svg").write_text(svg.bars(picture))
    if direct := results.get(LATENCY.name):
        (RESULTS / f"{name}-{LATENCY.name}.svg").write_text(svg.bars(_latencies(direct, command)))


def _costs(scenario: Scenario, samples: Samples, command: str) -> dict[str, Any]:
    figures = {name: Figure.of(one.total_cpu for one in several) for name, several in samples.items()}
    figures.pop("upstream", None)
    if mine := samples.get("Trunkline"):
        figures["Trunkline's relay"] = Figure.of(one.cpu["relay"] for one in mine)
    unit = f"CPU µs a {'stream' if scenario.stream else 'request'}, all processes; median and range"
    return _picture(f"{scenario.title[0].upper()}{scenario.title[1:]}", unit, figures, command)


def _latencies(samples: Samples, command: str) -> dict[str, Any]:
    figures = {name: found[0] for name, found in added_latency(samples).items()}
    unit = "added latency at the median, ms; median and range of the rounds"
    return _picture(f"Latency, {LATENCY.title}", unit, figures, command)


def _picture(name: str, unit: str, figures: Mapping[str, Figure], command: str) -> dict[str, Any]:
    ordered = sorted(figures.items(), key=lambda pair: pair[1].median)
    return {
        "name": name,
        "unit": unit,
        "x": [label for label, _ in ordered],
        "series": {"median": [figure.median for _, figure in ordered]},
        "ranges": [(figure.low, figure.high) for _, figure in ordered],
        "command": command,
        "date": today(),
    }


def keep_curve(file: str, data: Mapping[str, Any]) -> None:
    """Write a curve's data and its picture."""
    RESULTS.mkdir(exist_ok=True)
    dated = {**data, "date": today()}
    (RESULTS / f"{file}.json").write_text(json.dumps(dated, indent=1) + "\n")
    (RESULTS / f"{file}.svg").write_text(svg.curve(dated))
    print(f"  kept in {RESULTS.name}/{file}.json and .svg")


def draw(paths: Sequence[str]) -> None:
    """Draw curves that are there already, each beside its data; several in one file are numbered."""
    for path in map(Path, paths):
        data = json.loads(path.read_text())
        curves = {"": data} if isinstance(data, dict) else {f"-{number}": one for number, one in enumerate(data, 1)}
        for number, one in curves.items():
            picture = path.with_name(f"{path.stem}{number}.svg")
            picture.write_text(_drawn(one))
            print(picture)


def _drawn(data: Mapping[str, Any]) -> str:
    """A curve as lines; one whose only x is a word as a bar a series."""
    if not isinstance(data["x"][0], str):
        return svg.curve(data)
    values = [series[0] for series in data["series"].values()]
    frame = {"name": f"{data['name']}, {data['x'][0]}", "x": list(data["series"]), "series": {"": values}}
    return svg.bars({**data, **frame, "ranges": [(value, value) for value in values]})


def today() -> str:
    """The date, for whoever reads the figures later."""
    return datetime.now(UTC).date().isoformat()


if __name__ == "__main__":
    draw(sys.argv[1:])
