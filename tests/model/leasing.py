"""How a router of the model holds its lease, by its own clock, and the row of it in the database.

The law: as in `Follower.leased` and `router_svc/lease.py`. Time is left out but for its order: a lease is counted from before
its renewal was sent and the row from when it was written, so the row runs out only after the lease has.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.flaws import Flaw
from tests.model.following import begin
from tests.model.rules import Event, Rules, fault
from tests.model.states import (
    IDLE,
    NO_RENEWAL,
    NO_ROW,
    NOWHERE,
    SENT,
    SPENT,
    WRITTEN,
    Database,
    Renewal,
    Router,
    Row,
)


def events(rules: Rules, database: Database, router: Router) -> Iterator[Event]:
    """Tell what may happen to a router's lease."""
    renewal = router.renewal
    if renewal.phase == IDLE:
        # Renewals that would change nothing are left out.
        changes = not router.leased or not router.row.live or router.row.word != router.word
        if changes and router.snapshot.node != NOWHERE:
            yield Event("sends its lease", _sent(rules, router))
    else:
        if renewal.phase == SENT:
            yield Event("lease is written", _written(router))
        else:
            yield _answered(rules, database, router._replace(renewal=NO_RENEWAL), late=renewal.phase == SPENT)
        yield fault("lease is not answered", router._replace(renewal=NO_RENEWAL))
    yield from _running_out(rules, database, router)


def _sent(rules: Rules, router: Router) -> Router:
    router = router._replace(renewal=Renewal(SENT, router.word))
    return _written(router) if rules.scope.swift else router


def _written(router: Router) -> Router:
    word = router.renewal.word
    return router._replace(renewal=Renewal(WRITTEN, word), row=Row(1, word))


def _answered(rules: Rules, database: Database, router: Router, *, late: bool) -> Event:
    """Take the answer to a renewal (`Follower.leased`); `late`: when the lease that it gives is already over."""
    granted = not late or Flaw.LEASE_FROM_ANSWER in rules.flaws
    if not router.leased:
        keeps = router.trusted and (Flaw.TRUST_KEPT in rules.flaws or Flaw.DISK_TRUSTED in rules.flaws)
        router = begin(rules, database, router._replace(leased=int(granted), trusted=int(keeps), head_wanted=1))
    return Event("lease is granted" if granted else "lease comes too late", router)


def _running_out(rules: Rules, database: Database, router: Router) -> Iterator[Event]:
    if router.leased:
        trusted = router.trusted if Flaw.TRUST_KEPT in rules.flaws else 0
        yield fault("lease ends", begin(rules, database, router._replace(leased=0, trusted=trusted)))
    if router.row.live and not router.leased:
        yield fault("row runs out", outlived(router._replace(row=NO_ROW)))


def outlived(router: Router) -> Router:
    """Take it that the lease which a renewal under way began is over, when its row is."""
    if router.renewal.phase == WRITTEN and not router.row.live:
        return router._replace(renewal=router.renewal._replace(phase=SPENT))
    return router
