"""Where picks wait: decides at once what can be, holds the rest until it is proven, and answers each within its time limit.

The law: a plan never waits, unless its caller asked for a revision. A refusal goes out only when a read that began after the
pick arrived found the snapshot at head; until then catching up may turn it into a plan. What cannot be proven in time is
UNVERIFIED, never a flat no. Picks that arrived together wait together, in one task.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from router_svc import metrics, picker
from router_svc.cache import Cache
from router_svc.line import LineDown
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
        requests = list(waiting)
        metrics.DEFERRED.inc(len(requests))
        held = self._cache.snapshot
        try:
            while requests:
                await self._cache.news(arrival, min(request.deadline for request in requests))
                requests = [request for request in requests if not await self._settled(request, arrival, held, give)]
        finally:
            metrics.DEFERRED.dec(len(requests))

    async def settle_one(self, request: Request, arrival: float) -> Decided:
        """Answer one pick, waiting if it must."""
        decided = self.at_once(request, arrival)
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

    async def _settled(self, request: Request, arrival: float, held: Snapshot | None, give: Give) -> bool:
        """Answer a pick if it can be now."""
        refusal = await self._unreached(request.min_token, arrival, request.deadline) if request.min_token else None
        late = time.monotonic() >= request.deadline
        if refusal is not None:
            if late or not isinstance(refusal, Stale):
                self._answer(request, Decided(refusal, self._cache.snapshot), arrival, give)
                return True
            return False
        decided = self.at_once(request._replace(min_token=None), arrival)
        if decided is None and not late:
            return False
        if decided is None:
            decided = Decided(self._unverified(), self._cache.snapshot)
        elif type(decided.decision) is Plan and request.min_token is None and held is not decided.snapshot:
            _tell_saved(request, decided.decision)
        self._answer(request, decided, arrival, give)
        return True

    def _answer(self, request: Request, decided: Decided, arrival: float, give: Give) -> None:
        metrics.DEFERRED.dec()
        metrics.PICK_SECONDS.observe(time.monotonic() - arrival)
        give(request, decided)

    async def _unreached(self, token: Token, arrival: float, deadline: float) -> Refused | None:
        """Tell why a token is not reached; None when it is."""
        revision = self._cache.snapshot.token.revision if self._cache.snapshot is not None else 0
        stale = Stale(wanted=token.revision, revision=revision)
        at_head = self._cache.confirmed >= arrival
        try:
            standing = await self._cache.standing(token, deadline)
        except (LineDown, TimeoutError):
            return stale
        if standing is Standing.REACHED:
            return None
        # At head as of the pick's arrival, what is not in this history will not come: a token is given after its commit.
        return LostBranch(wanted=token.revision, chain=token.chain, revision=revision) if at_head else stale

    def _unverified(self) -> Unverified:
        cause = self._cache.fault or "the catalog was not caught up with in time"
        snapshot = self._cache.snapshot
        return Unverified(cause=cause, revision=snapshot.token.revision if snapshot is not None else None)


def _tell_saved(request: Request, plan: Plan) -> None:
    metrics.SAVED.inc()
    log.info(
        "%s catching up turned a refusal into a plan",
        CACHE_RETRY,
        model=request.ask.model,
        group=plan.group,
        revision=plan.token.revision,
        decision_id=plan.decision_id,
    )
