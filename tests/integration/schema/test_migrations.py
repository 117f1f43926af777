"""Migrating: once, in order, by one of many, and never backwards."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.rows import TupleRow

from admin_svc.migrate import (
    ADVISORY_LOCK,
    Applied,
    ChecksumMismatch,
    DatabaseTooNew,
    Migration,
    MigrationFailed,
    MigrationLockTimeout,
    migrate,
    packaged_migrations,
)
from tests.harness.postgres import SUPERUSER, as_role
from tests.integration.schema.catalog import Catalog

CATALOG_OF_FUNCTIONS = (
    "SELECT proname::text, proconfig, proacl::text, prosecdef, prosrc, pg_get_function_arguments(oid) AS arguments"
    " FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY proname"
)

ONE = Migration(1, "one", b"CREATE TABLE one (id integer);")
TWO = Migration(2, "two", b"CREATE TABLE two (id integer); INSERT INTO two VALUES (2);")
BROKEN = Migration(2, "broken", b"CREATE TABLE half (id integer); INSERT INTO nowhere VALUES (1);")


@asynccontextmanager
async def connected(
    dsn: str, *, autocommit: bool = False, options: str = ""
) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
    """A connection as an admin opens it."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=autocommit, options=options) as connection:
        yield connection


async def applied_versions(dsn: str) -> list[int]:
    """What the database says is applied."""
    async with connected(dsn) as connection:
        cursor = await connection.execute("SELECT version FROM schema_migrations ORDER BY applied_time")
        return [version for (version,) in await cursor.fetchall()]


async def test_every_migration_is_applied_once_and_in_order(database_dsn: str) -> None:
    """A second start finds nothing to do."""
    async with connected(database_dsn) as connection:
        first = await migrate(connection)
        second = await migrate(connection)
    assert [applied.version for applied in first] == [migration.version for migration in packaged_migrations()]
    assert second == []
    assert await applied_versions(database_dsn) == [applied.version for applied in first]


async def test_admins_that_start_at_once_share_the_work(database_dsn: str) -> None:
    """Each file is applied by exactly one of them, and all end on the same schema."""

    async def start() -> list[Applied]:
        async with connected(database_dsn) as connection:
            return await migrate(connection)

    async with asyncio.TaskGroup() as group:
        starts = [group.create_task(start()) for _ in range(8)]
    by_whom = sorted(applied.version for task in starts for applied in task.result())
    assert by_whom == [migration.version for migration in packaged_migrations()]


async def test_a_session_that_reads_old_snapshots_by_default_migrates_all_the_same(database_dsn: str) -> None:
    """What counts as applied is read after the lock is held, whatever isolation the role is set to."""

    async def start() -> list[Applied]:
        options = "-c default_transaction_isolation=serializable"
        async with connected(database_dsn, options=options) as connection:
            return await migrate(connection, [ONE, TWO])

    async with asyncio.TaskGroup() as group:
        starts = [group.create_task(start()) for _ in range(4)]
    assert sorted(applied.version for task in starts for applied in task.result()) == [1, 2]


async def test_an_applied_file_that_changed_is_refused(database_dsn: str) -> None:
    """Two databases of one version must have one schema; line ends do not count as a change."""
    async with connected(database_dsn) as connection:
        await migrate(connection, [ONE])
        changed = Migration(1, "one", b"CREATE TABLE one (id bigint);")
        with pytest.raises(ChecksumMismatch) as refused:
            await migrate(connection, [changed, TWO])
        assert (refused.value.version, refused.value.applied) == (1, ONE.checksum)
        assert refused.value.found == changed.checksum
        assert "must never change" in str(refused.value)
        with_other_line_ends = Migration(2, "two", TWO.script.replace(b"; ", b";\n"))
        await migrate(connection, [ONE, with_other_line_ends])
        assert await migrate(connection, [ONE, Migration(2, "two", TWO.script.replace(b"; ", b";\r\n"))]) == []


async def test_a_database_newer_than_the_program_is_refused(database_dsn: str) -> None:
    """An old program must not run on a schema that it does not know."""
    async with connected(database_dsn) as connection:
        await migrate(connection, [ONE, TWO])
        with pytest.raises(DatabaseTooNew) as refused:
            await migrate(connection, [ONE])
    assert (refused.value.database_version, refused.value.code_version) == (2, 1)
    assert "newer" in str(refused.value)


async def test_a_transaction_of_the_callers_own_is_refused(database_dsn: str) -> None:
    """Else nothing would be committed, and the lock be held for as long as the caller likes."""
    async with connected(database_dsn) as connection:
        await connection.execute("SELECT 1")
        with pytest.raises(psycopg.ProgrammingError):
            await migrate(connection, [ONE])


async def test_a_migration_that_fails_leaves_nothing_of_itself(database_dsn: str) -> None:
    """What went before it stays, and the next start tries again."""
    async with connected(database_dsn) as connection:
        with pytest.raises(MigrationFailed) as refused:
            await migrate(connection, [ONE, BROKEN])
        assert (refused.value.version, refused.value.name, refused.value.sqlstate) == (2, "broken", "42P01")
        cursor = await connection.execute("SELECT to_regclass('one') IS NOT NULL, to_regclass('half') IS NOT NULL")
        assert await cursor.fetchone() == (True, False)
        await connection.rollback()
        assert [applied.version for applied in await migrate(connection, [ONE, TWO])] == [2]


