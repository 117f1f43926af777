"""What is walked: the scopes in which every law must hold, and for each flaw a scope in which one must not; and their traces.

The law: a scope is as small as what it is for allows. A flaw that another defence would catch comes with that defence
switched off, and is walked with it as well (`DEFENDED`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from tests.model import rules
from tests.model.flaws import Flaw
from tests.model.rules import Scope

SCOPES: Final[dict[str, Scope]] = {
    "picks during three changes": Scope(commits=3, picks=True),
    "hints lost, doubled and out of order": Scope(picks=True, hints=2),
    "a failover to a lagging replica": Scope(picks=True, failovers=1),
    "a failover and a restart": Scope(picks=True, failovers=1, restarts=1),
    "two writers": Scope(picks=True, writers=2),
    "rows that cannot be read": Scope(picks=True, faulty_rows=True),
    "no cache": Scope(picks=True, cache=False, leases=True, keys=1, commits=1),
    "tokens over a failover": Scope(keys=1, tokens=True, failovers=1),
    "tokens that must be looked up": Scope(keys=1, commits=3, tokens=True, failovers=1, recalls=False),
    "tokens without a cache": Scope(keys=1, tokens=True, failovers=1, cache=False),
    "memory altered": Scope(picks=True, alterations=1),
    "leases and visibility": Scope(keys=1, leases=True, waits=True),
    "leases over a restart": Scope(keys=1, commits=1, restarts=1, leases=True, waits=True),
    "leases over a failover": Scope(keys=1, failovers=1, leases=True, waits=True, swift=True),
    "leases lost in a failover and waited out": Scope(
        keys=1, commits=1, failovers=1, leases=True, forgets=True, waits=True, swift=True
    ),
    "leases over a clock that jumps": Scope(keys=1, commits=1, jumps=1, leases=True, waits=True, swift=True),
    "leases and picks over a failover": Scope(
        keys=1, commits=1, failovers=1, picks=True, leases=True, waits=True, swift=True
    ),
    "two routers over a failover": Scope(
        routers=2, keys=1, commits=1, failovers=1, faults=0, leases=True, waits=True, swift=True
    ),
    "two routers with hints and a fault": Scope(
        routers=2, keys=1, commits=1, faults=1, hints=1, leases=True, waits=True, swift=True
    ),
    "two routers with two faults": Scope(routers=2, keys=1, commits=1, faults=2, leases=True, waits=True, swift=True),
}

LONG: Final[dict[str, Scope]] = {
    "three changes and two hints": Scope(commits=3, picks=True, hints=2),
    "three changes, a hint and a failover": Scope(commits=3, failovers=1, picks=True, hints=1),
    "memory altered over a failover": Scope(commits=3, failovers=1, alterations=2, picks=True),
    "old tokens and four changes": Scope(keys=1, commits=4, failovers=1, tokens=True, recalls=False),
    "leases over a failover, step by step": Scope(keys=1, failovers=1, leases=True, waits=True),
    "leases over a failover and a restart": Scope(keys=1, failovers=1, restarts=1, leases=True, waits=True, swift=True),
    "leases lost before a second change": Scope(keys=1, failovers=1, leases=True, forgets=True, waits=True, swift=True),
    "a clock that jumps twice, and two changes": Scope(keys=1, jumps=2, leases=True, waits=True, swift=True),
    "a failover and a clock that jumps": Scope(
        keys=1, commits=1, failovers=1, jumps=1, leases=True, forgets=True, waits=True, swift=True
    ),
    "two routers over a clock that jumps": Scope(
        routers=2, keys=1, commits=1, jumps=1, faults=1, leases=True, waits=True, swift=True
    ),
    "two routers, a failover and a fault": Scope(
        routers=2, keys=1, commits=1, failovers=1, faults=1, leases=True, waits=True, swift=True
    ),
    "two routers, two changes, a failover": Scope(
        routers=2, keys=1, commits=2, failovers=1, faults=0, leases=True, waits=True, swift=True
    ),
    "two routers with picks and hints": Scope(
        routers=2, keys=1, commits=1, faults=1, hints=1, picks=True, leases=True, waits=True, swift=True
    ),
}

_PICKS: Final = Scope(picks=True, hints=1)
_FAILOVER: Final = Scope(picks=True, failovers=1)
_LEASES: Final = Scope(keys=1, leases=True, waits=True)


class Mutant(NamedTuple):
    """A flaw, where it is looked for, and the law that it breaks."""

    flaws: frozenset[Flaw]
    scope: Scope
    law: str


def _mutant(law: str, scope: Scope, *flaws: Flaw) -> tuple[Flaw, Mutant]:
    return flaws[0], Mutant(frozenset(flaws), scope, law)


MUTANTS: Final[dict[Flaw, Mutant]] = dict(
    [
        _mutant(rules.NOT_AS_NAMED, _PICKS, Flaw.TORN_READ, Flaw.BLIND_DIGEST),
        _mutant(rules.NOT_AS_NAMED, _PICKS, Flaw.EMPTY_READ, Flaw.BLIND_DIGEST),
        _mutant(rules.NOT_AS_NAMED, _FAILOVER, Flaw.WRONG_BASE, Flaw.BLIND_DIGEST),
        _mutant(rules.FALSE_NEGATIVE, Scope(picks=True, writers=2), Flaw.BARE_SEQUENCE, Flaw.BLIND_DIGEST),
        _mutant(rules.SERVED_OFF, Scope(faulty_rows=True), Flaw.QUARANTINE_OVER_DISABLE),
        _mutant(rules.OLD_OVER_NEW, _PICKS, Flaw.TWO_LOADERS),
        _mutant(rules.LOST_REFRESH, _PICKS, Flaw.LATE_CLEAR),
        _mutant(rules.FALSE_NEGATIVE, _FAILOVER, Flaw.NUMBER_ONLY, Flaw.BLIND_DIGEST),
        _mutant(rules.UNSETTLED, Scope(commits=1, hints=1), Flaw.NO_POLL),
        _mutant(rules.UNSETTLED, Scope(commits=1, picks=True, cache=False), Flaw.TIED_TO_CACHE),
        _mutant(rules.FALSE_NEGATIVE, _PICKS, Flaw.NO_PROOF),
        _mutant(rules.FALSE_NEGATIVE, _PICKS, Flaw.JOINED_READ),
        _mutant(rules.FALSE_NEGATIVE, _PICKS, Flaw.FAILED_PROOF),
        _mutant(rules.FALSE_NEGATIVE, _FAILOVER, Flaw.NEWER_IS_FINE, Flaw.BLIND_DIGEST),
        _mutant(rules.FALSE_NEGATIVE, _PICKS, Flaw.HINT_IS_PROOF),
        _mutant(rules.FALSE_NEGATIVE, _PICKS, Flaw.STALE_MEMO),
        _mutant(rules.SEEN_OLDER, _LEASES, Flaw.LEASE_FROM_ANSWER),
        _mutant(rules.SEEN_OLDER, _LEASES, Flaw.TRUST_KEPT),
        _mutant(rules.SEEN_OLDER, SCOPES["leases over a restart"], Flaw.DISK_TRUSTED),
        _mutant(rules.SEEN_OLDER, _LEASES, Flaw.DEGRADED_COUNTED),
        _mutant(rules.SEEN_OLDER, _LEASES, Flaw.LEASES_READ_EARLY),
        _mutant(rules.SEEN_OLDER, SCOPES["leases lost in a failover and waited out"], Flaw.NO_GRACE),
        _mutant(rules.SEEN_OLDER, SCOPES["leases over a failover"], Flaw.SEEN_BY_NUMBER),
        _mutant(rules.SEEN_OLDER, SCOPES["leases over a clock that jumps"], Flaw.CLOCK_JUMPS),
        _mutant(rules.NOT_REACHED, SCOPES["tokens over a failover"], Flaw.TOKEN_BY_NUMBER),
        _mutant(rules.NOT_REACHED, SCOPES["tokens that must be looked up"], Flaw.LOOKED_UP_ALONE),
        _mutant(rules.NOT_REACHED, SCOPES["tokens without a cache"], Flaw.DIRECT_UNASKED),
        _mutant(rules.FALSE_NEGATIVE, SCOPES["memory altered"], Flaw.DISTRUST_FORGOTTEN),
    ]
)

DEFENDED: Final[dict[Flaw, Scope]] = {
    Flaw.TORN_READ: _PICKS,
    Flaw.EMPTY_READ: _PICKS,
    Flaw.WRONG_BASE: _FAILOVER,
    Flaw.BARE_SEQUENCE: Scope(picks=True, writers=2),
    Flaw.BLIND_DIGEST: _FAILOVER,
}
"""Flaws that break nothing as long as every other defence stands."""

TRACES: Final = Path(__file__).with_name("traces.txt")
"""The shortest trace of each flaw: its name and the law on a line, then a step a line."""


def kept_traces() -> dict[str, tuple[str, ...]]:
    """Read the traces kept."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in TRACES.read_text().splitlines():
        if line.startswith("    "):
            found[name].append(line.strip())
        elif line and not line.startswith("#"):
            name = line.partition(":")[0]
            found[name] = []
    return {name: tuple(steps) for name, steps in found.items()}
