"""From samples to figures: medians with their spread, the bars that Trunkline must hold, and whether a run deserves trust.

Pure: it reads nothing and prints nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.measure import JSON_32, JSON_128, SSE_64, Sample

Samples = Mapping[str, Sequence[Sample]]  # by candidate
Results = Mapping[str, Samples]  # by scenario

# The upstream alone must answer so many times what the fastest gateway asks of it, and under no candidate fill its core.
# A proxy that only copies costs little more than the upstream itself, so that only the second can be asked there.
COPYING = frozenset({"nginx", "uvloop, copying"})
LEAST_CAPACITY = 2.0
MOST_UPSTREAM_SHARE = 0.8
# nginx costs the same in every round, unless the machine changes.
MOST_REFERENCE_SPREAD = 0.25
MOST_NOISY_SAMPLES = 0.25


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, and the range it comes from."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """Of at least one value."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])

    @property
    def spread(self) -> float:
        """The range as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise: what was found, what is asked, and whether that is enough. `held` is None where it was not measured."""

    what: str
    found: float
    asked: float
    at_least: bool = False

    @property
    def held(self) -> bool | None:
        """Whether it holds."""
        if math.isnan(self.found):
            return None
        return self.found >= self.asked if self.at_least else self.found <= self.asked


def cpu(samples: Samples, candidate: str, part: str | None = None) -> float:
    """The median of CPU microseconds a request, of one part or of all; not a number where it was not measured."""
    values = [one.cpu[part] if part else one.total_cpu for one in samples.get(candidate, ())]
    return statistics.median(values) if values else math.nan


def bars(results: Results) -> list[Bar]:
    """What Trunkline promises, against what was found in the same run."""
    found: list[Bar] = []
    for scenario in (JSON_32, JSON_128):
        samples = results.get(scenario.name, {})
        floor, where = cpu(samples, "nginx"), f"nginx's CPU, {scenario.title}"
        found.append(Bar(f"all of Trunkline ≤ 8 × {where}", cpu(samples, "Trunkline") / floor, 8))
        found.append(Bar(f"its relay alone ≤ 6.5 × {where}", cpu(samples, "Trunkline", "relay") / floor, 6.5))
    streams, busy = results.get(SSE_64.name, {}), results.get(JSON_32.name, {})
    ratio = cpu(streams, "Trunkline") / cpu(streams, "nginx")
    found.append(Bar(f"all of Trunkline ≤ 2 × nginx's CPU, {SSE_64.title}", ratio, 2))
    mine = cpu(busy, "Trunkline")
    for peer, times in (("LiteLLM", 30), ("Portkey", 10)):
        what = f"requests a CPU second ≥ {times} × {peer}'s, {JSON_32.title}"
        found.append(Bar(what, cpu(busy, peer) / mine, times, at_least=True))
    found.extend(
        Bar(f"CPU µs a request ÷ {peer}'s, {JSON_32.title}", mine / cpu(busy, peer), 1)
        for peer in ("TensorZero", "Envoy + ext_authz")
    )
    return found


def doubts(results: Results) -> list[str]:
    """Why the run deserves doubt; empty where it does not."""
    every = [one for samples in results.values() for several in samples.values() for one in several]
    noisy = sum(one.noisy for one in every) / max(1, len(every))
    found = [f"{noisy:.0%} of the samples met a busy machine"] if noisy > MOST_NOISY_SAMPLES else []
    for scenario, samples in results.items():
        found.extend(f"{scenario}: {doubt}" for doubt in _doubts_of(samples))
    for busy in (JSON_32, JSON_128):  # the others are held back by their pace, or by waiting for one answer
        factor = capacity(results.get(busy.name, {}))
        if factor is not None and factor < LEAST_CAPACITY:
            found.append(f"{busy.name}: the upstream alone is only {factor:.1f} × the fastest gateway")
    return found


def _doubts_of(samples: Samples) -> Iterable[str]:
    if reference := samples.get("nginx"):
        spread = Figure.of(one.total_cpu for one in reference).spread
        if spread > MOST_REFERENCE_SPREAD:
            yield f"nginx's own cost spread by {spread:.0%}"
    asked = {name: several for name, several in samples.items() if name != "upstream"}
    for name, several in asked.items():
        if (share := _median(several, lambda one: one.upstream_share)) > MOST_UPSTREAM_SHARE:
            yield f"the upstream used {share:.0%} of a core under {name}"


def capacity(samples: Samples) -> float | None:
    """How many times the fastest gateway's rate the upstream alone reached; None where either was not measured."""
    gateways = {name: several for name, several in samples.items() if name != "upstream" and name not in COPYING}
    asked = [_median(several, lambda one: one.rate) for several in gateways.values()]
    if not samples.get("upstream") or not asked:
        return None
    return _median(samples["upstream"], lambda one: one.rate) / max(asked)


def _median(several: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    return statistics.median(map(value, several))
