"""One run of the proof: a cluster under load, one fault after another, every answer checked after each.

The law: what is drawn comes from one seed. Load runs before, during and after a fault; then it stops, what is owed is
answered, the history is read from the database, and everything since the last check is held against it. A fault has ended
when whoever did it has put things right again; from then on a fresh change must be in force on every router within RECOVERY
seconds, and nothing is excused any more.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Final

import psycopg

from prove import idle
from prove.checks import Checker, Findings, check_acks
from prove.cluster import DATABASE, Cluster
from prove.commits import disagreements, read_commits
from prove.history import History
from prove.mutations import Mutators
from prove.picks import Asked, Router
from prove.postgres import Server
from prove.records import Answer, Violation, Window
from prove.recovery import Recovery
from prove.scene import Failover, Fault, Scene
from prove.world import FRESH_GROUP, GROUPS, PASSING_GROUP, World

RECOVERY: Final = 2.0
"""Seconds from a fault's end within which all must be as before."""
_BEAT: Final = 0.02
_LONG_PAUSE: Final = 0.5
"""Seconds for which the proof itself must not stand still, or it proves nothing meanwhile."""
_SPAN: Final = 0.5
"""Seconds over which it is seen whether the machine is busy; one of 100 ticks a second tells a tenth of it."""
_QUIET: Final = 0.4
"""The share of routers that have nothing to prove, in each phase others."""
_FURNITURE: Final = 60
"""Changes made before anything is asked."""


@dataclass(slots=True)
class Phase:
    """What one phase brought."""

    fault: str
    seconds: float
    """Of the fault."""
    recovery: float | None
    """Seconds from its end until a fresh change was in force everywhere; None when it never was."""
    counts: Counter[str]
    pause: float = 0.0
    """The longest time, in seconds, for which the proof itself stood still."""
    tries: list[str] = field(default_factory=list)
    """What came of the changes by which recovery was measured, but for the last one."""


@dataclass(slots=True)
class Rates:
    """How hard the load is."""

    picks: float
    """A second and router, on its stream."""
    changes: float
    """A second."""
    before: float = 1.5
    """Seconds of load before each fault."""
    after: float = 3.0
    """Seconds of load after each recovery; what is beyond RECOVERY is excused by nothing."""


