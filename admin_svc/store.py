"""The one transaction: how a change of the catalog is made, answered, repeated and explained when it cannot be made.

The law: `begin_change()` runs before any row is read, so writers queue at the head row and none decides on what another is
changing; the answer is recorded in the transaction that makes the change; nothing happens outside before the COMMIT. A
request id makes the whole harmless to repeat, and so it is repeated here: after a deadlock, a lost connection, and also when
the outcome of a COMMIT is unknown, for then the next attempt either finds the first one's record or waits behind it at the
head row and proves that it is gone.

What may be changed is for `rules` to say, and how each resource is written for `store_channels`, `store_groups` and
`store_api_keys`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import msgspec
import psycopg
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from admin_svc.database import Connection, note_fault, refusal_of
from admin_svc.records import Token
from admin_svc.rules import admit_mass_change
from admin_svc.shared_secrets import differing
from trunkline.database import Pool
from trunkline.errors import (
    CatalogLocked,
    Cause,
    CommitUnknown,
    DatabaseUnavailable,
    FieldFault,
    InvalidFields,
    Overloaded,
    Refused,
    RequestIdReused,
)
from trunkline.failpoints import failpoint
from trunkline.secret import Sealer, Secret
from trunkline.shared_secrets import SharedSecrets
from trunkline.telemetry import get_logger

log = get_logger()

Answer = TypeVar("Answer")

ATTEMPTS: Final = 3
"""How often one change is tried before its caller is told to try again."""
_WRITERS: Final = 2
"""Transactions at a time: one at work and one on its way to the head row; more would only take connections from reads."""
_QUEUE: Final = 256
_QUEUE_SECONDS: Final = 3.0
_FIRST_LOOK: Final = 1.0
"""Seconds in a lock queue after which somebody asks who holds it; the session's lock_timeout ends the wait at 2."""
_NEXT_LOOK: Final = 0.3
_BACKOFF: Final = 0.05

# The backend at the front: whoever blocks us without being blocked itself.
_BLOCKER: Final = """
WITH RECURSIVE queue (pid, depth) AS (
    SELECT unnest(pg_blocking_pids(%(pid)s)), 1
    UNION
    SELECT unnest(pg_blocking_pids(queue.pid)), queue.depth + 1 FROM queue WHERE queue.depth < 16
)
SELECT pid FROM queue WHERE cardinality(pg_blocking_pids(pid)) = 0 ORDER BY depth DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Generic[Answer]):
    """One change to make: who asks, under which id, what to write within the transaction, and what that answers."""

    action: str
    actor: str
    request_id: str
    request_hash: bytes = field(repr=False)
    write: Callable[[Connection], Awaitable[Answer]] = field(repr=False)
    answer: type[Answer]
    guarded: bool = False
    """Whether it may drop many channels, so that the mass-change rule is asked."""
    drawn: bool = False
    """Whether the request id was drawn here, so that nobody can have used it before."""


@dataclass(frozen=True, slots=True)
class Done(Generic[Answer]):
    """A change that is committed; `repeated` when an earlier call with this request id made it."""

    answer: Answer
    token: Token
    repeated: bool


class _Recorded(msgspec.Struct):
    """What a revision keeps of its answer; `call` tells a call's own record from that of an earlier one."""

    call: str
    answer: msgspec.Raw


class _OutcomeUnknownError(Exception):
    """The connection broke while the COMMIT was under way."""


