"""How a router of the model follows the head: loads, head reads, polls and hints.

The law: as in `router_svc/follower.py`, `catalog.py`, `draft.py` and `cache.py`, with the time left out: a read that begins,
sees the database and brings its answer does so in steps of their own, each as late as it likes.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.flaws import Flaw
from tests.model.rules import NOT_AS_NAMED, OLD_OVER_NEW, SERVED_OFF, Event, Rules, fault
from tests.model.states import (
    BAD,
    BAD_OFF,
    BEGUN,
    HALF,
    HELD,
    IDLE,
    NO_READ,
    NOTHING,
    NOWHERE,
    OFF,
    ON,
    Database,
    Read,
    Router,
    Rows,
    Snapshot,
    name_of,
    stamped,
    values,
)


def events(rules: Rules, database: Database, router: Router) -> Iterator[Event]:
    """Tell what may happen to what a router reads and hears."""
    for place in range(len(router.loads)):
        yield from _load(rules, database, router, place)
    yield from _head(rules, database, router)
    if router.altered and not router.distrusted and database.head == router.snapshot.node:
        # Reads everything once more, at the very state that is held (`Scrub`, `Follower.distrust`).
        yield Event("is scrubbed", begin(rules, database, router._replace(distrusted=1, wanted=1, full=1, owed=1)))
    for node in router.hints:
        yield from _hint(rules, database, router, node)


def begin(rules: Rules, database: Database, router: Router) -> Router:
    """Begin what may begin (`Follower._actions`), and put bits that mean nothing any more to 0."""
    proves = int(router.ask.waits and not router.ask.proven)
    trusts = int(router.leased and not router.trusted)
    loads, wanted, full = router.loads, router.wanted, router.full
    head, head_wanted = router.head, router.head_wanted
    if any(load.proves > proves or load.trusts > trusts for load in loads):
        loads = tuple(load._replace(proves=load.proves & proves, trusts=load.trusts & trusts) for load in loads)
    if head.proves > proves or head.trusts > trusts:
        head = head._replace(proves=head.proves & proves, trusts=head.trusts & trusts)
    if rules.follows:
        if wanted and len(loads) < (2 if Flaw.TWO_LOADERS in rules.flaws else 1):
            whole = int(full or router.snapshot.node == NOWHERE)
            loads = (*loads, Read(BEGUN, whole, proves, trusts, 1, NOTHING))
            wanted, full = int(Flaw.LATE_CLEAR in rules.flaws), 0
        # A pick whose head read brought no proof asks for another, unless it can wait for a load (`Cache.news`).
        if proves and rules.scope.cache and not (loads or wanted or head_wanted or head.proves):
            head_wanted = 1
        if head_wanted and head.phase == IDLE:
            head, head_wanted = Read(BEGUN, 0, proves, trusts, 1, NOTHING), 0
    router = router._replace(loads=loads, head=head, wanted=wanted, head_wanted=head_wanted, full=full)
    return _swiftly(rules, database, router) if rules.scope.swift else router


def _swiftly(rules: Rules, database: Database, router: Router) -> Router:
    """See the database with all reads that have just begun."""
    loads = tuple(_seen(rules, database, router, load) if load.phase == BEGUN else load for load in router.loads)
    if loads != router.loads:
        router = router._replace(loads=loads, owed=0)
    if router.head.phase == BEGUN:
        router = router._replace(head=_head_seen(rules, database, router.head))
    return router


# ---------------------------------------------------------------------- loads


def _load(rules: Rules, database: Database, router: Router, place: int) -> Iterator[Event]:
    """Let a load see the database, end or fail."""
    loads, load = router.loads, router.loads[place]
    second = "second " if place else ""
    rest = loads[:place] + loads[place + 1 :]

    def goes_on(read: Read) -> Router:
        return router._replace(
            loads=(*loads[:place], read, *loads[place + 1 :]), owed=router.owed * (load.phase != BEGUN)
        )

    if load.phase != HELD:
        read = _seen(rules, database, router, load)
        yield Event(f"{second}load reads{' the head' if read.phase == HALF else ''}", goes_on(read))
    elif load.sound or Flaw.BLIND_DIGEST in rules.flaws:
        yield _installed(rules, database, router._replace(loads=rest), load, f"{second}load is installed")
    else:
        again = router._replace(loads=rest, wanted=1, full=1, owed=1)
        yield Event(f"{second}load does not add up", begin(rules, database, again))
    whole = router.full | (load.whole and Flaw.DISTRUST_FORGOTTEN not in rules.flaws)
    again = router._replace(loads=rest, wanted=1, owed=1, full=int(whole))
    yield fault(f"{second}load fails", begin(rules, database, again))
    if Flaw.EMPTY_READ in rules.flaws and load.phase == BEGUN:
        empty = (OFF,) * rules.scope.keys
        sound = int(values(database.log, rules.scope.keys) == empty)
        broken = load._replace(phase=HELD, sound=sound, got=Snapshot(database.head, empty, empty))
        yield fault(f"{second}load breaks off after the head", goes_on(broken))


def _seen(rules: Rules, database: Database, router: Router, load: Read) -> Read:
    """Read the catalog as it is in this moment, upon a base of the same history or whole (`catalog.load`, `Draft`)."""
    rows = values(database.log, rules.scope.keys)
    if Flaw.TORN_READ in rules.flaws and load.phase == BEGUN:
        return load._replace(phase=HALF, got=Snapshot(database.head, rows, ()))
    node, true = (load.got.node, load.got.read) if load.phase == HALF else (database.head, rows)
    base, unread = router.snapshot, (OFF,) * rules.scope.keys
    ours = database.holds(base.node)
    if Flaw.WRONG_BASE in rules.flaws:
        ours = 0 <= base.node.revision <= len(database.log)
    delta = ours and not load.whole
    since = base.node.revision if delta else -1
    read, served = list(base.read if delta else unread), list(base.served if ours else unread)
    for key, (value, revision) in enumerate(stamped(database.log, rules.scope.keys)):
        if revision > since:
            read[key], served[key] = value, _served(rules, value, served[key])
    return load._replace(phase=HELD, sound=int(tuple(read) == true), got=Snapshot(node, tuple(read), tuple(served)))


def _served(rules: Rules, value: int, last_good: int) -> int:
    """Tell what picks go by (`Draft.put`)."""
    if value == BAD or (value == BAD_OFF and Flaw.QUARANTINE_OVER_DISABLE in rules.flaws):
        return last_good
    return ON if value == ON else OFF


def _installed(rules: Rules, database: Database, router: Router, load: Read, name: str) -> Event:
    """Swap the snapshot (`Cache._install`)."""
    before, after, wrong = router.snapshot.node, load.got.node, ""
    if before != after and database.holds(before) and database.leads(after, before):
        wrong = OLD_OVER_NEW
    elif not load.sound:
        wrong = NOT_AS_NAMED
    elif _serves_off(load.got.served, load.got.read):
        wrong = SERVED_OFF
    looked = router.ask.looked if database.leads(before, after) else 0
    ask = router.ask._replace(looked=looked)
    router = router._replace(snapshot=load.got, distrusted=router.distrusted & router.full, ask=ask)
    router = confirmed(router, load)
    if Flaw.LATE_CLEAR in rules.flaws:
        router = router._replace(wanted=0)
    return Event(name, begin(rules, database, router), wrong=wrong)


def _serves_off(served: Rows, read: Rows) -> bool:
    return any(shown == ON and now in {OFF, BAD_OFF} for shown, now in zip(served, read, strict=True))


def confirmed(router: Router, read: Read) -> Router:
    """Take it that a read found the state applied to be the head (`Follower._confirm`)."""
    if router.distrusted:
        return router
    if read.proves and router.ask.waits:
        router = router._replace(ask=router.ask._replace(proven=1))
    return router._replace(trusted=1) if read.trusts else router


# ---------------------------------------------------------------------- the head, and hints


def _head(rules: Rules, database: Database, router: Router) -> Iterator[Event]:
    """Poll, and let a head read see the database, end or fail."""
    head = router.head
    if head.phase == IDLE:  # a poll that falls due during a head read comes as well right after it
        if Flaw.NO_POLL not in rules.flaws:
            yield Event("polls", begin(rules, database, router._replace(head_wanted=1)))
        return
    ended = router._replace(head=NO_READ)
    if head.phase == BEGUN:
        yield Event("head is read", router._replace(head=_head_seen(rules, database, head)))
    else:
        yield Event("head arrives", begin(rules, database, _compared(rules, ended, head)))
    failed = confirmed(ended, head) if Flaw.FAILED_PROOF in rules.flaws else ended
    yield fault("head read fails", begin(rules, database, failed))


def _head_seen(rules: Rules, database: Database, head: Read) -> Read:
    return head._replace(phase=HELD, got=Snapshot(database.head, values(database.log, rules.scope.keys), ()))


def _compared(rules: Rules, router: Router, head: Read) -> Router:
    """Hold a head that was read against what is applied (`Follower._compare`)."""
    ours, theirs = router.snapshot, head.got
    same = ours.node == theirs.node
    if Flaw.NUMBER_ONLY in rules.flaws:
        same = ours.node.revision == theirs.node.revision
    elif Flaw.NEWER_IS_FINE in rules.flaws:
        same = ours.node.revision >= theirs.node.revision
    if same and (ours.read == theirs.read or Flaw.BLIND_DIGEST in rules.flaws):
        return confirmed(router, head)
    return router._replace(wanted=1, owed=1, full=router.full | same)


def _hint(rules: Rules, database: Database, router: Router, node: tuple[int, int]) -> Iterator[Event]:
    """Let a hint arrive, or get lost (`Follower.hint`). One that arrives may arrive again."""
    applied, after = router.snapshot.node, router
    if node[0] < applied.revision:
        after = router._replace(head_wanted=1)
    elif node != applied:
        after = router._replace(wanted=1, owed=1)
    elif Flaw.HINT_IS_PROOF in rules.flaws:
        after = confirmed(router, NO_READ._replace(proves=1))
    if after is not router:
        yield Event(f"hint {name_of(node)} arrives", begin(rules, database, after))
    rest = tuple(other for other in router.hints if other != node)
    yield fault(f"hint {name_of(node)} is lost", router._replace(hints=rest))
