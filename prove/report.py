"""Tells what a campaign found: as a page for people, and as JSON.

The law: every number is counted, none is rounded in anybody's favour, and a page says how to get it again.
"""

from __future__ import annotations

import json
import platform
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from os import cpu_count
from pathlib import Path
from typing import Any, Final

from prove.campaign import RECOVERY, Campaign, Phase
from prove.records import FLAT, NOT_NOW

LAWS: Final = {
    "false_negative": "A flat no was true at a revision that was the head at some moment between request and answer",
    "wrong_reason": "… and for the reason it gave",
    "misdated": "… and at the revision it named",
    "illegal_plan": "A plan names channels, keys and tiers that are eligible at the revision it carries",
    "older_than_token": "An answer to a token is of its state or a later one",
    "seen_and_gone": "What was called visible is never answered otherwise by an unmarked plan",
    "went_back": "A router never answers, unmarked, from before what it answered already",
    "false_lost_branch": "A token is called lost only when it is",
    "unavailable": "Outside faults there is no UNVERIFIED, STALE, NOT_READY, and no pick without an answer",
    "fault_reported": "No client sees an internal fault",
    "late_recovery": f"A fresh change is in force everywhere within {RECOVERY:.0f} s of a fault's end",
    "acknowledged_and_lost": "A change acknowledged is in the history under its request id",
    "refused_and_committed": "A change refused is not in the history",
    "unsound_catalog": "Stamps, digest, counts and tombstones are true after each phase",
    "diverged": "After each phase every router holds the head, with its digest",
}


@dataclass(frozen=True, slots=True)
class Result:
    """A campaign in numbers."""

    seed: int
    seconds: float
    machine: str
    picks: int
    negatives: int
    near_a_change: int
    changes: int
    broken: dict[str, int]
    answers: dict[str, int]
    counts: dict[str, int]
    mutations: dict[str, int]
    phases: list[dict[str, Any]]
    violations: list[dict[str, Any]]
    visible_seconds: dict[str, float]
    ages: dict[str, float]
    faults_logged: dict[str, int]

    @property
    def sound(self) -> bool:
        """Whether no law was broken."""
        return not self.broken


def result_of(campaign: Campaign, seed: int, seconds: float) -> Result:
    """Count a campaign."""
    counts = campaign.findings.counts
    ledger = campaign.mutators.ledger
    return Result(
        seed=seed,
        seconds=round(seconds, 1),
        machine=f"{cpu_count()} cores, Python {platform.python_version()}, {platform.system()}",
        picks=counts["picks"],
        negatives=counts["proven negatives"],
        near_a_change=counts["near a change"],
        changes=ledger.counts["acknowledged"],
        broken=dict(campaign.findings.broken),
        answers={name.removeprefix("answer "): n for name, n in counts.most_common() if name.startswith("answer ")},
        counts={name: number for name, number in sorted(counts.items()) if not name.startswith("answer ")},
        mutations=dict(sorted(ledger.counts.items())),
        phases=[_told(phase) for phase in campaign.phases],
        violations=[asdict(violation) for violation in campaign.findings.violations],
        visible_seconds=_quantiles(ledger.seconds),
        ages=_quantiles(campaign.findings.ages),
        faults_logged=campaign.cluster.faults_logged(),
    )


def _told(phase: Phase) -> dict[str, Any]:
    told = ("fault", "seconds", "recovery", "pause", "tries")
    return {name: getattr(phase, name) for name in told} | {"counts": dict(phase.counts)}


def write_json(result: Result, path: Path) -> None:
    """Write everything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(result), indent=1, default=dict) + "\n", encoding="utf-8")


def page(result: Result, phases: Sequence[Phase], command: str) -> str:
    """Write the page for people."""
    verdict = "no law was broken" if result.sound else f"**{sum(result.broken.values())} breaches**"
    return "\n".join(
        [
            "# The proof, last run",
            "",
            f"<!-- Written by `{command}`; do not edit. -->",
            "",
            f"{time.strftime('%Y-%m-%d', time.gmtime())}, {result.seconds:.0f} s on {result.machine}: {verdict}.",
            f"Run it again with `{command} --seed {result.seed}`: the same faults, changes and picks are drawn, though",
            f"processes are never scheduled the same way twice. All that was counted: `prove/results/{result.seed}.json`.",
            "",
            *_summary(result),
            "",
            "## Laws",
            "",
            "| law | breaches |",
            "| --- | ---: |",
            *(f"| {text} (`{law}`) | {result.broken.get(law, 0)} |" for law, text in LAWS.items()),
            "",
            "## Answers",
            "",
            "| answer | picks |",
            "| --- | ---: |",
            *(f"| {_named(name)} | {number:,} |" for name, number in result.answers.items()),
            "",
            "## Faults",
            "",
            "Each ran under full load. Put off: UNVERIFIED, STALE or NOT_READY while it lasted. Recovery: from its end",
            "until a change made then was in force on every router, unmarked.",
            "",
            "| fault | times | longest, s | picks | put off | marked degraded | no answer | slowest recovery, s |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *_faults(phases),
            "",
        ]
    )


def _summary(result: Result) -> list[str]:
    visible, ages = (
        [part[name] * 1e3 for name in ("p50", "p99", "max")] for part in (result.visible_seconds, result.ages)
    )
    near = result.near_a_change / max(1, result.picks)
    lost = result.counts.get("revisions lost with a primary", 0)
    pauses = result.counts.get("pauses of the proof itself", 0)
    tokens = result.counts.get("reads proven not older than their token", 0)
    return [
        "| what | how many |",
        "| --- | ---: |",
        f"| picks | {result.picks:,} |",
        f"| … within 100 ms of a change to what they asked for | {result.near_a_change:,} ({near:.0%}) |",
        f"| negatives, each proven against the history | {result.negatives:,} |",
        f"| reads with a token, each proven not older than it | {tokens:,} |",
        f"| changes acknowledged | {result.changes:,} |",
        f"| times that the proof itself stood still for over half a second | {pauses} |",
        f"| revisions lost with a primary, by design | {lost:,} |",
        f"| from call to answer of a change in force everywhere, p50 / p99, ms | {visible[0]:.0f} / {visible[1]:.0f} |",
        f"| age of unmarked plans, faults included, p50 / p99 / oldest, ms | {ages[0]:.0f} / {ages[1]:.0f} / {ages[2]:.0f} |",
    ]


def _faults(phases: Sequence[Phase]) -> list[str]:
    lines = []
    for name in sorted({phase.fault for phase in phases}):
        of = [phase for phase in phases if phase.fault == name]
        counts: Counter[str] = Counter()
        for phase in of:
            counts.update(phase.counts)
        put_off = sum(counts[f"answer {reason}"] for reason in NOT_NOW)
        unanswered = sum(number for key, number in counts.items() if key.startswith("answer no answer"))
        slowest = max((phase.recovery if phase.recovery is not None else 99.0) for phase in of)
        longest = max(phase.seconds for phase in of)
        lines.append(
            f"| {name} | {len(of)} | {longest:.1f} | {counts['picks']:,} | {put_off:,} | "
            f"{counts['marked degraded']:,} | {unanswered:,} | {slowest:.2f} |"
        )
    return lines


def _named(name: str) -> str:
    return name if name == "plan" else f"`{name}`" + (" (a proven no)" if name in FLAT else "")


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values) or [0.0]
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {name: round(ordered[min(len(ordered) - 1, int(len(ordered) * part))], 6) for name, part in at.items()}
