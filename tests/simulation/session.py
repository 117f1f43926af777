"""A process's way to the database: the twin of a psycopg connection, and of the wire between.

The law: `catalog`, `lease`, `lookups` and `line` run unchanged upon this. A statement is done at the server some time after
it was sent and answered some time after that; it sees the state of the moment when it is done, inside a transaction that of
the transaction's first statement. Everything that can go wrong on the way is `Weather`. A statement that is not known here
is an error, so the twin cannot fall behind the SQL unnoticed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final, Protocol, TypeVar, cast

import psycopg

from router_svc import catalog, lease
from router_svc.follower import LEASE
from router_svc.line import Connection, Line
from router_svc.rows import API_KEY_COLUMNS, CHANNEL_COLUMNS, GROUP_COLUMNS
from router_svc.snapshot import Head, Token
from tests.simulation.database import ApiKey, Catalog, Channel, Database, Lease
from tests.simulation.virtual import Process, Universe, here
from trunkline.secret import Secret

T = TypeVar("T")
Rows = list[tuple[Any, ...]]

_QUICK: Final = (0.0002, 0.002)
"""Seconds that half a round trip takes."""
_SLOW: Final = (0.01, 0.25)
"""Seconds that it takes now and then."""
NEVER: Final = -1.0


class Weather:
    """What befalls whatever passes here; each kind until a time."""

    def __init__(self) -> None:
        self.refusing = self.holding = self.losing = self.slow = self.flaky = NEVER
        """Errors at once; held until that time; lost without a word; slow; failing now and then."""

    def clear(self) -> None:
        """Let the sun shine; what is held goes on now."""
        self.__init__()  # type: ignore[misc]  # every field anew

    def fails(self, now: float, rng: random.Random) -> bool:
        """Tell whether something that passes now ends in an error."""
        return now < self.refusing or (now < self.flaky and rng.random() < 0.4)


class Server(Protocol):
    """What is asked of the database's side: the truth, its clock, and its weather."""

    database: Database
    weather: Weather


class Path:
    """The way of one process to the database."""

    def __init__(self, universe: Universe, process: Process, server: Server, slowness: float) -> None:
        """Take how often half a round trip is slow, within 0 and 1."""
        self.weather = Weather()
        self._universe, self._process, self._server = universe, process, server
        self._slowness = slowness
        self._rng = process.rng

    def calm(self) -> None:
        """Let nothing befall what passes here from now on."""
        self.weather.clear()
        self._slowness = 0.0

    @property
    def database(self) -> Database:
        """The truth."""
        return self._server.database

    def trip(self, work: Callable[[float], T]) -> asyncio.Future[T]:
        """Have something done at the server, which is told its time, and bring back what it gives or raises."""
        answer: asyncio.Future[T] = self._process.create_future()
        if self._process.dead:
            answer.set_exception(psycopg.OperationalError("the process is dead"))
        else:
            self._universe.after(self._half(), lambda: self._arrive(work, answer))
        return answer

    def _arrive(self, work: Callable[[float], T], answer: asyncio.Future[T]) -> None:
        now = self._universe.now
        weathers = (self.weather, self._server.weather)
        if any(now < weather.losing for weather in weathers):
            return
        if (held := max(weather.holding for weather in weathers)) > now:
            # Looked at again soon, since the weather may clear early.
            self._universe.after(min(held - now, 0.05), lambda: self._arrive(work, answer))
            return
        error: Exception | None = None
        given: T | None = None
        if any(weather.fails(now, self._rng) for weather in weathers):
            error = psycopg.OperationalError("server closed the connection unexpectedly")
        else:
            try:
                given = work(now)
            except psycopg.Error as refused:
                error = refused
        self._universe.after(self._half(), lambda: self._answer(answer, given, error))

    def _answer(self, answer: asyncio.Future[T], given: T | None, error: Exception | None) -> None:
        if answer.done() or self._universe.now < self.weather.losing:
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(cast("T", given))

    def _half(self) -> float:
        now, rng = self._universe.now, self._rng
        often = 0.7 if now < max(self.weather.slow, self._server.weather.slow) else self._slowness
        return rng.uniform(*(_SLOW if rng.random() < often else _QUICK))


