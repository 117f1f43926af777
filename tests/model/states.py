"""What the model consists of: the database, each router with all that is on its way to and from it, and the promises made.

The law: plain values, compared by what they are, so that two histories that lead to the same situation are one state. Bits
are 0 or 1, and what is not there is a value of the same shape, so that states can be sorted. Fields called ghosts are seen by
the laws alone; no rule of the protocol may look at them.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

OFF: Final = 0
ON: Final = 1
BAD: Final = 2
"""Cannot be read, and does not say that it is off."""
BAD_OFF: Final = 3
"""Cannot be read, but its status can, and says that it is off."""

Rows = tuple[int, ...]
"""The value of each key: whether a channel serves that model."""


class Node(NamedTuple):
    """A revision token: the chain is 0 before the failover and 1 for what was committed after it."""

    revision: int
    chain: int


NOWHERE: Final = Node(-1, 0)


class Change(NamedTuple):
    """What one revision did."""

    key: int
    value: int


GAP: Final = Change(-1, OFF)
"""A number that was taken and whose transaction has not committed; only a bare sequence leaves any."""


class Database(NamedTuple):
    """The truth."""

    log: tuple[Change, ...]
    """What each revision from 1 on did."""
    fork: int
    """The last revision that the failover left; -1 before it."""
    lost: int
    """The revision that had been reached when the failover came."""
    open: tuple[tuple[int, int], ...]
    """Transactions under way: the number taken and the key to be changed."""
    grace: int
    """Whether leases given before the failover may still be held."""

    @property
    def head(self) -> Node:
        """The newest state."""
        return self.node(len(self.log))

    def node(self, revision: int) -> Node:
        """Name a state of the present history."""
        return Node(revision, int(0 <= self.fork < revision))

    def holds(self, node: Node) -> bool:
        """Tell whether a state is part of the present history."""
        return 0 <= node.revision <= len(self.log) and self.node(node.revision) == node

    def leads(self, early: Node, late: Node) -> bool:
        """Tell whether one state is another's past, or the other itself."""
        if early.revision > late.revision:
            return False
        return early.chain == late.chain or (early.chain == 0 and early.revision <= self.fork)


@cache
def stamped(log: tuple[Change, ...], keys: int) -> tuple[tuple[int, int], ...]:
    """Give each key's value and the revision that set it."""
    found = [(OFF, 0)] * keys
    for revision, change in enumerate(log, 1):
        if change != GAP:
            found[change.key] = (change.value, revision)
    return tuple(found)


@cache
def values(log: tuple[Change, ...], keys: int) -> Rows:
    """Give each key's value."""
    return tuple(value for value, _ in stamped(log, keys))


class Snapshot(NamedTuple):
    """A catalog in a router's memory."""

    node: Node
    read: Rows
    """The rows as read: what the digest is the sum of."""
    served: Rows
    """What picks go by: a row that could not be read has its last good version here."""


NOTHING: Final = Snapshot(NOWHERE, (), ())

# How far a read has come.
IDLE: Final = 0
BEGUN: Final = 1
HALF: Final = 2
"""Head read, rows not yet: only where one read is two transactions."""
HELD: Final = 3
"""Its answer is on its way, and the database may be further by now."""


class Read(NamedTuple):
    """A load or a head read under way."""

    phase: int
    whole: int
    """Of a load: everything, not only what changed."""
    proves: int
    """It began after the pick arrived that waits."""
    trusts: int
    """It began under the lease that is held."""
    sound: int
    """What it holds is what its token names. A ghost, but for the digest."""
    got: Snapshot


NO_READ: Final = Read(IDLE, 0, 0, 0, 0, NOTHING)

# How far a renewal of the lease has come.
SENT: Final = 1
WRITTEN: Final = 2
SPENT: Final = 3
"""Written so long ago that the lease which it began has run out."""


class Word(NamedTuple):
    """What a router says of itself."""

    node: Node
    serving: int


SILENCE: Final = Word(NOWHERE, 0)


class Renewal(NamedTuple):
    """A renewal of the lease under way."""

    phase: int
    word: Word


NO_RENEWAL: Final = Renewal(IDLE, SILENCE)


class Row(NamedTuple):
    """A router's lease in the database."""

    live: int
    word: Word


NO_ROW: Final = Row(0, SILENCE)


class Ask(NamedTuple):
    """One pick that waits: for a proof, or for a token when it names one."""

    waits: int
    token: Node
    proven: int
    """A read begun after its arrival found the snapshot at head."""
    looked: int
    """What the database said of its token; 0: nothing yet."""
    true: int
    """Whether a refusal has been true at some moment since its arrival. A ghost."""


NO_ASK: Final = Ask(0, NOWHERE, 0, 0, 0)

# What was found of a token in the history that the snapshot is part of.
REACHED: Final = 1
FOREIGN: Final = 2

# How the admin that waits for a change sees a router.
MISSING: Final = 1
VISIBLE: Final = 2
LAPSED: Final = 3
UNCOUNTED: Final = 4
"""It held no lease when the wait began."""


class Router(NamedTuple):
    """One router, and all that is on its way to and from it."""

    snapshot: Snapshot
    wanted: int
    full: int
    """The next load must read everything."""
    distrusted: int
    """The snapshot was found not to be what its token names, so no read confirms it."""
    loads: tuple[Read, ...]
    head_wanted: int
    head: Read
    leased: int
    """It holds its lease, by its own clock."""
    trusted: int
    """A read begun under this lease found the snapshot at head."""
    renewal: Renewal
    row: Row
    hints: tuple[Node, ...]
    """On their way, in no order; each may arrive any number of times."""
    ask: Ask
    waited: int
    """How the admin that waits sees it; 0 while none waits."""
    polled: int
    """Whether the admin's last read of the leases found one here; used by a flaw."""
    memo: int
    """Whether a refusal was computed; used by a flaw."""
    owed: int
    """A refresh was asked for and no load has read since. A ghost."""

    @property
    def altered(self) -> bool:
        """Whether picks miss what was read to be on."""
        return any(read == ON != served for read, served in zip(self.snapshot.read, self.snapshot.served, strict=True))

    @property
    def serving(self) -> bool:
        """Whether its answers go out unmarked."""
        return self.leased == 1 and self.trusted == 1 and self.snapshot.node != NOWHERE

    @property
    def word(self) -> Word:
        """What it says of itself now."""
        return Word(self.snapshot.node, int(self.serving))


class Left(NamedTuple):
    """How often something may still happen."""

    commits: int
    failovers: int
    jumps: int
    restarts: int
    alterations: int
    faults: int
    """-1: as often as may be."""


class State(NamedTuple):
    """Everything."""

    database: Database
    routers: tuple[Router, ...]
    waiting: Node
    """The change that an admin waits for; NOWHERE when none does."""
    promised: Node
    """The newest change that was called visible. A ghost."""
    left: Left
    wrong: str
    """The law that the last step broke. A ghost."""


def name_of(node: tuple[int, int]) -> str:
    """Write a token: its number, and `a` for the chain of before the failover."""
    revision, chain = node
    return f"{revision}{'ab'[chain]}"
