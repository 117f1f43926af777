"""One simulated world: runs a schedule, then lets the world come to rest and sees that it does.

The law: faults end with the schedule. From then on every router is at head and serving within a bounded time, an admin's
next change is visible everywhere, and nothing is answered UNVERIFIED, STALE or NOT_READY any more.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from router_svc.follower import LEASE
from router_svc.plan import Ask, Plan
from router_svc.snapshot import Token
from tests.simulation.database import (
    API_KEYS,
    CHANNELS,
    GROUPS,
    MODELS,
    ApiKey,
    Channel,
    Content,
    Database,
    Group,
    Name,
)
from tests.simulation.laws import Answer, Violation, Witness
from tests.simulation.nodes import Admin, Parts, Router, Surroundings, Told
from tests.simulation.plans import Schedule, Step
from tests.simulation.session import Weather
from tests.simulation.streams import Wires
from tests.simulation.virtual import LiveLockError, Universe
from trunkline.errors import NotReady, Refused, Stale, Unverified

REST: Final = 2.5
"""Seconds after the last fault within which every router is at head and serving: a poll, a retry and some round trips."""
REST_AFTER_SILENCE: Final = 8.0
"""The same after answers were lost without a word: a load waits for five seconds before it gives up."""
_LINKED: Final = 4.0
"""Seconds within which an admin has its streams back: the longest pause between two tries, and a poll of the leases."""
_START: Final = 0.3  # seconds before the first step: routers load and take their leases
_VISIBLE: Final = 1.5  # seconds within which a change is visible everywhere, once all is well


class Story:
    """What happened, line by line, if anybody wants to know."""

    def __init__(self, universe: Universe, *, kept: bool) -> None:
        self.lines: list[str] = []
        self._universe, self._kept = universe, kept

    def tell(self, who: str, text: str) -> None:
        """Tell what somebody did."""
        if self._kept:
            self.lines.append(f"{self._universe.now - _START:8.4f}  {who}: {text}")


class World:
    """Everybody, and the schedule that befalls them."""

    def __init__(self, schedule: Schedule, parts: Parts, *, traced: bool = False) -> None:
        seed = schedule.seed
        self._schedule = schedule
        self._universe = universe = Universe(seed)
        rng = random.Random(f"{seed} world")
        database = Database(rng)
        self.story = Story(universe, kept=traced)
        self._around = Surroundings(
            universe=universe,
            database=database,
            weather=Weather(),
            wires=Wires(universe, rng),
            witness=Witness(database, universe),
            parts=parts,
            slowness=schedule.slowness,
            tracing=self.story,
        )
        self.witness = self._around.witness
        self._calm = False
        self._starts = 0
        self._spared_until = 0.0
        self._told: list[Told] = []
        self._routers: dict[int, Router] = {}
        self._admins: dict[int, Admin] = {}

    def run(self) -> Violation | None:
        """Run the schedule to its end and to rest; give the first violation."""
        universe = self._universe
        try:
            for number in range(self._schedule.routers):
                self._start_router(number)
            for number in range(self._schedule.admins):
                self._start_admin(number)
            for step in self._schedule.steps:
                universe.run(_START + step.at)
                if universe.over:
                    break
                self._do(step)
            universe.run(_START + self._schedule.end)
            if not universe.over:
                self._come_to_rest()
        except LiveLockError:
            self.witness.accuse("progress", "it turns for ever")
        finally:
            self._bury()
        return self._first()

    # ------------------------------------------------------------------ faults

    def _processes(self) -> list[Router | Admin]:
        return [*self._routers.values(), *self._admins.values()]

    def _first(self) -> Violation | None:
        for node in self._processes():
            if node.process.fault:
                self.witness.accuse("no process dies of itself", node.process.fault)
        return self.witness.violations[0] if self.witness.violations else None

    def _bury(self) -> None:
        for node in self._processes():
            if not node.process.dead:
                node.kill()

    # ------------------------------------------------------------------ coming to rest

    def _come_to_rest(self) -> None:
        """Let the sun shine, and see that all becomes well within the bound, and that it is."""
        universe, around = self._universe, self._around
        self._calm, around.slowness = True, 0.0
        around.weather.clear()
        around.wires.clear()
        for number, admin in list(self._admins.items()):
            if admin.process.dead:
                self._revive_admin(number, admin)
        for node in self._processes():
            node.path.calm()
        silent = any(step.kind == "lose" for step in self._schedule.steps)
        replaced = any(step.kind in {"kill router", "drain router"} for step in self._schedule.steps)
        bound = REST_AFTER_SILENCE if silent else REST
        universe.run(universe.now + bound + (LEASE if replaced else 0.0), self._at_rest)
        if universe.over:
            return
        if not self._at_rest():
            told = [
                f"{r.name} at {r.cache.follower.applied} {r.cache.follower.state(r.process.time())}"
                for r in self._routers.values()
            ]
            self.witness.accuse("every router converges", f"{told}, the head is {around.database.head.token}")
            return
        # Every other schedule each: they cost as much as a short story.
        if self._schedule.seed % 2:
            self._see_visibility()
        else:
            self._see_answers()

    def _at_rest(self) -> bool:
        """Tell whether every router is at head, serves, waits for no load, and has a lease that was renewed.

        A failover may have made what it holds the head again, while an answer that was lost still has it wait; and a lease of
        before a long freeze may run out while its renewal is on its way.
        """
        database = self._around.database
        head, clock = database.head.token, database.clock(self._universe.now)
        if len(self._routers) < self._schedule.routers:
            return False
        for router in self._routers.values():
            lease = database.leases.get(router.name)
            if (
                lease is None
                or lease.expire <= clock + _VISIBLE
                or router.cache.draining
                or router.cache.follower.behind
            ):
                return False
            snapshot = router.cache.snapshot
            if (
                snapshot is None
                or snapshot.token != head
                or router.cache.follower.trust(router.process.time()).degraded
            ):
                return False
        return True

    def _see_visibility(self) -> None:
        """One more change, visible everywhere soon."""
        admin = next((admin for admin in self._admins.values() if not admin.process.dead), None)
        if admin is None or self._universe.over:
            return
        told: list[Told] = []
        links = [(admin.broadcaster, router.name) for router in self._routers.values()]
        self._universe.run(self._universe.now + _LINKED, lambda: all(b.is_connected(name) for b, name in links))
        admin.commit(lambda _: [(("group", "last"), Group("last"))], "ALL", dies=lambda: False, told=told.append)
        self._universe.run(self._universe.now + _VISIBLE, lambda: bool(told))
        if not self._universe.over and not (told and told[0].visibility.visible_on == len(self._routers)):
            self.witness.accuse("a change becomes visible", f"{told} of {len(self._routers)} routers")

    def _see_answers(self) -> None:
        """One pick each that must be refused, for good."""
        head, model = self._around.database.head.token, "no such model"

        def answers() -> list[Answer]:
            return [answer for answer in self.witness.answers if answer.request.ask.model == model]

        for router in self._routers.values():
            router.pick(Ask(model, group="g"), head, 2.0)
        everybody = len(self._routers)
        self._universe.run(self._universe.now + 2.5, lambda: len(answers()) >= everybody)
        if self._universe.over:
            return
        for answer in answers():
            if isinstance(answer.decided.decision, (NotReady, Stale, Unverified)):
                self.witness.accuse("what can be proven is proven", f"{answer.router}: {answer.decided.decision}")
        if len(answers()) < everybody:
            self.witness.accuse("picks are answered in time", f"{len(answers())} of {everybody}")

    # ------------------------------------------------------------------ steps

    def _do(self, step: Step) -> None:
        self.story.tell("—", f"{step.kind} {step.values or ''}")
        act: Callable[..., None] = getattr(self, "_" + step.kind.replace(" ", "_"))
        act(*step.values)

    def _commit(self, origin: int, what: str, number: int, draw: int, mode: Any, dies: bool) -> None:
        rng = random.Random(draw)

        def changes(database: Database) -> list[tuple[Name, Content | None]]:
            return changed(database, what, number, rng)

        admin = self._admins.get(origin) or self._admins.get(0)
        if origin < 0 or admin is None or admin.process.dead:
            self._around.database.commit(changes(self._around.database), self._universe.now)
        else:
            admin.commit(
                changes, mode, dies=lambda: dies and not self._calm and not self._spared, told=self._told.append
            )

    def _pick(self, number: int, ask: int, wanted: str, limit: float) -> None:
        router = self._router(number)
        if router is not None:
            router.pick(ask_of(ask), self._wanted(wanted), limit)

    def _hint(self, number: int, which: str) -> None:
        router, token = self._router(number), self._wanted(which)
        if router is not None and token is not None:
            router.process.call_soon(router.cache.hint, token)

    def _catch_up(self, number: int) -> None:
        router = self._router(number)
        if router is not None:
            desk, process = router.desk, router.process

            async def caught_up() -> None:
                await desk.proven(process.time(), process.time() + 2.0)

            process.create_task(caught_up())

    def _freeze_router(self, number: int, seconds: float) -> None:
        router = self._router(number)
        if router is not None:
            router.process.freeze(seconds)

    _long_freeze = _freeze_router

    def _freeze_admin(self, number: int, seconds: float) -> None:
        admin = self._admins.get(number)
        if admin is not None:
            admin.process.freeze(seconds)

    def _kill_router(self, number: int, seconds: float) -> None:
        router = self._router(number)
        if router is not None:
            self._bring_back(router, seconds)

    def _drain_router(self, number: int, seconds: float) -> None:
        router = self._router(number)
        if router is not None:
            router.drain()
            self._bring_back(router, seconds)

    def _bring_back(self, router: Router, seconds: float) -> None:
        """Replace a router: the old one dies now, or once it has drained."""
        number = next(key for key, other in self._routers.items() if other is router)
        if not router.cache.draining:
            router.kill()
            del self._routers[number]
        self._universe.after(seconds, lambda: self._revive_router(number, router))

    def _revive_router(self, number: int, old: Router) -> None:
        if self._routers.get(number) in (None, old):
            if not old.process.dead:
                old.kill()
            self._start_router(number)

    def _kill_admin(self, number: int, seconds: float) -> None:
        admin = self._admins.get(number)
        if admin is not None and not admin.process.dead and not self._spared:
            admin.kill()
            self._universe.after(seconds, lambda: self._revive_admin(number, admin))

    def _revive_admin(self, number: int, old: Admin) -> None:
        if self._admins.get(number) is old:
            if not old.process.dead:
                old.kill()
            self._start_admin(number)

    def _cut_stream(self) -> None:
        self._around.wires.cut()

    def _stream(self, fault: str, seconds: float) -> None:
        setattr(self._around.wires, fault, self._universe.now + seconds)

    def _database(self, fault: str, seconds: float) -> None:
        setattr(self._around.weather, fault, self._universe.now + seconds)

    def _path(self, number: int, fault: str, seconds: float) -> None:
        router = self._router(number)
        if router is not None:
            setattr(router.path.weather, fault, self._universe.now + seconds)

    _long_cut = _path

    def _lose(self, number: int, seconds: float) -> None:
        self._path(number, "losing", seconds)

    def _fail_over(self, lag: float) -> None:
        lost = self._known() if self._schedule.leases_lost else frozenset()
        self._around.database.fail_over(lag, self._universe.now, survive=lambda name: name not in lost)
        self._spared_until = self._universe.now + LEASE
        self.witness.failed_over()

    def _clock(self, jump: float) -> None:
        """Set the database's clock; not ahead while there are leases that somebody knows nothing of."""
        database = self._around.database
        known = set(database.leases) <= self._known()
        database.clock_offset += jump if known else -abs(jump)
        self._spared_until = self._universe.now + LEASE

    def _known(self) -> frozenset[str]:
        """Tell which routers every admin has read the lease of: of others it cannot know that they may hold one."""
        known = [set(admin.broadcaster.fanout.peers) for admin in self._admins.values() if not admin.process.dead]
        whole = all(not admin.process.dead for admin in self._admins.values())
        return frozenset(set(self._around.database.leases).intersection(*known)) if whole else frozenset()

    def _prune(self) -> None:
        self._around.database.prune(self._universe.now)

    # ------------------------------------------------------------------ inside

    def _router(self, number: int) -> Router | None:
        routers = [self._routers[key] for key in sorted(self._routers)]
        return routers[min(number, len(routers) - 1)] if routers else None

    @property
    def _spared(self) -> bool:
        """Whether admins live on, since one that starts now could not know who may hold a lease of before."""
        return self._universe.now < self._spared_until

    def _start_router(self, number: int) -> None:
        self._starts += 1
        self._routers[number] = Router(self._around, f"r{number}", f"{self._schedule.seed} r{number} {self._starts}")

    def _start_admin(self, number: int) -> None:
        self._starts += 1
        self._admins[number] = Admin(self._around, f"a{number}", f"{self._schedule.seed} a{number} {self._starts}")

    def _wanted(self, which: str) -> Token | None:
        database = self._around.database
        if which == "told":
            return self._told[-1].token if self._told else None
        if which == "newest":
            return database.head.token
        if which == "lost":
            return next((token for token in reversed(database.by_token) if database.ever_lost(token)), None)
        if which == "made up":
            return Token(database.head.token.revision + 1, "ffff")
        return next(iter(database.by_token)) if which == "old" else None


