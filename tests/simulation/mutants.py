"""Faulty versions of what is tested: each breaks one law in one place, and the simulation must catch every one.

The law: a mutant changes as little as it can, so that what catches it is the law that it breaks. They stand here and not in a
test since `python -m tests.simulation --mutant NAME` shows the shortest story of any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from admin_svc.fanout import Peer
from admin_svc.records import RouterLease
from admin_svc.records import Token as AdminToken
from router_svc.catalog import Loaded
from router_svc.desk import Decided, Desk, Request
from router_svc.follower import Action, Follower, State, Trust
from router_svc.lineage import Lineage, Standing
from router_svc.picker import decide
from router_svc.snapshot import Head, Token
from tests.simulation.database import Catalog, Database
from tests.simulation.nodes import EPOCH, Parts, WatchedCache, WatchedFanout
from tests.simulation.session import Session
from tests.simulation.virtual import here
from trunkline.errors import NotReady


class ClearsWantedAfterTheLoad(Follower):
    """What asked for a refresh during a load is forgotten when the load ends."""

    def loaded(self, head: Head, now: float) -> list[Action]:
        """Forget."""
        self._load_wanted = False
        return super().loaded(head, now)


class ForgetsAFailedLoad(Follower):
    """A load that failed is not tried again before something asks for it."""

    def load_failed(self, now: float, *, disagreed: bool) -> list[Action]:
        """Forget."""
        wanted = self._load_wanted
        self._load_pace.not_before = now + 1000.0
        super().load_failed(now, disagreed=disagreed)
        self._load_wanted = wanted
        return self._actions(now)


class JoinsARunningHeadRead(Follower):
    """A proof is answered by a head read that began before it was asked for."""

    def head_read(self, head: Head | None, now: float) -> list[Action]:
        """Count the read from its end."""
        if self._head_reading is not None:
            self._head_reading = now
        return super().head_read(head, now)


class CountsALoadFromItsEnd(Follower):
    """A load proves what was asked while it ran."""

    def loaded(self, head: Head, now: float) -> list[Action]:
        """Count the read from its end."""
        if self._loading is not None:
            self._loading = now
        return super().loaded(head, now)


class TrustsHints(Follower):
    """A hint that names the state applied proves it."""

    def hint(self, token: Token, now: float) -> list[Action]:
        """Believe."""
        if self.applied is not None and token == self.applied.token:
            self._confirm(now)
        return super().hint(token, now)


class CountsTheLeaseFromTheAnswer(Follower):
    """The lease lasts longer here than in the database."""

    def leased(self, now: float, *, granted: bool) -> list[Action]:
        """Count the renewal from its end."""
        if self._renewing is not None:
            self._renewing = now
        return super().leased(now, granted=granted)


class ServesAtOnceAfterALapse(Follower):
    """A router that let its lease lapse is trusted again as soon as it has a new one."""

    def state(self, now: float) -> State:
        """Ask for nothing but the lease."""
        if self.applied is None:
            return State.STARTING
        return State.SERVING if now < self._lease_end else State.DEGRADED


class NeverMarks(Follower):
    """Answers are never marked."""

    def trust(self, now: float) -> Trust:
        """Trust."""
        return super().trust(now)._replace(degraded=False)


class NeverPolls(Follower):
    """Who hears no hint stays where it is."""

    def tick(self, now: float) -> list[Action]:
        """Do everything but poll."""
        self._next_poll = now + 1000.0
        return super().tick(now)


class InstallsAnOlderLoad(WatchedCache):
    """A second loader ends after a newer one, and installs what it has."""

    _last: Loaded | None = None

    def _install(self, loaded: Loaded, began: float) -> None:
        last, self._last = self._last, loaded
        super()._install(loaded, began)
        if last is not None and here().rng.random() < 0.1:
            here().call_later(0.02, lambda: WatchedCache._install(self, last, began))


class _NumbersOnly(Lineage):
    def standing(self, token: Token) -> Standing:
        return Standing.AHEAD if token.revision > self._applied else Standing.REACHED


class ComparesNumbersOnly(WatchedCache):
    """A token is reached when its number is."""

    def __init__(self, *around: Any) -> None:
        super().__init__(*around)
        self._lineage = self._lookups._lineage = _NumbersOnly()


class RefusesAtOnce(Desk):
    """A refusal goes out without a proof."""

    def at_once(self, request: Request, _arrival: float) -> Decided | None:
        """Decide by what is held."""
        snapshot = self._cache.snapshot
        if snapshot is None:
            return Decided(NotReady(), None)
        if request.min_token is not None and not self._cache.known(request.min_token):
            return None
        return Decided(decide(snapshot, request.ask, EPOCH, self._open_key), snapshot)


class ReadsAReplica(Session):
    """A head is read where not every commit has arrived yet."""

    def _state(self) -> Catalog:
        database: Database = self._path.database
        now = self._path._universe.now
        return database.between(now - 0.05, now - 0.05)[-1]


class CountsTheDegraded(WatchedFanout):
    """A router has a change whatever it says of its state."""

    def _has(self, peer: Peer, token: AdminToken) -> bool:
        applied = peer.report.applied
        return applied is not None and applied.revision >= token.revision


class BelievesTheTable(WatchedFanout):
    """Nobody is waited for of whom a new database, or one whose clock went ahead, knows no lease."""

    def _take_leases(self, leases: Iterable[RouterLease], now: float) -> None:
        """Notice nothing."""
        self._moved = False
        super()._take_leases(leases, now)


class CountsHints(WatchedFanout):
    """A router that was told of a change has it."""

    def _has(self, peer: Peer, token: AdminToken) -> bool:
        return super()._has(peer, token) or (peer.said is not None and peer.said.revision >= token.revision)


MUTANTS: Final[Mapping[str, Parts]] = {
    mutant.__name__: Parts(**{part: mutant})  # type: ignore[arg-type]  # each in its own place
    for part, mutants in {
        "follower": (
            ClearsWantedAfterTheLoad,
            ForgetsAFailedLoad,
            JoinsARunningHeadRead,
            CountsALoadFromItsEnd,
            TrustsHints,
            CountsTheLeaseFromTheAnswer,
            ServesAtOnceAfterALapse,
            NeverMarks,
            NeverPolls,
        ),
        "cache": (InstallsAnOlderLoad, ComparesNumbersOnly),
        "desk": (RefusesAtOnce,),
        "session": (ReadsAReplica,),
        "fanout": (CountsTheDegraded, BelievesTheTable, CountsHints),
    }.items()
    for mutant in mutants
}
