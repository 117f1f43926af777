"""One sample: one candidate under one scenario's load, with what each of its processes used meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import load, machine
from bench.candidate import MESSAGE_BYTES, Candidate
from bench.peers.upstream import Upstream
from bench.processes import cpu_seconds, resident_mib

_LEAST_LEFT = 0.2  # share of the time that is worth another run


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of load."""

    name: str
    title: str
    connections: int
    stream: bool = False
    message_bytes: int = MESSAGE_BYTES
    by_turns: bool = False  # so many requests rather than so many seconds, for answers that take long


JSON_32 = Scenario("json-32", "1 KB JSON, 32 connections", 32)
JSON_128 = Scenario("json-128", "1 KB JSON, 128 connections", 128)
SSE_64 = Scenario("sse-64", "stream of 21 chunks, 64 connections", 64, stream=True, by_turns=True)
LATENCY = Scenario("latency", "1 KB JSON, one connection", 1)
SCENARIOS = {scenario.name: scenario for scenario in (JSON_32, JSON_128, SSE_64, LATENCY)}


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run found. CPU is in microseconds a request; shares are of one core, of the machine where it says so."""

    requests: int
    failed: int
    rate: float
    p50: float
    p99: float
    cpu: Mapping[str, float]
    rss: Mapping[str, float]
    upstream_share: float
    stolen: float  # of the machine
    by_others: float  # of the machine

    @property
    def total_cpu(self) -> float:
        """All parts together."""
        return sum(self.cpu.values())

    @property
    def noisy(self) -> bool:
        """Whether the machine was busy with something else."""
        return machine.Disturbance(self.stolen, self.by_others).noisy


def sample(candidate: Candidate, scenario: Scenario, upstream: Upstream, directory: Path, seconds: float) -> Sample:
    """Measure. A run that does not end in its time has failed as a whole. Raises RuntimeError where nothing was answered."""
    before, parts, began = machine.Reading.now(), candidate.parts(), time.monotonic()
    ours = machine.own_seconds() + cpu_seconds([upstream.pid])
    used = {part: cpu_seconds(pids) for part, pids in parts.items()}
    upstream_used = cpu_seconds([upstream.pid])
    run = _run(candidate, scenario, directory, seconds)
    parts, took = candidate.parts(), time.monotonic() - began
    spent = {part: max(0.0, cpu_seconds(pids) - used.get(part, 0.0)) for part, pids in parts.items()}
    # The upstream measured alone is its own candidate, and must not count twice.
    theirs = 0.0 if candidate.name == "upstream" else sum(spent.values())
    ours = machine.own_seconds() + cpu_seconds([upstream.pid]) + theirs - ours
    meanwhile = machine.disturbance(before, machine.Reading.now(), ours)
    return Sample(
        requests=run.requests,
        failed=run.failed,
        rate=run.rate,
        p50=run.p50,
        p99=run.p99,
        cpu={part: seconds / run.requests * 1e6 for part, seconds in spent.items()},
        rss={part: sum(resident_mib(pid) for pid in pids) for part, pids in parts.items()},
        upstream_share=(cpu_seconds([upstream.pid]) - upstream_used) / took,
        stolen=meanwhile.stolen,
        by_others=meanwhile.by_others,
    )


def _run(candidate: Candidate, scenario: Scenario, directory: Path, seconds: float) -> load.Load:
    post = candidate.post(stream=scenario.stream, message_bytes=scenario.message_bytes)
    if not scenario.by_turns:
        run = load.for_seconds(post, directory, connections=scenario.connections, seconds=seconds)
    else:
        run = _by_turns(post, directory, scenario.connections, seconds)
    if not run.requests:
        raise RuntimeError(f"{candidate.name} answered nothing in {seconds} s")
    return run


def _by_turns(post: load.Post, directory: Path, connections: int, seconds: float) -> load.Load:
    """As many turns of all connections as fit, each run sized by the pace of the last: the first is mostly its start."""
    turns, done = 1, None
    while turns:
        run = load.so_often(post, directory, connections=connections, requests=turns * connections, seconds=seconds)
        done = load.together(done, run) if done else run
        left = seconds - done.seconds
        turns = 0 if left < _LEAST_LEFT * seconds else int(left * turns / run.seconds)
    assert done is not None
    return done
