"""How costs grow. `python -m bench.curves connections | bodies | chunks`, two to four minutes each.

Trunkline beside nginx at every point, interleaved; each curve is kept as data and as a picture.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import machine, report
from bench.candidate import Candidate
from bench.measure import Sample, Scenario, sample
from bench.peers.nginx import nginx
from bench.peers.trunkline import candidate, parts, started
from bench.peers.upstream import Upstream, canned
from bench.processes import forget_peak, peak_mib
from bench.rounds import progress, suited
from tests.acceptance.stack import Stack

ROUNDS = 2
SECONDS = 4.0
_DESCRIPTORS = 8192
_KB, _MB = 1024, 1024 * 1024

CONNECTIONS = (1, 2, 8, 32, 128, 512, 1000, 2000)
SIZES = (_KB, 10 * _KB, 100 * _KB, _MB, 10 * _MB)
CHUNKS = (1, 3, 10, 30, 100, 300, 1000)
_BODIES_AT_ONCE = 16
_STREAMS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Bench:
    """What all curves are measured on."""

    upstream: Upstream
    stack: Stack
    nginx: Candidate
    directory: Path

    def through_trunkline(self, path: str = "/v1") -> Candidate:
        """A channel that asks the upstream for `path`."""
        return candidate(self.stack, self.upstream.port, path)

    def point(self, scenario: Scenario, *candidates: Candidate) -> list[list[Sample]]:
        """A few interleaved rounds of each, after one that warms up. A round that failed leaves no sample."""
        found: list[list[Sample]] = [[] for _ in candidates]
        asked = [(one, suited(one, scenario, self.upstream, self.directory, SECONDS)) for one in candidates]
        for _ in range(ROUNDS):
            for samples, (one, fitting) in zip(found, asked, strict=True):
                try:
                    samples.append(sample(one, fitting, self.upstream, self.directory, SECONDS))
                except RuntimeError as error:
                    progress(f"{one.name}, {scenario.title}: {error}")
        progress(scenario.title)
        return found


def connections(bench: Bench) -> None:
    """CPU a request, and latency, by connections."""
    mine = bench.through_trunkline()
    points = [
        bench.point(Scenario("connections", f"{count} connections", count), bench.nginx, mine) for count in CONNECTIONS
    ]
    frame = {"x_label": "connections", "x": CONNECTIONS, "command": "python -m bench.curves connections"}
    name = "What a request of 1 KB costs, by connections"
    report.keep_curve("connections", {"name": name, "unit": "CPU µs a request", "series": _costs(points), **frame})
    latency: dict[str, Callable[[Sample], float]] = {"p50": lambda one: one.p50, "p99": lambda one: one.p99}
    series = {
        f"{who}, {what}": [_median(point[index], value) for point in points]
        for index, who in enumerate(("nginx", "Trunkline"))
        for what, value in latency.items()
    }
    name = "How long a request of 1 KB takes when all connections ask at once"
    report.keep_curve("connections-latency", {"name": name, "unit": "ms", "series": series, **frame})


def bodies(bench: Bench) -> None:
    """CPU a request by the size of its body and of its answer; the relay's peak memory shows that no answer is held."""
    relay = parts(bench.stack)["relay"]
    series: dict[str, list[float | None]] = {}
    peaks: dict[str, list[float]] = {}
    # Answers first: memory that large requests took is not given back at once.
    for kind in ("answers", "requests"):
        for size in SIZES:
            path = f"/bytes={size}/v1" if kind == "answers" else "/v1"
            message = size if kind == "requests" else 100
            scenario = Scenario(
                "bodies", f"{kind} of {size:,} bytes", _BODIES_AT_ONCE, message_bytes=message, by_turns=True
            )
            for pid in relay:
                forget_peak(pid)
            point = bench.point(scenario, bench.nginx.asking(path), bench.through_trunkline(path))
            for label, values in _costs([point]).items():
                series.setdefault(f"{label}, {kind}", []).extend(values)
            peaks.setdefault(f"relay, {kind}", []).append(sum(peak_mib(pid) for pid in relay))
    frame = {"x_label": "bytes", "x": SIZES, "command": "python -m bench.curves bodies"}
    shown = {label: values for label, values in series.items() if not label.startswith("relay")}
    name = "What a request costs, by the size of its body or of its answer"
    report.keep_curve("bodies", {"name": name, "unit": "CPU µs a request", "series": shown, **frame})
    name = f"The relay's peak memory at {_BODIES_AT_ONCE} connections, by the size of a body"
    report.keep_curve("bodies-memory", {"name": name, "unit": "MiB resident", "series": peaks, **frame})


def chunks(bench: Bench) -> None:
    """CPU a stream by its chunks, each 5 ms after the last."""
    points = []
    for count in CHUNKS:
        path = f"/chunks={count}/v1"
        scenario = Scenario("chunks", f"streams of {count} chunks", _STREAMS_AT_ONCE, stream=True, by_turns=True)
        points.append(bench.point(scenario, bench.nginx.asking(path), bench.through_trunkline(path)))
    frame = {"x_label": "chunks a stream", "x": CHUNKS, "command": "python -m bench.curves chunks"}
    name = f"What a stream costs, by its chunks, at {_STREAMS_AT_ONCE} connections"
    report.keep_curve("chunks", {"name": name, "unit": "CPU µs a stream", "series": _costs(points), **frame})


def _costs(points: Iterable[Sequence[Sequence[Sample]]]) -> dict[str, list[float | None]]:
    """A line for nginx, one for all of Trunkline, one for its relay; each point holds nginx's samples and Trunkline's."""
    rows = list(points)
    return {
        "nginx": [_median(floor, lambda one: one.total_cpu) for floor, _ in rows],
        "Trunkline": [_median(mine, lambda one: one.total_cpu) for _, mine in rows],
        "relay alone": [_median(mine, lambda one: one.cpu["relay"]) for _, mine in rows],
    }


def _median(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float | None:
    return round(statistics.median(map(value, samples)), 3) if samples else None


CURVES: Mapping[str, Callable[[Bench], None]] = {"connections": connections, "bodies": bodies, "chunks": chunks}


def main(names: Sequence[str]) -> None:
    """Draw the curves named, or all."""
    machine.prepare(_DESCRIPTORS)
    with tempfile.TemporaryDirectory() as folder, canned(Path(folder)) as upstream:
        directory = Path(folder)
        with started(directory) as stack, nginx(upstream.port, directory) as floor:
            bench = Bench(upstream, stack, floor, directory)
            for name in names or CURVES:
                CURVES[name](bench)


if __name__ == "__main__":
    main(sys.argv[1:])
