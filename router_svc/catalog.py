"""Reads the catalog: the head, what changed since a state, or everything.

The law: a snapshot is read in one REPEATABLE READ READ ONLY transaction together with its head, and refused when it does not
add up to it. Push, poll, reconnect and cold start all end here. A failed read raises; it never looks like an empty catalog.
Small deltas take one round trip; long reads go in slices, with a turn for others after each.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, cast

import psycopg

from router_svc.draft import BadRow, Draft, Tombstone
from router_svc.line import Connection
from router_svc.rows import API_KEY_COLUMNS, CHANNEL_COLUMNS, GROUP_COLUMNS, Reader
from router_svc.snapshot import WILDCARD, Head, Item, Kind, Snapshot, Token
from router_svc.turns import Turns

SLICE: Final = 100
"""Rows fetched at a time."""
QUICK: Final = 100
"""Rows of a kind up to which a delta is read in one round trip."""
HISTORY: Final = 1_000
"""Revisions of history read along at most."""
_FEW: Final = 20  # rows read again between two turns for others
_UNHURRIED: Final = 0.002  # seconds of such a turn

_HEAD = (
    "SELECT revision, encode(chain, 'hex'), digest, channel_count, api_key_count, group_count, secrets FROM router_head"
)
_CHAIN = "SELECT encode(chain, 'hex') FROM router_revisions WHERE revision = %s"
_HISTORY = (
    "SELECT revision, encode(chain, 'hex') FROM router_revisions WHERE revision > %s ORDER BY revision DESC LIMIT %s"
)
_TOMBSTONES = "SELECT kind, id FROM router_tombstones WHERE revision > %s"
# Times as seconds: one that Python's datetime cannot hold (infinity) must not fail the read.
_EXPRESSIONS = {"expire_time": "extract(epoch FROM expire_time)::float8"}


def _select(view: str, columns: Iterable[str], where: str = "revision > %s") -> str:
    listed = ", ".join(_EXPRESSIONS.get(column, f'"{column}"') for column in columns)
    return f"SELECT {listed} FROM {view} WHERE {where}"  # noqa: S608 - names from this program


_ROWS: Final[dict[Kind, str]] = {
    "group": _select("router_groups", GROUP_COLUMNS),
    "channel": _select("router_channels", CHANNEL_COLUMNS),
    "api_key": _select("router_api_keys", API_KEY_COLUMNS),
}
# What some picks need and nothing else: every channel that has one of the models, and the API keys.
_CHANNELS_WITH: Final = _select(
    "router_channels", CHANNEL_COLUMNS, "id IN (SELECT channel_id FROM abilities WHERE model = ANY(%s))"
)
_API_KEYS_WITH: Final = _select("router_api_keys", API_KEY_COLUMNS, "hash = ANY(%s)")
_LEAST: Final = Decimal(-(1 << 127))
_MOST: Final = Decimal(1 << 127)
"""Of a digest: the sum of signed hashes of eight bytes, of more rows than there can be."""
_EVERYTHING: Final = -1  # every row's revision is above it


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load brought."""

    kind: Literal["unchanged", "delta", "full"]
    snapshot: Snapshot
    head: Head
    history: list[Token]
    """Recent revisions: those since the base of a delta, of a full load as many as are kept."""
    rows: int
    secrets: bytes = b"[]"
    """The fingerprints of the secrets that the catalog is written with, as JSON."""


class HeadRead(NamedTuple):
    """What one read of the head row brought."""

    head: Head
    secrets: bytes
    """As in `Loaded`."""


class UnsoundHead(Exception):  # noqa: N818 - a state of the database
    """The head row is missing, or holds what no catalog can have; says what."""


async def read_head(connection: Connection) -> HeadRead:
    """Read the head row. Raises UnsoundHead."""
    return _head(await (await connection.execute(_HEAD)).fetchone())


async def read_chain(connection: Connection, revision: int) -> str | None:
    """Read the chain of a revision; None when the database knows no such revision, or none any more."""
    row = await (await connection.execute(_CHAIN, (revision,))).fetchone()
    return row[0] if row is not None else None


