"""`python -m tests.simulation`: tell the story of one seed, or run as many schedules as you like.

Law: whatever fails is told with the seed that tells it again. Usage:

    python -m tests.simulation 42                        tells what happens under seed 42
    python -m tests.simulation --schedules 1000000       runs that many seeds on every core; exits 1 at a failure
    python -m tests.simulation --mutant TrustsHints      tells the shortest story that shows a seeded fault
"""

# ruff: noqa: T201 - a command line tool prints

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Final

from tests.simulation.mutants import MUTANTS
from tests.simulation.nodes import Parts
from tests.simulation.plans import schedule_of
from tests.simulation.runs import REAL, Failure, first_failure, story_of

_BATCH: Final = 500  # schedules that one worker runs at a time
_SHOWN: Final = 3  # failures told in full


def main() -> int:
    """Do what the command line says; 1 when a law was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="tell the story of this seed")
    parser.add_argument("--schedules", type=int, default=10_000, help="how many seeds to run (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="run with this fault seeded")
    given = parser.parse_args()
    parts = MUTANTS[given.mutant] if given.mutant else REAL
    if given.seed is not None:
        return _tell(given.seed, parts)
    return _run(given, parts)


def _tell(seed: int, parts: Parts) -> int:
    """Tell one story, and the shortest one that shows the same."""
    schedule = schedule_of(seed)
    print("\n".join([str(schedule), "", *story_of(schedule, parts)]))
    failure = first_failure([seed], parts)
    if failure is not None:
        print(_shown(failure, parts))
    return int(failure is not None)


def _run(given: argparse.Namespace, parts: Parts) -> int:
    """Run many; a batch ends at its first failure."""
    began = time.monotonic()
    last = given.first + given.schedules
    batches = [range(start, min(start + _BATCH, last)) for start in range(given.first, last, _BATCH)]
    found = ran = 0
    with ProcessPoolExecutor(given.workers) as workers:
        search = partial(first_failure, parts=parts)
        for batch, failure in zip(batches, workers.map(search, batches), strict=True):
            ran += len(batch) if failure is None else failure.schedule.seed - batch[0] + 1
            if failure is not None:
                found += 1
                print(_shown(failure, parts), flush=True)
            if found >= _SHOWN:
                workers.shutdown(cancel_futures=True)
                break
    seconds = time.monotonic() - began
    print(f"{ran} schedules in {seconds:.0f} s ({ran / seconds:.0f} a second): {found or 'none'} broke a law")
    return int(found > 0)


def _shown(failure: Failure, parts: Parts) -> str:
    return "\n".join(["", str(failure), "", *story_of(failure.shortest, parts)])


if __name__ == "__main__":
    sys.exit(main())
