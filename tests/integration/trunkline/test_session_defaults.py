"""A role's and a database's own defaults do not change what our sessions read."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from tests.harness.postgres import OWNER, SUPERUSER, as_role
from trunkline.database import open_pool
from trunkline.secret import Secret

HOSTILE = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Pacific/Chatham",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "row_security": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "jit": "on",
    "plan_cache_mode": "force_generic_plan",
    "xmloption": "document",
    "standard_conforming_strings": "off",
    "search_path": "pg_catalog",
}
SHOWN = (
    "SELECT '2026-12-01 10:00+00'::timestamptz::text, '1 day 2 hours'::interval::text, '\\x00ff'::bytea::text,"
    " (0.1::float8 + 0.2::float8)::text, 'é€', current_setting('transaction_isolation')"
)


async def shown(dsn: str) -> list[object]:
    """What a session of a service reads, and how it is set."""
    async with open_pool(Secret(dsn), "test") as pool, pool.connection() as connection:
        read: list[object] = list(await (await connection.execute(SHOWN)).fetchone() or ())
        for name in HOSTILE:
            read += await (await connection.execute("SELECT current_setting(%s)", [name])).fetchone() or ()
        return read


@pytest.mark.parametrize("of", ["DATABASE", "ROLE"])
@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_default_changes_nothing(migrated_dsn: str, of: str, name: str) -> None:
    """Each default that changes texts, waits or isolation is overridden by the session itself."""
    wanted = await shown(migrated_dsn)
    database = str(psycopg.conninfo.conninfo_to_dict(migrated_dsn)["dbname"])
    whose = sql.SQL("DATABASE {}").format(sql.Identifier(database))
    if of == "ROLE":
        whose = sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(OWNER), sql.Identifier(database))
    change = sql.SQL("ALTER {} SET {} = {}").format(whose, sql.SQL(name), sql.SQL(repr(HOSTILE[name])))
    if name == "DateStyle":
        change = sql.SQL("ALTER {} SET DateStyle = SQL, DMY").format(whose)
    async with await psycopg.AsyncConnection.connect(as_role(migrated_dsn, SUPERUSER), autocommit=True) as superuser:
        await superuser.execute(change)
    assert await shown(migrated_dsn) == wanted