class _Cursor:
    """The rows of one statement, perhaps still to come."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.rows: Rows | None = None

    async def fetchone(self) -> tuple[Any, ...] | None:
        rows = await self.fetchall()
        return rows[0] if rows else None

    async def fetchall(self) -> Rows:
        if self.rows is None:
            await self._session.flush()
        return self.rows or []


class _SliceCursor:
    """A cursor of the server's: each slice is a round trip."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rows: Rows = []

    async def execute(self, sql: str, params: Any) -> None:
        self._rows = (await self._session.ask(sql, params))[:]

    async def fetchmany(self, size: int) -> Rows:
        rows, self._rows = self._rows[:size], self._rows[size:]
        if not rows:
            await self._session.ask("", ())
        return rows


class Session:
    """The twin of a psycopg connection, as far as the router uses one."""

    def __init__(self, path: Path) -> None:
        self.isolation_level: Any = None
        self.closed = False
        self._path = path
        self._epoch = path.database.epoch
        self._pinned: Catalog | None = None
        self._in_transaction = False
        self._piped: list[tuple[_Cursor, str, Any]] | None = None
        self._asked: asyncio.Future[Any] | None = None

    # ------------------------------------------------------------------ as psycopg has it

    @property
    def pgconn(self) -> Session:
        """What is told to finish."""
        return self

    def finish(self) -> None:
        """Close without a word."""
        self.closed = True

    async def set_isolation_level(self, level: Any) -> None:
        """Take the isolation level of transactions."""
        self.isolation_level = level

    async def set_read_only(self, _value: bool) -> None:
        """Take that transactions read only; nothing here writes in one."""

    async def execute(self, sql: str, params: Any = ()) -> _Cursor:
        """Send a statement, and wait for it unless in a pipeline."""
        cursor = _Cursor(self)
        if self._piped is not None:
            self._piped.append((cursor, sql, params))
        else:
            cursor.rows = await self.ask(sql, params)
        return cursor

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[None]:
        """Send statements without waiting for each."""
        self._piped = []
        try:
            yield
            await self.flush()
        finally:
            self._piped = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See one state throughout."""
        self._in_transaction, self._pinned = True, None
        try:
            yield
        finally:
            self._in_transaction, self._pinned = False, None

    @asynccontextmanager
    async def cursor(self, _name: str) -> AsyncIterator[_SliceCursor]:
        """Open a cursor of the server's."""
        yield _SliceCursor(self)

    # ------------------------------------------------------------------ for the twin

    def sever(self) -> None:
        """Cut the socket, ending the wait."""
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(psycopg.OperationalError("connection severed"))

    async def flush(self) -> None:
        """Do what was sent in a pipeline, in one round trip."""
        if self._piped:
            piped, self._piped = self._piped, []
            results = await self._trip(lambda now: [self._do(sql, params, now) for _, sql, params in piped])
            for (cursor, _, _), rows in zip(piped, results, strict=True):
                cursor.rows = rows

    async def ask(self, sql: str, params: Any) -> Rows:
        """Do one statement."""
        return await self._trip(lambda now: self._do(sql, params, now))

    async def _trip(self, work: Callable[[float], T]) -> T:
        self._asked = self._path.trip(work)
        return cast("T", await self._asked)

    def _do(self, sql: str, params: Any, now: float) -> Rows:
        database = self._path.database
        if self._epoch != database.epoch:
            raise psycopg.OperationalError("terminating connection due to administrator command")
        return _STATEMENTS[sql](self._state(), params, database, now)

    def _state(self) -> Catalog:
        if not self._in_transaction:
            return self._path.database.head
        if self._pinned is None:
            self._pinned = self._path.database.head
        return self._pinned


class TwinLine(Line):
    """A real line whose sessions are twins; it stands where the real one stood."""

    def __init__(self, path: Path, *, silence: float, session: type[Session] = Session) -> None:
        super().__init__(Secret("no dsn"), silence=silence)
        self._path = path
        self._session = session

    async def _open(self) -> Connection:
        await self._path.trip(lambda _: None)
        self._connection = cast("Connection", self._session(self._path))
        return self._connection

    def sever(self) -> None:
        """Cut the session, ending whatever waits on it."""
        if self._connection is not None and not self.idle.is_set():
            cast("Session", self._connection).sever()


def line_like(line: Line, path: Path, session: type[Session]) -> Line:
    """Give a twin's line in place of a real one."""
    return TwinLine(path, silence=line._silence, session=session)


# ---------------------------------------------------------------------- what each statement gives

Statement = Callable[[Catalog, Any, Database, float], Rows]