async def test_waiting_for_another_that_migrates_has_an_end(database_dsn: str) -> None:
    """The error says that somebody else is at it."""
    async with connected(database_dsn, autocommit=True) as holder, connected(database_dsn) as connection:
        await holder.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        with pytest.raises(MigrationLockTimeout) as refused:
            await migrate(connection, [ONE], lock_wait=0.05)
        assert refused.value.waited == 0.05
        await holder.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])
        assert len(await migrate(connection, [ONE], lock_wait=5)) == 1


async def test_a_role_that_may_not_create_may_start_on_a_schema_that_is_up_to_date(migrated_dsn: str) -> None:
    """Migrating can be one role's work and serving another's."""
    async with connected(as_role(migrated_dsn, SUPERUSER), autocommit=True) as connection:
        await connection.execute("CREATE ROLE may_only_serve")
        try:
            await connection.execute("GRANT SELECT ON schema_migrations TO may_only_serve")
            await connection.execute("SET ROLE may_only_serve")
            assert await migrate(connection) == []
        finally:
            await connection.execute("RESET ROLE")
            await connection.execute("DROP OWNED BY may_only_serve")
            await connection.execute("DROP ROLE may_only_serve")


async def test_the_catalog_lives_in_any_schema_and_works_from_any_path(database_dsn: str) -> None:
    """Functions find their own tables, whatever the path of whoever changes a row."""
    async with connected(database_dsn, autocommit=True) as connection:
        await connection.execute('CREATE SCHEMA "Trunk line"; SET search_path = "Trunk line"')
        await migrate(connection)
    with Catalog(database_dsn) as elsewhere:
        assert elsewhere.value("SELECT to_regclass('public.channels')") is None
        for path in ("public", "", "pg_temp"):
            elsewhere.run("SELECT set_config('search_path', %s, false)", path)
            elsewhere.run('INSERT INTO "Trunk line".groups (name) VALUES (%s)', f"from {path}")
        elsewhere.run('SET search_path = "Trunk line"')
        channel_id = elsewhere.add_channel("a")
        elsewhere.run("SET search_path = ''")
        elsewhere.run('UPDATE "Trunk line".abilities SET enabled = false')
        elsewhere.run('SET search_path = "Trunk line"')
        assert elsewhere.channel(channel_id).revision == elsewhere.revision
        assert elsewhere.faults() == []


def as_first_released(migration: Migration) -> Migration:
    """The second file as it was when only a superuser could run it; its checksum proves that it is."""
    if migration.version != 2:
        return migration
    script = migration.script.decode()
    note = re.search(r"-- The setting is put back when .*?\n.*? need not be\.\n", script)
    assert note is not None
    script = script.replace(
        note[0], "-- The setting ends with the function, also by an error, because the function declares it.\n"
    )
    for added in (
        "    outer_depth text := coalesce(current_setting('trunkline.stamp_depth', true), '');\n",
        "    PERFORM set_config('trunkline.stamp_depth', outer_depth, true);\n",
    ):
        script = script.replace(added, "")
    head, *stamping = re.split(r"(?=CREATE FUNCTION stamp_)", script)
    stamping = [
        part.replace("FROM CURRENT\n", "FROM CURRENT SET trunkline.stamp_depth = ''\n", 1).replace(
            "AS $$\nDECLARE\nBEGIN", "AS $$\nBEGIN", 1
        )
        for part in stamping
    ]
    return Migration(2, migration.name, "".join([head, *stamping]).encode())


async def test_a_database_that_a_superuser_made_before_is_brought_to_the_same_schema(
    database_dsn: str, migrated_dsn: str
) -> None:
    """Its second file is not today's; it starts all the same, keeps its content, and ends with the same functions."""
    old = [as_first_released(migration) for migration in packaged_migrations() if migration.version <= 6]
    assert old[1].checksum == "758f5c968ad321f89d7dbe507e42caf31cddd9e216b246492bcad70947342434"
    superuser = as_role(database_dsn, SUPERUSER)
    async with connected(superuser) as connection:
        await migrate(connection, old)
    with Catalog(superuser) as before:
        channel_id = before.add_channel("a")
        stamp = before.channel(channel_id)
    async with connected(superuser) as connection:
        assert (await migrate(connection))[0].version == 7
        assert await migrate(connection) == []
    with Catalog(superuser) as after, Catalog(migrated_dsn) as fresh:
        assert after.channel(channel_id) == stamp
        after.run("UPDATE channels SET weight = 7")
        assert after.faults() == []
        found, wanted = after.rows(CATALOG_OF_FUNCTIONS), fresh.rows(CATALOG_OF_FUNCTIONS)
        for row in (*found, *wanted):
            row["proacl"] = re.sub(r"\w+(?==)|(?<=/)\w+", "owner", row["proacl"] or "")
        assert found == wanted


async def test_no_other_change_of_the_replaced_file_passes(database_dsn: str) -> None:
    """Only the checksum that was released is taken for the file of today."""
    today = packaged_migrations()
    changed = [Migration(m.version, m.name, m.script + b"\n") if m.version == 2 else m for m in today]
    async with connected(database_dsn) as connection:
        await migrate(connection, changed)
        with pytest.raises(ChecksumMismatch):
            await migrate(connection, today)
