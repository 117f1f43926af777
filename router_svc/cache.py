"""Drives the follower: its actions become reads and writes, what comes of them its next events. Holds the one snapshot.

The law: only the load worker swaps the snapshot, by one assignment, in the turn in which the follower learns of it. Each kind
of action has one worker with a line of its own, owned by the task group of `run`. Nothing here decides; waiting for news is
always bounded by the waiter's own deadline.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, NamedTuple

from router_svc import catalog, lease, metrics
from router_svc.clock import DatabaseClock
from router_svc.draft import Disagreement
from router_svc.follower import POLL, Action, Follower, Load, ReadHead, RenewLease, State, Trust
from router_svc.line import Line, LineDown, hang_up, leaving
from router_svc.lineage import Lineage, Standing
from router_svc.lookups import Lookups
from router_svc.news import News
from router_svc.secrets_watch import SecretsWatch
from router_svc.snapshot import Snapshot, Token
from router_svc.turns import Turns
from trunkline.errors import Cause
from trunkline.secret import Secret
from trunkline.shared_secrets import SharedSecrets
from trunkline.telemetry import get_logger

log = get_logger()

_LOAD_SILENCE: Final = 5.0  # seconds without an answer; a load may take longer as long as answers come
_HEAD_SILENCE: Final = 1.0
_LEASE_SILENCE: Final = 1.5
_HANG_UP_LIMIT: Final = 0.5  # seconds that a drain gives workers to see that their lines were cut


class Presence(NamedTuple):
    """Who this router is, and where it serves."""

    who: lease.Identity
    address: str


class Cache:
    """The snapshot in force, and the workers that keep it at head."""

    def __init__(self, dsn: Secret, *, poll: float, secrets: SharedSecrets | None = None) -> None:
        """Take the bounded DSN, and the secrets to hold against the catalog's; `poll` is in seconds."""
        self.secrets = SecretsWatch(secrets)
        self.follower = Follower(jitter=random.random, poll=poll)
        self.poll = min(poll, POLL)
        """Seconds between two polls of the head, at most."""
        self.snapshot: Snapshot | None = None
        self.applied = News()
        """Told after each change of the snapshot."""
        self.presence: Presence | None = None
        """Set before `run`, once the address is known."""
        self.peers: list[lease.Peer] = []
        self.holder: lease.Holder | None = None
        """Who lives under this router's id instead of it: then it is counted nowhere."""
        self.hindered = self.secrets.changed
        """Told when that changes, or how this router's secrets stand to the catalog's."""
        self.disagrees = False
        """Whether the last load did not add up to its head: then the snapshot can prove nothing, and may be behind."""
        self._database_clock = DatabaseClock(time.time)
        self.draining = False
        """Set by whoever drains the service; following goes on until it has drained."""
        self._stopped = False
        self._lineage = Lineage()
        self._lines = {
            Load: Line(dsn, silence=_LOAD_SILENCE),
            ReadHead: Line(dsn, silence=_HEAD_SILENCE),
            RenewLease: Line(dsn, silence=_LEASE_SILENCE),
        }
        self._lookup_line = Line(dsn, silence=_HEAD_SILENCE)
        self._lookups = Lookups(self._lookup_line, self._lineage)
        self._jobs: dict[type, asyncio.Queue[Action]] = {kind: asyncio.Queue(1) for kind in self._lines}
        self._tickets: dict[int, asyncio.Event] = {}
        self._load_ended = News()
        self.fault: Cause | None = None
        """Of what kind the failure of the last head read was; None when it did not fail."""
        self._rearm = asyncio.Event()

    # ------------------------------------------------------------------ what is held

    @property
    def confirmed(self) -> float:
        """When (monotonic) the latest read began that found the snapshot at head."""
        return self.follower.confirmed

    @property
    def unsound(self) -> bool:
        """Whether the database's head cannot be read, or is not the sum of its rows: then no refusal is proven."""
        return self.disagrees or self.fault is Cause.HEAD_UNSOUND

    @property
    def state(self) -> State:
        """How far the snapshot can be trusted."""
        if self.draining:
            return State.DRAINING
        state = self.follower.state(time.monotonic())
        doubted = self.unsound or self.secrets.differs or self.secrets.in_doubt
        return State.DEGRADED if state is State.SERVING and doubted else state

    def trust(self) -> Trust:
        """Tell what answers must be marked with."""
        trust = self.follower.trust(time.monotonic())
        # While the head is unsound memory stands still and direct reads run ahead of it: neither is vouched for.
        return trust._replace(degraded=True) if self.unsound or self.secrets.in_doubt else trust

    def restore(self, snapshot: Snapshot, age: float) -> bool:
        """Serve, degraded, from a copy that was at head some seconds ago; False when a load was quicker."""
        if self.snapshot is not None:
            return False
        self._lineage.restart([], snapshot.token)
        self.snapshot = snapshot
        self._do(self.follower.restored(snapshot.head, time.monotonic(), age))
        metrics.measure(snapshot)
        self.applied.tell()
        return True

    def time(self) -> float:
        """Tell the time of the database, in seconds since the epoch: API keys expire by it."""
        return self._database_clock.time(time.monotonic())

    # ------------------------------------------------------------------ waiting for it

    async def news(self, arrival: float, deadline: float) -> bool:
        """Wait until deciding again may help: at head as of `arrival`, or the snapshot changed. False at the deadline."""
        try:
            async with asyncio.timeout_at(deadline):
                held = self.snapshot
                await self._prove()
                while self.snapshot is held and self.confirmed < arrival and self.follower.behind:
                    await self._load_ended.next()
                    if self.disagrees:
                        break  # whoever can must look elsewhere
        except TimeoutError:
            return self.confirmed >= arrival
        return True

    async def standing(self, token: Token, deadline: float) -> Standing:
        """Tell how a token stands to the snapshot; FORGOTTEN when it is old and could not be looked up in time."""
        if self._lineage.standing(token) is Standing.FORGOTTEN:
            await self._lookups.wait_for(token.revision, deadline)
        return self._lineage.standing(token)

    def known(self, token: Token) -> bool:
        """Tell at once whether a token is surely reached."""
        return self._lineage.standing(token) is Standing.REACHED

    def hint(self, token: Token) -> None:
        """Take a hint that the catalog is at a state."""
        self._do(self.follower.hint(token, time.monotonic()))

    def distrust(self) -> None:
        """Prove nothing by the snapshot any more, and read everything."""
        self._do(self.follower.distrust(time.monotonic()))

    async def _prove(self) -> None:
        ticket, actions = self.follower.prove(time.monotonic())
        done = self._tickets.setdefault(ticket, asyncio.Event())
        self._do(actions)
        await done.wait()

    # ------------------------------------------------------------------ following

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop`, then give the lease back."""
        async with asyncio.TaskGroup() as tasks:
            workers = [
                tasks.create_task(self._work(Load, self._load), name="load"),
                tasks.create_task(self._work(ReadHead, self._read_head), name="head"),
                tasks.create_task(self._work(RenewLease, self._renew), name="lease"),
                tasks.create_task(self._lookups.run(), name="lookups"),
                tasks.create_task(self._clock(), name="clock"),
            ]
            self._do(self.follower.start(time.monotonic()))
            await stop.wait()
            self._stopped = True
            await hang_up((*self._lines.values(), self._lookup_line), _HANG_UP_LIMIT)
            for worker in workers:
                worker.cancel()
        await self._leave()

    def _do(self, actions: list[Action]) -> None:
        """Hand actions to their workers; the follower begins none before its last has ended, so there is room."""
        for action in actions if not self._stopped else ():
            self._jobs[type(action)].put_nowait(action)
        self._rearm.set()

    async def _clock(self) -> None:
        while True:
            self._rearm.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self.follower.wake_at() - time.monotonic())):
                    await self._rearm.wait()
            if time.monotonic() >= self.follower.wake_at():
                self._do(self.follower.tick(time.monotonic()))

    async def _work(self, kind: type, act: Callable[[Action], Awaitable[None]]) -> None:
        while not leaving():
            await act(await self._jobs[kind].get())

    async def _load(self, action: Action) -> None:
        began = time.monotonic()
        line, base = self._lines[Load], self.snapshot
        whole = not isinstance(action, Load) or action.since is None
        try:
            loaded = await line.run(
                lambda connection: catalog.load(connection, base, whole=whole, heard=line.heard, clock=time.monotonic)
            )
        except LineDown as down:
            log.warning("[Distributor] catalog not read", fault=down.cause)
            self._load_failed(disagreed=False)
        except (Disagreement, catalog.UnsoundHead) as fault:
            tell = log.debug if self.disagrees else log.error  # once; it is read again each second
            tell("[Distributor] catalog does not add up: SELECT catalog_repair() mends it", fault=str(fault))
            self._load_failed(disagreed=True)
        except Exception:  # following never ends: whatever a read may meet, the next one is tried
            log.exception("[Distributor] catalog read failed")
            self._load_failed(disagreed=False)
        else:
            pieces = base.pieces() if base is not None and loaded.kind == "full" else []
            self._install(loaded, began)
            base = None
            await Turns(time.monotonic).let_go(pieces)

    def _load_failed(self, *, disagreed: bool) -> None:
        self.disagrees |= disagreed
        metrics.CATALOG_UNSOUND.set(self.unsound)
        metrics.LOADS.labels("failed").inc()
        self._do(self.follower.load_failed(time.monotonic(), disagreed=disagreed))
        self._load_ended.tell()

    def _install(self, loaded: catalog.Loaded, began: float) -> None:
        """Swap the snapshot, in one turn with telling the follower."""
        self.secrets.learn(loaded.secrets, began)
        (self._lineage.restart if loaded.kind == "full" else self._lineage.extend)(loaded.history, loaded.head.token)
        self.disagrees = False
        metrics.CATALOG_UNSOUND.set(self.unsound)
        if loaded.kind != "unchanged":
            self.snapshot = loaded.snapshot
        self._do(self.follower.loaded(loaded.head, time.monotonic()))
        seconds = time.monotonic() - began
        metrics.LOADS.labels(loaded.kind).inc()
        metrics.LOAD_SECONDS.labels(loaded.kind).observe(seconds)
        self._load_ended.tell()
        if loaded.kind != "unchanged":
            _tell_of(loaded, seconds)
            self.applied.tell()

    async def _read_head(self, action: Action) -> None:
        with _timed() as result:
            began = time.monotonic()
            try:
                head, secrets = await self._lines[ReadHead].run(catalog.read_head)
                self.secrets.learn(secrets, began)
                self.fault = None
            except catalog.UnsoundHead as unsound:
                if self.fault is not Cause.HEAD_UNSOUND:
                    log.error("[Distributor] head not read: SELECT catalog_repair() mends it", fault=str(unsound))  # noqa: TRY400 - a row's, not ours
                head, self.fault = None, Cause.HEAD_UNSOUND
                result.append("unsound")
            except LineDown as down:
                if self.fault is not down.kind:
                    log.warning("[Distributor] head not read", fault=down.cause, cause=down.kind)
                head, self.fault = None, down.kind
                result.append("failed")
            metrics.CATALOG_UNSOUND.set(self.unsound)
        actions = self.follower.head_read(head, time.monotonic())
        if head is not None and self.snapshot is not None:
            metrics.REVISION_LAG.set(max(0, head.token.revision - self.snapshot.token.revision))
        self._do(actions)
        done = self._tickets.pop(action.ticket, None) if isinstance(action, ReadHead) else None
        if done is not None:
            done.set()

    async def _renew(self, _action: Action) -> None:
        presence, snapshot = self.presence, self.snapshot
        granted = False
        if self.secrets.differs:
            await self._give_back()  # who answers nothing is to be asked nothing, and keeps its id from nobody
        elif presence is not None and snapshot is not None:
            try:
                began = time.monotonic()
                renewed = await self._lines[RenewLease].run(
                    lambda connection: lease.renew(connection, *presence, snapshot.token, self.state)
                )
                self.peers, granted = renewed.peers, renewed.granted
                self._database_clock.learn(renewed.time, began, time.monotonic())
                self._note_holder(renewed.holder)
            except LineDown as down:
                log.warning("lease not renewed", fault=down.cause)
        metrics.RENEWALS.labels("granted" if granted else "failed").inc()
        self._do(self.follower.leased(time.monotonic(), granted=granted))

    def _note_holder(self, holder: lease.Holder | None) -> None:
        """Say once who lives under this router's id, and once that nobody does any more."""
        if holder is not None and holder != self.holder:
            log.error(
                "another router lives under this router's id: not counted until its lease ends",
                router_id=holder.id,
                address=holder.address,
                incarnation=holder.incarnation,
            )
        elif holder is None and self.holder is not None:
            log.info("this router's id is its own again", router_id=self.holder.id)
        if holder != self.holder:
            self.holder = holder
            self.hindered.tell()

    async def _give_back(self) -> None:
        presence = self.presence
        with contextlib.suppress(LineDown):
            if presence is not None and self.follower.lease_left(time.monotonic()) > 0:
                await self._lines[RenewLease].run(lambda connection: lease.leave(connection, presence.who))

    async def _leave(self) -> None:
        """Give the lease back, so that nobody waits for this router; without a database it runs out by itself."""
        await self._give_back()
        for line in (*self._lines.values(), self._lookup_line):
            line.close()


@contextlib.contextmanager
def _timed() -> Iterator[list[str]]:
    """Time a head read; an entry in the list names a result other than `ok`."""
    result: list[str] = []
    began = time.monotonic()
    yield result
    metrics.HEAD_READS.labels(result[0] if result else "ok").inc()
    metrics.HEAD_READ_SECONDS.observe(time.monotonic() - began)


def _tell_of(loaded: catalog.Loaded, seconds: float) -> None:
    snapshot = loaded.snapshot
    metrics.measure(snapshot)
    metrics.REVISION_LAG.set(0)
    # A line for each of hundreds of changes a second would cost more than applying them.
    tell = log.info if loaded.kind == "full" else log.debug
    tell(
        "[Distributor] catalog loaded at revision %d",
        snapshot.token.revision,
        kind=loaded.kind,
        rows=loaded.rows,
        channels=len(snapshot.channels),
        abilities=snapshot.ability_count,
        quarantined=len(snapshot.quarantine),
        seconds=round(seconds, 4),
    )
