"""Every router the relay knows: which one to ask, whom to ask next, and who has joined or left.

The law: of the best standing, a relay asks one router until that is busy, since picks that travel together cost a third of
what each costs alone; then the least loaded. A pick whose stream broke, or that a router could not prove, is asked again of
one that has not been asked yet, while there is time; a flat answer is final. Routers given in the settings are kept for good,
those that others name come and go.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any, Final, TypeVar

from relay_svc import metrics
from relay_svc.deadlines import Deadlines
from relay_svc.plan import Asked, Models, Outcome, PickRefused, PicksOverloaded, Plan, RoutersUnreachable
from relay_svc.router_client.link import BUSY, Link, LinkSettings, Standing
from relay_svc.router_client.picks import ROUTERS_LIMIT, StreamBroke
from relay_svc.router_client.wire import pick_of
from trunkline.errors import Reason
from trunkline.secret import Secret
from trunkline.telemetry import get_logger

log = get_logger()

_ASK_ANOTHER: Final = frozenset(
    {Reason.UNVERIFIED, Reason.NOT_READY, Reason.STALE, Reason.DRAINING, Reason.OVERLOADED, Reason.INTERNAL}
)
"""What one router says of itself: another may know better. So may one be asked whose reasons are known here."""
_MOST_ROUTERS: Final = 64
"""Most routers joined; more that peers name are left alone."""
_PROOF_LIMIT: Final = ROUTERS_LIMIT
"""Seconds a router may take to prove a negative; half of the time left where that is less, so that another can be asked."""
_LOOK_AGAIN: Final = 0.1
"""Seconds after which routers that failed a pick are asked once more, if nothing changed before."""
T = TypeVar("T")


class RouterClient:
    """The routers."""

    def __init__(self, addresses: Sequence[str], settings: LinkSettings, *, max_waiting: int) -> None:
        """Take the addresses to begin with, and the most picks that may wait at once."""
        self._given = tuple(addresses)
        self._settings = settings
        self._max_waiting = max_waiting
        self._waiting = 0
        self._deadlines = Deadlines()
        self._links: dict[str, Link] = {}
        self._first: Link | None = None
        """Of those that serve, the one whose turn is first."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._change = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether a router with a snapshot is connected."""
        return any(link.standing <= Standing.DEGRADED for link in self._links.values())

    async def run(self, on_change: Callable[[], None]) -> None:
        """Keep links to all routers until cancelled; `on_change` is called when `ready` may have changed."""
        self._on_change = on_change
        async with asyncio.TaskGroup() as self._group:
            for address in self._given:
                self._join(address)

    async def flush(self, time_limit: float) -> None:
        """Send the outcomes still queued, within the time given."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(time_limit):
                for link in list(self._links.values()):
                    if link.standing is not Standing.DOWN:
                        await link.outcomes.flush()
        for link in self._links.values():
            link.outcomes.drop_all()

    def pick(self, asked: Asked, deadline: float) -> Coroutine[Any, Any, Plan]:
        """Ask for a plan."""
        pick = pick_of(asked)
        return self._walk(lambda link, left: link.ask(pick, left, deadline), deadline)

    async def models(self, api_key: Secret, client_address: str, deadline: float) -> Models:
        """List a key's models."""
        return await self._walk(lambda link, left: link.models(api_key, client_address, left), deadline)

    def report(self, router: str, outcome: Outcome) -> None:
        """Queue an outcome for the router that named its candidate."""
        link = self._links.get(router)
        if link is None:
            metrics.OUTCOMES_DROPPED.inc()
        else:
            link.outcomes.add(outcome)

    async def _walk(self, ask: Callable[[Link, float], Awaitable[T]], deadline: float) -> T:
        """Ask router after router; what one says of itself is the answer only if no other says more."""
        if self._waiting >= self._max_waiting:
            raise PicksOverloaded
        self._waiting += 1
        asked_at = perf_counter()
        refused: PickRefused | None = None
        tried: set[str] = set()
        try:
            while (left := deadline - self._deadlines.loop.time()) > 0:
                link = self._best(tried)
                if link is None and refused:
                    break
                if link is None:
                    await self._next_change(min(left, _LOOK_AGAIN))  # one may be back in time
                    tried.clear()
                    continue
                tried.add(link.address)
                try:
                    return await ask(link, min(_PROOF_LIMIT, left / 2))
                except StreamBroke:
                    metrics.PICKS_ASKED_AGAIN.inc()
                except PickRefused as refusal:
                    if refused or not (refusal.reason is None or refusal.reason in _ASK_ANOTHER):
                        raise
                    refused = refusal
                    metrics.PICKS_ASKED_AGAIN.inc()
                except TimeoutError:
                    break
        finally:
            self._waiting -= 1
            metrics.PICK_SECONDS.observe(perf_counter() - asked_at)
        raise refused or RoutersUnreachable

    def _best(self, tried: set[str]) -> Link | None:
        first = self._first
        if first is not None and not tried and first.free:  # nearly always
            return first
        up = [link for link in self._links.values() if link.standing is not Standing.DOWN and link.address not in tried]
        if len(up) < 2:  # noqa: PLR2004 - nothing to choose
            return up[0] if up else None
        return min(up, key=lambda link: (link.standing, link.late, link.in_flight // BUSY, link.turn))

    async def _next_change(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._change.wait()

    def _changed(self, link: Link) -> None:
        self._change.set()
        self._change = asyncio.Event()
        if link.standing is not Standing.DOWN:
            self._learn(link)
        serving = [link for link in self._links.values() if link.standing is Standing.SERVING]
        self._first = min(serving, key=lambda link: link.turn, default=None)
        self._on_change()

    def _learn(self, link: Link) -> None:
        """Join the peers that a router names, and leave those that no router names any more."""
        links = self._links.values()
        for router_id, address in link.peers.items():
            known = address in self._links or any(router_id == other.router_id for other in links)
            if not known and len(self._links) < _MOST_ROUTERS:
                self._join(address)
        named = {address for other in links for address in other.peers.values()}
        for other in list(links):
            twin = any(other.router_id == given.router_id for given in links if given.address in self._given)
            gone = other.standing is Standing.DOWN and other.address not in named
            if other.address not in self._given and (gone or (other.router_id and twin)):
                self._leave(other)

    def _join(self, address: str) -> None:
        if self._group is None or address in self._links:
            return
        log.info("router joined", router=address)
        link = Link(address, self._settings, self._changed, named=address not in self._given)
        self._links[address] = link
        self._tasks[address] = self._group.create_task(link.run(), name=f"router {address}")

    def _leave(self, link: Link) -> None:
        log.info("router left", router=link.address)
        del self._links[link.address]
        link.outcomes.drop_all()
        self._tasks.pop(link.address).cancel()
