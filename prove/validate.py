"""`python -m prove.validate --dsn … LOG…`: holds the logs of a deployment against its `revisions`; it changes nothing.

The law: what is told is what the logs and the database prove, and no more. A claim is *proven* when both say so, *false*
when they contradict each other, and *open* when neither can tell any more, since the catalog keeps what is, not what was:

* A negative names a revision. It is stale when another revision is known to have been the head since longer than the pick
  may have waited. It is false when a channel that has not changed since that revision serves the pair by itself now. It is
  proven when no channel that serves the pair now, and none touched or deleted since, can have served it then.
* A plan names a revision that exists and that was committed when the plan was made, and no channel that was deleted before.
* A change acknowledged is in the history under its request id.
* The history itself has no gap, its times do not go back, and the catalog's stamps are true.

It reads the router's `[Distributor] no available channel`, the relay's `[Distributor] …`, the admin's `mutation committed`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import psycopg

LONGEST_WAIT: Final = 60.0
"""Seconds that a pick may have waited for its proof at most, where its line does not say how long it did."""
_SLACK: Final = 1.0  # seconds by which clocks of two machines may differ
_SHOWN: Final = 20

_BY_THE_PICK: Final = frozenset({"excluded", "counts_by_more_specific_name", "no_usable_key"})
"""Why a channel may be out though the catalog has it on: the pick excluded it, or its sealed keys do not open."""

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Revision:
    """One row of `revisions`; `time` (seconds since the epoch) is when its writer had the head, shortly before its commit."""

    number: int
    time: float
    request_id: str | None
    touched: frozenset[int]
    touched_count: int


@dataclass(frozen=True, slots=True)
class Serving:
    """One channel as it is now, where it serves one pair."""

    channel_id: int
    revision: int
    """Of its last change."""
    able: bool


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the database knows."""

    revisions: Mapping[int, Revision]
    serving: Mapping[tuple[str, str], Sequence[Serving]]
    """By group and declared model."""
    deleted: Mapping[int, int]
    """Revision of the deletion, by channel."""
    unsound: Sequence[str] = ()

    @property
    def oldest(self) -> int:
        """The oldest revision kept."""
        return min(self.revisions, default=0)

    @property
    def newest(self) -> int:
        """The head."""
        return max(self.revisions, default=0)

    def over_since(self, number: int) -> float | None:
        """From when a revision was surely not the head: when the writer after the next had the lock; None if unknown."""
        after = self.revisions.get(number + 2)
        return after.time if after is not None else None


