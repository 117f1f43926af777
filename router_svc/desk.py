"""Where picks wait: decides at once what can be, holds the rest until it is proven, and answers each within its time limit.

The law: a plan never waits, unless its caller asked for a revision. A refusal goes out only when a read that began after the
pick arrived found the snapshot at head; until then catching up may turn it into a plan. What cannot be proven in time is
UNVERIFIED, never a flat no. Picks that arrived together wait together, in one task.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from router_svc import metrics, picker
from router_svc.cache import Cache
from router_svc.lineage import Standing
from router_svc.picker import Ask, Decision, Plan
from router_svc.snapshot import Snapshot, Token
from trunkline.errors import LostBranch, NotReady, Refused, Stale, Unverified
from trunkline.telemetry import CACHE_RETRY, get_logger

log = get_logger()

TIME_LIMIT: Final = 2.0
"""Seconds that a pick may wait when its caller says nothing."""
LONGEST_LIMIT: Final = 60.0
"""Seconds that a pick may wait, whatever its caller says."""
MOST_WAITING: Final = 10_000
"""Picks that may wait in calls of their own; streams have bounds of their own."""
TURN: Final = 64
"""Picks decided in a row before others have their turn."""


class Decided(NamedTuple):
    """A decision, and the snapshot that made it (None when there was none)."""

    decision: Decision
    snapshot: Snapshot | None


class Request(NamedTuple):
    """One pick as it came."""

    id: int
    """On its stream; 0 for a call of its own."""
    ask: Ask
    min_token: Token | None
    deadline: float
    """Monotonic."""


Give = Callable[[Request, Decided], None]


class Desk:
    """Settles picks."""

    def __init__(self, cache: Cache, open_key: picker.OpenKey) -> None:
        """Take the cache, and what opens channel keys."""
        self._cache = cache
        self._open_key = open_key
        self._waiting = 0

    def at_once(self, request: Request, arrival: float) -> Decided | None:
        """Decide what can be decided without waiting; None when it must wait."""
        snapshot = self._cache.snapshot
        if snapshot is None:
            return Decided(NotReady(), None)
        if request.min_token is not None and not self._cache.known(request.min_token):
            return None
        decision = picker.decide(snapshot, request.ask, time.time(), self._open_key)
        if type(decision) is Plan or self._cache.confirmed >= arrival:
            return Decided(decision, snapshot)
        return None

    async def settle(self, waiting: Iterable[Request], arrival: float, give: Give) -> None:
        """Answer picks that arrived together and must wait, each as soon as it can be."""
        held, requests = self._cache.snapshot, list(waiting)
        left = len(requests)
        self._waiting += left
        metrics.DEFERRED.set(self._waiting)
        try:
            while requests:
                await self._cache.news(arrival, min(request.deadline for request in requests))
                saved, unsettled = _Saved(), []
                for number, request in enumerate(requests, 1):
                    decided = await self._settled(request, arrival)
                    if decided is None:
                        unsettled.append(request)
                    else:
                        left -= 1
                        self._waiting -= 1
                        saved.note(request, decided, held)
                        metrics.PICK_SECONDS.observe(time.monotonic() - arrival)
                        give(request, decided)
                    if number % TURN == 0:
                        await asyncio.sleep(0)
                saved.tell()
                requests = unsettled
        finally:
            self._waiting -= left
            metrics.DEFERRED.set(self._waiting)

    async def settle_one(self, request: Request, arrival: float) -> Decided:
        """Answer one pick, waiting if it must."""
        decided = self.at_once(request, arrival)
        if decided is None and self._waiting >= MOST_WAITING:
            return Decided(Unverified(cause=f"{MOST_WAITING} picks are waiting"), self._cache.snapshot)
        if decided is None:
            answers: list[Decided] = []
            await self.settle([request], arrival, lambda _, answer: answers.append(answer))
            decided = answers[0]
        return decided

    async def reached(self, token: Token, arrival: float, deadline: float) -> Refused | None:
        """Wait until a token is reached; tell why it will not be."""
        while True:
            refusal = await self._unreached(token, arrival, deadline)
            if not isinstance(refusal, Stale) or time.monotonic() >= deadline:
                return refusal
            await self._cache.news(arrival, deadline)

    async def proven(self, arrival: float, deadline: float) -> Refused | None:
        """Wait until the snapshot is known to be at head as of `arrival`; tell why it is not."""
        while self._cache.confirmed < arrival:
            if time.monotonic() >= deadline:
                return self._unverified() if self._cache.snapshot is not None else NotReady()
            await self._cache.news(arrival, deadline)
        return None

    async def _settled(self, request: Request, arrival: float) -> Decided | None:
        """Decide a pick that waits; None when it must go on waiting."""
        token, late = request.min_token, time.monotonic() >= request.deadline
        if token is not None:
            refusal = await self._unreached(token, arrival, request.deadline)
            if refusal is not None:
                return Decided(refusal, self._cache.snapshot) if late or not isinstance(refusal, Stale) else None
        decided = self.at_once(request._replace(min_token=None), arrival)
        return Decided(self._unverified(), self._cache.snapshot) if decided is None and late else decided

    async def _unreached(self, token: Token, arrival: float, deadline: float) -> Refused | None:
        """Tell why a token is not reached; None when it is."""
        revision = self._cache.snapshot.token.revision if self._cache.snapshot is not None else 0
        stale = Stale(wanted=token.revision, revision=revision)
        at_head = self._cache.confirmed >= arrival
        standing = await self._cache.standing(token, deadline)
        if standing is Standing.REACHED:
            return None
        if standing is Standing.FORGOTTEN:
            return stale
        # At head as of the pick's arrival, what is not in this history will not come: a token is given after its commit.
        return LostBranch(wanted=token.revision, chain=token.chain, revision=revision) if at_head else stale

    def _unverified(self) -> Unverified:
        cause = self._cache.fault or "the database did not confirm it in time"
        snapshot = self._cache.snapshot
        return Unverified(cause=cause, revision=snapshot.token.revision if snapshot is not None else None)


class _Saved:
    """Picks that catching up turned from a refusal into a plan, told in one line however many they are."""

    def __init__(self) -> None:
        self._count = 0
        self._first: tuple[Request, Plan] | None = None

    def note(self, request: Request, decided: Decided, held: Snapshot | None) -> None:
        """Look whether a pick was saved: it got a plan from another snapshot than the one held when it came."""
        decision = decided.decision
        if isinstance(decision, Plan) and request.min_token is None and decided.snapshot is not held:
            self._count += 1
            self._first = self._first or (request, decision)

    def tell(self) -> None:
        """Log them."""
        if self._first is None:
            return
        metrics.SAVED.inc(self._count)
        request, plan = self._first
        log.info(
            "%s catching up turned a refusal into a plan",
            CACHE_RETRY,
            picks=self._count,
            model=request.ask.model,
            group=plan.group,
            revision=plan.token.revision,
            decision_id=plan.decision_id,
        )
