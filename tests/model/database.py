"""The database of the model: one locked head row, a history that a failover may cut short, leases that it may forget.

The law: a change is in force for all who read from the moment of its commit on, and has the number after the last one's. A
flaw takes the number from a sequence instead.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model import admin
from tests.model.checker import Step
from tests.model.flaws import Flaw
from tests.model.leasing import outlived
from tests.model.picking import refusal_is_true
from tests.model.rules import Rules, Scope
from tests.model.states import (
    BAD,
    BAD_OFF,
    GAP,
    NO_ROW,
    OFF,
    ON,
    Change,
    Database,
    Node,
    Router,
    State,
    name_of,
    values,
)


def steps(state: State, rules: Rules) -> Iterator[Step[State]]:
    """Tell all that may happen at the database."""
    scope, flaws = rules.scope, rules.flaws
    if scope.writers:
        yield from _transactions(state, scope, flaws)
    elif state.left.commits:
        for key in range(scope.keys):
            for value in _next_values(
                values(state.database.log, scope.keys)[key], faulty=scope.faulty_rows and key == 0
            ):
                log = (*state.database.log, Change(key, value))
                yield Step(f"commit: {_said(key, value)}", _committed(state, log, scope), fair=False)
    if state.left.failovers:
        yield from _failovers(state, scope, flaws)
    if state.left.jumps:
        yield _clock_jumps(state, flaws)
    if state.database.grace:
        yield from _grace_ends(state)


def _next_values(value: int, *, faulty: bool) -> list[int]:
    """Tell what a key may become."""
    return [now for now in (OFF, ON, BAD, BAD_OFF) if now != value] if faulty else [ON if value != ON else OFF]


def _committed(state: State, log: tuple[Change, ...], scope: Scope) -> State:
    """Put a change in force, and a hint of it on its way to every router."""
    after = state.database._replace(log=log)
    left = state.left._replace(commits=state.left.commits - 1) if not scope.writers else state.left
    routers = tuple(_hinted(router, after.head, scope.hints) for router in state.routers)
    return _witnessed(state._replace(database=after, routers=routers, left=left), scope)


def _hinted(router: Router, node: Node, most: int) -> Router:
    """Put a hint on its way; one that finds no room is lost, which may happen to any."""
    if len(router.hints) >= most or node in router.hints:
        return router
    return router._replace(hints=tuple(sorted((*router.hints, node))))


def _witnessed(state: State, scope: Scope) -> State:
    """Note for each pick that waits whether a refusal is true now."""
    routers = tuple(
        router._replace(ask=router.ask._replace(true=1))
        if router.ask.waits and refusal_is_true(state.database, scope.keys, router.ask.token)
        else router
        for router in state.routers
    )
    return state._replace(routers=routers)


# ------------------------------------------------------------------ transactions


def _transactions(state: State, scope: Scope, flaws: frozenset[Flaw]) -> Iterator[Step[State]]:
    """Begin, commit and roll back transactions, each of which turns one key over."""
    base, bare = state.database, Flaw.BARE_SEQUENCE in flaws
    locked = bool(base.open) and not bare  # whoever comes second waits at the head row
    if state.left.commits and not locked and len(base.open) < scope.writers:
        number = max([len(base.log), *(number for number, _ in base.open)]) + 1
        left = state.left._replace(commits=state.left.commits - 1)
        for key in range(scope.keys):
            begun = base._replace(open=tuple(sorted((*base.open, (number, key)))))
            yield Step(f"begins {number}: key {key}", state._replace(database=begun, left=left), fair=False)
    for number, key in base.open:
        rest = base._replace(open=tuple(other for other in base.open if other[0] != number))
        change = Change(key, _next_values(values(base.log, scope.keys)[key], faulty=False)[0])
        log = base.log + (GAP,) * (number - len(base.log))
        log = (*log[: number - 1], change, *log[number:])
        yield Step(
            f"commits {number}: {_said(*change)}", _committed(state._replace(database=rest), log, scope), fair=False
        )
        yield Step(f"rolls back {number}", state._replace(database=rest), fair=False)


# ------------------------------------------------------------------ failover


def _failovers(state: State, scope: Scope, flaws: frozenset[Flaw]) -> Iterator[Step[State]]:
    """Let a replica take over that has the history up to some revision, and the leases or none of them."""
    base = state.database
    left = state.left._replace(failovers=state.left.failovers - 1)
    for fork in range(len(base.log) + 1):
        grace = int(scope.forgets and Flaw.NO_GRACE not in flaws)
        after = Database(base.log[:fork], fork, len(base.log), (), grace)
        for forgets in (False, True) if scope.forgets else (False,):
            routers = tuple(router._replace(row=NO_ROW) for router in state.routers) if forgets else state.routers
            moved = admin.moved(state._replace(database=after, routers=routers, left=left))
            name = f"failover to {name_of(after.head)}{' without leases' if forgets else ''}"
            yield Step(name, _witnessed(moved, scope), fair=False)


def _clock_jumps(state: State, flaws: frozenset[Flaw]) -> Step[State]:
    """Let every lease be over by the database's clock, and none by the routers' own."""
    left = state.left._replace(jumps=state.left.jumps - 1)
    routers = tuple(router._replace(row=NO_ROW) for router in state.routers)
    grace = int(Flaw.CLOCK_JUMPS not in flaws)
    after = state._replace(database=state.database._replace(grace=grace), routers=routers, left=left)
    return Step("the clock jumps ahead", after, fair=False)


def _grace_ends(state: State) -> Iterator[Step[State]]:
    """Let the time of a lease have passed since then: none of which the database knows nothing is held any more."""
    if all(router.row.live or not router.leased for router in state.routers):
        routers = tuple(map(outlived, state.routers))
        after = state._replace(database=state.database._replace(grace=0), routers=routers)
        yield Step("leases of before have ended", after, fair=True)


def _said(key: int, value: int) -> str:
    return f"key {key} {('off', 'on', 'unreadable', 'unreadable but off')[value]}"
