"""The protocol by which every router holds the catalog as it is, or says that it may not: a model that can be walked whole.

The law: whatever the code does for its laws is a step here, and whatever network, clocks, machines and database may do to it
may happen between any two steps, within the scope. The laws are looked at in every state; no rule builds upon one.

| here | in the code |
|---|---|
| `commit: …`, `begins …`, `commits …`, `rolls back …` | `begin_change()` in `0002_revision.sql`, `Store.commit` |
| `failover to …` | a replica is promoted, or a backup restored, that lacks the newest revisions, and perhaps leases |
| hints on their way | `Fanout.next_hint`, `Link._speak` |
| `hint … arrives`, `hint … is lost` | `Follower.hint`; a stream that broke, an admin that died between commit and stream |
| `polls` | `Follower.tick` |
| begins to load or to read the head, within any step that asks for it | `Follower._actions` |
| `load reads` | the one transaction of `catalog.load`; upon a base only where `_is_ours`; rows by `Draft.put` |
| `load is installed`, `load fails` | `Cache._install`, `Follower.loaded`, `Follower.load_failed` |
| `load does not add up` | `Disagreement` from `Draft.done` |
| `head is read`, `head arrives`, `head read fails` | `catalog.read_head`, `Follower.head_read` and `_compare` |
| `sends its lease`, `lease is written` | `RenewLease`, the statement of `lease.renew` |
| `lease is granted`, `lease comes too late`, `lease is not answered` | `Follower.leased` |
| `the clock jumps ahead` | `now()` of the database, by which `routers.expire_time` is judged |
| `lease ends`, `row runs out` | `Follower.state` past `_lease_end`; the database past `routers.expire_time` |
| `restarts …` | SIGKILL and a start, with or without a snapshot on disk |
| `is asked for a pick`, `gives a plan`, `refuses`, `cannot tell in time` | `Desk.at_once`, `Desk.settle`, `Cache.news` |
| `answers from the database` | a pick with the cache switched off: one statement |
| `is asked for 1a`, `has reached it`, `calls it lost` | `Desk._unreached`, `Lineage.standing` |
| `looks 1a up` | `Lookups`, of a revision older than what is kept in memory |
| `memory is altered`, `is scrubbed` | whatever may; `Scrub`, `Follower.distrust` |
| `an admin waits`, `the admin looks at the leases` | `Broadcaster.visible`, `Fanout.begin_wait`, `Fanout.observe` |
| `the admin hears …` | `Fanout.hear`; a wait that nobody is missing from has promised (`Fanout.end_wait`) |
| `the admin gives up` | the wait's time limit, or the admin's death |
| `leases of before have ended` | `Peer.held_until`: who was known before a failover or a jump is waited for |

Left out, and why that hides nothing: picks for another key than the first, for keys are equals; renewals that change nothing;
the age of a confirmation, which only marks more answers; which admin commits or tells, for every one of them, and a hand in
psql, stands before the same row. Left out because nothing can be done: picks before a scrub finds what was altered. Taken for
granted: after a failover nobody reads from or writes to the old database; clocks run at one speed, and those of routers and
admins do not jump; every router was known to the admin before the failover or the jump of the database's clock.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model import admin, database, following, leasing, picking
from tests.model.checker import Step
from tests.model.flaws import Flaw
from tests.model.rules import LOST_REFRESH, SEEN_OLDER, UNSETTLED, Event, Rules, Scope
from tests.model.states import (
    BEGUN,
    NO_ASK,
    NO_READ,
    NO_RENEWAL,
    NOTHING,
    NOWHERE,
    OFF,
    ON,
    Database,
    Left,
    Node,
    Router,
    Row,
    Snapshot,
    State,
    Word,
    values,
)


class CatalogProtocol:
    """The model of one scope, with the flaws given."""

    goal = UNSETTLED

    def __init__(self, scope: Scope, flaws: frozenset[Flaw] = frozenset()) -> None:
        self._rules = Rules(scope, flaws)
        self._first = Snapshot(Node(0, 0), (OFF,) * scope.keys, (OFF,) * scope.keys)
        self._known: dict[tuple[Database, Router], tuple[Event, ...]] = {}

    def initial(self) -> State:
        """Every key is off, and every router has seen so and holds its lease."""
        scope = self._rules.scope
        router = Router(
            snapshot=self._first,
            wanted=0,
            full=0,
            distrusted=0,
            loads=(),
            head_wanted=0,
            head=NO_READ,
            leased=1,
            trusted=1,
            renewal=NO_RENEWAL,
            row=Row(1, Word(self._first.node, 1)),
            hints=(),
            ask=NO_ASK,
            waited=0,
            polled=1,
            memo=0,
            owed=0,
        )
        left = Left(scope.commits, scope.failovers, scope.jumps, scope.restarts, scope.alterations, scope.faults)
        return State(Database((), -1, 0, (), 0), (router,) * scope.routers, NOWHERE, NOWHERE, left, "")

    def steps(self, state: State) -> Iterator[Step[State]]:
        """Tell all that may happen; once a law is broken there is nothing more to see."""
        if state.wrong:
            return
        yield from database.steps(state, self._rules)
        if self._rules.scope.waits:
            yield from admin.steps(state, self._rules.flaws)
        for place, router in enumerate(state.routers):
            for event in self._events(state.database, router):
                if not event.fault or state.left.faults:
                    yield _at(state, place, event)
            if state.left.restarts:
                yield from self._restarts(state, place, router)
            if state.left.alterations and router.snapshot.served[:1] == (ON,) and not router.ask.waits:
                yield _altered(state, place, router)

    def broken(self, state: State) -> str:
        """Name the law that a state breaks."""
        if state.wrong:
            return state.wrong
        for router in state.routers:
            if router.owed and not router.wanted and all(load.phase != BEGUN for load in router.loads):
                return LOST_REFRESH
            if router.serving and self._rules.scope.waits and admin.is_unseen(state, router):
                return SEEN_OLDER
        return ""

    def settled(self, state: State) -> bool:
        """Tell whether every router is at the head, is trusted, and has answered."""
        head = (state.database.head, values(state.database.log, self._rules.scope.keys))
        return all(
            router.serving and not router.ask.waits and not router.altered and router.snapshot[:2] == head
            for router in state.routers
        )

    def canonical(self, state: State) -> State:
        """Sort the routers: which of them is which makes no difference."""
        routers = sorted(state.routers)
        return state if list(state.routers) == routers else state._replace(routers=tuple(routers))

    def _events(self, base: Database, router: Router) -> tuple[Event, ...]:
        """Tell what may happen at a router; with several, each situation of one is met with many of the others."""
        if self._rules.scope.routers == 1:
            return tuple(self._all_events(base, router))
        known = self._known.get((base, router))
        if known is None:
            known = self._known[base, router] = tuple(self._all_events(base, router))
        return known

    def _all_events(self, base: Database, router: Router) -> Iterator[Event]:
        if self._rules.follows:
            yield from following.events(self._rules, base, router)
            if self._rules.scope.leases:
                yield from leasing.events(self._rules, base, router)
        yield from picking.events(self._rules, base, router)

    def _restarts(self, state: State, place: int, router: Router) -> Iterator[Step[State]]:
        """Kill a router and start it; what the database and the admin hold of it stays."""
        left = state.left._replace(restarts=state.left.restarts - 1)
        trusts = Flaw.DISK_TRUSTED in self._rules.flaws
        leased = int(not self._rules.scope.leases)
        for name, disk in (("with nothing", NOTHING), ("with an old disk snapshot", self._first)):
            fresh = router._replace(
                snapshot=disk,
                wanted=1,
                full=0,
                distrusted=0,
                loads=(),
                head_wanted=0,
                head=NO_READ,
                leased=leased,
                trusted=int(leased or (trusts and disk != NOTHING)),
                renewal=NO_RENEWAL,
                hints=(),
                ask=NO_ASK,
                memo=0,
                owed=1,
            )
            started = following.begin(self._rules, state.database, fresh)
            yield _at(state._replace(left=left), place, Event(f"restarts {name}", started, fair=False))


def _altered(state: State, place: int, router: Router) -> Step[State]:
    """Lose something from a router's memory."""
    left = state.left._replace(alterations=state.left.alterations - 1)
    snapshot = router.snapshot._replace(served=(OFF, *router.snapshot.served[1:]))
    event = Event("memory is altered", router._replace(snapshot=snapshot), fair=False)
    return _at(state._replace(left=left), place, event)


def _at(state: State, place: int, event: Event) -> Step[State]:
    """Let something happen at one router."""
    left = state.left
    if event.fault and left.faults > 0:
        left = left._replace(faults=left.faults - 1)
    routers = (*state.routers[:place], event.router, *state.routers[place + 1 :])
    after = State(state.database, routers, state.waiting, state.promised, left, event.wrong)
    return Step(f"router {place + 1}: {event.name}", after, event.fair)
