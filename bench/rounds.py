"""Starts the candidates, checks that they forward, and measures them in turn, round by round.

Interleaved, since a shared machine changes by the minute: each candidate meets every mood of it.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.answers import verify
from bench.candidate import Candidate, NotHere
from bench.figures import Results
from bench.measure import Sample, Scenario, sample
from bench.peers.upstream import Upstream

_WARM_SECONDS = 1.0
_MANY_TURNS = 50  # of all connections


class Starter(Protocol):
    """Starts one candidate in front of the upstream that listens on a port."""

    def __call__(self, upstream: int, directory: Path, /) -> AbstractContextManager[Candidate]:
        """Run it until the end of the block."""


@dataclass(slots=True)
class Field:
    """Those that run and what they are, and those that do not and why."""

    candidates: list[Candidate]
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def versions(self) -> Mapping[str, str]:
        """Of all that run."""
        return {candidate.name: candidate.version for candidate in self.candidates}


@contextmanager
def running(starters: Mapping[str, Starter], upstream: Upstream, directory: Path) -> Iterator[Field]:
    """Start all that can be had here, behind the upstream asked directly. Idle candidates cost a measured one little."""
    with ExitStack() as stack:
        found = Field([upstream.direct()])
        for name, start in starters.items():
            began = time.monotonic()
            try:
                candidate = stack.enter_context(start(upstream.port, directory))
            except NotHere as reason:
                found.missing[name] = str(reason)
                continue
            verify(candidate, upstream)
            found.candidates.append(candidate)
            progress(f"{candidate.name} {candidate.version} forwards, started in {time.monotonic() - began:.1f} s")
        yield found


def measure(
    found: Field, scenarios: Sequence[Scenario], upstream: Upstream, directory: Path, *, rounds: int, seconds: float
) -> Results:
    """All rounds of all scenarios. A candidate that fails under load is left out of that scenario, with the reason."""
    results: dict[str, dict[str, list[Sample]]] = {}
    for scenario in scenarios:
        samples: dict[str, list[Sample]] = {}
        asked = {
            candidate.name: (candidate, suited(candidate, scenario, upstream, directory, seconds))
            for candidate in found.candidates
        }
        progress(f"{scenario.title}: warm")
        for number in range(rounds):
            for name, (candidate, fitting) in list(asked.items()):
                try:
                    samples.setdefault(name, []).append(sample(candidate, fitting, upstream, directory, seconds))
                except RuntimeError as error:
                    del asked[name]
                    found.missing[f"{name}, {scenario.title}"] = str(error)
            progress(f"{scenario.title}: round {number + 1} of {rounds}")
        results[scenario.name] = {name: several for name, several in samples.items() if name in asked}
    return results


def suited(candidate: Candidate, scenario: Scenario, upstream: Upstream, directory: Path, seconds: float) -> Scenario:
    """Warm a candidate up; one that answers few requests in the time is asked by turns.

    The requests under way at the end of a measured time are paid for and not counted: that would be unfair to the slow.
    """
    by_turns = dataclasses.replace(scenario, by_turns=True)
    try:
        warm = sample(candidate, scenario, upstream, directory, _WARM_SECONDS)
    except RuntimeError:
        return by_turns
    return by_turns if warm.rate * seconds < _MANY_TURNS * scenario.connections else scenario


def progress(text: str) -> None:
    """Say where we are, apart from the figures."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