class Store:
    """Makes changes, one after another."""

    def __init__(self, pool: Pool, sealer: Sealer, held: SharedSecrets | None = None) -> None:
        self._pool = pool
        self._held = held
        self._sealer = sealer
        self._turns = asyncio.Semaphore(_WRITERS)
        self._waiting = 0
        self._blocker: int | None = None
        """The backend that writers wait for just now."""

    async def commit(self, change: Change[Answer]) -> Done[Answer]:
        """Make a change, or answer as the call that made it before. Raises Refused."""
        call = uuid.uuid4().hex
        async with self._turn():
            unknown = False
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return await self._attempt(change, call, look=attempt > 1 or not change.drawn)
                except _OutcomeUnknownError:
                    unknown = True
                except psycopg.Error as error:
                    again = is_passing(error) or is_repeat(error) or (unknown and isinstance(error, PoolTimeout))
                    if not again or attempt == ATTEMPTS:
                        raise (CommitUnknown(request_id=change.request_id) if unknown else refusal_of(error)) from None
                except CatalogLocked:
                    if unknown:
                        raise CommitUnknown(request_id=change.request_id) from None
                    raise
                await asyncio.sleep(_BACKOFF * attempt * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries
            raise CommitUnknown(request_id=change.request_id)

    async def faults_of(self, write: Callable[[Connection], Awaitable[Any]]) -> Sequence[FieldFault]:
        """Tell the faults for which a change would be refused, as far as they can be told now; nothing is kept."""
        try:
            async with self._turn(), self._pool.connection() as connection:
                await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
                async with connection.transaction(force_rollback=True):
                    await write(connection)
        except InvalidFields as refused:
            return refused.faults
        except (Refused, psycopg.Error):
            pass  # something else is wrong too, and will be said when the fields are right
        return ()

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for a place among the writers, in order and within bounds."""
        if self._waiting >= _QUEUE:
            raise Overloaded(queue="changes", limit=_QUEUE)
        self._waiting += 1
        try:
            async with asyncio.timeout(_QUEUE_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            if self._blocker is not None:  # those before us are not slow: they wait for somebody else
                raise CatalogLocked(blocking_pid=self._blocker) from None
            raise Overloaded(queue="changes", limit=_QUEUE) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    async def _attempt(self, change: Change[Answer], call: str, *, look: bool) -> Done[Answer]:
        async with self._pool.connection() as connection:
            await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
            before = await self._recorded(connection, change, call) if look else None
            if before is not None:
                return before
            done = await self._watched(connection, self._write(connection, change, call))
            try:
                failpoint("admin.before_commit")
                await connection.commit()
                failpoint("admin.after_commit")
            except psycopg.OperationalError as error:
                if connection.closed:
                    raise _OutcomeUnknownError from error
                raise
            return done

    async def _write(self, connection: Connection, change: Change[Answer], call: str) -> Done[Answer]:
        await connection.execute(
            "SELECT set_config('trunkline.actor', %s, true), set_config('trunkline.action', %s, true),"
            " set_config('trunkline.request_id', %s, true)",
            (change.actor, change.action, change.request_id),
        )
        (revision,) = await _row(connection, "SELECT begin_change()")
        if self._held is not None and (settings := await differing(connection, self._held)):
            log.error("secrets are not the catalog's any more: nothing is written", settings=settings)
            raise DatabaseUnavailable(cause=Cause.SECRETS_DIFFER)
        if change.guarded:
            before = await _effective(connection)
            answer = await change.write(connection)
            admit_mass_change(before, await _effective(connection), allowed=False)
        else:
            answer = await change.write(connection)
        record = msgspec.json.encode(_Recorded(call, msgspec.Raw(msgspec.json.encode(answer))))
        # Sealed, because a channel's header overrides may hold secrets and history outlives the channel.
        sealed = self._sealer.seal(Secret(record.decode()), 0, revision)
        (chain,) = await _row(
            connection,
            "UPDATE revisions SET request_hash = %s, response = %s WHERE revision = %s RETURNING encode(chain, 'hex')",
            (change.request_hash, sealed, revision),
        )
        return Done(answer, Token(revision, chain), repeated=False)

    async def _recorded(self, connection: Connection, change: Change[Answer], call: str) -> Done[Answer] | None:
        """Find the answer of an earlier call with this request id. Raises RequestIdReused."""
        cursor = await connection.execute(
            "SELECT revision, encode(chain, 'hex'), request_hash, response FROM revisions WHERE request_id = %s",
            (change.request_id,),
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        revision, chain, request_hash, response = row
        if request_hash != change.request_hash or response is None:
            raise RequestIdReused(request_id=change.request_id, revision=revision)
        text = self._sealer.unseal(response, 0, revision).reveal()
        record = msgspec.json.decode(text, type=_Recorded)
        answer = msgspec.json.decode(record.answer, type=change.answer)
        return Done(answer, Token(revision, chain), repeated=record.call != call)

    async def _watched(self, connection: Connection, work: Awaitable[Done[Answer]]) -> Done[Answer]:
        """Do the work while somebody else looks who keeps it waiting. Raises CatalogLocked."""
        done: Done[Answer] | None = None
        fault: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(self._look(connection.info.backend_pid), name="lock watcher")
            try:
                done = await work
            except Exception as error:  # noqa: BLE001 - carried out of the group, which would wrap it
                fault = error
            watcher.cancel()
        if isinstance(fault, errors.LockNotAvailable):
            note_fault(fault)
            raise CatalogLocked(blocking_pid=self._blocker or "unknown") from fault
        self._blocker = None
        if done is None:
            raise fault or AssertionError
        return done

    async def _look(self, pid: int) -> None:
        """Note who blocks a backend, again and again until cancelled: it cannot tell by itself, being blocked."""
        await asyncio.sleep(_FIRST_LOOK)
        while True:
            with contextlib.suppress(psycopg.Error):  # it only explains; what it explains is refused anyway
                async with self._pool.connection(timeout=_NEXT_LOOK) as connection:
                    cursor = await connection.execute(_BLOCKER, {"pid": pid})
                    row = await cursor.fetchone()
                    self._blocker = row[0] if row else self._blocker
            await asyncio.sleep(_NEXT_LOOK)


def is_passing(error: psycopg.Error) -> bool:
    """Tell whether a transaction that failed so, before its COMMIT, may go through when tried again at once."""
    if isinstance(error, (PoolTimeout, PoolClosed, TooManyRequests)):
        return False  # it has waited long enough, and so has its caller
    if isinstance(error, (errors.DeadlockDetected, errors.SerializationFailure)):
        return True
    lost = error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))
    return lost and isinstance(error, psycopg.OperationalError)


def is_repeat(error: psycopg.Error) -> bool:
    """Tell whether the request id was taken between our look-up and our turn."""
    return isinstance(error, errors.UniqueViolation) and error.diag.constraint_name == "revisions_request_id_key"


async def _effective(connection: Connection) -> set[int]:
    cursor = await connection.execute("SELECT DISTINCT channel_id FROM abilities WHERE effective")
    return {channel_id for (channel_id,) in await cursor.fetchall()}


async def _row(connection: Connection, statement: str, parameters: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    row = await (await connection.execute(statement, parameters)).fetchone()
    if row is None:
        raise LookupError(statement)
    return row
