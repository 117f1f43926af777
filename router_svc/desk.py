"""Where picks wait: decides at once what can be, holds the rest until it is proven, and answers each within its time limit.

The law: a plan never waits, unless its caller asked for a revision. A refusal goes out only when a read that began after the
pick arrived found the snapshot at head; until then catching up may turn it into a plan. What cannot be proven in time is
UNVERIFIED, never a flat no. Picks that arrived together wait together, in one task. Where the snapshot is not to be used, or
cannot be trusted for a pick, the same picker decides upon what is read for that pick.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from math import inf
from typing import Final

from msgspec import Struct, structs
from prometheus_client import Counter

from router_svc import metrics
from router_svc.cache import Cache
from router_svc.catalog import Part
from router_svc.direct import Direct
from router_svc.doubts import undoubted
from router_svc.lineage import Standing
from router_svc.negatives import Negatives, hopeless
from router_svc.picker import decide
from router_svc.plan import Ask, Decision, OpenKey, Plan
from router_svc.snapshot import Snapshot, Token
from router_svc.turns import Turns
from router_svc.turnstile import Turnstile
from trunkline.errors import Cause, LostBranch, NotReady, Refused, Stale, Unverified
from trunkline.telemetry import CACHE_FALLBACK, CACHE_RETRY, get_logger

log = get_logger()

TIME_LIMIT: Final = 2.0
"""Seconds that a pick may wait when its caller says nothing."""
LONGEST_LIMIT: Final = 60.0
"""Seconds that a pick may wait, whatever its caller says."""
MOST_WAITING: Final = 10_000
"""Picks that may wait in calls of their own; streams have bounds of their own."""
SHARE: Final = 0.00015
"""Seconds of one turn of the event loop that picks which wait may take, all of them together, and that one message's picks
may take: about as long as a message's own cost, so that a plan hardly sees who else is asking."""

_HASTE: Final = 0.1  # seconds that a pick waits for a database that just failed
_PACE: Final = 0.05  # seconds until picks are read for again when no read settled any


class Decided(Struct, frozen=True, gc=False):
    """A decision, and the snapshot that made it (None when there was none)."""

    decision: Decision
    snapshot: Snapshot | None


class Request(Struct, frozen=True, gc=False):
    """One pick as it came."""

    mark: bytes
    """Its id, as its stream writes it; empty for a call of its own."""
    ask: Ask
    min_token: Token | None
    deadline: float
    """Monotonic."""


Give = Callable[[Request, Decided], None]


