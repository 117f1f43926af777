"""A real Postgres for tests: one server a test process, a fresh database a test.

Law: tests run against the server that operators get, by the same launcher, except that it does not wait for the disk.
The migrated template is made once, since copying a small database is far cheaper than migrating one. No test is a superuser
unless it asks for that (`as_role`): databases belong to a plain owner, and routers log in as a role with a router's rights.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from operator_cli.postgres.cluster import ROLE
from operator_cli.postgres.server import EmbeddedPostgres, prepare
from operator_cli.process import launch_argv, launch_options
from tests.harness.waiting import PATIENCE, eventually

SUPERUSER = ROLE
TEMPLATE = "migrated_template"
OWNER = "plain_owner"
"""Owns every database of a test, and may do nothing else."""
ROUTER = "plain_router"
"""May do what a router needs in a migrated database."""
# Data of tests need not survive a crash of the machine; more connections, because tests open many.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


@dataclass(slots=True)
class TestPostgres:
    """A running server that hands out empty and migrated databases."""

    __test__ = False  # a helper, whatever pytest makes of its name

    server: EmbeddedPostgres
    process: subprocess.Popen[bytes]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _has_template: bool = False

    @contextmanager
    def database(self, *, template: str = "template0") -> Iterator[str]:
        """The DSN of a fresh database, dropped afterwards, whoever is still connected."""
        name = f"test_{next(self._numbers)}"
        # Copying files beats logging them where nothing is flushed: 30 ms against 40.
        create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY")
        self._run(create.format(sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(template)))
        try:
            yield as_role(self.server.dsn(name), OWNER)
        finally:
            self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def migrated_database(self) -> Iterator[str]:
        """The DSN of a fresh database with every migration applied."""
        if not self._has_template:
            create = sql.SQL("CREATE DATABASE {} OWNER {}")
            self._run(create.format(sql.Identifier(TEMPLATE), sql.Identifier(OWNER)))
            asyncio.run(_migrate(as_role(self.server.dsn(TEMPLATE), OWNER)))
            self._has_template = True
        with self.database(template=TEMPLATE) as dsn:
            yield dsn

    def make_roles(self) -> None:
        """Make the two roles; the owner may end sessions of routers, as tests do."""
        for role in (OWNER, ROUTER):
            with suppress(psycopg.errors.DuplicateObject):  # a cluster that is started again has them
                self._run(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        self._run(sql.SQL("GRANT {} TO {}").format(sql.Identifier(ROUTER), sql.Identifier(OWNER)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running_postgres(directory: Path) -> Iterator[TestPostgres]:
    """Make a cluster in `directory` and run it until the end of the block."""
    log = directory / "postgres.log"
    server = prepare(directory, log, settings=_SETTINGS)
    _let_in(directory / "postgres" / "pg_ident.conf")
    with log.open("ab") as output:
        process = subprocess.Popen(launch_argv(server.program), **launch_options(server.program, output.fileno()))
    try:
        eventually(lambda: answers(server.dsn("postgres")), what=f"Postgres of {log}")
        running = TestPostgres(server, process)
        running.make_roles()
        yield running
    finally:
        process.send_signal(server.program.death_signal)
        process.wait(PATIENCE)
        server.close()


def answers(dsn: str) -> bool:
    """Whether a server takes connections there."""
    try:
        psycopg.connect(dsn, connect_timeout=PATIENCE).close()
    except psycopg.OperationalError:
        return False
    return True


def as_role(dsn: str, role: str) -> str:
    """The same database for another role."""
    return make_conninfo(dsn, user=role)


def _let_in(identities: Path) -> None:
    """Let those who may be the superuser be the plain roles, too."""
    lines = identities.read_text("utf-8").splitlines(keepends=True)
    identities.write_text(
        "".join(line.replace(SUPERUSER, role) for line in lines for role in (SUPERUSER, OWNER, ROUTER)), "utf-8"
    )


async def _migrate(dsn: str) -> None:
    # Here, not above: tests that need no schema run without the admin's code.
    from admin_svc.migrate import migrate  # noqa: PLC0415

    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await migrate(connection)
        await connection.execute("SELECT grant_router(%s)", [ROUTER])
