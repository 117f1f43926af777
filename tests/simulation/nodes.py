"""The simulated processes: routers and admins, made of the real parts upon twins of the database and of the wire.

Of a router everything from the catalog reader up to the desk is real (`catalog`, `draft`, `cache`, `follower`, `lineage`,
`lookups`, `line`, `desk`, `picker`, `invalidation`), of an admin the broadcaster with its links and its fanout. What is
watched is watched by subclasses that add no decision. Parts may be replaced by faulty ones: see `mutants`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, TypeVar, cast
from unittest.mock import patch

import psycopg

from admin_svc import broadcaster, link
from admin_svc.broadcaster import Broadcaster
from admin_svc.fanout import Fanout, Visibility, Wait, WaitMode
from admin_svc.records import RouterLease, Sight
from admin_svc.records import Token as AdminToken
from router_svc import cache, catalog, desk
from router_svc.cache import Cache, Presence
from router_svc.catalog import Loaded
from router_svc.desk import Decided, Desk, Request
from router_svc.follower import POLL, Action, Follower, Load
from router_svc.invalidation import InvalidationStream
from router_svc.lease import Identity
from router_svc.lookups import Lookups
from router_svc.plan import Ask
from router_svc.snapshot import Token
from tests.simulation.database import LEASE_KEPT, Content, Database, Name
from tests.simulation.laws import Answer, Witness
from tests.simulation.session import Path, Server, Session, Weather, line_like
from tests.simulation.streams import Channel, Wires
from tests.simulation.virtual import Universe, here, spawned
from trunkline.errors import Cause, DatabaseUnavailable
from trunkline.rpc import Dialled
from trunkline.secret import Secret

T = TypeVar("T")

EPOCH = 1_800_000_000.0
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


class Tracing(Protocol):
    """Where the story is told."""

    def tell(self, who: str, text: str) -> None:
        """Tell what somebody did."""
        ...


@dataclass
class Surroundings:
    """What every process lives in."""

    universe: Universe
    database: Database
    weather: Weather
    wires: Wires
    witness: Witness
    parts: Parts
    slowness: float
    tracing: Tracing


class WatchedCache(Cache):
    """A cache on twins of its lines, that shows what it does."""

    def __init__(self, around: Surroundings, name: str, path: Path) -> None:
        super().__init__(Secret("no dsn"), poll=POLL)
        parts = around.parts
        self.follower = parts.follower(jitter=path._process.rng.random, poll=POLL)
        self._lines = {kind: line_like(line, path, parts.session) for kind, line in self._lines.items()}
        self._lookup_line = line_like(self._lookup_line, path, parts.session)
        self._lookups = Lookups(self._lookup_line, self._lineage)
        self._around, self._name = around, name
        self._asked_at: float | None = None

    def hint(self, token: Token) -> None:
        """Remember that a load is owed."""
        applied = self.follower.applied
        if applied is None or (token.revision >= applied.token.revision and token != applied.token):
            self._asked_at = here().time()
        super().hint(token)

    async def _load(self, action: Action) -> None:
        self._load_began = here().time()
        await super()._load(action)

    def _install(self, loaded: Loaded, began: float) -> None:
        before = self.snapshot
        if self._asked_at is not None and self._load_began >= self._asked_at:
            self._asked_at = None
        super()._install(loaded, began)
        if self.snapshot is not None and self.snapshot is not before:
            self._around.witness.installed(self._name, before, self.snapshot)
        self._around.tracing.tell(self._name, f"loaded {loaded.kind} {loaded.head.token}")

    def _do(self, actions: list[Action]) -> None:
        super()._do(actions)
        if self._asked_at is not None and not self.follower.behind and not self._stopped:
            self._around.witness.refresh_lost(
                self._name, f"was hinted at {self._asked_at:.4f} and neither loads nor will"
            )
        for action in actions:
            if isinstance(action, Load):
                self._around.tracing.tell(self._name, f"begins {action}")


class WatchedFanout(Fanout):
    """A fanout that shows what it promises."""

    witness: Witness

    def __init__(self) -> None:
        super().__init__()
        self._undemanding: set[Wait] = set()

    def begin_wait(self, token: AdminToken, mode: WaitMode) -> Wait:
        """Note who asked for nothing: he is promised nothing."""
        wait = super().begin_wait(token, mode)
        if mode == "NONE":
            self._undemanding.add(wait)
        return wait

    def end_wait(self, wait: Wait) -> Visibility:
        """Note the promise."""
        given = super().end_wait(wait)
        token = Token(wait.token.revision, wait.token.chain)
        everywhere = not wait.missing and wait not in self._undemanding
        routers = None if everywhere else frozenset(wait.visible)
        if everywhere or wait.visible:
            self.witness.promised(token, routers)
        return given


@dataclass(frozen=True)
class Parts:
    """What the processes are made of."""

    follower: type[Follower] = Follower
    cache: type[WatchedCache] = WatchedCache
    desk: type[Desk] = Desk
    session: type[Session] = Session
    fanout: type[WatchedFanout] = WatchedFanout


class Router:
    """One router process; it has a new incarnation each time it starts."""

    def __init__(self, around: Surroundings, name: str, seed: str) -> None:
        self.name = name
        self.process = spawned(around.universe, name, seed)
        self.path = Path(around.universe, self.process, around_server(around), around.slowness)
        self.cache = around.parts.cache(around, name, self.path)
        self.cache.presence = Presence(Identity(name, seed, "simulated"), f"{name}:1")
        self.desk = around.parts.desk(self.cache, lambda _channel, _key: True)
        self._around = around
        self._drain, self._stop = asyncio.Event(), asyncio.Event()
        self._open = 0
        self.process.start(self.cache.run(self._stop))
        around.wires.routers[f"{name}:1"] = self

    def serves(self, send: Any) -> tuple[InvalidationStream, asyncio.Event]:
        """Give the router's end of a new stream."""
        return InvalidationStream(self.cache, self.desk, send), self._drain

    def kill(self) -> None:
        """Die."""
        self._around.wires.gone(self.process)
        self.process.kill()

    def drain(self) -> None:
        """Go down in good order: turn work away, finish what is open, then give the lease back."""
        self.cache.draining = True
        self._drain.set()
        self._let_go()

    def _let_go(self) -> None:
        if self._open == 0 and self._drain.is_set():
            self._stop.set()

    def pick(self, ask: Ask, min_token: Token | None, limit: float) -> None:
        """Ask for a plan, unless work is turned away."""
        if not self._drain.is_set():
            self._open += 1
            self.process.create_task(self._pick(ask, min_token, limit))

    async def _pick(self, ask: Ask, min_token: Token | None, limit: float) -> None:
        universe, thawed = self._around.universe, self.process.frozen_until
        began, arrival = universe.now, self.process.time()
        decided = await self.desk.settle_one(Request(b"", ask, min_token, arrival + limit), arrival)
        self._open -= 1
        self._let_go()
        if self.process.dead:
            return
        held_up = max(0.0, self.process.frozen_until - max(thawed, began))
        request = Request(b"", ask, min_token, limit)
        answer = Answer(self.name, request, began, universe.now, decided, self.cache.trust().degraded, held_up)
        self._around.tracing.tell(self.name, f"answers {_shown(decided)}{' (marked)' if answer.marked else ''}")
        self._around.witness.answered(answer)


