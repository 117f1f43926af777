"""The admin of the model: waits until a change is visible, and then has promised that it stays so.

The law: as `admin_svc/fanout.py` has it. Only routers whose lease is live in a read that began after the commit are waited
for; each counts when its word, by the stream or in its lease row, is SERVING at a state that has the change in its history.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.checker import Step
from tests.model.flaws import Flaw
from tests.model.states import (
    LAPSED,
    MISSING,
    NOWHERE,
    UNCOUNTED,
    VISIBLE,
    Database,
    Node,
    Router,
    State,
    Word,
)


def steps(state: State, flaws: frozenset[Flaw]) -> Iterator[Step[State]]:
    """Tell all that may happen at the admin."""
    head = state.database.head
    if Flaw.LEASES_READ_EARLY in flaws:
        routers = tuple(router._replace(polled=router.row.live) for router in state.routers)
        yield Step("an admin polls the leases", state._replace(routers=routers), fair=False)
    if state.waiting == NOWHERE:
        if head.revision > 0 and head != state.promised:
            yield Step("an admin waits", _counted(state._replace(waiting=head), flaws, begins=True), fair=False)
        return
    yield Step("the admin gives up", _ended(state), fair=False)
    yield Step("the admin looks at the leases", _counted(state, flaws, begins=False), fair=True)
    for place, router in enumerate(state.routers):
        if router.waited == MISSING and _has(state.database, router.word, state.waiting, flaws):
            others = state.routers[:place], state.routers[place + 1 :]
            heard = _kept(state._replace(routers=(*others[0], router._replace(waited=VISIBLE), *others[1])))
            yield Step(f"the admin hears router {place + 1}", heard, fair=True)


def _has(database: Database, word: Word, token: Node, flaws: frozenset[Flaw]) -> bool:
    """Tell whether a word says that a change is in force (`Fanout._has`)."""
    if Flaw.DEGRADED_COUNTED in flaws and not word.serving:
        return True
    if Flaw.SEEN_BY_NUMBER in flaws:
        return word.serving == 1 and word.node.revision >= token.revision
    return word.serving == 1 and database.holds(word.node) and database.leads(token, word.node)


def _counted(state: State, flaws: frozenset[Flaw], *, begins: bool) -> State:
    """See from the leases whom to wait for (`Fanout.begin_wait`, `_lapse`)."""
    return _kept(state._replace(routers=tuple(_seen(state, router, flaws, begins=begins) for router in state.routers)))


def _seen(state: State, router: Router, flaws: frozenset[Flaw], *, begins: bool) -> Router:
    if router.waited in {VISIBLE, UNCOUNTED}:
        return router
    live = router.polled if begins and Flaw.LEASES_READ_EARLY in flaws else router.row.live
    if live and _has(state.database, router.row.word, state.waiting, flaws):
        return router._replace(waited=VISIBLE)
    # A lease that this database does not know may still be held when it was given by the one before.
    if live or state.database.grace:
        return router._replace(waited=MISSING)
    return router._replace(waited=UNCOUNTED if begins else LAPSED)


def _kept(state: State) -> State:
    """Call the change visible once nobody is missing."""
    if any(router.waited == MISSING for router in state.routers):
        return state
    return _ended(state)._replace(promised=state.waiting)


def _ended(state: State) -> State:
    routers = tuple(router._replace(waited=0) for router in state.routers)
    return state._replace(waiting=NOWHERE, routers=routers)


def is_unseen(state: State, router: Router) -> bool:
    """Tell whether a router that serves unmarked lacks what it was counted to have, or what was called visible."""
    base, node = state.database, router.snapshot.node
    if router.waited in {VISIBLE, LAPSED, UNCOUNTED} and not base.leads(state.waiting, node):
        return True
    return state.promised != NOWHERE and not base.leads(state.promised, node)


def moved(state: State) -> State:
    """Forget, after a failover, promises of changes that are lost with it."""
    base, promised = state.database, state.promised
    if state.waiting != NOWHERE and not base.holds(state.waiting):
        state = _ended(state)
    if promised != NOWHERE and not base.holds(promised):
        state = state._replace(promised=base.head if base.fork > 0 else NOWHERE)
    return state
