"""How a router of the model answers picks: at once, after a proof, or not in time.

The law: as in `router_svc/desk.py`. A plan is given by the snapshot at hand; a refusal, and that a token is lost, may be said
only once a read that began after the pick arrived has found the snapshot at head.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.flaws import Flaw
from tests.model.following import begin
from tests.model.rules import FALSE_NEGATIVE, NOT_REACHED, Event, Rules, fault
from tests.model.states import IDLE, NO_ASK, NOWHERE, OFF, ON, Ask, Database, Node, Router, name_of, values


def events(rules: Rules, database: Database, router: Router) -> Iterator[Event]:
    """Tell what may happen to a router's picks."""
    if router.ask.waits:
        answered = begin(rules, database, router._replace(ask=NO_ASK))
        yield from _answers(rules, database, router, answered)
        yield fault("cannot tell in time", answered)
    elif router.snapshot.node != NOWHERE:
        if rules.scope.picks:
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
    yield Event(
        "is asked for a pick", begin(rules, database, router._replace(ask=Ask(1, NOWHERE, 0, true))), fair=False
    )


def _arrives_with_token(rules: Rules, database: Database, router: Router) -> Iterator[Event]:
    """Let a pick arrive that names a state there is, or was before the failover."""
    reached = len(database.log) if database.fork < 0 else database.lost
    tokens = [Node(revision, 0) for revision in range(reached + 1)]
    if database.fork >= 0:
        tokens += [Node(revision, 1) for revision in range(database.fork + 1, len(database.log) + 1)]
    for token in tokens:
        ask = Ask(1, token, 0, int(refusal_is_true(database, rules.scope.keys, token)))
        asked = begin(rules, database, router._replace(ask=ask, head_wanted=1))
        yield Event(f"is asked for {name_of(token)}", asked, fair=False)


def _answers(rules: Rules, database: Database, router: Router, answered: Router) -> Iterator[Event]:
    """Answer a pick that waited (`Desk._settled`)."""
    ask = router.ask
    if not rules.scope.cache:
        # Its one statement reads what it answers, so it is true by that alone.
        yield Event("answers from the database", answered)
    elif ask.token != NOWHERE:
        yield from _answers_token(rules, database, router, answered)
    elif not _refuses(router):
        yield Event("gives a plan", answered)
    elif ask.proven:
        yield Event("refuses", answered, wrong="" if ask.true else FALSE_NEGATIVE)


def _answers_token(rules: Rules, database: Database, router: Router, answered: Router) -> Iterator[Event]:
    """Answer a pick that named a token (`Desk._unreached`, `Lineage.standing`)."""
    token, node = router.ask.token, router.snapshot.node
    truly = database.leads(token, node)
    reached = token.revision <= node.revision if Flaw.TOKEN_BY_NUMBER in rules.flaws else truly
    if reached:
        yield Event("has reached it", answered, wrong="" if truly else NOT_REACHED)
    elif router.ask.proven:
        yield Event("calls it lost", answered, wrong="" if router.ask.true else NOT_REACHED)