def ask_of(number: int) -> Ask:
    """Give one of the asks that picks are made of: a group or an API key, and a model."""
    model = (*MODELS, "abc", "unknown", "a", "a")[number % 8]
    caller = number // 8
    if caller < len(API_KEYS):
        return Ask(model, key_hash=bytes([API_KEYS[caller]]) * 32, seed=number)
    return Ask(model, group=GROUPS[caller % 4 == 0], seed=number)


def changed(database: Database, what: str, number: int, rng: random.Random) -> list[tuple[Name, Content | None]]:
    """Give a change of the catalog as it is now."""
    held = database.head.rows.get(("channel", number))
    channel = held.content if held is not None and isinstance(held.content, Channel) else Channel(number)
    if what == "delete":
        return [(("channel", number), None)]
    if what == "api key":
        key = rng.choice(API_KEYS)
        name: Name = ("api_key", key)
        gone = name in database.head.rows and rng.random() < 0.3
        return [(name, None if gone else ApiKey(key, rng.random() < 0.7, rng.choice((("g",), ("h", "g"), ("h",)))))]
    if what == "group":
        name = ("group", f"group {number}")
        return [(name, None if name in database.head.rows else Group(f"group {number}"))]
    if what == "many":
        return [(("channel", each), _drawn(each, rng)) for each in CHANNELS]
    changes: dict[str, Callable[[], Channel]] = {
        "flip": lambda: channel._replace(on=not channel.on) if held is not None else channel,
        "put": lambda: _drawn(number, rng),
        "spoil": lambda: channel._replace(readable=False, on=rng.random() < 0.7),
        "mend": lambda: channel._replace(readable=True, on=True),
    }
    return [(("channel", number), changes[what]())]


def _drawn(number: int, rng: random.Random) -> Channel:
    return Channel(
        number,
        on=rng.random() < 0.7,
        models=tuple(rng.sample(MODELS, rng.randrange(1, 3))),
        groups=tuple(rng.sample(GROUPS, rng.randrange(1, 3))),
        priority=rng.randrange(2),
        weight=rng.randrange(3),
        keys=rng.choice(((), (True,), (True, False), (False,))),
    )


__all__ = ["Plan", "Refused", "World", "ask_of", "changed"]