def _head_row(state: Catalog, _params: Any, _database: Database, _now: float) -> Rows:
    head: Head = state.head
    return [(*head.token, Decimal(head.digest), *head[2:], b"[]")]


def _chain_rows(state: Catalog, params: Any, _database: Database, _now: float) -> Rows:
    chain = state.revisions.get(params[0])
    return [(chain,)] if chain is not None else []


def _history_rows(state: Catalog, params: Any, _database: Database, _now: float) -> Rows:
    since, limit = params
    return sorted(((at, chain) for at, chain in state.revisions.items() if at > since), reverse=True)[:limit]


def _tombstone_rows(state: Catalog, params: Any, _database: Database, _now: float) -> Rows:
    return [(kind, str(key)) for (kind, key), at in state.tombstones.items() if at > params[0]]


def _rows_of(kind: str) -> Statement:
    def rows(state: Catalog, params: Any, _database: Database, _now: float) -> Rows:
        return [row.columns for (of, _), row in state.rows.items() if of == kind and row.revision > params[0]]

    return rows


def _channels_with(state: Catalog, params: Any, _database: Database, _now: float) -> Rows:
    wanted = set(params[0])
    contents = [(row.content, row.columns) for row in state.rows.values()]
    return [row for c, row in contents if isinstance(c, Channel) and c.groups and wanted.intersection(c.models)]


def _api_keys_with(state: Catalog, params: Any, _database: Database, _now: float) -> Rows:
    contents = [(row.content, row.columns) for row in state.rows.values()]
    return [row for key, row in contents if isinstance(key, ApiKey) and key.hash in params[0]]


def _renew(_state: Catalog, values: Any, database: Database, now: float) -> Rows:
    applied = Token(values["revision"], values["chain"])
    expire = database.clock(now) + values["seconds"]
    row = Lease(values["address"], values["incarnation"], applied, values["state"], expire)
    if _held_by_another(database, values["id"], values["incarnation"], now):
        return []
    database.lease(values["id"], row, now)
    return [(values["id"],)]


def _holder(_state: Catalog, params: Any, database: Database, _now: float) -> Rows:
    router_id, incarnation = params
    row = database.leases.get(router_id)
    return [(router_id, row.address, row.incarnation)] if row is not None and row.incarnation != incarnation else []


def _held_by_another(database: Database, router_id: str, incarnation: str, now: float) -> bool:
    row = database.leases.get(router_id)
    return row is not None and row.incarnation != incarnation and 0.0 < row.expire - database.clock(now) <= LEASE


def _leave(_state: Catalog, params: Any, database: Database, now: float) -> Rows:
    router_id, incarnation = params
    row = database.leases.get(router_id)
    if row is not None and row.incarnation == incarnation:
        database.lease(router_id, None, now)
    return []


def _peers(_state: Catalog, _params: Any, database: Database, now: float) -> Rows:
    live = database.clock(now)
    return [(name, row.address, row.state) for name, row in sorted(database.leases.items()) if row.expire > live]


def _statements() -> Mapping[str, Statement]:
    """Tell every statement of the router by its own text."""
    assert (CHANNEL_COLUMNS[0], API_KEY_COLUMNS[0], GROUP_COLUMNS[0]) == ("id", "id", "name")
    limited: dict[str, Statement] = {sql: _rows_of(kind) for kind, sql in catalog._ROWS.items()}
    limited[catalog._TOMBSTONES] = _tombstone_rows
    statements: dict[str, Statement] = {
        "": lambda *_: [],
        catalog._HEAD: _head_row,
        catalog._CHAIN: _chain_rows,
        catalog._HISTORY: _history_rows,
        lease._RENEW: _renew,
        lease._HOLDER: _holder,
        lease._LEAVE: _leave,
        lease._PEERS: _peers,
        lease._TIME: lambda _state, _params, database, now: [(database.clock(now),)],
        **limited,
    }
    # What a pick needs and nothing else, read when the snapshot cannot be trusted or is not wanted.
    for name, give_part in (("_CHANNELS_WITH", _channels_with), ("_API_KEYS_WITH", _api_keys_with)):
        statements[getattr(catalog, name, name)] = give_part
    for sql, give in limited.items():
        statements[f"{sql} LIMIT {catalog.QUICK + 1}"] = give
    return statements


_STATEMENTS: Final = _statements()

__all__ = ["Path", "Server", "Session", "TwinLine", "Weather", "here", "line_like"]
