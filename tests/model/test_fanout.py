"""The model's admin beside the real fanout: both count the same routers as having a change, whatever they read and hear.

The law: as in `test_follower`, random ways through the model are done to a `Fanout` as well. It is given each lease row as
the model's database has it, and each word as the model's router would say it, also those that must not count.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime

from admin_svc.fanout import LEASE, Fanout, Report, Wait
from admin_svc.records import RouterLease, Sight, Token
from tests.model.checker import Step
from tests.model.protocol import CatalogProtocol
from tests.model.rules import Scope
from tests.model.states import MISSING, NOWHERE, VISIBLE, Node, State, Word, name_of

_SCOPE = Scope(
    routers=2,
    keys=1,
    commits=4,
    failovers=1,
    jumps=1,
    restarts=1,
    leases=True,
    forgets=True,
    waits=True,
    swift=True,
)
_WAYS, _LENGTH = 150, 120
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def _token(node: Node) -> Token:
    return Token(node.revision, name_of(node))


def _report(word: Word) -> Report:
    applied = None if word.node == NOWHERE else _token(word.node)
    return Report(applied, "SERVING" if word.serving else "DEGRADED")


def _leases(state: State) -> list[RouterLease]:
    """The rows of the model's database, those that ran out included."""
    return [
        RouterLease(
            id=str(place),
            address="",
            incarnation="",
            applied=_report(router.row.word).applied or Token(0, "0a"),
            state=_report(router.row.word).state,
            version="",
            expire_time=_EPOCH,
            start_time=_EPOCH,
            live=bool(router.row.live),
            lease_left=0.0,
        )
        for place, router in enumerate(state.routers, 1)
    ]


class _Pair:
    """A model's admin, and a real fanout that reads and hears the same."""

    def __init__(self, seed: int) -> None:
        self.random, self.model, self.fanout = random.Random(seed), CatalogProtocol(_SCOPE), Fanout()
        self.state = self.model.initial()
        self.wait: Wait | None = None
        self.counted = 0
        self.now = self.clock = 0.0
        self.unseen = False
        """Whether the fanout has yet to see that its database became another one."""
        self._observe(self.state)

    def _observe(self, state: State) -> None:
        sight = Sight(_token(state.database.head), _leases(state), self.clock, str(state.database.fork))
        self.fanout.observe(sight, self.fanout.lineage.newest, self.now, self.now)
        self._look_up(state)

    def _look_up(self, state: State) -> None:
        base, asked = state.database, self.fanout.unknown_revisions()
        self.fanout.learn(asked, {number: name_of(base.node(number)) for number in asked if number <= len(base.log)})

    def go(self) -> str:
        """Let one thing happen to both; give its name."""
        before, step = self.state, self._chosen()
        self.state = step.state
        name, wait = step.name, self.wait
        if name.startswith("commit"):
            self.fanout.note_commit(_token(self.state.database.head), 0.0)
        elif name.startswith("failover") or name == "the clock jumps ahead":
            self.clock += 60.0 * (name == "the clock jumps ahead")
            self.unseen = self.state.waiting != NOWHERE
            if not self.unseen:
                self._observe(self.state)
        elif name == "leases of before have ended":
            self.now, self.clock = self.now + LEASE, self.clock + LEASE
        elif name == "an admin waits":
            self._observe(before)
            self.wait = self.fanout.begin_wait(_token(before.database.head), "ALL")
            self._look_up(before)
        elif name == "the admin looks at the leases":
            self._observe(before)
            self.unseen = False
        elif name.startswith("the admin hears"):
            place = int(name[-1])
            self._hear(place, before.routers[place - 1].word)
        elif name == "the admin gives up" and wait is not None:
            self.fanout.end_wait(wait)
            self.wait = None
        return name

    def _hear(self, place: int, word: Word) -> None:
        self.fanout.hear(str(place), _report(word), 0.0)
        self._look_up(self.state)
        self.fanout.lose(str(place))

    def _chosen(self) -> Step[State]:
        """Choose a step, rather often one of the admin's; after a failover or a jump, look at the leases."""
        steps = list(self.model.steps(self.state))
        if self.unseen:
            return next(step for step in steps if step.name == "the admin looks at the leases")
        admins = [step for step in steps if "admin" in step.name]
        return self.random.choice(admins if admins and self.random.random() < 0.3 else steps)

    def compare(self) -> None:
        """Hold the two against each other, after words that must not count."""
        state, wait = self.state, self.wait
        if wait is None or self.unseen:
            return
        if state.waiting == NOWHERE:
            # Called visible, or lost in a failover, which the fanout cannot know.
            assert wait.done or not state.database.holds(Node(wait.token.revision, "ab".index(wait.token.chain[-1])))
            self.counted += wait.done
            self.fanout.end_wait(wait)
            self.wait = None
            return
        counting = {step.name for step in self.model.steps(state)}
        for place, router in enumerate(state.routers, 1):
            if f"the admin hears router {place}" not in counting:
                self._hear(place, router.word)
        for status, seen in ((MISSING, wait.missing), (VISIBLE, wait.visible)):
            assert seen == {str(place) for place, router in enumerate(state.routers, 1) if router.waited == status}


def test_the_fanout_counts_whom_the_model_counts() -> None:
    """A router is missing, visible or lapsed for both alike, and both call a change visible at the same step."""
    counted = 0
    for seed in range(_WAYS):
        pair, way = _Pair(seed), list[str]()
        try:
            for _ in range(_LENGTH):
                way.append(pair.go())
                pair.compare()
        except AssertionError as difference:
            difference.add_note("\n".join([f"seed {seed}", *way]))
            raise
        counted += pair.counted
    assert counted > _WAYS / 2
