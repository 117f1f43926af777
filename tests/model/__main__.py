"""Walks the model and prints what was found: `python -m tests.model`, with `--long` the larger scopes too.

The law: the exit code is 1 when a law was broken by the protocol as it is, or a flaw broke none. `--keep` writes the shortest
traces anew.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from tests.model.cases import LONG, MUTANTS, SCOPES, TRACES
from tests.model.checker import Result, check
from tests.model.protocol import CatalogProtocol

_HEADER = """\
# The shortest way in which each flaw breaks a law, a step a line. Written by `python -m tests.model --keep`.
"""


def main() -> int:
    """Walk, and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--long", action="store_true", help="walk the larger scopes too")
    parser.add_argument("--keep", action="store_true", help=f"write {TRACES.name} anew")
    options = parser.parse_args()
    scopes = {**SCOPES, **(LONG if options.long else {})}
    broken = False
    for name, scope in scopes.items():
        began = time.process_time()
        result = check(CatalogProtocol(scope))
        broken |= result.finding is not None
        _say(name, result, began)
    traces = [_HEADER]
    for flaw, mutant in MUTANTS.items():
        began = time.process_time()
        result = check(CatalogProtocol(mutant.scope, mutant.flaws))
        broken |= result.finding is None
        _say(flaw.name, result, began)
        if result.finding is not None:
            traces.append(f"\n{flaw.name}: {result.finding.law}\n")
            traces.extend(f"    {step}\n" for step in result.finding.trace)
    if options.keep:
        TRACES.write_text("".join(traces))
    return int(broken)


def _say(name: str, result: Result, began: float) -> None:
    for line in _lines(name, result, time.process_time() - began):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _lines(name: str, result: Result, seconds: float) -> Iterator[str]:
    found = result.finding
    law = f"   breaks in {len(found.trace)}: {found.law}" if found else ""
    yield f"{name:36}{result.states:>9} states{result.steps:>10} steps  depth {result.depth:>2}{seconds:>7.1f} s{law}"


if __name__ == "__main__":
    sys.exit(main())
