"""Brings a database to the schema of this code: the numbered files of `migrations/`, in order, each in one transaction.

    MigrationError
    ├── MigrationLockTimeout     another admin is migrating, longer than we wait
    ├── DatabaseTooNew           the database knows migrations that this code does not
    ├── ChecksumMismatch         an applied file is not the file that was applied
    └── MigrationFailed          Postgres refused one; what went before it stays

The law: any number of admins may start at once. Each step takes the advisory lock for its own transaction, looks anew at
what is applied, and does one file; nobody holds the lock between steps, so a connection that is lost blocks nobody, and a
pooler in transaction mode is fine. What a migration means is in the files.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

Connection = psycopg.AsyncConnection[TupleRow]

ADVISORY_LOCK = int.from_bytes(b"trunklin")
"""The key of the lock, per database."""
LOCK_WAIT = 60.0
"""Seconds to wait for another admin that migrates."""
TABLE_LOCK_WAIT = 5.0
"""Seconds that a migration waits for a table in use: the queue behind it would stop the readers too."""
STEP_LIMIT = 600.0
"""Seconds that one statement of a migration may take."""

_REPLACED = {2: frozenset({"758f5c968ad321f89d7dbe507e42caf31cddd9e216b246492bcad70947342434"})}
"""Checksums that a version had before: the old file could not run everywhere, and a later one brings what it made up to the
new one's schema (2: only a superuser could run it; 7)."""


class MigrationError(Exception):
    """The schema is not what this code needs, and why."""


class MigrationLockTimeout(MigrationError):  # noqa: N818 - a kind of MigrationError, named for what was found
    """Another admin has been migrating this database for longer than `waited` seconds."""

    def __init__(self, waited: float) -> None:
        self.waited = waited
        super().__init__(f"another process has been migrating this database for more than {waited:g} s")


class DatabaseTooNew(MigrationError):  # noqa: N818 - a kind of MigrationError, named for what was found
    """The database is at `database_version`; this code knows no further than `code_version`."""

    def __init__(self, database_version: int, code_version: int) -> None:
        self.database_version = database_version
        self.code_version = code_version
        super().__init__(
            f"the database has schema version {database_version}, newer than version {code_version} of this program:"
            " run the newer program"
        )


class ChecksumMismatch(MigrationError):  # noqa: N818 - a kind of MigrationError, named for what was found
    """Migration `version`, applied as `name` with checksum `applied`, is `found` in this code (None: it is missing)."""

    def __init__(self, version: int, name: str, applied: str, found: str | None) -> None:
        self.version = version
        self.name = name
        self.applied = applied
        self.found = found
        what = "is missing from this program" if found is None else f"has checksum {found[:12]} in this program"
        super().__init__(
            f"migration {version} ({name}) was applied with checksum {applied[:12]} but {what}:"
            " an applied migration must never change"
        )


class MigrationFailed(MigrationError):  # noqa: N818 - a kind of MigrationError, named for what was found
    """Postgres refused migration `version`, and all of it was rolled back."""

    def __init__(self, version: int, name: str, sqlstate: str | None, reason: str) -> None:
        self.version = version
        self.name = name
        self.sqlstate = sqlstate
        super().__init__(f"migration {version} ({name}) failed: {reason}")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `0001_tables.sql` is version 1, named `tables`."""

    version: int
    name: str
    script: bytes

    @property
    def checksum(self) -> str:
        """SHA-256 in hex of the script, whatever its line ends became on the way here."""
        return hashlib.sha256(self.script.replace(b"\r\n", b"\n")).hexdigest()


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration that this call applied, and the seconds it took."""

    version: int
    name: str
    seconds: float


def packaged_migrations() -> tuple[Migration, ...]:
    """The migrations that come with this code, in order, without a gap."""
    found = [
        Migration(int(entry.name[:4]), entry.name[5:].removesuffix(".sql"), entry.read_bytes())
        for entry in files("admin_svc").joinpath("migrations").iterdir()
        if entry.name.endswith(".sql")
    ]
    found.sort(key=lambda migration: migration.version)
    if any(after.version != before.version + 1 for before, after in pairwise(found)) or found[0].version != 1:
        raise AssertionError([migration.version for migration in found])
    return tuple(found)


async def migrate(
    connection: Connection, migrations: Sequence[Migration] | None = None, *, lock_wait: float = LOCK_WAIT
) -> list[Applied]:
    """Apply what is missing and answer it; nothing missing, an empty list.

    Waits at most `lock_wait` seconds at a time for others that migrate. `connection` must not be in a transaction.
    Raises MigrationError, or psycopg.Error when the database itself is out of reach.
    """
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        raise psycopg.ProgrammingError("migrating commits step by step: the connection must not be in a transaction")
    known = packaged_migrations() if migrations is None else tuple(migrations)
    done: list[Applied] = []
    while (applied := await _step(connection, known, lock_wait)) is not None:
        done.append(applied)
    return done


async def _step(connection: Connection, known: Sequence[Migration], lock_wait: float) -> Applied | None:
    """Apply the next missing migration under the lock; None when none is missing."""
    async with connection.transaction():
        await _take_lock(connection, lock_wait)
        applied = await _read_applied(connection, known)
        migration = next((migration for migration in known if migration.version not in applied), None)
        if migration is None:
            return None
        start = time.monotonic()
        await _apply(connection, migration)
        return Applied(migration.version, migration.name, time.monotonic() - start)


async def _take_lock(connection: Connection, lock_wait: float) -> None:
    # READ COMMITTED whatever the session's default: what we read after the wait must be what the one before us committed.
    await connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    await _set_limits(connection, lock=lock_wait)
    # Temporary objects last, as in the migrations; and the tables are those of the current schema, not of a later one.
    await connection.execute("SELECT set_config('search_path', format('%I, pg_temp', current_schema()), true)")
    try:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
    except psycopg.errors.LockNotAvailable:
        raise MigrationLockTimeout(lock_wait) from None
    await _set_limits(connection, lock=TABLE_LOCK_WAIT)


async def _set_limits(connection: Connection, *, lock: float) -> None:
    await connection.execute(
        "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
        [f"{round(lock * 1000)}ms", f"{round(STEP_LIMIT * 1000)}ms"],
    )


async def _read_applied(connection: Connection, known: Sequence[Migration]) -> set[int]:
    """The versions that are applied, once it is sure that they are those of `known`."""
    # Not CREATE IF NOT EXISTS: that asks for the right to create even where there is nothing to do.
    cursor = await connection.execute("SELECT to_regclass(format('%I.schema_migrations', current_schema()))")
    if await cursor.fetchone() == (None,):
        await connection.execute(
            "CREATE TABLE schema_migrations (version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
            " applied_time timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        return set()
    cursor = await connection.execute("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    rows = await cursor.fetchall()
    code_version = known[-1].version if known else 0
    if rows and rows[-1][0] > code_version:
        raise DatabaseTooNew(rows[-1][0], code_version)
    checksums = {migration.version: migration.checksum for migration in known}
    for version, name, checksum in rows:
        if checksums.get(version) != checksum and checksum not in _REPLACED.get(version, ()):
            raise ChecksumMismatch(version, name, checksum, checksums.get(version))
    return {version for version, _, _ in rows}


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        await connection.execute(migration.script)
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error)
        raise MigrationFailed(migration.version, migration.name, error.sqlstate, reason) from error
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, checksum) VALUES (%s, %s, %s)",
        [migration.version, migration.name, migration.checksum],
    )
