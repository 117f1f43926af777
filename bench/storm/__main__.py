"""What a storm of requests for models that nobody serves costs the database, and those who ask for what is served.

`python -m bench.storm` sends 10,000 such picks to one real router, in messages of 100 on ten streams; `--seconds` spreads
them over so long, and 0 sends them at once. Meanwhile picks for a served model go on, on four streams, each one 2 ms after
the last. Told are the router's reads of the head and the database's transactions during the storm, and the latency of the
served picks in four phases: in quiet; under the same load of picks for served models, from the same process at the same pace
(what a neighbour costs, whatever it asks); in the storm; and in a storm while the database is frozen. The four follow each
other in each round, for the machine is shared. Each round gives a p50 and a p99 of each phase; told are the medians of the
rounds, as times of the quiet and of the equal load. Storms repeat until a phase has its samples.

On a small machine whoever storms takes the cores that the router needs, which no client on a machine of its own does. So the
process that storms gives way to all others, and it is told how long router and asker stood ready without a core, which is
nobody's fault but the machine's, beside the CPU that the router used. `--real-time` has all of this bench run before whatever
else the machine does, and the storm after the rest of the bench; it needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import uvloop

from bench.storm.rain import say
from bench.storm.seen import Bench, Phase, Steady, running

PICKS: Final = 10_000
SAMPLES: Final = 2_000
"""Served picks that each phase of a round sees, at least."""
SECONDS: Final = 2.0
"""Seconds over which a storm is spread."""
ROUNDS: Final = 5
QUIET, EQUAL, STORM, FROZEN = "quiet", "equal load, served", "storm", "storm, database frozen"
_PRIORITY: Final = 10
"""Of the bench in the real-time class; the storm's is below it."""


async def measure(bench: Bench, rounds: int) -> list[dict[str, Phase]]:
    """Run rounds of all phases; give what was seen in each."""
    found: list[dict[str, Phase]] = []
    steady = Steady(bench.router.address)
    phases: dict[str, Callable[[Steady, Phase], Awaitable[None]]] = {
        QUIET: bench.quiet, EQUAL: bench.equal_load, STORM: bench.calm_storm, FROZEN: bench.frozen_storm
    }  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        picking = tasks.create_task(steady.run())
        await asyncio.sleep(1.0)
        for _ in range(rounds):
            found.append({name: Phase() for name in phases})
            for name, act in phases.items():
                while len(found[-1][name].milliseconds) < SAMPLES:
                    await act(steady, found[-1][name])
                    await asyncio.sleep(0.5)
        picking.cancel()
    if steady.refused:
        raise RuntimeError(f"{steady.refused} picks for a served model were refused")
    return found


def _tell(found: list[dict[str, Phase]]) -> None:
    """Tell the medians of the rounds, and how many times those of the quiet and of the equal load they are."""

    def median(name: str, percent: int) -> float:
        return statistics.median(phases[name].quantile(percent) for phases in found)

    for name in found[0]:
        against = "; ".join(
            f"times {base} {median(name, 50) / median(base, 50):.2f} / {median(name, 99) / median(base, 99):.2f}"
            for base in (QUIET, EQUAL)
        )
        rounds = [phases[name] for phases in found]
        count = sum(len(phase.milliseconds) for phase in rounds)
        say(
            f"{name:24} {count:>6} served picks: {median(name, 50):.2f} / {median(name, 99):.2f} ms (p50 / p99), {against}"
        )
        seconds = sum(phase.seconds for phase in rounds)
        cores = {who: sum(phase.waited[who] for phase in rounds) / seconds for who in ("router", "asker")}
        used = sum(phase.router_cpu for phase in rounds) / seconds
        storms = [took for phase in rounds for took in phase.storms]
        say(
            f"    each second: router {cores['router']:.2f} s without a core, asker {cores['asker']:.2f} s; "
            f"router {used:.2f} s of CPU" + (f"; a storm took {statistics.median(storms):.2f} s" if storms else "")
        )


def main() -> None:
    """Measure, or be the storm."""
    parser = argparse.ArgumentParser(prog="python -m bench.storm", description=__doc__)
    parser.add_argument("--picks", type=int, default=PICKS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="over how long a storm is spread")
    parser.add_argument(
        "--real-time", action="store_true", help="run before all else that the machine does; needs root"
    )
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if given.real_time:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
        with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name:
            directory = Path(name)
            directory.chmod(0o755)  # Postgres runs as another user where this one is root
            found = runner.run(_measured(directory, given.picks, given.seconds, given.rounds))
    _tell(found)


async def _measured(directory: Path, picks: int, seconds: float, rounds: int) -> list[dict[str, Phase]]:
    async with running(directory, picks, seconds) as bench:
        await bench.summon()
        try:
            return await measure(bench, rounds)
        finally:
            await bench.dismiss()


if __name__ == "__main__":
    main()
