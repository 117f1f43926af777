"""The database's twin: the catalog with its revisions, chains, tombstones and leases, and everything it ever was.

The law: a state never changes once committed, and every moment remembers which state was the truth, so that each answer of a
router can be held against what was true while it was asked. Rows come as the router's views give them, the real reader reads
them. A failover goes back to what a replica had and continues with other chains. Who can reach it, and when, is left to
`session`.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from router_svc.snapshot import Head, Kind, Token

GROUPS: Final = ("g", "h")
MODELS: Final = ("a", "ab", "a*", "b")
CHANNELS: Final = range(1, 5)
API_KEYS: Final = (1, 2)
LEASE_KEPT: Final = 60.0  # seconds for which a lease that ran out is still told to admins


class Channel(NamedTuple):
    """What a channel is to a pick."""

    id: int
    on: bool = True
    models: tuple[str, ...] = ("a",)
    groups: tuple[str, ...] = ("g",)
    priority: int = 0
    weight: int = 1
    keys: tuple[bool, ...] = (True,)
    """Whether each key is enabled."""
    readable: bool = True

    def columns(self, revision: int, content_hash: int) -> tuple[Any, ...]:
        """Write the row as `router_channels` gives it."""
        keys = [
            {"id": self.id * 10 + place, "sealed": "c2VhbGVk", "last_four": "last", "status": _status(on=on)}
            for place, on in enumerate(self.keys)
        ]
        models = json.dumps([[model, None] for model in self.models]).encode()
        headers = b"{}" if self.readable else b"[not headers]"
        return (
            self.id, revision, content_hash, f"channel {self.id}", "openai", "http://127.0.0.1:9", _status(on=self.on),
            self.priority, self.weight, headers, b"{}", None, None, None, None,
            json.dumps(keys).encode(), models, list(self.groups), b"[]", None,
        )  # fmt: skip

    def serves(self, group: str, model: str) -> bool:
        """Whether a pick may name it, by the plain rule."""
        named = [declared for declared in self.models if covers(declared, model)]
        return self.on and group in self.groups and bool(named) and (any(self.keys) or not self.keys)


class ApiKey(NamedTuple):
    """What an API key is to a pick."""

    id: int
    on: bool = True
    groups: tuple[str, ...] = ("g",)

    @property
    def hash(self) -> bytes:
        """What its secret hashes to."""
        return bytes([self.id]) * 32

    def columns(self, revision: int, content_hash: int) -> tuple[Any, ...]:
        """Write the row as `router_api_keys` gives it."""
        own, *fallback = self.groups
        return self.id, revision, content_hash, self.hash, _status(on=self.on), own, fallback, [], [], None


class Group(NamedTuple):
    """A group."""

    name: str

    def columns(self, revision: int, content_hash: int) -> tuple[Any, ...]:
        """Write the row as `router_groups` gives it."""
        return self.name, revision, content_hash


Content = Channel | ApiKey | Group
Name = tuple[Kind, int | str]


class Row(NamedTuple):
    """Something in the catalog, as it is and as it is read."""

    content: Content
    revision: int
    content_hash: int
    columns: tuple[Any, ...]


class Lease(NamedTuple):
    """A router's row in `routers`."""

    address: str
    incarnation: str
    applied: Token
    state: str
    expire: float
    """By the database's clock."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """One committed state of the catalog."""

    token: Token
    digest: int
    rows: Mapping[Name, Row]
    tombstones: Mapping[Name, int]
    revisions: Mapping[int, str]
    """The chain of each revision that is still told."""
    lineage: Mapping[int, str]
    """The chain of each revision that ever led here."""

    @property
    def head(self) -> Head:
        """The head row."""
        kinds = [kind for kind, _ in self.rows]
        return Head(self.token, self.digest, *(kinds.count(kind) for kind in ("channel", "api_key", "group")))

    def holds(self, token: Token) -> bool:
        """Whether a state led here, or is this one."""
        return self.lineage.get(token.revision) == token.chain

    def channels(self) -> Iterator[tuple[Channel, int]]:
        """Walk the channels with the revisions of their rows."""
        for row in self.rows.values():
            if isinstance(row.content, Channel):
                yield row.content, row.revision

    def api_key(self, digest: bytes) -> ApiKey | None:
        """Find an API key by the hash of its secret."""
        keys = (row.content for row in self.rows.values() if isinstance(row.content, ApiKey))
        return next((key for key in keys if key.hash == digest), None)

    @property
    def readable(self) -> bool:
        """Whether every row can be read."""
        return all(channel.readable for channel, _ in self.channels())


class Database:
    """The truth, now and at each moment before."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._branch = 0
        self.epoch = 0
        """Counts the servers that were in charge; sessions end with theirs."""
        self.clock_offset = rng.uniform(-100.0, 100.0)
        self.leases: dict[str, Lease] = {}
        self._lease_log: list[tuple[float, dict[str, Lease]]] = [(0.0, {})]
        first = Catalog(Token(0, self._chain(0)), 0, {}, {}, {}, {})
        contents: list[tuple[Name, Content | None]] = [(("group", name), Group(name)) for name in GROUPS]
        contents += [(("channel", number), Channel(number)) for number in (1, 2)]
        contents += [(("api_key", 1), ApiKey(1))]
        self._times = [-1.0]
        self._states = [self._next(first, contents)]
        self.by_token = {self.head.token: self.head}
        """Every state there ever was."""

    @property
    def head(self) -> Catalog:
        """The state that is the truth now."""
        return self._states[-1]

    def between(self, begin: float, end: float) -> list[Catalog]:
        """Give every state that was the truth at some moment of a span."""
        return self._states[bisect_right(self._times, begin) - 1 : bisect_right(self._times, end)]

    def ever_lost(self, token: Token) -> bool:
        """Whether a state was committed and is in the history of the truth no more."""
        return token in self.by_token and not self.head.holds(token)

    def clock(self, now: float) -> float:
        """Read the database's clock."""
        return now + self.clock_offset

    # ------------------------------------------------------------------ what changes it

    def commit(self, changes: list[tuple[Name, Content | None]], now: float) -> Token:
        """Change the catalog: each name gets a content, or (None) goes."""
        state = self._next(self.head, changes)
        self._become(state, now)
        self.by_token[state.token] = state
        return state.token

    def prune(self, now: float) -> None:
        """Forget old revisions and tombstones, as retention does: the newest few stay."""
        floor = self.head.token.revision - 2
        self._become(
            replace(
                self.head,
                tombstones={name: at for name, at in self.head.tombstones.items() if at >= floor},
                revisions={revision: chain for revision, chain in self.head.revisions.items() if revision >= floor},
            ),
            now,
        )

    def fail_over(self, lag: float, now: float, *, survive: Callable[[str], bool]) -> None:
        """Go on with a replica that had come as far as the truth of a while ago, but with those leases that `survive`.

        What an earlier failover lost does not come back: a replica that was ahead has to follow before it may take over.
        """
        was = next(state for state in reversed(self.between(-1.0, now - lag)) if self.head.holds(state.token))
        self._branch += 1
        self.epoch += 1
        self._become(was, now)
        theirs = next(leases for at, leases in reversed(self._lease_log) if at <= max(now - lag, 0.0))
        ours = {name: lease for name, lease in self.leases.items() if survive(name)}
        self._set_leases({**theirs, **ours}, now)

    def lease(self, router_id: str, lease: Lease | None, now: float) -> None:
        """Write or delete a lease."""
        leases = {other: row for other, row in self.leases.items() if other != router_id}
        self._set_leases(leases if lease is None else {**leases, router_id: lease}, now)

    # ------------------------------------------------------------------ inside

    def _become(self, state: Catalog, now: float) -> None:
        self._times.append(now)
        self._states.append(state)

    def _set_leases(self, leases: dict[str, Lease], now: float) -> None:
        self.leases = leases
        self._lease_log.append((now, leases))

    def _chain(self, revision: int) -> str:
        return f"{revision:04x}{self._branch:04x}{self._rng.getrandbits(32):08x}"

    def _next(self, base: Catalog, changes: list[tuple[Name, Content | None]]) -> Catalog:
        revision = base.token.revision + 1
        rows, tombstones, digest = dict(base.rows), dict(base.tombstones), base.digest
        for name, content in changes:
            gone = rows.pop(name, None)
            digest -= gone.content_hash if gone is not None else 0
            if content is not None:
                content_hash = self._rng.getrandbits(63) - (1 << 62)
                rows[name] = Row(content, revision, content_hash, content.columns(revision, content_hash))
                digest += content_hash
            elif gone is not None:
                tombstones[name] = revision
        token = Token(revision, self._chain(revision))
        own = {revision: token.chain}
        return Catalog(token, digest, rows, tombstones, {**base.revisions, **own}, {**base.lineage, **own})


def covers(declared: str, model: str) -> bool:
    """Whether a declared name stands for a model; written anew here, so as not to lean on what is tested."""
    return model.startswith(declared[:-1]) if declared.endswith("*") else declared == model


def _status(*, on: bool) -> str:
    return "ENABLED" if on else "DISABLED"
