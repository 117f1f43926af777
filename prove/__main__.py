"""`python -m prove`: the long form. Faults in rounds, all of them in each, in an order of its own, until enough was seen."""

from __future__ import annotations

import argparse
import asyncio
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from prove.campaign import Campaign, Phase, Rates
from prove.cluster import Cluster
from prove.faults import FAULTS
from prove.report import Result, page, result_of, write_json

PICKS: Final = 1_000_000
CHANGES: Final = 2_000
NEGATIVES: Final = 50_000
_ROOT: Final = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the proof; the exit status is 1 when a law was broken."""
    options = _options(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    _say(f"seed {seed}: replay with --seed {seed}")
    directory = Path(tempfile.mkdtemp(prefix="trunkline-proof-"))
    directory.chmod(0o755)  # Postgres runs as another user where this one is root
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result, phases = runner.run(_prove(options, seed, directory))
    command = _command(sys.argv[1:] if arguments is None else arguments)
    write_json(result, options.results / "last.json")
    if options.report is not None:
        write_json(result, options.results / f"{seed}.json")
        options.report.write_text(page(result, phases, command), encoding="utf-8")
    _say(page(result, phases, command))
    for violation in result.violations:
        _say(f"{violation['law']} ({violation['fault']}): {violation['what']}")
    if result.sound:
        shutil.rmtree(directory, ignore_errors=True)
        return 0
    _say(f"logs are in {directory}")
    return 1


def _command(arguments: Sequence[str]) -> str:
    """Give the command that ran this, without the seed: a run without one drew its own, and the page names it."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--seed")
    return shlex.join(["python", "-m", "prove", *parser.parse_known_args(arguments)[1]])


async def _prove(options: argparse.Namespace, seed: int, directory: Path) -> tuple[Result, list[Phase]]:
    began = time.monotonic()
    cluster = Cluster(directory, admins=2, routers=options.routers, uncached=options.uncached)
    campaign = Campaign(cluster, seed, Rates(picks=options.rate, changes=options.changes_rate))
    order = random.Random(seed)
    try:
        await campaign.start()
        await _phase(campaign, None, began)
        while True:
            names = list(options.fault or FAULTS)
            order.shuffle(names)
            for name in names:
                await _phase(campaign, name, began)
            enough = campaign.findings.counts["picks"] >= options.picks
            if enough or time.monotonic() - began > options.minutes * 60:
                break
        campaign.finish()
        return result_of(campaign, seed, time.monotonic() - began), campaign.phases
    finally:
        await cluster.close()


async def _phase(campaign: Campaign, name: str | None, began: float) -> None:
    phase = await campaign.phase(FAULTS[name] if name is not None else None)
    picks, broken = campaign.findings.counts["picks"], dict(campaign.findings.broken)
    recovery = "never" if phase.recovery is None else f"{phase.recovery:.2f} s"
    _say(
        f"{time.monotonic() - began:6.0f} s  {phase.fault:50} recovery {recovery:8} "
        f"{picks:>9,} picks  {campaign.mutators.ledger.counts['acknowledged']:>5,} changes  {broken or ''}"
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m prove", description=__doc__)
    parser.add_argument("--seed", type=int, help="draw everything as an earlier run did")
    parser.add_argument("--picks", type=int, default=PICKS, help="begin no further round past this many")
    parser.add_argument("--minutes", type=float, default=14.0, help="begin no further round past this")
    parser.add_argument("--rate", type=float, default=700.0, help="picks a second and router")
    parser.add_argument("--changes-rate", type=float, default=10.0, help="changes a second")
    parser.add_argument("--routers", type=int, default=3)
    parser.add_argument("--uncached", type=int, default=0, help="how many of them read the database for each pick")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only these faults")
    parser.add_argument("--report", type=Path, help="write the page here")
    parser.add_argument("--results", type=Path, default=_ROOT / "prove" / "results")
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
