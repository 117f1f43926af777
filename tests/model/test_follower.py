"""The model beside the real follower: whatever happens to both, they hold, read, want, prove and trust the same.

The law: the model is of this code. Random ways through the model are done to a `Follower` as well, with times in which they
can happen so; after every step the two are compared. What no caller of a follower can see is not.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from router_svc.follower import LEASE, Action, Follower, Load, ReadHead, RenewLease, State
from router_svc.snapshot import Head, Token
from tests.model.checker import Step
from tests.model.flaws import Flaw
from tests.model.protocol import CatalogProtocol
from tests.model.rules import Scope
from tests.model.states import IDLE, NOWHERE, WRITTEN, Node, Router, Snapshot
from tests.model.states import State as ModelState

_SCOPES = {
    "following": Scope(commits=5, failovers=1, picks=True, hints=2),
    "leases": Scope(commits=4, picks=True, hints=1, leases=True),
    "distrust": Scope(commits=4, picks=True, hints=1, alterations=2),
}
_WAYS, _LENGTH = 150, 80


def _token(node: Node) -> Token:
    return Token(node.revision, "ab"[node.chain] * 8)


def _head(got: Snapshot) -> Head:
    return Head(_token(got.node), hash(got.read), 1, 1, 1)


class _Pair:
    """A model's router and a real follower that the same things happen to."""

    def __init__(self, scope: Scope, flaws: frozenset[Flaw], seed: int) -> None:
        self.model, self.random, self.leases = CatalogProtocol(scope, flaws), random.Random(seed), scope.leases
        self.state: ModelState = self.model.initial()
        self.now = 1.0
        self.follower = Follower(jitter=lambda: 0.0, poll=1e-9)
        self.load: Load | None = None
        self.head = self.renewing = False
        self.failed: set[str] = set()
        self.arrival = self.sent = -1.0
        self.proving = False
        self._start()

    @property
    def router(self) -> Router:
        """The model's router."""
        return self.state.routers[0]

    def _start(self) -> None:
        """Bring the follower to where the model begins: at head, leased, trusted."""
        follower, start = self.follower, _head(self.router.snapshot)
        self._take(follower.start(0.0))
        self.load = None
        self._take(follower.loaded(start, 0.1))
        for _ in range(2 if self.leases else 0):
            self.renewing = False
            self._take(follower.leased(0.2, granted=True))
            if self.head:
                self.head = False
                self._take(follower.head_read(start, 0.3))

    def _take(self, actions: list[Action]) -> None:
        """Begin what the follower wants begun; it may want nothing twice."""
        for action in actions:
            if isinstance(action, Load):
                assert self.load is None
                self.load = action
            elif isinstance(action, ReadHead):
                assert not self.head
                self.head, self.began = True, self.now
            else:
                assert isinstance(action, RenewLease)
                assert not self.renewing
                self.renewing, self.sent = True, self.now

    # ------------------------------------------------------------------ steps

    def go(self) -> str:
        """Let one thing happen to both; give its name."""
        step = self._chosen()
        name = step.name.removeprefix("router 1: ")
        before, self.state = self.router, step.state
        self._wait(name, before)
        happen = self._happenings(before).get(name)
        if happen is not None:
            self._take(happen())
        self._keep_asking()
        if self.leases and self.renewing and self.router.renewal.phase == IDLE and not self._enabled("sends its lease"):
            self.renewing = False  # one that changes nothing, which the model leaves out
            self._take(self.follower.leased(self.now, granted=True))
        return step.name

    def _enabled(self, name: str) -> bool:
        return any(step.name == f"router 1: {name}" for step in self.model.steps(self.state))

    def _chosen(self) -> Step[ModelState]:
        """Choose a step. A renewal that the follower has sent is sent; nothing fails twice in a row, for that takes time."""
        steps = {step.name.removeprefix("router 1: "): step for step in self.model.steps(self.state)}
        if self.renewing and "sends its lease" in steps:
            return steps["sends its lease"]
        steps.pop("sends its lease", None)
        late = self.now + 0.1 >= self.sent + LEASE and self.router.renewal.phase == WRITTEN
        for name in self.failed | ({"lease is granted"} if late else set()):
            steps.pop(name, None)
        name = self.random.choice(sorted(steps))
        self.failed -= {"load is installed": {"load fails"}, "head arrives": {"head read fails"}}.get(name, set())
        if name in {"load fails", "head read fails"}:
            self.failed.add(name)
        return steps[name]

    def _wait(self, name: str, before: Router) -> None:
        """Let the time pass that a step needs; a lease that the model still holds must not end by it."""
        left = self.follower.lease_left(self.now)
        if name == "lease ends":
            self.now += left
        elif name == "row runs out" and before.renewal.phase == WRITTEN:
            self.now = max(self.now, self.sent + LEASE)
        else:
            self.now += self.random.choice((0.001, min(0.6, left / 2)) if self.leases and before.leased else (0.001,))

    def _happenings(self, before: Router) -> dict[str, Callable[[], list[Action]]]:
        follower = self.follower
        return {
            "polls": lambda: follower.tick(self.now),
            "load is installed": lambda: self._loaded(before),
            "load fails": self._load_failed,
            "head arrives": lambda: self._head_read(_head(before.head.got)),
            "head read fails": lambda: self._head_read(None),
            "lease is granted": lambda: self._leased(granted=True),
            "lease comes too late": lambda: self._leased(granted=True),
            "lease is not answered": lambda: self._leased(granted=False),
            "is asked for a pick": self._asked,
            "is scrubbed": lambda: follower.distrust(self.now),
        } | {f"hint {node.revision}{'ab'[node.chain]} arrives": self._hinted(node) for node in before.hints}

    def _hinted(self, node: Node) -> Callable[[], list[Action]]:
        return lambda: self.follower.hint(_token(node), self.now)

    def _loaded(self, before: Router) -> list[Action]:
        assert self.load is not None
        whole = before.loads[0].whole or before.snapshot.node == NOWHERE
        assert self.load.since == (None if whole else _token(before.snapshot.node))
        self.load = None
        return self.follower.loaded(_head(before.loads[0].got), self.now)

    def _load_failed(self) -> list[Action]:
        self.load = None
        return self.follower.load_failed(self.now, disagreed=False)

    def _head_read(self, head: Head | None) -> list[Action]:
        self.head = False
        return self.follower.head_read(head, self.now)

    def _leased(self, *, granted: bool) -> list[Action]:
        self.renewing = False
        return self.follower.leased(self.now, granted=granted)

    def _asked(self) -> list[Action]:
        self.arrival = self.now
        return self._proved()

    def _proved(self) -> list[Action]:
        return self.follower.prove(self.now)[1]

    def _keep_asking(self) -> None:
        """Ask for another head read where `Cache.news` would, for a pick that waits unproven."""
        proves = self.head and self.began >= self.arrival
        if self.router.ask.waits and self.follower.confirmed < self.arrival and not (self.follower.behind or proves):
            self._take(self._proved())

    # ------------------------------------------------------------------ comparing

    def compare(self) -> None:
        """Hold the two against each other."""
        router, follower = self.router, self.follower
        assert follower.applied is not None
        assert follower.applied == _head(router.snapshot)
        assert (self.load is not None, self.head) == (bool(router.loads), router.head.phase != IDLE)
        assert follower.behind == bool(router.wanted or router.loads)
        if router.ask.waits:
            assert (follower.confirmed >= self.arrival) == bool(router.ask.proven)
        if self.leases:
            assert self.renewing or router.renewal.phase == IDLE
            aged = self.now - follower.confirmed >= LEASE  # which the model leaves out: it only marks more answers
            assert (follower.state(self.now) is State.SERVING) == (router.serving and not aged)