async def load(
    connection: Connection,
    base: Snapshot | None,
    *,
    whole: bool,
    heard: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
) -> Loaded:
    """Read the catalog upon a base, or whole. Calls `heard` at each answer. Raises Disagreement and psycopg.Error."""
    await one_state_a_read(connection)
    if base is not None and not whole:
        loaded = await _quick_delta(connection, base)
        if loaded is not None:
            return loaded
        heard()
    with collector_paused():
        return await _in_slices(connection, base, whole=whole, heard=heard, turns=Turns(clock))


class Part(NamedTuple):
    """What some picks need of a state."""

    snapshot: Snapshot
    ours: bool
    """Whether the snapshot held at the time is in the history of that state."""
    secrets: bytes = b"[]"
    """As in `Loaded`."""


async def read_part(
    connection: Connection,
    models: Collection[str],
    hashes: Collection[bytes],
    held: Snapshot | None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Part:
    """Read what picks for these models by these API keys need, in one round trip, declared wildcards included.

    Of a row that cannot be read, the last good version may come from a snapshot that is held, if it is of this history.
    """
    await one_state_a_read(connection)
    names = {name for model in models for name in (model, *(model[:n] + WILDCARD for n in range(len(model) + 1)))}
    async with connection.pipeline(), connection.transaction():
        head_read = await connection.execute(_HEAD)
        chain_read = await connection.execute(_CHAIN, (held.token.revision if held is not None else _EVERYTHING,))
        channels_read = await connection.execute(_CHANNELS_WITH, (list(names),))
        api_keys_read = await connection.execute(_API_KEYS_WITH, (list(hashes),))
        head, secrets = _head(await head_read.fetchone())
        chain = await chain_read.fetchone()
        channels, api_keys = await channels_read.fetchall(), await api_keys_read.fetchall()
    ours = held is not None and chain is not None and chain[0] == held.token.chain
    expected = Head(head.token, 0, len(channels), len(api_keys), 0)
    draft, reader = Draft.from_nothing(expected, held if ours else None), Reader()
    turns = Turns(clock)
    for row in channels:
        draft.put(reader.channel(row))
        await turns.step()
    for row in api_keys:
        draft.put(reader.api_key(row))
        await turns.step()
    await turns.through(draft.fold())
    return Part(draft.part(head.token), ours, secrets)


async def go_over(
    connection: Connection, token: Token, look: Callable[[Item | BadRow], None], *, heard: Callable[[], None]
) -> bool:
    """Read every row of a state once more, slowly, and show each; False when the catalog is at another state."""
    await one_state_a_read(connection)
    async with connection.transaction():
        if (await read_head(connection)).head.token != token:
            return False
        reader = Reader()
        for kind, sql in _ROWS.items():
            async for rows in _slices(connection, sql, _EVERYTHING):
                for number, row in enumerate(rows, 1):
                    look(_read(reader, kind, row))
                    if number % _FEW == 0:
                        await asyncio.sleep(_UNHURRIED)
                heard()
                await asyncio.sleep(_UNHURRIED)
    return True


async def one_state_a_read(connection: Connection) -> None:
    """Have each transaction of a session see one state, and change nothing."""
    if connection.isolation_level is None:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the collector from walking a half-built catalog again and again: each walk would stall every pick.

    What was built is put out of its reach before it runs again. A catalog has no cycles, so nothing is kept by this.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


async def _quick_delta(connection: Connection, base: Snapshot) -> Loaded | None:
    """Read what changed in one round trip; None when that is much, or when the base is not of this history."""
    since = base.token.revision
    async with connection.pipeline(), connection.transaction():
        head_read = await connection.execute(_HEAD)
        chain_read = await connection.execute(_CHAIN, (since,))
        history_read = await connection.execute(_HISTORY, (since, HISTORY))
        rows_read = {
            kind: await connection.execute(f"{sql} LIMIT {QUICK + 1}", (since,)) for kind, sql in _ROWS.items()
        }
        tombstones_read = await connection.execute(f"{_TOMBSTONES} LIMIT {QUICK + 1}", (since,))
        head, secrets = _head(await head_read.fetchone())
        chain = await chain_read.fetchone()
        history = [Token(*row) for row in await history_read.fetchall()]
        rows = {kind: await cursor.fetchall() for kind, cursor in rows_read.items()}
        tombstones = await tombstones_read.fetchall()
    if chain is None or chain[0] != base.token.chain or max(map(len, (*rows.values(), tombstones))) > QUICK:
        return None
    draft, reader = Draft(base), Reader()
    for kind, of_kind in rows.items():
        for row in of_kind:
            draft.put(_read(reader, kind, row))
    _drop(draft, tombstones)
    count = sum(map(len, rows.values())) + len(tombstones)
    changed: Literal["delta", "unchanged"] = "delta" if head.token != base.token else "unchanged"
    return Loaded(changed, draft.done(head), head, history, count, secrets)


async def _in_slices(
    connection: Connection, base: Snapshot | None, *, whole: bool, heard: Callable[[], None], turns: Turns
) -> Loaded:
    """Read everything, or a long delta, slice by slice. What came of a read that failed is let go as slowly."""
    draft: Draft | None = None
    try:
        async with connection.transaction():
            head, secrets = await read_head(connection)
            ours = await _is_ours(connection, base)
            delta = base if ours and not whole else None
            since = delta.token.revision if delta is not None else _EVERYTHING
            history = [Token(*row) for row in await (await connection.execute(_HISTORY, (since, HISTORY))).fetchall()]
            # Of another history no last good version counts, but what is equal in all its content may be shared.
            draft = Draft(delta) if delta is not None else Draft.from_nothing(head, base if ours else None, base)
            count = await _put_slices(connection, draft, since, heard, turns)
            if delta is not None:
                async for rows in _slices(connection, _TOMBSTONES, since):
                    _drop(draft, rows)
                    heard()
                    await turns.end()
        await turns.through(draft.fold(), heard)
        return Loaded("full" if delta is None else "delta", draft.done(head), head, history, count, secrets)
    except Exception:
        if draft is not None:
            await turns.let_go(draft.pieces())
        raise


async def _put_slices(connection: Connection, draft: Draft, since: int, heard: Callable[[], None], turns: Turns) -> int:
    """Put all rows since a revision into a draft; give their number."""
    reader, count = Reader(), 0
    for kind, sql in _ROWS.items():
        async for rows in _slices(connection, sql, since):
            for row in rows:
                draft.put(_read(reader, kind, row))
                await turns.step()
            count += len(rows)
            heard()
            await turns.end()
    return count


async def _is_ours(connection: Connection, base: Snapshot | None) -> bool:
    """Tell whether a base is part of this database's history, so that its rows may still count."""
    return base is not None and await read_chain(connection, base.token.revision) == base.token.chain


async def _slices(connection: Connection, sql: str, since: int) -> AsyncIterator[list[tuple[Any, ...]]]:
    async with connection.cursor("slices") as cursor:
        await cursor.execute(cast("Any", sql), (since,))
        while rows := await cursor.fetchmany(SLICE):
            yield rows


def _head(row: tuple[Any, ...] | None) -> HeadRead:
    if row is None:
        raise UnsoundHead("there is no head row")
    revision, chain, digest, *counts, secrets = row
    if not isinstance(digest, Decimal) or not digest.is_finite() or not _LEAST < digest < _MOST or digest % 1:
        raise UnsoundHead("the digest is not the sum of hashes")
    if revision is None or revision < 0 or not chain or any(count is None or count < 0 for count in counts):
        raise UnsoundHead("the revision, its chain or a count is none")
    return HeadRead(Head(Token(revision, chain), int(digest), *counts), secrets)


def _read(reader: Reader, kind: Kind, row: tuple[Any, ...]) -> Item | BadRow:
    if kind == "channel":
        return reader.channel(row)
    return reader.api_key(row) if kind == "api_key" else reader.group(row)


def _drop(draft: Draft, rows: Iterable[tuple[Any, ...]]) -> None:
    for kind, key in rows:
        draft.drop(Tombstone(kind, key if kind == "group" else int(key)))
