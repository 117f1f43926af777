"""The next snapshot in the making: rows and tombstones in, a snapshot out that shares what did not change.

The law: a full load is a delta upon nothing, so both go the same way here. A row that cannot be read is put in quarantine
alone: its last good version stays, unless the row itself says that the channel or API key is off. A snapshot that does not
add up to its head (digest, counts) is refused. Folding is cut into steps, so that whoever waits can let others run.
"""

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

from router_svc.routes import NOWHERE, Change, Placement, Route
from router_svc.sameness import same
from router_svc.shards import Edit, Shards
from router_svc.snapshot import (
    WILDCARD,
    ApiKey,
    Channel,
    Group,
    GroupRoutes,
    Head,
    Item,
    Kind,
    Quarantined,
    Snapshot,
    Token,
)

STEP: Final = 250
"""Abilities that one step folds, at most twice as many."""
_CHUNK: Final = 3 * 2_000  # fields of changes that are put in order at a time


class BadRow(NamedTuple):
    """A row that cannot be read, with the columns that can always be."""

    kind: Kind
    id: int | str
    revision: int
    content_hash: int
    fault: str
    off: bool
    """Whether its status can be read and is not ENABLED: then no older version may go on."""
    groups: tuple[str, ...] | None = None
    """What else can be read of it, here and below; see `Quarantined`."""
    models: tuple[str, ...] | None = None
    hash: bytes = b""


class Tombstone(NamedTuple):
    """Something that was deleted."""

    kind: Kind
    id: int | str


class Disagreement(Exception):  # noqa: N818 - named for what was found
    """What was read does not add up to its head."""

    def __init__(self, head: Head, found: Head) -> None:
        """Keep both."""
        self.head, self.found = head, found
        super().__init__(f"the head says {head}, the rows add up to {found}")


class Draft:
    """A snapshot in the making, from a base (a delta) or from nothing (a full load)."""

    def __init__(self, base: Snapshot, last_good: Snapshot | None = None, twin: Snapshot | None = None) -> None:
        """Start from a base; what it lacks of last good versions may come from another snapshot of the same lineage.

        Whatever comes out equal to what a twin has is taken from there, so that no second one is kept.
        """
        self._base = base
        self._last_good = last_good or base
        self._twin = twin
        self._held: dict[Kind, Edit[Any, Any]] = {
            "channel": base.channels.edit(),
            "api_key": base.api_keys.edit(),
            "group": base.groups.edit(),
        }
        self._by_hash = base.api_keys_by_hash.edit()
        self._quarantine = dict(base.quarantine)
        self._digest = base.digest
        self._ability_count = base.ability_count
        self._changes: dict[str, dict[str, list[list[Any]]]] = {}
        """In chunks, the fields of each `Change` one after another: as tuples they would be most of a load's peak."""
        self._placements: dict[Placement | None, Placement | None] = {}
        self._routes = dict(base.routes)
        self._read: dict[Kind, set[int | str]] = {"channel": set(), "api_key": set(), "group": set()}

    @classmethod
    def from_nothing(cls, expected: Head, last_good: Snapshot | None = None, twin: Snapshot | None = None) -> "Draft":
        """Start a full load, cut for what the head says there is; see the constructor for the rest."""
        nothing = Snapshot(
            token=expected.token,
            channels=Shards.empty(expected.channel_count),
            api_keys=Shards.empty(expected.api_key_count),
            api_keys_by_hash=Shards.empty(expected.api_key_count),
            groups=Shards.empty(expected.group_count),
        )
        return cls(nothing, last_good, twin)

    def put(self, row: Item | BadRow) -> None:
        """Take a row as it is now."""
        kind, key = (row.kind, row.id) if isinstance(row, BadRow) else (kind_of(row), key_of(row))
        self._read[kind].add(key)
        before = self._held[kind].get(key)
        self._digest += row.content_hash - self._forget_hash(kind, key, before)
        if not isinstance(row, BadRow):
            twin = _held_by(self._twin, kind, key) if self._twin is not None else None
            self._replace(kind, before, twin if twin is not None and same(twin, row) else row)
            return
        good = None if row.off else before or _held_by(self._last_good, kind, key)
        self._replace(kind, before, good)
        served = good.revision if good is not None else 0
        self._quarantine[kind, str(key)] = Quarantined(
            kind, str(key), row.revision, row.content_hash, row.fault, served, *row[5:]
        )

    def drop(self, tombstone: Tombstone) -> None:
        """Take a deletion; a row that was read beats it, since it came to life again."""
        kind, key = tombstone
        if key in self._read[kind]:
            return
        before = self._held[kind].get(key)
        self._digest -= self._forget_hash(kind, key, before)
        self._replace(kind, before, None)

    def fold(self) -> Iterator[None]:
        """Bring the routes up to date, in steps; what was folded is forgotten as it goes, which keeps the peak low."""
        folded = 0
        while self._changes:
            group, models = self._changes.popitem()
            routes = self._routes.get(group) or GroupRoutes(Shards.empty(len(models)), {})
            exact, wildcards = routes.exact.edit(), dict(routes.wildcards)
            twins = self._twin.routes.get(group) if self._twin is not None else None
            while models:
                model, chunks = models.popitem()
                route = _route(exact, wildcards, model)
                while chunks:
                    for part in _parts(chunks.pop(0)):
                        route = route.changed(part)
                        folded += len(part)
                        if folded >= STEP:
                            folded = 0
                            yield
                _put_route(exact, wildcards, model, route.like(twins.named(model)) if twins is not None else route)
            self._routes[group] = GroupRoutes(exact.done(), wildcards)

    def pieces(self) -> list[object]:
        """Give what the draft consists of, and give it up, so that a large one can be let go piece by piece."""
        pieces: list[object] = [chunks for models in self._changes.values() for chunks in models.values()]
        for edit in (*self._held.values(), self._by_hash):
            pieces += edit.abandon()
        self._changes, self._routes = {}, {}
        return pieces

    def done(self, head: Head) -> Snapshot:
        """Give the snapshot at this head. Raises Disagreement when it does not add up to it."""
        snapshot = self.part(head.token)
        if snapshot.head != head:
            raise Disagreement(head, snapshot.head)
        return snapshot

    def part(self, token: Token) -> Snapshot:
        """Give what was put, which may be a part of a state only, unchecked."""
        for _ in self.fold():
            pass
        return Snapshot(
            token=token,
            digest=self._digest,
            channels=self._held["channel"].done(),
            api_keys=self._held["api_key"].done(),
            api_keys_by_hash=self._by_hash.done(),
            groups=self._held["group"].done(),
            routes=self._routes,
            quarantine=self._quarantine,
            ability_count=self._ability_count,
        )

    def _forget_hash(self, kind: Kind, key: int | str, before: Item | None) -> int:
        """Take the row's part out of the digest, and it out of quarantine."""
        bad = self._quarantine.pop((kind, str(key)), None)
        if bad is not None:
            return bad.content_hash
        return before.content_hash if before is not None else 0

    def _replace(self, kind: Kind, before: Item | None, after: Item | None) -> None:
        if before is after:
            return
        if after is not None:
            self._held[kind].put(key_of(after), after)
        elif before is not None:
            self._held[kind].drop(key_of(before))
        if isinstance(before, Channel) or isinstance(after, Channel):
            self._move(_channel(before), _channel(after))
        elif isinstance(before, ApiKey) or isinstance(after, ApiKey):
            self._rehash(before, after)

    def _move(self, before: Channel | None, after: Channel | None) -> None:
        """Note how a channel's standing changes in each route."""
        if before is not None and after is not None and before.stands_as(after):
            return
        old = before.placements() if before is not None else {}
        new = after.placements() if after is not None else {}
        self._ability_count += len(new) - len(old)
        channel_id = after.id if after is not None else before.id if before is not None else 0
        for place in old.keys() | new.keys() if old else new:
            was, will_be = old.get(place), new.get(place)
            if was != will_be:
                group, model = place
                self._note(group, model, (channel_id, was, will_be))

    def _note(self, group: str, model: str, change: Change) -> None:
        chunks = self._changes.setdefault(group, {}).setdefault(model, [[]])
        if len(chunks[-1]) >= _CHUNK:
            chunks.append([])
        channel_id, was, will_be = change
        chunks[-1] += (channel_id, self._placements.setdefault(was, was), self._placements.setdefault(will_be, will_be))

    def _rehash(self, before: Item | None, after: Item | None) -> None:
        if isinstance(before, ApiKey):
            holder = self._by_hash.get(before.hash)
            # Two keys may trade hashes in one delta: only the holder's own entry is taken away.
            if holder is not None and holder.id == before.id:
                self._by_hash.drop(before.hash)
        if isinstance(after, ApiKey):
            self._by_hash.put(after.hash, after)