@dataclass(slots=True)
class Verdicts:
    """What was found."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    oldest_plan: float = 0.0
    """Seconds that the state of a plan had surely been over when its request began, at most."""

    def fault(self, what: str) -> None:
        """Note a contradiction."""
        self.counts["contradictions"] += 1
        self.faults.append(what)


def judge(lines: Iterable[Line], deployment: Deployment) -> Verdicts:
    """Hold log lines against a deployment."""
    verdicts = Verdicts()
    _judge_history(deployment, verdicts)
    for line in lines:
        event = str(line.get("event", ""))
        if event.endswith("no available channel") and "revision" in line:
            _judge_negative(line, deployment, verdicts)
        elif event.startswith("[Distributor]") and "decision_id" in line and "channel_ids" in line:
            _judge_plan(line, deployment, verdicts)
        elif event == "mutation committed":
            _judge_change(line, deployment, verdicts)
    return verdicts


def _judge_history(deployment: Deployment, verdicts: Verdicts) -> None:
    for what in deployment.unsound:
        verdicts.fault(f"the catalog's own check says: {what}")
    ordered = [deployment.revisions[number] for number in sorted(deployment.revisions)]
    verdicts.counts["revisions"] = len(ordered)
    for before, after in pairwise(ordered):
        if after.number != before.number + 1:
            verdicts.fault(f"revisions {before.number + 1} to {after.number - 1} are missing")
        if after.time < before.time - _SLACK:
            verdicts.fault(f"revision {after.number} is older than {before.number}")


def _judge_negative(line: Line, deployment: Deployment, verdicts: Verdicts) -> None:
    number, said = int(line["revision"]), _time(line)
    verdicts.counts["negatives"] += 1
    if number > deployment.newest:
        verdicts.fault(f"a no names revision {number}, which does not exist: {_short(line)}")
        return
    waited = float(line["waited_ms"]) / 1e3 if "waited_ms" in line else LONGEST_WAIT
    over = deployment.over_since(number)
    if over is not None and over < said - waited - _SLACK:
        verdicts.fault(f"a no names a revision that was over before it was asked for: {_short(line)}")
        return
    verdicts.counts["negatives that were fresh, or may have been as far as their lines tell"] += 1
    # The caller's groups as the router joined them.
    serving = [
        entry
        for (group, declared), entries in deployment.serving.items()
        if group in str(line["group"]).split(",") and _matches(declared, str(line["model"]))
        for entry in entries
    ]
    out = dict(line.get("out") or {})
    false = [
        entry.channel_id
        for entry in serving
        if entry.able and entry.revision <= number and out.get(str(entry.channel_id)) not in _BY_THE_PICK
    ]
    if false:
        verdicts.fault(f"channels {false} served this pair and have not changed since: {_short(line)}")
    elif _settled_since(number, serving, deployment):
        verdicts.counts["negatives proven true at their revision"] += 1
    else:
        verdicts.counts["negatives open: what they were about has changed since"] += 1


def _settled_since(number: int, serving: Sequence[Serving], deployment: Deployment) -> bool:
    """Tell whether nothing that could have served was changed after a revision."""
    if number < deployment.oldest or any(entry.revision > number for entry in serving):
        return False
    later = [revision for revision in deployment.revisions.values() if revision.number > number]
    return all(not revision.touched_count for revision in later)


def _judge_plan(line: Line, deployment: Deployment, verdicts: Verdicts) -> None:
    number = int(line["revision"])
    verdicts.counts["plans"] += 1
    if number > deployment.newest:
        verdicts.fault(f"a plan names revision {number}, which does not exist: {_short(line)}")
        return
    revision = deployment.revisions.get(number)
    begun = _time(line) - float(line.get("duration_ms", 0.0)) / 1e3
    if revision is not None and revision.time > _time(line) + _SLACK:
        verdicts.fault(f"a plan names a revision of the future: {_short(line)}")
    over = deployment.over_since(number)
    if over is not None:
        verdicts.oldest_plan = max(verdicts.oldest_plan, begun - over)
    gone = [channel for channel in line["channel_ids"] if deployment.deleted.get(channel, number + 1) <= number]
    if gone:
        verdicts.fault(f"a plan names channels {gone}, deleted before its revision: {_short(line)}")
    verdicts.counts["plans consistent with the history"] += not gone


def _judge_change(line: Line, deployment: Deployment, verdicts: Verdicts) -> None:
    number = int(line["revision"])
    verdicts.counts["changes acknowledged"] += 1
    if number < deployment.oldest:
        verdicts.counts["changes older than the history kept"] += 1
        return
    revision = deployment.revisions.get(number)
    if revision is None or (revision.request_id is not None and revision.request_id != line.get("request_id")):
        verdicts.fault(f"a change acknowledged is not in the history (a failover loses some by design): {_short(line)}")
    else:
        verdicts.counts["changes found in the history"] += 1


def _matches(declared: str, model: str) -> bool:
    return declared == model or (declared.endswith("*") and model.startswith(declared[:-1]))


def _time(line: Line) -> float:
    return datetime.fromisoformat(str(line["time"])).timestamp()


def _short(line: Line) -> str:
    return json.dumps(line)[:400]


# ---------------------------------------------------------------------- reading

_REVISIONS: Final = """
SELECT revision, extract(epoch FROM change_time)::float8, request_id, touched_channels, touched_count FROM revisions
"""
_SERVING: Final = """
SELECT a."group", a.model, c.id, c.revision, a.effective AND (
    NOT EXISTS (SELECT FROM channel_keys AS k WHERE k.channel_id = c.id)
    OR EXISTS (SELECT FROM channel_keys AS k WHERE k.channel_id = c.id AND k.status = 'ENABLED')
)
FROM abilities AS a JOIN channels AS c ON c.id = a.channel_id
"""
_DELETED: Final = "SELECT id::bigint, revision FROM tombstones WHERE kind = 'channel'"


def read_deployment(dsn: str) -> Deployment:
    """Read what the database knows, in one consistent read."""
    with psycopg.connect(dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        serving: dict[tuple[str, str], list[Serving]] = {}
        for group, model, *entry in connection.execute(_SERVING):
            serving.setdefault((group, model), []).append(Serving(*entry))
        return Deployment(
            revisions={
                number: Revision(number, moment, request_id, frozenset(touched), count)
                for number, moment, request_id, touched, count in connection.execute(_REVISIONS)
            },
            serving=serving,
            deleted=dict(connection.execute(_DELETED).fetchall()),
            unsound=[str(row) for row in connection.execute("SELECT * FROM catalog_digest_check()")],
        )


def read_lines(paths: Iterable[Path]) -> Iterator[Line]:
    """Read every JSON line of some logs; other lines are passed over."""
    for path in paths:
        with path.open(encoding="utf-8", errors="replace") as log:
            for text in log:
                if text.startswith("{"):
                    try:
                        line = json.loads(text)
                    except ValueError:
                        continue
                    if isinstance(line, dict) and "time" in line:
                        yield line


def main(arguments: Sequence[str] | None = None) -> int:
    """Validate; the exit status is 1 when something contradicts."""
    parser = argparse.ArgumentParser(prog="python -m prove.validate")
    parser.add_argument("--dsn", required=True, help="the catalog's database, read only")
    parser.add_argument("logs", nargs="+", type=Path, help="logs of routers, relays and admins, JSON lines")
    options = parser.parse_args(arguments)
    verdicts = judge(read_lines(options.logs), read_deployment(options.dsn))
    for name, number in sorted(verdicts.counts.items()):
        sys.stdout.write(f"{number:>10,}  {name}\n")
    sys.stdout.write(f"{verdicts.oldest_plan:>10.3f}  seconds: the oldest plan\n")
    for fault in verdicts.faults[:_SHOWN]:
        sys.stdout.write(f"CONTRADICTION: {fault}\n")
    return 1 if verdicts.faults else 0


if __name__ == "__main__":
    sys.exit(main())
