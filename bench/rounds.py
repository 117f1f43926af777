"""Starts the candidates, checks that they forward, and measures them in turn, round by round.

Interleaved, since a shared machine changes by the minute: each candidate meets every mood of it.
"""

from __future__ import annotations

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
    """All rounds of all scenarios. A candidate that fails under load is left out from then on, with the reason."""
    results: dict[str, dict[str, list[Sample]]] = {scenario.name: {} for scenario in scenarios}
    for scenario in scenarios:
        out: set[str] = set()
        for number in range(rounds + 1):  # the first warms up and is thrown away
            for candidate in found.candidates:
                if candidate.name in out:
                    continue
                try:
                    one = sample(candidate, scenario, upstream, directory, seconds if number else 1)
                except RuntimeError as error:
                    out.add(candidate.name)
                    found.missing[f"{candidate.name}, {scenario.title}"] = str(error)
                    continue
                if number:
                    results[scenario.name].setdefault(candidate.name, []).append(one)
            progress(f"{scenario.title}: {f'round {number} of {rounds}' if number else 'warm'}")
    return results


def progress(text: str) -> None:
    """Say where we are, apart from the figures."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
