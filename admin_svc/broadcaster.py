"""Keeps a stream to every router that holds a lease: tells them where the head is, and callers where a change is in force.

The law: Postgres is the truth and this only hurries it along. Each admin serves every live router by itself; what another
admin or a hand in psql commits is found by polling the head; a database that is gone leaves the streams as they are. What to
tell and what counts is decided in `fanout`, how one stream is held in `link`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from admin_svc import metrics
from admin_svc.fanout import Fanout, Visibility, Wait, WaitMode
from admin_svc.link import Link
from admin_svc.records import Sight, Token
from trunkline.errors import Refused
from trunkline.rpc import Dialled
from trunkline.telemetry import get_logger

log = get_logger()

_POLL: Final = 0.5
"""Seconds between two reads of the head and the leases."""
_AGAIN: Final = 0.1
"""Seconds between two tries while somebody waits for such a read."""


class Follows(Protocol):
    """What the broadcaster reads. Both raise Refused while the database cannot be read."""

    async def head_and_leases(self) -> Sight:
        """Read the head and the leases."""
        ...

    async def chains(self, asked: Sequence[int]) -> dict[int, str]:
        """Read the chains of those revisions that exist."""
        ...


@dataclass(frozen=True, slots=True)
class Reached:
    """What one router reached in a sync."""

    router_id: str
    applied: Token | None
    reached: bool
    fault: str


class Broadcaster:
    """Every link, and everybody who waits for them."""

    def __init__(self, follows: Follows, dial: Callable[[str], Dialled], admin_id: str) -> None:
        self.fanout = Fanout()
        self._follows = follows
        self._dial = dial
        self._admin_id = admin_id
        self._links: dict[str, tuple[Link, asyncio.Task[None]]] = {}
        self._waits: dict[Wait, asyncio.Event] = {}
        self._reading = asyncio.Lock()
        self._reads_begun = 0
        self._read = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._lookup = asyncio.Event()
        self._readable = True

    async def run(self) -> None:
        """Follow the catalog and the leases until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._look_up(), name="lineage look-ups")
            while True:
                await self._poll()
                await asyncio.sleep(_POLL * random.uniform(0.8, 1.2))  # noqa: S311 - spreads the admins' reads

    def committed(self, token: Token) -> None:
        """Tell every router of a state that was just committed here."""
        self.fanout.note_commit(token, asyncio.get_running_loop().time())
        self._changed()

    def is_connected(self, router_id: str) -> bool:
        """Tell whether there is a stream to a router from here."""
        entry = self._links.get(router_id)
        return entry is not None and entry[0].connected

    async def visible(self, token: Token, mode: WaitMode, timeout: float) -> Visibility:
        """Wait, at most `timeout` seconds, until a committed state is in force; then, or past the time, tell where it is.

        Never raises: the change is committed whatever becomes of the wait.
        """
        self.committed(token)
        clock = asyncio.get_running_loop().time
        ends = clock() + timeout
        if mode != "NONE" and not await self._refreshed_by(ends):
            return self.fanout.unknown()
        async with self._waiting(token, mode) as wait:
            await self._until_done(wait, ends)
            return self.fanout.end_wait(wait)

    async def _refreshed_by(self, ends: float) -> bool:
        """See a read that begins after this call; tells whether there was one.

        A router that took its lease just before a commit must be counted: without this read, all that are known may have
        the change while one that is not known answers as before.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends):
                while True:
                    try:
                        await self._refresh()
                    except Refused:
                        await asyncio.sleep(_AGAIN)
                    else:
                        return True
        return False

    async def sync(self, timeout: float) -> tuple[Token, list[Reached]]:
        """Have every live router catch up with the head now. Raises Refused when the head cannot be read."""
        ends = asyncio.get_running_loop().time() + timeout
        await self._refresh()
        head = self.fanout.head
        if head is None:
            raise AssertionError
        async with self._waiting(head, "ALL") as wait:
            awaited = sorted(wait.missing | wait.visible)
            for link, _ in self._links.values():
                link.wake(insist=True)
            await self._until_done(wait, ends)
            return head, [self._reached(router_id, wait) for router_id in awaited]

    # --- following --------------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        try:
            async with asyncio.timeout(10 * _POLL):
                await self._refresh()
        except (Refused, TimeoutError) as fault:
            metrics.FOLLOW_FAILURES.inc()
            if self._readable:
                log.warning("[Async] cannot read head and leases; streams go on", fault=str(fault) or "too slow")
            self._readable = False
        else:
            if not self._readable:
                log.info("[Async] head and leases can be read again")
            self._readable = True
        self._measure()

    async def _refresh(self) -> None:
        """See a read that begins after this call: one's own, or that of another caller who came as early."""
        wanted = self._reads_begun + 1
        async with self._reading:
            if self._read >= wanted:
                return
            self._reads_begun = number = self._reads_begun + 1
            newest_before, clock = self.fanout.lineage.newest, asyncio.get_running_loop().time
            began = clock()
            sight = await self._follows.head_and_leases()
            self.fanout.observe(sight, newest_before, began, clock())
            self._read = number
        if self._tasks is not None:
            self._tend(self._tasks)
        self._changed()

    def _tend(self, tasks: asyncio.TaskGroup) -> None:
        """Open links to routers that came, end those of routers that went or moved."""
        peers = self.fanout.peers
        for router_id, (link, task) in list(self._links.items()):
            peer = peers.get(router_id)
            if peer is None or peer.lease.address != link.address:
                task.cancel()
                del self._links[router_id]
                with contextlib.suppress(KeyError):  # it may never have been measured
                    metrics.PROPAGATION_SECONDS.remove(router_id)
        for router_id, peer in peers.items():
            if router_id not in self._links:
                link = Link(
                    router_id,
                    peer.lease.address,
                    admin_id=self._admin_id,
                    fanout=self.fanout,
                    dial=self._dial,
                    on_word=self._heard,
                )
                self._links[router_id] = (link, tasks.create_task(link.run(), name=f"link {router_id}"))

    async def _look_up(self) -> None:
        """Look up revisions that routers name and that are not known here."""
        while True:
            await self._lookup.wait()
            self._lookup.clear()
            asked = sorted(self.fanout.unknown_revisions())
            if not asked:
                continue
            try:
                chains = await self._follows.chains(asked)
            except Refused:
                await asyncio.sleep(_POLL)
                self._lookup.set()
                continue
            self.fanout.learn(asked, chains)
            self._changed()

    def _changed(self) -> None:
        """Pass on what the fanout may have to say now."""
        if self.fanout.unknown_revisions():
            self._lookup.set()
        for router_id, (link, _) in self._links.items():
            if self.fanout.is_due(router_id):
                link.wake()
        self._end_waits()

    def _heard(self, router_id: str) -> None:
        """Pass on what one router's word may have changed; looking at all of them for each would be most of the work."""
        if self.fanout.is_at_unknown(router_id):
            self._lookup.set()
        self._end_waits()

    def _end_waits(self) -> None:
        for wait, done in self._waits.items():
            if wait.done:
                done.set()

    def _measure(self) -> None:
        leases = [peer.lease for peer in self.fanout.peers.values()]
        metrics.ROUTERS.labels("live").set(sum(lease.live for lease in leases))
        metrics.ROUTERS.labels("connected").set(sum(link.connected for link, _ in self._links.values()))
        metrics.ROUTERS.labels("lagging").set(self.fanout.lagging())
        metrics.HEAD_REVISION.set(self.fanout.head.revision if self.fanout.head else 0)

    # --- waiting ----------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _waiting(self, token: Token, mode: WaitMode) -> AsyncIterator[Wait]:
        wait = self.fanout.begin_wait(token, mode)
        self._waits[wait] = asyncio.Event()
        try:
            yield wait
        finally:
            self.fanout.end_wait(wait)
            del self._waits[wait]

    async def _until_done(self, wait: Wait, ends: float) -> None:
        self._changed()
        if wait.done:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends):
                await self._waits[wait].wait()

    def _reached(self, router_id: str, wait: Wait) -> Reached:
        peer, entry = self.fanout.peers.get(router_id), self._links.get(router_id)
        applied = peer.report.applied if peer else None
        fault = ""
        if router_id in wait.lapsed:
            fault = "its lease ran out"
        elif router_id in wait.missing:
            fault = (entry[0].fault if entry else "no stream to it yet") or "did not catch up in time"
        return Reached(router_id, applied, router_id in wait.visible, fault)