class Desk:
    """Settles picks."""

    def __init__(
        self, cache: Cache, open_key: OpenKey, direct: Direct | None = None, *, from_snapshot: bool = True
    ) -> None:
        """Take the cache, what opens channel keys, what reads for single picks, and whether snapshots answer at all."""
        self._cache = cache
        self._open_key = open_key
        self._direct = direct
        self.from_snapshot = from_snapshot or direct is None
        """Whether picks are answered from the snapshot; otherwise each reads the database."""
        self._negatives = Negatives()
        self._waiting = 0
        self._turnstile = Turnstile(time.monotonic, SHARE)
        self._unproven = Unverified(cause=Cause.HEAD_MOVING)
        """The last of its kind: a database that is silent makes thousands of the same."""

    def at_once(self, request: Request, arrival: float) -> Decided | None:
        """Decide what can be decided without waiting; None when it must wait."""
        snapshot = self._cache.snapshot
        if snapshot is None:
            return Decided(NotReady(), None)
        if self._cache.secrets.differs:
            return Decided(Unverified(cause=Cause.SECRETS_DIFFER), snapshot)
        if not self.from_snapshot or (request.min_token is not None and not self._cache.known(request.min_token)):
            return None
        now = self._cache.time()
        decision = self._negatives.quickly(snapshot, request.ask, now, self._open_key)
        if isinstance(decision, Plan):
            return Decided(decision, snapshot)
        unproven = self._cache.confirmed < arrival
        if decision is None and not (unproven and hopeless(snapshot, request.ask)):
            decision = self._negatives.refuse(snapshot, request.ask, now)
        if decision is None or unproven:  # to make a refusal that may not be said yet costs more than a plan
            return None
        honest = undoubted(snapshot, request.ask, decision, self._cache.secrets.accord)
        return Decided(honest, snapshot) if honest is decision or self._direct is None else None

    async def make_way(self) -> None:
        """Let those who wait have their turns first, in the order in which they came."""
        await self._turnstile.enter()

    async def settle(
        self, waiting: Iterable[Request], arrival: float, give: Give, given: Callable[[], None] = lambda: None
    ) -> None:
        """Answer picks that arrived together and must wait, each as soon as it can be.

        `given` is called when no more answers are to be expected for now.
        """
        held, requests = self._cache.snapshot, list(waiting)
        left = len(requests)
        self._waiting += left
        metrics.DEFERRED.set(self._waiting)

        def finish(request: Request, decided: Decided) -> None:
            nonlocal left
            left -= 1
            self._waiting -= 1
            give(request, decided)

        try:
            while requests:
                if self._must_hear_news(requests):
                    await self._cache.news(arrival, min(request.deadline for request in requests))
                before = left
                unsettled = await self._by_turns(requests, arrival, held, finish)
                given()
                requests = await self._directly(unsettled, arrival, finish) if unsettled else unsettled
                metrics.PICK_SECONDS.observe(time.monotonic() - arrival, before - left)
                given()
        finally:
            self._waiting -= left
            metrics.DEFERRED.set(self._waiting)

    async def _by_turns(
        self, requests: list[Request], arrival: float, held: Snapshot | None, finish: Give
    ) -> list[Request]:
        """Decide what can be, a share in each turn; give those still to be settled."""
        saved, unsettled = _Saved(), []
        await self._turnstile.enter()
        for request in requests:
            if self._turnstile.over():
                await self._turnstile.enter()
            token = request.min_token
            decided = self._now(request, arrival) if token is None else await self._upon(request, token, arrival)
            if decided is None:
                unsettled.append(request)
            else:
                saved.note(request, decided, held)
                finish(request, decided)
        saved.tell(CACHE_RETRY, "catching up turned a refusal into a plan", metrics.SAVED)
        return unsettled

    def _must_hear_news(self, requests: list[Request]) -> bool:
        """Tell whether news of the snapshot can settle any of these, or must come before they may be read for."""
        return (self.from_snapshot and not self._cache.disagrees) or not all(map(self._may_be_read_for, requests))

    def _may_be_read_for(self, request: Request) -> bool:
        """Tell whether a read from now on answers a pick, since the state it asked for was surely reached."""
        return self._direct is not None and (request.min_token is None or self._cache.known(request.min_token))

    async def _directly(self, requests: list[Request], arrival: float, finish: Give) -> list[Request]:
        """Read for picks for which the snapshot is not to be used or trusted; give those still to be settled."""
        cache, direct = self._cache, self._direct
        if direct is None or (self.from_snapshot and not cache.disagrees and cache.confirmed < arrival):
            return requests
        joined = [
            (request, direct.join(request.ask) if self._may_be_read_for(request) else None) for request in requests
        ]
        # With a plan from memory at hand, a database that just failed is not waited for long.
        haste = time.monotonic() + _HASTE if direct.failing and not self.from_snapshot else inf
        saved, unsettled, turns = _Saved(), [], Turns(time.monotonic, SHARE)
        for request, reading in joined:
            part = await reading.wait(min(request.deadline, haste)) if reading is not None else None
            holds = reading is not None and (part is None or self._holds(part, request))
            decided = self._from_read(part.snapshot if part is not None else None, request.ask) if holds else None
            if decided is None:
                unsettled.append(request)
            else:
                saved.note(request, decided, None)
                finish(request, decided)
            await turns.step()
        if self.from_snapshot:
            saved.tell(
                CACHE_FALLBACK, "a direct read gave a plan where the snapshot could not be trusted", metrics.FELL_BACK
            )
        if len(unsettled) == len(requests):
            await asyncio.sleep(_PACE)
        return unsettled

    def _holds(self, part: Part, request: Request) -> bool:
        """Tell whether what was read is of the history of the token asked for: a failover may have come in between."""
        return request.min_token is None or (part.ours and self._cache.known(request.min_token))

    def _from_read(self, part: Snapshot | None, ask: Ask) -> Decided | None:
        """Decide upon what was read for a pick. Where that failed, what is held may still give a plan."""
        snapshot = part if part is not None or self.from_snapshot else self._cache.snapshot
        if snapshot is None:
            return None
        if self._cache.secrets.differs:
            return Decided(Unverified(cause=Cause.SECRETS_DIFFER), snapshot)
        decision = decide(snapshot, ask, self._cache.time(), self._open_key)
        if isinstance(decision, Refused):
            # Rows that are not what their head says may be part of a restore that has not ended.
            if part is None or self._cache.unsound:
                return None
            decision = undoubted(snapshot, ask, decision, self._cache.secrets.accord)
        return Decided(decision, snapshot)

    async def settle_one(self, request: Request, arrival: float) -> Decided:
        """Answer one pick, waiting if it must."""
        decided = self.at_once(request, arrival)
        if decided is None and self._waiting >= MOST_WAITING:
            return Decided(Unverified(cause=Cause.TOO_MANY_WAITING), self._cache.snapshot)
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
        while self._cache.confirmed < arrival or self._cache.secrets.differs:
            if self._cache.secrets.differs:
                return Unverified(cause=Cause.SECRETS_DIFFER)
            if time.monotonic() >= deadline:
                return self._unverified() if self._cache.snapshot is not None else NotReady()
            await self._cache.news(arrival, deadline)
        return None

    def _now(self, request: Request, arrival: float) -> Decided | None:
        """Decide a pick that waits; None when it must go on waiting."""
        decided = self.at_once(request, arrival)
        if decided is None and time.monotonic() >= request.deadline:
            return Decided(self._unverified(), self._cache.snapshot)
        return decided

    async def _upon(self, request: Request, token: Token, arrival: float) -> Decided | None:
        """Decide a pick that waits for a revision; None when it must go on waiting."""
        late = time.monotonic() >= request.deadline
        refusal = await self._unreached(token, arrival, request.deadline)
        if refusal is not None:
            return Decided(refusal, self._cache.snapshot) if late or not isinstance(refusal, Stale) else None
        return self._now(structs.replace(request, min_token=None), arrival)

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
        cause = Cause.HEAD_UNSOUND if self._cache.unsound else self._cache.fault or Cause.HEAD_MOVING
        snapshot = self._cache.snapshot
        fresh = Unverified(cause=cause, revision=snapshot.token.revision if snapshot is not None else None)
        if fresh.metadata != self._unproven.metadata:
            self._unproven = fresh
        return self._unproven


class _Saved:
    """Picks that were turned from a refusal into a plan, told in one line however many they are."""

    def __init__(self) -> None:
        self._count = 0
        self._first: tuple[Request, Plan] | None = None

    def note(self, request: Request, decided: Decided, held: Snapshot | None) -> None:
        """Look whether a pick was saved: it got a plan from another snapshot than the one held when it came."""
        decision = decided.decision
        if isinstance(decision, Plan) and request.min_token is None and decided.snapshot is not held:
            self._count += 1
            self._first = self._first or (request, decision)

    def tell(self, marker: str, how: str, counter: Counter) -> None:
        """Log and count them."""
        if self._first is None:
            return
        counter.inc(self._count)
        request, plan = self._first
        log.info(
            "%s %s",
            marker,
            how,
            picks=self._count,
            model=request.ask.model,
            group=plan.group,
            revision=plan.token.revision,
            decision_id=plan.decision_id,
        )
