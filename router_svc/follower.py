"""The protocol by which a router follows the catalog: events in, actions out, the time as an argument.

It has no connection, no task and no clock, so it runs under virtual time. Whoever drives it tells what happened and does, in
any order and as slowly as it likes, the actions it gets back. The laws:

* One load at a time, so no older state can be installed over a newer one.
* The wanted flag is cleared when a load begins, before it reads; what asks for a refresh meanwhile sets it again, and the
  next load begins when this one has ended. So no request for a refresh is lost.
* At most one head read runs and one waits. A proof joins only the one that has not started, so a storm of them costs two
  reads a round trip, and each is answered by a read that began after it asked.
* Hints are hints: they make it load, they never tell it what is true. Polling goes on whatever hints arrive.
* The lease counts from before its renewal was sent, by our own clock, so it ends here no later than in the database. A
  router that let it lapse is trusted again only after a read begun under the new lease found it at head, since others did
  not wait for it meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final, NamedTuple

from router_svc.snapshot import Head, Token

POLL: Final = 1.0
"""Seconds between two polls of the head, at most."""
LEASE: Final = 5.0
"""Seconds that a lease lasts."""
RENEWAL: Final = 1.5
"""Seconds between two renewals of the lease."""
_JITTER: Final = 0.2  # a poll comes up to this part earlier, so that many routers do not ask at once
_RETRY: Final = 0.05  # seconds before the second try; the first comes at once, a connection may just have been cut
_SLOWEST_RETRY: Final = 1.0
_SOON: Final = 0.25  # seconds until a renewal that failed is tried again


class Load(NamedTuple):
    """Read the catalog: what changed since a state, or all of it (None)."""

    since: Token | None


class ReadHead(NamedTuple):
    """Read the head row."""

    ticket: int


class RenewLease(NamedTuple):
    """Write the lease."""


Action = Load | ReadHead | RenewLease


class State(Enum):
    """How far the snapshot can be trusted."""

    STARTING = "STARTING"
    SERVING = "SERVING"
    DEGRADED = "DEGRADED"
    DRAINING = "DRAINING"


class Trust(NamedTuple):
    """How far answers can be trusted at a moment."""

    degraded: bool
    age: float
    """Seconds since the snapshot was last known to be at head."""


@dataclass(slots=True)
class _Pace:
    """When the next try may begin after failures."""

    failures: int = 0
    not_before: float = -inf

    def failed(self, now: float, jitter: float) -> None:
        wait = min(_RETRY * 2 ** (self.failures - 1), _SLOWEST_RETRY) * (1 - jitter / 2) if self.failures else 0.0
        self.failures += 1
        self.not_before = now + wait

    def succeeded(self) -> None:
        self.failures = 0
        self.not_before = -inf


class Follower:
    """One router's side of the protocol. Times are seconds of one monotonic clock."""

    def __init__(self, *, jitter: Callable[[], float], poll: float = POLL) -> None:
        """Take randomness within 0 and 1, and the poll interval, which can only be shorter than POLL."""
        self._jitter = jitter
        self._poll = min(poll, POLL)
        self.applied: Head | None = None
        """What the snapshot in force was read as."""
        self.head: Token | None = None
        """The head as last read."""
        self.confirmed = -inf
        """When the latest read began that found the state applied to be the head."""
        self._known = -inf
        """When what came from a copy was known to be at head, before any read of ours could tell."""
        self._distrusted = False
        """Whether the state applied may not be what its token names: then no read confirms it."""
        self._next_poll = inf
        self._load_wanted = self._full_wanted = False
        self._loading: float | None = None
        self._loading_whole = False
        self._load_pace = _Pace()
        self._load_disagreed = False
        self._ticket = 0
        self._head_wanted = False
        self._head_reading: float | None = None
        self._head_pace = _Pace()
        self._renewing: float | None = None
        self._renewal_failed = False
        self._next_renewal = -inf
        self._lease_end = self._lease_begin = -inf

    # ------------------------------------------------------------------ events

    def start(self, now: float) -> list[Action]:
        """Begin to follow."""
        self._load_wanted = True
        self._next_poll = now + self._poll
        return self._actions(now)

    def tick(self, now: float) -> list[Action]:
        """The time has come that `wake_at` told, or any other."""
        if now >= self._next_poll:
            self._next_poll = now + self._poll * (1 - _JITTER * self._jitter())
            self._head_wanted = True
        return self._actions(now)

    def hint(self, token: Token, now: float) -> list[Action]:
        """Somebody says that the catalog is at a state."""
        if self.applied is not None and token.revision < self.applied.token.revision:
            # Late or doubled most likely; after a failover it may be true, and then the head read tells.
            self._head_wanted = True
        elif self.applied is None or token != self.applied.token:
            self._load_wanted = True
        return self._actions(now)

    def prove(self, now: float) -> tuple[int, list[Action]]:
        """Ask for a head read that begins from now on: its ticket."""
        self._head_wanted = True
        ticket = self._ticket + 1
        return ticket, self._actions(now)

    def head_read(self, head: Head | None, now: float) -> list[Action]:
        """The head read that ran has ended; None when it failed."""
        began, self._head_reading = self._head_reading, None
        if began is None:
            return self._actions(now)
        if head is None:
            self._head_pace.failed(now, self._jitter())
        else:
            self._answered(failed=self._head_pace.failures > 0)
            self._head_pace.succeeded()
            self.head = head.token
            self._compare(head, began)
        return self._actions(now)

    def distrust(self, now: float) -> list[Action]:
        """What is applied was found not to be what its token names: read everything, and prove nothing until then."""
        self._distrusted = self._load_wanted = self._full_wanted = True
        return self._actions(now)

    def loaded(self, head: Head, now: float) -> list[Action]:
        """The load that ran has ended and its snapshot, if it brought one, is in force."""
        self._distrusted &= self._full_wanted  # a load that ran already when distrust came does not end it
        if self._loading is not None:
            self._confirm(self._loading)
        self._loading = None
        self._answered(failed=self._load_pace.failures > 0)
        self._load_pace.succeeded()
        self.applied, self.head = head, head.token
        return self._actions(now)

    def load_failed(self, now: float, *, disagreed: bool) -> list[Action]:
        """The load that ran has failed; the next reads everything if this one was to, or read what did not add up."""
        self._loading = None
        self._load_wanted = True
        self._full_wanted |= disagreed or self._loading_whole
        self._load_disagreed = disagreed
        self._load_pace.failed(now, self._jitter())
        return self._actions(now)

    def restored(self, head: Head, now: float, age: float) -> list[Action]:
        """A copy is in force that was known to be at head so many seconds ago; it is confirmed by nothing."""
        self.applied = head
        self._known = now - max(0.0, age)
        return self._actions(now)

    def leased(self, now: float, *, granted: bool) -> list[Action]:
        """The renewal that ran has ended."""
        sent, self._renewing = self._renewing, None
        if sent is None or not granted:
            self._renewal_failed, self._next_renewal = True, now + _SOON
            return self._actions(now)
        self._answered(failed=self._renewal_failed)
        self._renewal_failed = False
        if now >= self._lease_end:
            # It may have lapsed in the database before this one was written.
            self._lease_begin = now
            self._head_wanted = True
        self._lease_end = sent + LEASE
        self._next_renewal = sent + RENEWAL
        return self._actions(now)

    # ------------------------------------------------------------------ state

    def state(self, now: float) -> State:
        """Tell how far the snapshot can be trusted."""
        if self.applied is None:
            return State.STARTING
        fresh = self.confirmed >= self._lease_begin and now - self.confirmed < LEASE
        return State.SERVING if fresh and now < self._lease_end else State.DEGRADED

    def trust(self, now: float) -> Trust:
        """Tell what answers must be marked with."""
        age = max(0.0, now - max(self.confirmed, self._known)) if self.applied is not None else 0.0
        return Trust(self.state(now) is not State.SERVING, age)

    def lease_left(self, now: float) -> float:
        """Seconds of the lease left."""
        return max(0.0, self._lease_end - now)

    @property
    def behind(self) -> bool:
        """Whether a load runs or is wanted."""
        return self._load_wanted or self._loading is not None

    def wake_at(self) -> float:
        """When `tick` must be called at the latest."""
        times = [self._next_poll]
        if self._load_wanted and self._loading is None:
            times.append(self._load_pace.not_before)
        if self._head_wanted and self._head_reading is None:
            times.append(self._head_pace.not_before)
        if self.applied is not None and self._renewing is None:
            times.append(self._next_renewal)
        return min(times)

    # ------------------------------------------------------------------ inside

    def _answered(self, *, failed: bool) -> None:
        """The database answered; where it had `failed` to, it is back, and whatever else waits for it tries at once.

        But for a load that read what did not add up: that would be read again.
        """
        if not failed:
            return
        self._head_pace.not_before = -inf
        if not self._load_disagreed:
            self._load_pace.not_before = -inf
        if self._renewal_failed:
            self._next_renewal = -inf

    def _compare(self, head: Head, began: float) -> None:
        """Hold a head that was read against what is applied."""
        if self.applied == head:
            self._confirm(began)
            return
        self._load_wanted = True
        # The same state with another sum: what we hold is not what the token names.
        self._full_wanted |= self.applied is not None and self.applied.token == head.token

    def _confirm(self, began: float) -> None:
        """A read begun at that time found the state applied to be the head."""
        if self._distrusted:
            return
        if self.confirmed < self._lease_begin <= began:
            self._next_renewal = -inf  # the lease's row says that we are degraded, and we are not any more
        self.confirmed = max(self.confirmed, began)

    def _actions(self, now: float) -> list[Action]:
        """Begin whatever may begin."""
        actions: list[Action] = []
        if self._load_wanted and self._loading is None and now >= self._load_pace.not_before:
            self._load_wanted = False
            self._loading = now
            self._loading_whole, self._full_wanted = self._full_wanted, False
            since = None if self._loading_whole or self.applied is None else self.applied.token
            actions.append(Load(since))
        if self._head_wanted and self._head_reading is None and now >= self._head_pace.not_before:
            self._head_wanted = False
            self._head_reading = now
            self._ticket += 1
            actions.append(ReadHead(self._ticket))
        if self.applied is not None and self._renewing is None and now >= self._next_renewal:
            self._renewing = now
            actions.append(RenewLease())
        return actions
