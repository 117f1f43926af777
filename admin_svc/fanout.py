"""Decides what routers are told and when a change counts as visible; waits for nothing and asks no clock.

The law: a router counts as having a change only while it says SERVING, at a state that is in our lineage and not older than
the change, and only routers whose lease was live when the wait began are counted. What the table says of a lease is not
believed where it may be wrong: after a failover, and when the database's clock went ahead, every router that was known is
taken to hold one for as long as one lasts. A hint is only a hint: at most one is on its way to a router, newer ones merge
into the next, and losing any of them loses nothing. The broadcaster feeds this with what it reads and hears, and does what
`next_hint` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, Literal

from admin_svc.records import RouterLease, Sight, Token

WaitMode = Literal["NONE", "QUORUM", "ALL"]

SERVING: Final = "SERVING"
LEASE: Final = 5.0
"""Seconds that the lease of a router lasts (router_svc/lease.py), from before it was granted."""
_DRIFT: Final = 0.001
"""Seconds by which two clocks may part in one second."""
_LINEAGE_KEPT: Final = 4_096
"""Revisions whose chain is remembered; what is older is asked for again."""
_COMMITS_KEPT: Final = 1_024
"""Commits whose propagation is measured at a time."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a router says of itself: the state it has in force, and how far it can be trusted."""

    applied: Token | None
    state: str


@dataclass(slots=True)
class Peer:
    """One router as seen from here."""

    lease: RouterLease
    heard: Report | None = None
    """Its last word on the stream; None while there is no stream."""
    said: Token | None = None
    """The head last sent on this stream."""
    outstanding: bool = False
    """A hint is on its way: the router has not spoken since."""
    measured: int | None = None
    """The newest revision whose propagation to this router was measured; None before its first word."""
    held_until: float = -inf
    """Until when it may hold a lease whatever the table says."""
    held: bool = False
    """Whether it may so, as of the last read."""

    @property
    def live(self) -> bool:
        """Whether it may answer unmarked."""
        return self.lease.live or self.held

    @property
    def report(self) -> Report:
        """Its newest word: from the stream, or else from its lease row."""
        return self.heard or Report(self.lease.applied, self.lease.state)


@dataclass(eq=False, slots=True)
class Wait:
    """A caller waiting for a change to be visible."""

    token: Token
    of: int
    need: int
    missing: set[str]
    visible: set[str] = field(default_factory=set)
    lapsed: set[str] = field(default_factory=set)

    @property
    def done(self) -> bool:
        """Whether there is nothing more to wait for."""
        return len(self.visible) >= self.need or not self.missing


@dataclass(frozen=True, slots=True)
class Visibility:
    """Where a change is in force; ids are sorted."""

    visible_on: int
    of: int
    lagging: tuple[str, ...]
    lapsed: tuple[str, ...]


class Lineage:
    """What is known of the catalog's history: the chain of each revision, "" for one that is not in it."""

    def __init__(self) -> None:
        self._chains: dict[int, str] = {}

    @property
    def newest(self) -> int:
        """The newest revision known to exist; 0 when none is."""
        return max((revision for revision, chain in self._chains.items() if chain), default=0)

    def holds(self, token: Token) -> bool | None:
        """Tell whether a state is in the history; None when that must be looked up."""
        chain = self._chains.get(token.revision)
        return None if chain is None else chain == token.chain

    def learn(self, chains: Mapping[int, str]) -> None:
        """Take facts, and forget the oldest past the bound."""
        self._chains.update(chains)
        if len(self._chains) > 2 * _LINEAGE_KEPT:
            for revision in sorted(self._chains)[:-_LINEAGE_KEPT]:
                del self._chains[revision]

    def forget(self) -> None:
        """Forget all: the history is another one."""
        self._chains.clear()


