"""What one walk is about: how much may happen, which rules are left out, and the laws that are looked at.

The law: everything a walk depends on stands here, so that a scope and a set of flaws name it completely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.model.flaws import Flaw
from tests.model.states import Router

FALSE_NEGATIVE: Final = "a refusal was true at some moment between the pick and its answer"
NOT_AS_NAMED: Final = "a snapshot is what its token names"
SERVED_OFF: Final = "no plan goes by a row that can be read to be off"
OLD_OVER_NEW: Final = "no snapshot is installed over a newer one of the same history"
LOST_REFRESH: Final = "a refresh that was asked for is still wanted until a load reads"
SEEN_OLDER: Final = "what was called visible is in every unmarked answer"
NOT_REACHED: Final = "a token called reached is in the history of what answers, and one called lost is lost"
UNSETTLED: Final = "every router comes to the head and every pick to an answer, once faults stop"


@dataclass(frozen=True, slots=True)
class Scope:
    """What may happen, and how often."""

    routers: int = 1
    keys: int = 2
    commits: int = 2
    failovers: int = 0
    jumps: int = 0
    """How often the database's clock may go ahead, so far that every lease is over by it."""
    restarts: int = 0
    alterations: int = 0
    """How often what a router holds in memory may be altered, until a scrub finds it."""
    faults: int = -1
    """Reads, renewals and hints that fail, and leases that run out; -1: as many as may be."""
    picks: bool = False
    """Whether picks arrive, one at a time at each router."""
    tokens: bool = False
    """Whether picks arrive that name a token."""
    recalls: bool = True
    """Whether routers know the whole history of their snapshot; otherwise they look tokens up."""
    leases: bool = False
    """Whether routers hold leases; without, each is trusted for ever."""
    forgets: bool = False
    """Whether a failover may lose leases. Then every router is waited for until the time of one is over."""
    waits: bool = False
    """Whether an admin waits for changes to be visible."""
    hints: int = 0
    """Hints on their way to one router at a time."""
    writers: int = 0
    """Transactions open at a time; 0: a change is one step."""
    faulty_rows: bool = False
    """Whether changes may write rows that cannot be read."""
    cache: bool = True
    """Whether picks go by the snapshot."""
    swift: bool = False
    """Whether a read sees the database in the moment it begins, and a renewal is written in the moment it is sent. Its answer
    may be as late as ever. Left out is only that a read counts as older than what it saw, which makes it prove less."""


@dataclass(frozen=True, slots=True)
class Rules:
    """One walk."""

    scope: Scope
    flaws: frozenset[Flaw]

    @property
    def follows(self) -> bool:
        """Whether routers follow the head."""
        return self.scope.cache or Flaw.TIED_TO_CACHE not in self.flaws


class Event(NamedTuple):
    """Something that may happen at one router."""

    name: str
    router: Router
    """As it is afterwards."""
    fair: bool = True
    fault: bool = False
    """Whether it counts among the scope's faults."""
    wrong: str = ""
    """The law that it breaks."""


def fault(name: str, router: Router) -> Event:
    """Something that fails or runs out."""
    return Event(name, router, fair=False, fault=True)
