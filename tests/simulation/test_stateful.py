"""Every history of the catalog, read as routers read it, against the plainest account of what a pick may say.

Law: whoever followed by deltas, however many changes each took in, and whoever loads everything hold the same catalog, to the
digest; the same seed gives both the same plan; a plan is legal by the plain rule and a refusal is true by it; a snapshot once
in force never changes again. Rows go through the real reader and loader upon the database's twin. One delta and one catalog
at a time, and the shapes that only a unit test can draw, are tests/unit/router_svc's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from router_svc import catalog
from router_svc.line import Connection
from router_svc.picker import decide
from router_svc.plan import Ask, Plan
from router_svc.snapshot import Snapshot
from tests.harness.fuzz import examples
from tests.simulation.database import API_KEYS, GROUPS, MODELS, ApiKey, Channel, Content, Database, Group, Name, covers
from tests.simulation.session import Session
from trunkline.errors import Refused

T = TypeVar("T")

NOW = 1_800_000_000.0
ASKED = (*MODELS, "abc", "unknown")
CROWD = range(100, 450)  # more than one chunk of a route, and more than one slice of a read

channels = st.builds(
    Channel,
    st.integers(1, 4),
    on=st.booleans(),
    models=st.lists(st.sampled_from(MODELS), unique=True, max_size=3).map(tuple),
    groups=st.lists(st.sampled_from(GROUPS), unique=True, max_size=2).map(tuple),
    priority=st.integers(0, 2),
    weight=st.integers(0, 2),
    keys=st.lists(st.booleans(), max_size=2).map(tuple),
    readable=st.sampled_from([True, True, True, False]),
)
api_keys = st.builds(ApiKey, st.sampled_from(API_KEYS), on=st.booleans(), groups=st.permutations(GROUPS).map(tuple))


class InstantSession(Session):
    """A session whose round trips take no time."""

    async def _trip(self, work: Callable[[float], T]) -> T:
        return work(0.0)


class _Way:
    """The way to a database that is always there."""

    def __init__(self, database: Database) -> None:
        self.database = database


def read(database: Database, base: Snapshot | None, *, whole: bool) -> catalog.Loaded:
    """Load as a router does, with nothing to wait for."""
    session = InstantSession(cast("Any", _Way(database)))
    return driven(catalog.load(cast("Connection", session), base, whole=whole, heard=lambda: None))


def driven(work: Coroutine[Any, Any, T]) -> T:
    """Run what only ever gives others a turn."""
    while True:
        try:
            work.send(None)
        except StopIteration as end:
            return cast("T", end.value)


@dataclass
class Follower:
    """Somebody who follows by deltas, and the channels that he must be serving by the plain account."""

    snapshot: Snapshot
    serving: dict[int, Channel]

    def follow(self, database: Database) -> None:
        """Catch up."""
        before = self.snapshot.token.revision
        self.snapshot = read(database, self.snapshot, whole=False).snapshot
        now = {channel.id: (channel, revision) for channel, revision in database.head.channels()}
        self.serving = {number: channel for number, channel in self.serving.items() if number in now}
        for number, (channel, revision) in now.items():
            if revision > before:
                self._take(number, channel)

    def _take(self, number: int, channel: Channel) -> None:
        """A row that cannot be read leaves what was served, unless it says that it is off."""
        if channel.readable:
            self.serving[number] = channel
        elif not channel.on:
            self.serving.pop(number, None)


def seen_in(held: Snapshot) -> dict[str, Any]:
    """Everything a pick can see of a snapshot, in plain values."""
    return {
        "head": held.head,
        "abilities": held.ability_count,
        "channels": {item.id: item.revision for item in held.channels.values()},
        "hashes": {digest: item.id for digest, item in held.api_keys_by_hash.items()},
        "groups": set(held.groups),
        "quarantine": {name: bad.served_revision for name, bad in held.quarantine.items()},
        "routes": {
            (group, declared): (
                [(tier.priority, dict(tier.weighted.items()), set(tier.weightless)) for tier in route.tiers],
                set(route.out),
            )
            for group, routes in held.routes.items()
            for declared, route in routes.items()
        },
    }


class Histories(RuleBasedStateMachine):
    """A catalog that changes, one who follows at every change, and one who follows now and then."""

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        """Both load everything once."""
        self.database = Database(random.Random(seed))
        self.time = 0.0
        loaded = read(self.database, None, whole=True).snapshot
        serving = {channel.id: channel for channel, _ in self.database.head.channels()}
        self.close, self.lazy = Follower(loaded, dict(serving)), Follower(loaded, dict(serving))
        self.old: list[tuple[Snapshot, dict[str, Any]]] = []

    def commit(self, *changes: tuple[Name, Content | None]) -> None:
        """Change the catalog; the one who follows closely catches up at once."""
        self.time += 1.0
        self.database.commit(list(changes), self.time)
        self.old = [*self.old[-3:], (self.close.snapshot, seen_in(self.close.snapshot))]
        self.close.follow(self.database)

    # ------------------------------------------------------------------ what happens

    @rule(made=st.lists(channels, min_size=1, max_size=3, unique_by=lambda channel: channel.id))
    def put_channels(self, made: list[Channel]) -> None:
        """One transaction sets some channels."""
        self.commit(*((("channel", channel.id), channel) for channel in made))

    @rule(number=st.integers(1, 4))
    def delete_a_channel(self, number: int) -> None:
        """A channel goes, if it is there."""
        self.commit((("channel", number), None))

    @rule(number=st.integers(1, 4), made=channels)
    def delete_and_put_back(self, number: int, made: Channel) -> None:
        """A channel goes and comes back under its id, in two changes that the lazy one sees as one."""
        self.commit((("channel", number), None))
        self.commit((("channel", number), made._replace(id=number)))

    @rule(made=api_keys)
    def put_an_api_key(self, made: ApiKey) -> None:
        """An API key is set."""
        self.commit((("api_key", made.id), made))

    @rule(number=st.sampled_from(API_KEYS))
    def delete_an_api_key(self, number: int) -> None:
        """An API key goes."""
        self.commit((("api_key", number), None))

    @rule(number=st.integers(1, 2), there=st.booleans())
    def change_a_group(self, number: int, there: bool) -> None:
        """A group comes or goes."""
        name = f"group {number}"
        self.commit((("group", name), Group(name) if there else None))

    @precondition(lambda self: ("channel", CROWD[0]) not in self.database.head.rows)
    @rule(weight=st.integers(0, 2), model=st.sampled_from(MODELS))
    def a_crowd_comes(self, weight: int, model: str) -> None:
        """Hundreds of channels in one transaction: a delta that is read in slices, a route of several chunks."""
        self.commit(*((("channel", n), Channel(n, weight=weight * (n % 5), models=(model,))) for n in CROWD))

    @precondition(lambda self: ("channel", CROWD[0]) in self.database.head.rows)
    @rule(keep=st.integers(0, 20))
    def the_crowd_goes(self, keep: int) -> None:
        """Nearly all of them go."""
        self.commit(*((("channel", n), None) for n in CROWD[keep:]), (("channel", CROWD[0]), None))

    @rule()
    def the_lazy_one_follows(self) -> None:
        """One delta takes in all that happened since the last."""
        self.lazy.follow(self.database)

    # ------------------------------------------------------------------ what must hold

    @rule(
        seed=st.integers(0, 2**64 - 1), wanted=st.integers(1, 4), excluded=st.frozensets(st.integers(1, 4), max_size=2)
    )
    def picks(self, seed: int, wanted: int, excluded: frozenset[int]) -> None:
        """Each ask, of both who follow and of a fresh load, against the plain account of each."""
        whole = read(self.database, self.close.snapshot, whole=True).snapshot
        for group in GROUPS:
            for model in ASKED:
                ask = Ask(model, group=group, seed=seed, wanted=wanted, excluded=excluded)
                decision = decide(self.close.snapshot, ask, NOW, lambda _channel, _key: True)
                check(decision, ask, self.close.serving)
                assert told(decide(whole, ask, NOW, lambda _channel, _key: True)) == told(decision)
                check(decide(self.lazy.snapshot, ask, NOW, lambda _channel, _key: True), ask, self.lazy.serving)

    @invariant()
    def deltas_make_what_a_full_load_makes(self) -> None:
        """Digest, counts, routes, keys and quarantine."""
        whole = read(self.database, self.close.snapshot, whole=True)
        assert whole.snapshot.head == self.database.head.head
        assert seen_in(self.close.snapshot) == seen_in(whole.snapshot)
        assert whole.history[0] == whole.head.token

    @invariant()
    def what_was_in_force_did_not_change(self) -> None:
        """Structure is shared between snapshots, never mutated."""
        for snapshot, seen in self.old:
            assert seen_in(snapshot) == seen


def told(decision: Plan | Refused) -> Any:
    """A decision in plain values."""
    if isinstance(decision, Refused):
        return decision.reason, dict(decision.metadata)
    return decision.matched_model, [(c.channel.id, c.key and c.key.id, c.upstream_model) for c in decision.candidates]


def check(decision: Plan | Refused, ask: Ask, serving: dict[int, Channel]) -> None:
    """Hold a decision to the plain rule: most specific name first, then the higher tier, then other keys; or nobody."""
    able: dict[int, tuple[int, int]] = {}
    for number, channel in serving.items():
        named = [model for model in channel.models if covers(model, ask.model)]
        if ask.group not in channel.groups or not named or number in ask.excluded:
            continue
        if channel.on and (any(channel.keys) or not channel.keys):
            best = max(named, key=lambda model: (model == ask.model, len(model)))
            able[number] = (-len(ask.model) - 2 if best == ask.model else -len(best), -channel.priority)
    if not able:
        assert isinstance(decision, Refused)
        return
    assert isinstance(decision, Plan)
    ids = [candidate.channel.id for candidate in decision.candidates]
    channels, others = ids[: len(able)], ids[len(able) :]
    assert len(set(channels)) == len(channels) == min(ask.wanted, len(able))
    assert [able.get(number) for number in channels] == sorted(able.values())[: len(channels)]
    spare = {number: sum(serving[number].keys) - 1 for number in channels}
    assert others == [number for number in channels for _ in range(spare[number])][: ask.wanted - len(channels)]
    assert len({(each.channel.id, each.key and each.key.id) for each in decision.candidates}) == len(ids)


def test_however_a_catalog_was_followed_it_is_what_a_full_load_makes_and_picks_are_legal() -> None:
    """For every history: the same digest, routes and plans, no illegal plan, no untrue refusal, nothing mutated."""
    run_state_machine_as_test(Histories, settings=settings(examples(60), stateful_step_count=25))