def _walk(scope: Scope, *flaws: Flaw) -> None:
    """Take random ways. Raises AssertionError with the way that led to a difference."""
    for seed in range(_WAYS):
        pair, way = _Pair(scope, frozenset(flaws), seed), list[str]()
        try:
            while len(way) < _LENGTH and not pair.state.wrong:
                way.append(pair.go())
                pair.compare()
        except AssertionError as difference:
            difference.add_note("\n".join([f"seed {seed}", *way]))
            raise


@pytest.mark.parametrize("name", _SCOPES)
def test_the_follower_does_what_the_model_does(name: str) -> None:
    """What is proven of the model is proven of the follower as far as the two do the same; and they do, step by step."""
    _walk(_SCOPES[name])


@pytest.mark.parametrize(
    ("name", "flaw"),
    [
        ("following", Flaw.TWO_LOADERS),
        ("following", Flaw.LATE_CLEAR),
        ("following", Flaw.NEWER_IS_FINE),
        ("following", Flaw.JOINED_READ),
        ("following", Flaw.FAILED_PROOF),
        ("following", Flaw.HINT_IS_PROOF),
        ("leases", Flaw.LEASE_FROM_ANSWER),
        ("leases", Flaw.TRUST_KEPT),
        ("distrust", Flaw.DISTRUST_FORGOTTEN),
    ],
)
def test_a_follower_that_did_otherwise_would_be_seen(name: str, flaw: Flaw) -> None:
    """The comparison is worth something: beside a model with a flaw, the follower without it differs."""
    with pytest.raises(AssertionError):
        _walk(_SCOPES[name], flaw, Flaw.BLIND_DIGEST)