class Fanout:
    """Every router with what it was told and what it said, and every wait for them."""

    def __init__(self) -> None:
        self.head: Token | None = None
        self.lineage = Lineage()
        self.peers: dict[str, Peer] = {}
        self._server: str | None = None
        self._moved = False
        """Whether the database, or its clock, became another one since the last read of the leases."""
        self._ahead, self._read_at = inf, 0.0
        """By how many seconds the database's clock may be ahead of ours at most, and when that was found."""
        self._waits: set[Wait] = set()
        self._commits: deque[tuple[Token, float]] = deque(maxlen=_COMMITS_KEPT)

    # --- what comes in ----------------------------------------------------------------------------------------------

    def note_commit(self, token: Token, now: float) -> None:
        """Take a state that was just committed here, at `now` seconds of the caller's clock.

        One that is no newer than what was known, and not part of it, is on another branch: what was learned of the old one
        is forgotten, or a router left behind there would count as having it.
        """
        if token.revision <= self.lineage.newest and self.lineage.holds(token) is not True:
            self._leave_branch()
        self._commits.append((token, now))
        self._advance(token)

    def observe(self, sight: Sight, newest_before: int, began: float, now: float) -> None:
        """Take one read of the head and the leases, made from `began` to `now`; `newest_before` is `lineage.newest` then.

        A head behind what was known before, or with another chain, is another branch of history: a restore, or a failover
        to a replica that lagged. What was learned of the old one is forgotten, but for who may hold a lease.
        """
        if sight.head.revision < newest_before or self.lineage.holds(sight.head) is False:
            self._leave_branch()
        moved = self._clock_jumped(sight.clock, began, now) or self._server not in {None, sight.server}
        self._moved |= moved
        self._server = sight.server
        self._advance(sight.head)
        self._take_leases(sight.leases, now)
        for wait in self._waits:
            self._lapse(wait)
        self._review(self.peers)

    def hear(self, router_id: str, report: Report, now: float) -> list[float]:
        """Take a router's word; answers the seconds that commits of this admin took to be in force there."""
        peer = self.peers.get(router_id)
        if peer is None:
            return []
        peer.heard, peer.outstanding = report, False
        self._review((router_id,))
        return self._measure(peer, now)

    def lose(self, router_id: str) -> None:
        """Take it that the stream to a router broke: what it said there is no longer its newest word."""
        peer = self.peers.get(router_id)
        if peer is not None:
            peer.heard, peer.said, peer.outstanding = None, None, False

    def learn(self, asked: Iterable[int], chains: Mapping[int, str]) -> None:
        """Take the answer to a look-up of revisions; one that was asked for and is not there is in no history."""
        self.lineage.learn({revision: chains.get(revision, "") for revision in asked})
        self._review(self.peers)

    # --- what goes out ----------------------------------------------------------------------------------------------

    def is_due(self, router_id: str) -> bool:
        """Tell whether there is a head to send to a router now."""
        peer = self.peers.get(router_id)
        if peer is None or peer.outstanding or self.head is None or peer.said == self.head:
            return False
        return peer.heard is None or peer.heard.applied != self.head

    def next_hint(self, router_id: str) -> Token | None:
        """Name the head to send to a router now, if any; taking it counts as sending it."""
        return self.repeat_head(router_id) if self.is_due(router_id) else None

    def repeat_head(self, router_id: str) -> Token | None:
        """Name the head to send whatever was sent before: a heartbeat, or a sync. Counts as sending it."""
        peer = self.peers.get(router_id)
        if peer is not None and self.head is not None:
            peer.said, peer.outstanding = self.head, True
        return self.head

    def unknown_revisions(self) -> set[int]:
        """Name revisions that routers say they are at and that must be looked up before their word counts."""
        applied = [peer.report.applied for peer in self.peers.values()]
        wanted = [wait.token for wait in self._waits]
        return {token.revision for token in (*applied, *wanted) if token and self.lineage.holds(token) is None}

    def is_at_unknown(self, router_id: str) -> bool:
        """Tell whether a router says that it is at a revision that must be looked up."""
        peer = self.peers.get(router_id)
        applied = peer.report.applied if peer is not None else None
        return applied is not None and self.lineage.holds(applied) is None

    def lagging(self) -> int:
        """Count routers with a live lease that are not at the head."""
        head = self.head
        return sum(1 for peer in self.peers.values() if peer.live and not (head and self._has(peer, head)))

    # --- waiting ----------------------------------------------------------------------------------------------------

    def begin_wait(self, token: Token, mode: WaitMode) -> Wait:
        """Begin to wait for every router that may hold a lease now (`QUORUM`: for more than half of them)."""
        live = {router_id for router_id, peer in self.peers.items() if peer.live}
        need = {"NONE": 0, "QUORUM": len(live) // 2 + 1, "ALL": len(live)}[mode]
        wait = Wait(token, len(live), need, live)
        self._waits.add(wait)
        self._review(live.copy())
        return wait

    def end_wait(self, wait: Wait) -> Visibility:
        """Stop waiting and tell what was reached."""
        self._waits.discard(wait)
        return Visibility(len(wait.visible), wait.of, tuple(sorted(wait.missing)), tuple(sorted(wait.lapsed)))

    def unknown(self) -> Visibility:
        """Tell that nothing can be told: which routers are live could not be read, so none is said to have the change."""
        known = tuple(sorted(self.peers)) or ("unknown",)
        return Visibility(0, len(known), known, ())

    # --- inside -----------------------------------------------------------------------------------------------------

    def _clock_jumped(self, clock: float, began: float, now: float) -> bool:
        """Tell whether the database's clock went further ahead of ours than it can have drifted since it was read last."""
        most = self._ahead + _DRIFT * (now - self._read_at)
        jumped = clock - now > most
        self._ahead, self._read_at = clock - began if jumped else min(most, clock - began), now
        return jumped

    def _take_leases(self, leases: Iterable[RouterLease], now: float) -> None:
        """See who holds a lease, or may hold one of which this database knows nothing."""
        for peer in self.peers.values() if self._moved else ():
            peer.held_until = now + LEASE
        self._moved = False
        present = {lease.id: lease for lease in leases}
        for router_id, lease in present.items():
            self.peers.setdefault(router_id, Peer(lease)).lease = lease
        for router_id, peer in list(self.peers.items()):
            peer.held = now < peer.held_until
            if router_id not in present and peer.held:
                peer.lease = replace(peer.lease, live=False)
            elif router_id not in present:
                del self.peers[router_id]

    def _leave_branch(self) -> None:
        self._moved = True
        self.lineage.forget()
        self._commits.clear()
        self.head = None

    def _advance(self, head: Token) -> None:
        self.lineage.learn({head.revision: head.chain})
        if self.head is None or head.revision > self.head.revision:
            self.head = head

    def _has(self, peer: Peer, token: Token) -> bool:
        """Tell whether a router is known to have a state in force, or a later one of the same history."""
        report = peer.report
        if report.state != SERVING or report.applied is None or report.applied.revision < token.revision:
            return False
        return bool(self.lineage.holds(token) and self.lineage.holds(report.applied))

    def _lapse(self, wait: Wait) -> None:
        """Stop waiting for routers whose lease ran out or was given up, and wait again for those that came back."""
        unseen = wait.missing | wait.lapsed
        wait.missing = {router_id for router_id in unseen if self._is_live(router_id)}
        wait.lapsed = unseen - wait.missing

    def _is_live(self, router_id: str) -> bool:
        peer = self.peers.get(router_id)
        return peer is not None and peer.live

    def _review(self, router_ids: Iterable[str]) -> None:
        """See which waits these routers now satisfy."""
        for router_id in router_ids:
            peer = self.peers.get(router_id)
            if peer is None:
                continue
            for wait in self._waits:
                if router_id in wait.missing and self._has(peer, wait.token):
                    wait.missing.discard(router_id)
                    wait.visible.add(router_id)

    def _measure(self, peer: Peer, now: float) -> list[float]:
        applied = peer.report.applied
        if applied is None or peer.report.state != SERVING or not self.lineage.holds(applied):
            return []
        before, peer.measured = peer.measured, applied.revision
        if before is None or before >= applied.revision:  # what was committed before it joined took no time to reach it
            return []
        return [now - at for token, at in self._commits if before < token.revision <= applied.revision]
