"""Trunkline beside its peers, in one run on one machine. `make bench`, some fifteen minutes.

`--scenarios` and `--candidates` choose some of them, `--rounds` and `--seconds` how long each is measured. With a choice
nothing is kept in `results/`, so that what is there is always a whole run.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench import machine, report, rounds
from bench.measure import SCENARIOS
from bench.peers.copying import copying
from bench.peers.envoy import envoy
from bench.peers.litellm import litellm
from bench.peers.nginx import nginx
from bench.peers.portkey import portkey
from bench.peers.tensorzero import tensorzero
from bench.peers.trunkline import trunkline
from bench.peers.upstream import canned

CANDIDATES: dict[str, rounds.Starter] = {
    "nginx": nginx,
    "copying": copying,
    "trunkline": trunkline,
    "envoy": envoy,
    "tensorzero": tensorzero,
    "portkey": portkey,
    "litellm": litellm,
}
_LEAST_ROUNDS = 5
_DESCRIPTORS = 8192


def main() -> None:
    """Measure, print and keep."""
    options = _options()
    machine.prepare(_DESCRIPTORS)
    scenarios = [SCENARIOS[name] for name in options.scenarios]
    starters = {name: CANDIDATES[name] for name in options.candidates}
    with tempfile.TemporaryDirectory() as name, canned(Path(name)) as upstream:
        directory = Path(name)
        with rounds.running(starters, upstream, directory) as found:
            results = rounds.measure(
                found, scenarios, upstream, directory, rounds=options.rounds, seconds=options.seconds
            )
    report.print_all(results, found.missing, with_bars=True)
    whole = len(scenarios) == len(SCENARIOS) and len(starters) == len(CANDIDATES) and options.rounds >= _LEAST_ROUNDS
    if whole:
        report.keep("bench", results, found.versions, found.missing, "make bench")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.full", description=__doc__)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="NAME")
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=_LEAST_ROUNDS)
    parser.add_argument("--seconds", type=float, default=4.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