def apply_delta(base: Snapshot, head: Head, rows: Iterable[Item | BadRow], tombstones: Iterable[Tombstone]) -> Snapshot:
    """Make the snapshot at a head from a base and what changed since. Raises Disagreement."""
    draft = Draft(base)
    for row in rows:
        draft.put(row)
    for tombstone in tombstones:
        draft.drop(tombstone)
    return draft.done(head)


def kind_of(item: Item) -> Kind:
    """Tell the kind of an item."""
    return _KINDS[type(item)]


def key_of(item: Item) -> int | str:
    """Tell what an item is looked up by."""
    return item.name if isinstance(item, Group) else item.id


_KINDS: Final[Mapping[type, Kind]] = {Channel: "channel", ApiKey: "api_key", Group: "group"}


def _parts(fields: list[Any]) -> Iterator[list[Change]]:
    """Cut many changes of one route, by channel, so that a part meets few nodes of it."""
    changes: list[Change] = list(zip(fields[::3], fields[1::3], fields[2::3], strict=True))
    if len(changes) <= STEP:
        yield changes
        return
    changes.sort(key=itemgetter(0))
    for start in range(0, len(changes), STEP):
        yield changes[start : start + STEP]


def _channel(item: Item | None) -> Channel | None:
    return item if isinstance(item, Channel) else None


def _held_by(snapshot: Snapshot, kind: Kind, key: Any) -> Item | None:
    held: Mapping[Kind, Shards[Any, Any]] = {
        "channel": snapshot.channels,
        "api_key": snapshot.api_keys,
        "group": snapshot.groups,
    }
    item: Item | None = held[kind].get(key)
    return item


def _route(exact: Edit[str, Route], wildcards: Mapping[str, Route], model: str) -> Route:
    if model.endswith(WILDCARD):
        return wildcards.get(model[:-1], NOWHERE)
    return exact.get(model) or NOWHERE


def _put_route(exact: Edit[str, Route], wildcards: dict[str, Route], model: str, route: Route) -> None:
    """Set one route; one that no channel is left in goes."""
    if model.endswith(WILDCARD):
        if route.count:
            wildcards[model[:-1]] = route
        else:
            wildcards.pop(model[:-1], None)
    elif route.count:
        exact.put(model, route)
    else:
        exact.drop(model)


__all__ = ["BadRow", "Disagreement", "Draft", "Token", "Tombstone", "apply_delta", "key_of", "kind_of"]
