"""How a router of the model answers picks: at once, after a proof, or not in time.

The law: as in `router_svc/desk.py`. A plan is given by the snapshot at hand; a refusal, and that a token is lost, may be said
only once a read that began after the pick arrived has found the snapshot at head.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.flaws import Flaw
from tests.model.following import begin
from tests.model.rules import FALSE_NEGATIVE, NOT_REACHED, Event, Rules, fault
from tests.model.states import (
    FOREIGN,
    IDLE,
    NO_ASK,
    NOWHERE,
    OFF,
    ON,
    REACHED,
    Ask,
    Database,
    Node,
    Router,
    name_of,
    values,
)


def events(rules: Rules, database: Database, router: Router) -> Iterator[Event]:
    """Tell what may happen to a router's picks."""
    if router.ask.waits:
        answered = begin(rules, database, router._replace(ask=NO_ASK))
        yield from _answers(rules, database, router, answered)
        yield fault("cannot tell in time", answered)
    elif router.snapshot.node != NOWHERE:
        # What nobody can know yet, that memory was altered, is no law's business.
        if rules.scope.picks and (router.distrusted or not router.altered):
            yield from _arrives(rules, database, router)
        if rules.scope.tokens:
            yield from _arrives_with_token(rules, database, router)


def refusal_is_true(database: Database, keys: int, token: Node) -> bool:
    """Tell whether there is nothing to be had for the first key, or the token asked for belongs to no history."""
    if token != NOWHERE:
        return not database.holds(token)
    return values(database.log, keys)[0] != ON


def _refuses(router: Router) -> bool:
    return router.snapshot.served[0] == OFF or router.memo == 1


def _arrives(rules: Rules, database: Database, router: Router) -> Iterator[Event]:
    """Let a pick arrive (`Desk.at_once`). One that gets a plan at once changes nothing and is left out."""
    if rules.scope.cache and not _refuses(router):
        return
    true = int(refusal_is_true(database, rules.scope.keys, NOWHERE))
    if Flaw.NO_PROOF in rules.flaws:
        yield Event("refuses a pick at once", router, fair=False, wrong="" if true else FALSE_NEGATIVE)
        return
    if Flaw.STALE_MEMO in rules.flaws:
        router = router._replace(memo=1)
    joins = Flaw.JOINED_READ in rules.flaws and router.head.phase != IDLE
    if joins:
        router = router._replace(head=router.head._replace(proves=1))
    elif rules.scope.cache:
        router = router._replace(head_wanted=1)
    asked = router._replace(ask=Ask(1, NOWHERE, 0, 0, true))
    yield Event("is asked for a pick", begin(rules, database, asked), fair=False)


def _arrives_with_token(rules: Rules, database: Database, router: Router) -> Iterator[Event]:
    """Let a pick arrive that names a state there is, or was before the failover."""
    reached = len(database.log) if database.fork < 0 else database.lost
    tokens = [Node(revision, 0) for revision in range(reached + 1)]
    if database.fork >= 0:
        tokens += [Node(revision, 1) for revision in range(database.fork + 1, len(database.log) + 1)]
    for token in tokens:
        ask = Ask(1, token, 0, 0, int(refusal_is_true(database, rules.scope.keys, token)))
        asked = begin(rules, database, router._replace(ask=ask, head_wanted=1))
        yield Event(f"is asked for {name_of(token)}", asked, fair=False)


def _answers(rules: Rules, database: Database, router: Router, answered: Router) -> Iterator[Event]:
    """Answer a pick that waited (`Desk._settled`)."""
    ask = router.ask
    if ask.token != NOWHERE:
        yield from _looks_up(rules, database, router)
        yield from _answers_token(rules, database, router, answered)
    elif not rules.scope.cache:
        # Its one statement reads what it answers, so it is true by that alone.
        yield Event("answers from the database", answered)
    elif not _refuses(router):
        yield Event("gives a plan", answered)
    elif ask.proven:
        yield Event("refuses", answered, wrong="" if ask.true else FALSE_NEGATIVE)


def _looks_up(rules: Rules, database: Database, router: Router) -> Iterator[Event]:
    """Ask the database what it knows of an old token (`Lookups`)."""
    ask, node = router.ask, router.snapshot.node
    if rules.scope.recalls or ask.looked or ask.token.revision >= node.revision:
        return
    if Flaw.LOOKED_UP_ALONE in rules.flaws:
        # A number that the database does not have counts as forgotten long ago.
        unknown = ask.token.revision > len(database.log)
        found = REACHED if unknown or database.holds(ask.token) else FOREIGN
    elif database.holds(node):
        found = REACHED if database.holds(ask.token) else FOREIGN
    else:
        return
    yield Event(f"looks {name_of(ask.token)} up", router._replace(ask=ask._replace(looked=found)))


def _answers_token(rules: Rules, database: Database, router: Router, answered: Router) -> Iterator[Event]:
    """Answer a pick that named a token (`Desk._unreached`, `Lineage.standing`)."""
    ask, node = router.ask, router.snapshot.node
    truly = database.leads(ask.token, node)
    known = rules.scope.recalls or ask.token.revision >= node.revision
    reached = truly if known else ask.looked == REACHED
    if Flaw.TOKEN_BY_NUMBER in rules.flaws:
        reached = ask.token.revision <= node.revision
    if reached and rules.scope.cache:
        yield Event("has reached it", answered, wrong="" if truly else NOT_REACHED)
    elif reached and (database.holds(ask.token) or Flaw.DIRECT_UNASKED in rules.flaws):
        yield Event("answers from the database", answered, wrong="" if database.holds(ask.token) else NOT_REACHED)
    elif ask.proven and not reached and (known or ask.looked == FOREIGN):
        yield Event("calls it lost", answered, wrong="" if ask.true else NOT_REACHED)