class _Follows:
    """What a broadcaster reads, from the twin of the database."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def head_and_leases(self) -> Sight:
        """Read the head and the leases."""
        return await self._trip(self._head_and_leases)

    async def chains(self, asked: Sequence[int]) -> dict[int, str]:
        """Read the chains of revisions."""

        def read(_now: float) -> dict[int, str]:
            known = self._path.database.head.revisions
            return {revision: known[revision] for revision in asked if revision in known}

        return await self._trip(read)

    async def _trip(self, work: Callable[[float], T]) -> T:
        try:
            async with asyncio.timeout(2.0):
                return await self._path.trip(work)
        except (psycopg.Error, TimeoutError):
            raise DatabaseUnavailable(cause=Cause.DATABASE_UNREACHABLE) from None

    def _head_and_leases(self, now: float) -> Sight:
        database = self._path.database
        clock = database.clock(now)
        rows = [
            RouterLease(
                id=name,
                address=row.address,
                incarnation=row.incarnation,
                applied=AdminToken(*row.applied),
                state=row.state,
                version="simulated",
                expire_time=_SOME_TIME,
                start_time=_SOME_TIME,
                live=row.expire > clock,
                lease_left=row.expire - clock,
            )
            for name, row in sorted(database.leases.items())
            if row.expire - clock > -LEASE_KEPT
        ]
        return Sight(AdminToken(*database.head.token), rows, clock, str(database.epoch))


class Admin:
    """One admin process."""

    def __init__(self, around: Surroundings, name: str, seed: str) -> None:
        self.name = name
        self.process = spawned(around.universe, name, seed)
        self.path = Path(around.universe, self.process, around_server(around), around.slowness)
        self._around = around
        self.broadcaster = Broadcaster(_Follows(self.path), self._dial, name)
        fanout = self.broadcaster.fanout = around.parts.fanout()
        fanout.witness = around.witness
        self.process.start(self.broadcaster.run())

    def kill(self) -> None:
        """Die."""
        self._around.wires.gone(self.process)
        self.process.kill()

    def commit(
        self, changes: Changes, mode: WaitMode, *, dies: Callable[[], bool], told: Callable[[Told], None]
    ) -> None:
        """Commit and wait for visibility; or die between the two."""
        self.process.create_task(self._commit(changes, mode, dies=dies, told=told))

    async def _commit(
        self, changes: Changes, mode: WaitMode, *, dies: Callable[[], bool], told: Callable[[Told], None]
    ) -> None:
        def work(now: float) -> Token:
            token = self._around.database.commit(changes(self._around.database), now)
            self._around.tracing.tell(self.name, f"committed {token}")
            if dies():
                self._around.tracing.tell(self.name, "dies of it")
                self._around.universe.after(0.0, self.kill)
            return token

        try:
            token = await self.path.trip(work)
        except psycopg.Error:
            return  # refused, or unknown: nobody is told anything
        visibility = await self.broadcaster.visible(AdminToken(*token), mode, 2.0)
        self._around.tracing.tell(self.name, f"says of {token}: {visibility}")
        told(Told(token, visibility))

    def _dial(self, address: str) -> Dialled:
        return Dialled(cast("Any", Channel(self._around.wires, self.process, address)), ())


Changes = Callable[[Database], list[tuple[Name, Content | None]]]


class Told(NamedTuple):
    """What a caller of a mutation was told."""

    token: Token
    visibility: Visibility


def around_server(around: Surroundings) -> Server:
    """Give the database's side of the surroundings."""
    return around


