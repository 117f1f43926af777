"""A database that does not store UTF-8 is refused, in words that say so."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from router_svc.line import Line, LineDown
from tests.harness.postgres import OWNER, TestPostgres, as_role
from tests.harness.waiting import PATIENCE
from tests.integration.router_svc.running import environment
from trunkline.database import with_bounds
from trunkline.secret import Secret

ROOT = Path(__file__).parents[3]
ROOMS = ("admin_svc", "router_svc", "relay_svc", "trunkline")


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def other(postgres: TestPostgres, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A database of another encoding, and its name."""
    name = f"encoded_{request.param.lower()}"
    with psycopg.connect(postgres.server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0 ENCODING '{request.param}'"
            " LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        try:
            yield as_role(postgres.server.dsn(name), OWNER), request.param
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_router_says_what_is_wrong_with_the_database(other: tuple[str, str]) -> None:
    """And reads nothing of it."""
    dsn, encoding = other
    line = Line(with_bounds(Secret(dsn), "test", statement_timeout=5.0, lock_timeout=2.0), silence=5.0)
    with pytest.raises(LineDown, match=f"encoding is {encoding}, and it must be UTF8"):
        await line.run(lambda connection: connection.execute("SELECT 1"))
    line.close()


@pytest.mark.parametrize("room", ["admin_svc", "router_svc"])
async def test_a_service_ends_at_its_start_and_makes_nothing(other: tuple[str, str], room: str) -> None:
    """Before the first migration."""
    dsn, encoding = other
    environ = environment(dsn) | {"TRUNKLINE_DSN": dsn, "TRUNKLINE_ADMIN_LISTEN": "127.0.0.1:0"}
    environ |= {"TRUNKLINE_ADMIN_HTTP_LISTEN": "127.0.0.1:0"}
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", room, env=environ,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE):
        output, _ = await program.communicate()
    assert program.returncode != 0
    assert f"encoding is {encoding}, and it must be UTF8" in output.decode()
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        assert await (await connection.execute("SELECT to_regclass('schema_migrations')")).fetchone() == (None,)


def test_sessions_are_opened_in_one_place() -> None:
    """So that none lacks the bounds and the settings."""
    opening = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if any(
            words in path.read_text("utf-8") for words in ("Connection.connect(", "psycopg.connect(", "ConnectionPool[")
        )
    }
    assert opening == {"trunkline/database.py"}