class Campaign:
    """The run."""

    def __init__(self, cluster: Cluster, seed: int, rates: Rates, *, hold: float = 1.0, shared: bool = False) -> None:
        """Take a cluster that is not started, and what everything is drawn from.

        `shared`: others use this machine, so that what must come within seconds must come, and is held to its seconds only
        while processor time is left over.
        """
        self.cluster = cluster
        self.rng = random.Random(seed)
        self.rates = rates
        self.history = History()
        self.findings = Findings()
        self.phases: list[Phase] = []
        self._hold = hold
        self._shared = shared
        self._was_busy = False
        self._world = World(random.Random(self.rng.getrandbits(64)))
        self._asked = Asked(random.Random(self.rng.getrandbits(64)))
        self._asked.asks = self._world.everything()
        self.mutators = Mutators(cluster, self._world, self._asked, random.Random(self.rng.getrandbits(64)))
        self._answers: list[Answer] = []
        self._clients: list[Router] = []
        self._recovery = Recovery(cluster, self._clients, random.Random(self.rng.getrandbits(64)))
        self._pause = 0.0

    async def start(self) -> None:
        """Start the cluster and make what the changes need."""
        await self.cluster.start()
        for member in self.cluster.routers:
            self._clients.append(Router(member.name, member.address, self._asked, self._answers))
        async with await psycopg.AsyncConnection.connect(self.cluster.dsn) as connection:
            for group in (*GROUPS, PASSING_GROUP, FRESH_GROUP):
                await connection.execute("INSERT INTO groups (name) VALUES (%s) ON CONFLICT DO NOTHING", (group,))
        await self.mutators.furnish(_FURNITURE)

    async def phase(self, fault: Fault | None) -> Phase:
        """Load the cluster, break and mend it, check everything. Raises whatever the proof itself fails of."""
        name = fault.name if fault is not None else "none"
        stop = asyncio.Event()
        scene = Scene(self.cluster, self.rng, self._hold)
        self.mutators.rate = self.rates.changes
        recovery: float | None = 0.0
        seconds = 0.0
        gc.collect()
        gc.disable()  # a pause of the proof itself would look like one of the product
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(scene), name="watch of the proof's own pauses")
            for client in self._clients:
                client.rate = self.rates.picks
                client.quiet = self.rng.random() < _QUIET
                tasks.create_task(client.stream(stop), name=f"stream of {client.name}")
                tasks.create_task(client.calls(stop, 0.05), name=f"calls of {client.name}")
            tasks.create_task(self.mutators.run(stop), name="mutators")
            try:
                await asyncio.sleep(self.rates.before)
                if fault is not None:
                    seconds, recovery = await self._break(fault, scene)
                await asyncio.sleep(self.rates.after)
            finally:
                stop.set()
                watching.cancel()
                gc.enable()
        return await self._check(Phase(name, seconds, recovery, Counter()), scene)

    async def _break(self, fault: Fault, scene: Scene) -> tuple[float, float | None]:
        scene.begun = time.time()
        routers = await fault.run(scene)
        ended = time.time()
        recovery = await self._recovery.measure(ended, patient=self._shared)
        scene.windows.insert(0, Window(scene.begun, ended + RECOVERY, routers, fault.name))
        if recovery is None or (recovery - self._pause > RECOVERY and not self._was_busy):
            what = (
                f"a fresh change was in force everywhere after {recovery or inf:.2f} s: {self._recovery.tries}; "
                f"the proof itself stood still for {self._pause:.2f} s at most"
            )
            self.findings.breach(Violation("late_recovery", what, ended, fault.name))
        return ended - scene.begun, recovery

    async def _watch(self, scene: Scene) -> None:
        """Note when nothing ran here: then the proxies stood still, which is one more fault, and nobody's merit to mend."""
        self._pause, self._was_busy = 0.0, False
        seen_at, seen = time.time(), idle.read()
        while True:
            begun = time.time()
            if self._shared and begun - seen_at > _SPAN:
                now = idle.read()
                if idle.was_busy(seen, now):
                    self._was_busy = True
                    scene.windows.append(Window(seen_at, begun + RECOVERY, None, "the machine was busy"))
                    self.findings.counts["spans of a busy machine"] += 1
                seen_at, seen = begun, now
            await asyncio.sleep(_BEAT)
            pause = time.time() - begun - _BEAT
            self._pause = max(self._pause, pause)
            if pause > _LONG_PAUSE:
                scene.windows.append(Window(begun, time.time() + RECOVERY, None, "the proof itself stood still"))
                self.findings.counts["pauses of the proof itself"] += 1

    # ------------------------------------------------------------------ checking

    async def _check(self, phase: Phase, scene: Scene) -> Phase:
        for failover in scene.failovers:
            await self._take_failover(failover)
        await self._read(self.cluster.server)
        for violation in await disagreements(self.cluster):
            self.findings.breach(violation)
        checker = Checker(
            self.history,
            self.mutators.ledger.acks,
            scene.windows,
            [client.name for client in self._clients],
            phase.fault,
        )
        found = checker.check(self._answers)
        self._answers.clear()
        phase.counts = found.counts
        phase.tries, phase.pause = self._recovery.tries, self._pause
        self.phases.append(phase)
        self.findings.counts.update(found.counts)
        for violation in found.violations:
            self.findings.violations.append(violation)
        self.findings.ages.extend(found.ages)
        self.findings.broken.update(found.broken)
        return phase

    def finish(self) -> None:
        """Check what can only be checked at the end."""
        check_acks(self.history, self.mutators.ledger.acks, self.mutators.ledger.refused, self.findings)

    async def _read(self, server: Server, number: int = -1) -> None:
        nodes = self.history.branches[number].nodes
        commits = await read_commits(server.dsn(DATABASE), nodes[-1].token.revision if nodes else -1)
        self.history.extend(commits, number=number)

    async def _take_failover(self, failover: Failover) -> None:
        """Read from the old primary what was lost with it, and find where the new one's history parts from it."""
        await failover.old.start()
        await self._read(failover.old)
        failover.old.close()
        theirs = {commit.token for commit in await read_commits(self.cluster.server.dsn(DATABASE), -1)}
        shared = [node.token.revision for node in self.history.branch.nodes if node.token in theirs]
        self.history.fork(shared[-1], lost=failover.lost, regained=failover.regained)
        self.findings.counts["revisions lost with a primary"] += (
            self.history.branches[-2].nodes[-1].token.revision - shared[-1]
        )
