"""A connection pooler before Postgres: sessions of one's own work through it, anything else is refused in one clear line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.harness.pooler import FakePooler
from tests.harness.postgres import OWNER, SUPERUSER, as_role
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.admin_svc.conftest import ENVIRONMENT
from tests.integration.router_svc.running import environment
from trunkline import pooler
from trunkline.database import with_bounds
from trunkline.secret import Secret

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer here: run tests/harness/install-pgbouncer")
IGNORED = "ignore_startup_parameters=options,extra_float_digits"


def bounded(dsn: str) -> Secret:
    """A DSN as services use it."""
    return with_bounds(Secret(dsn), "test", statement_timeout=5, lock_timeout=2)


@contextlib.asynccontextmanager
async def pgbouncer(dsn: str, port: int, mode: str, extra: str = IGNORED) -> AsyncIterator[str]:
    """The DSN of a database behind a real PgBouncer, which runs as the server's user: it will not be root."""
    assert PROGRAM is not None
    parts = conninfo_to_dict(dsn)
    user = os.stat(str(parts["host"])).st_uid  # noqa: PTH116 - the folder of the server's socket
    behind = make_conninfo(dsn, host="127.0.0.1", port=port)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)  # noqa: ASYNC240 - the test's own folder
        (folder / "users").write_text(f'"{parts["user"]}" ""\n')
        (folder / "ini").write_text(
            f"[databases]\n* = host={parts['host']} port={parts.get('port', 5432)}\n[pgbouncer]\n"
            f"listen_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\nauth_type=trust\nauth_file={folder}/users\n"
            f"pool_mode={mode}\n{extra}\n"
        )
        process = await asyncio.create_subprocess_exec(
            PROGRAM, str(folder / "ini"), user=user if os.getuid() == 0 else None, stderr=subprocess.DEVNULL
        )

        async def up() -> bool:
            with contextlib.suppress(psycopg.OperationalError):
                await (await psycopg.AsyncConnection.connect(behind, connect_timeout=PATIENCE)).close()
                return True
            return False

        try:
            await eventually_async(up)
            yield behind
        finally:
            process.terminate()
            await process.wait()


@pytest.mark.parametrize("turns", [False, True], ids=["last first", "in turn"])
async def test_sessions_that_are_shared_are_found_out(migrated_dsn: str, turns: bool) -> None:
    """Whichever session a pooler lends next, idle or not."""
    await _let_settings_hold(migrated_dsn)
    async with FakePooler(migrated_dsn, turns=turns).serving() as behind:
        for _ in range(5):
            assert await pooler.fault_of(bounded(behind)) == pooler.SHARED


async def test_no_pooler_is_no_fault(migrated_dsn: str) -> None:
    """A direct connection is not asked further."""
    assert await pooler.fault_of(bounded(migrated_dsn)) == ""


async def test_settings_that_a_session_lacks_are_found(migrated_dsn: str) -> None:
    """Each by its name; those that hold are not named."""
    async with await psycopg.AsyncConnection.connect(migrated_dsn, autocommit=True) as bare:
        lacking = await pooler._unset(bare, bounded(migrated_dsn))
    assert {"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} <= {*lacking}
    async with await psycopg.AsyncConnection.connect(bounded(migrated_dsn).reveal(), autocommit=True) as whole:
        assert await pooler._unset(whole, bounded(migrated_dsn)) == []


@needs_pgbouncer
async def test_settings_that_a_real_pgbouncer_drops_are_named(migrated_dsn: str, free_port: Callable[[], int]) -> None:
    """Each by its name, also where sessions are one's own."""
    async with pgbouncer(migrated_dsn, free_port(), "session") as behind:
        fault = await pooler.fault_of(bounded(behind))
    assert "drops our session settings" in fault
    assert "statement_timeout" in fault


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_real_pgbouncer_that_shares_sessions_is_refused(
    migrated_dsn: str, free_port: Callable[[], int], mode: str
) -> None:
    """In either mode, with its settings as tolerant as can be."""
    await _let_settings_hold(migrated_dsn)
    for extra in (IGNORED, f"{IGNORED}\nserver_round_robin=1"):
        async with pgbouncer(migrated_dsn, free_port(), mode, extra) as behind:
            assert await pooler.fault_of(bounded(behind)) == pooler.SHARED


@needs_pgbouncer
async def test_a_real_pgbouncer_as_it_comes_is_refused_by_what_it_refuses(
    migrated_dsn: str, free_port: Callable[[], int]
) -> None:
    """The startup parameter."""
    async with pgbouncer(migrated_dsn, free_port(), "session", "") as behind:
        assert await pooler.fault_of(bounded(behind)) == pooler.STARTUP


@needs_pgbouncer
async def test_a_real_pgbouncer_with_sessions_of_ones_own_and_settings_that_hold_is_fine(
    migrated_dsn: str, free_port: Callable[[], int]
) -> None:
    """Again and again."""
    await _let_settings_hold(migrated_dsn)
    async with pgbouncer(migrated_dsn, free_port(), "session") as behind:
        for _ in range(5):
            assert await pooler.fault_of(bounded(behind)) == ""


@pytest.mark.parametrize("module", ["admin_svc", "router_svc"])
async def test_a_service_behind_shared_sessions_does_not_start(migrated_dsn: str, module: str) -> None:
    """Exit status 1, and one line that says what to change."""
    await _let_settings_hold(migrated_dsn)
    async with FakePooler(migrated_dsn).serving() as behind:
        told = ENVIRONMENT if module == "admin_svc" else environment(migrated_dsn)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            env={"PATH": os.defpath, **told, "TRUNKLINE_DSN": behind},
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        try:
            async with asyncio.timeout(PATIENCE):
                lines = (await process.stderr.read()).decode().splitlines()
                assert await process.wait() == 1
        finally:
            if process.returncode is None:
                process.kill()
    (line,) = [line for line in lines if '"cannot go on"' in line]
    assert pooler.SHARED in line


async def _let_settings_hold(dsn: str) -> None:
    """Give the role what sessions would ask for, as an operator behind a pooler does."""
    database = str(conninfo_to_dict(dsn)["dbname"])
    options = str(conninfo_to_dict(bounded(dsn).reveal())["options"])
    async with await psycopg.AsyncConnection.connect(as_role(dsn, SUPERUSER), autocommit=True) as hand:
        for name, value in pooler.SETTING.findall(options):
            plain = value.replace("\\ ", " ")
            await hand.execute(f"ALTER ROLE {OWNER} IN DATABASE \"{database}\" SET {name} = '{plain}'")