# ---------------------------------------------------------------------- what modules of the house find instead


class _Clock:
    """Stands where modules import `time`: the clock of the process that runs."""

    @staticmethod
    def monotonic() -> float:
        return here().time()

    @staticmethod
    def time() -> float:
        return EPOCH + here().time()


class _Chance:
    """Stands where modules import `random`: the randomness of the process that runs."""

    @staticmethod
    def random() -> float:
        return here().rng.random()

    @staticmethod
    def uniform(low: float, high: float) -> float:
        return here().rng.uniform(low, high)


class _Mute:
    """Stands for loggers and metrics: anything may be called, nothing comes of it."""

    def __getattr__(self, _name: str) -> _Mute:
        return self

    def __call__(self, *_args: object, **_values: object) -> _Mute:
        return self


@contextmanager
def virtual_modules() -> Iterator[None]:
    """Give the shells the virtual clock and seeded randomness, and keep their logs and metrics still."""
    mute = _Mute()
    with ExitStack() as stack:
        for module, names in (
            (cache, {"time": _Clock, "random": _Chance, "log": mute, "metrics": mute}),
            (catalog, {"gc": mute}),
            (desk, {"time": _Clock, "log": mute, "metrics": mute}),
            (broadcaster, {"random": _Chance, "log": mute, "metrics": mute}),
            (link, {"random": _Chance, "log": mute, "metrics": mute}),
        ):
            for name, stand_in in names.items():
                stack.enter_context(patch.object(module, name, stand_in))
        yield


def _shown(decided: Decided) -> str:
    decision, snapshot = decided.decision, decided.snapshot
    at = snapshot.token if snapshot is not None else None
    return f"{decision if isinstance(decision, Exception) else [c.channel.id for c in decision.candidates]} at {at}"


__all__ = ["Admin", "Parts", "Router", "Surroundings", "Told", "WatchedCache", "WatchedFanout", "random"]
