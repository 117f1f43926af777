"""Copies on the disk: a router that starts while its database is away, and what becomes of it afterwards."""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import pytest
from prometheus_client import REGISTRY

from router_svc import disk
from tests.harness.ports import free_port
from tests.harness.postgres import TestPostgres
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.router_svc.running import (
    Client,
    Database,
    RunningRouter,
    environment,
    refusal_of,
    running_router,
)
from trunkline.errors import Reason
from trunkline.v1 import router_pb2


@asynccontextmanager
async def keeping_router(dsn: str, directory: Path, wait: str = "200ms") -> AsyncIterator[RunningRouter]:
    """A router that keeps copies."""
    settings = {"TRUNKLINE_ROUTER_SNAPSHOT_DIR": str(directory), "TRUNKLINE_ROUTER_SNAPSHOT_WAIT": wait}
    async with running_router(dsn, **settings) as running:
        yield running


async def kept(directory: Path, revision: int) -> None:
    """Wait until the newest copy is of a revision."""

    def newest() -> bool:
        slots = disk.survey(directory)
        found = [slot.copy.heading.revision for slot in slots if slot.copy is not None]
        for slot in slots:
            if slot.copy is not None:
                slot.copy.close()
        return found[:1] == [revision]

    await eventually_async(lambda: asyncio.to_thread(newest))


async def keep_one(dsn: str, directory: Path, database: Database) -> None:
    """Run a router until it has kept the head."""
    async with keeping_router(dsn, directory):
        await kept(directory, (await database.token()).revision)


@contextmanager
def away(postgres: TestPostgres, dsn: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Let a database be away; gives the server's own connection, and brings it back at the end."""
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(postgres.server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        try:
            yield connection
        finally:
            connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')


def bytes_of(directory: Path) -> dict[Path, bytes]:
    """What the files of a directory hold, the newest last."""
    files = sorted(directory.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    return {file: file.read_bytes() for file in files}


async def degraded(client: Client) -> bool:
    """Whether the router says that it serves degraded."""
    return (await client.status()).state == router_pb2.ROUTER_STATE_DEGRADED


async def test_without_a_database_a_router_serves_from_its_copy_and_marks_what_it_says(
    postgres: TestPostgres, migrated_dsn: str, database: Database, tmp_path: Path
) -> None:
    """Ready after the stated wait, plans marked with their age, no flat no; and fresh again without a restart."""
    await database.channel("a", ["m"], keys=("sk-upstream",))
    await database.api_key("tl-caller")
    await keep_one(migrated_dsn, tmp_path, database)
    stopped = time.monotonic()
    written = b"".join(bytes_of(tmp_path).values())
    assert b"sk-upstream" not in written
    assert b"tl-caller" not in written
    await database.connection.close()
    with away(postgres, migrated_dsn):
        async with keeping_router(migrated_dsn, tmp_path) as running:
            client = running.client()
            assert (await refusal_of(client.pick("m"))).reason is Reason.NOT_READY
            await eventually_async(lambda: running.router.health.ready)
            age = time.monotonic() - stopped
            plan = await client.pick("m", api_key="tl-caller")
            assert plan.degraded
            assert plan.snapshot_age.ToNanoseconds() / 1e9 > age, "since its state was last seen at head, by whomever"
            assert plan.candidates[0].key == "sk-upstream"
            assert (await refusal_of(client.pick("none", limit=0.3))).reason is Reason.UNVERIFIED
            assert await degraded(client)
            held = running.router.cache.snapshot
            with psycopg.connect(postgres.server.dsn("postgres"), autocommit=True) as connection:
                name = psycopg.conninfo.conninfo_to_dict(migrated_dsn)["dbname"]
                connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
            await running.ready()
            assert not (await client.pick("m")).degraded
            assert (await refusal_of(client.pick("none"))).reason is Reason.MODEL_UNKNOWN
            assert running.router.cache.snapshot is held  # nothing had changed, so nothing was read again


async def test_a_copy_of_another_history_is_left_when_the_database_returns(
    postgres: TestPostgres, migrated_dsn: str, database: Database, tmp_path: Path
) -> None:
    """The chain tells that the copy is not of this database, and everything is read."""
    await database.channel("here", ["m"])
    with postgres.migrated_database() as other:
        async with await psycopg.AsyncConnection.connect(other, autocommit=True) as connection:
            elsewhere = Database(connection)
            await elsewhere.channel("elsewhere", ["m"])
            await keep_one(other, tmp_path, elsewhere)
    await database.connection.close()
    with away(postgres, migrated_dsn):
        async with keeping_router(migrated_dsn, tmp_path) as running:
            client = running.client()
            await eventually_async(lambda: running.router.health.ready)
            assert [one.channel_name for one in (await client.pick("m")).candidates] == ["elsewhere"]
            with psycopg.connect(postgres.server.dsn("postgres"), autocommit=True) as server:
                name = psycopg.conninfo.conninfo_to_dict(migrated_dsn)["dbname"]
                server.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
            await running.ready()
            assert [one.channel_name for one in (await client.pick("m")).candidates] == ["here"]


async def test_a_damaged_copy_is_reported_and_the_older_one_serves(
    postgres: TestPostgres, migrated_dsn: str, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut short, it is no catalog; the generation before it is."""
    await database.channel("a", ["m"])
    await keep_one(migrated_dsn, tmp_path, database)
    older = (await database.token()).revision
    await database.channel("b", ["n"])
    await keep_one(migrated_dsn, tmp_path, database)
    newest, content = list(bytes_of(tmp_path).items())[-1]
    newest.write_bytes(content[:-40])
    damaged = REGISTRY.get_sample_value("trunkline_router_disk_copies_damaged_total") or 0
    await database.connection.close()
    with away(postgres, migrated_dsn):
        async with keeping_router(migrated_dsn, tmp_path) as running:
            await eventually_async(lambda: running.router.health.ready)
            assert (await running.client().pick("m")).token.revision == older
    assert REGISTRY.get_sample_value("trunkline_router_disk_copies_damaged_total") == damaged + 1
    assert "not fit to start from" in capsys.readouterr().out


async def test_a_disk_that_cannot_be_written_costs_nothing_but_the_copy(
    migrated_dsn: str, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Serving goes on, the failure is counted, and told once."""
    await database.channel("a", ["m"])
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    failed = REGISTRY.get_sample_value("trunkline_router_disk_copies_total", {"result": "failed"}) or 0

    def one_more() -> bool:
        now = REGISTRY.get_sample_value("trunkline_router_disk_copies_total", {"result": "failed"}) or 0
        return now == failed + 1

    async with keeping_router(migrated_dsn, blocked / "copies") as running:
        await running.ready()
        await eventually_async(one_more)
        await database.channel("b", ["n"])
        assert (await running.client().pick("n", min_token=await database.token())).candidates
    assert capsys.readouterr().out.count("copy of the catalog not written") == 1


async def test_a_database_that_answers_in_time_is_preferred_to_the_copy(
    migrated_dsn: str, database: Database, tmp_path: Path
) -> None:
    """A copy serves only where nothing better was read."""
    await database.channel("a", ["m"])
    await keep_one(migrated_dsn, tmp_path, database)
    await database.channel("b", ["m"])
    async with keeping_router(migrated_dsn, tmp_path, wait="5s") as running:
        await running.ready()
        plan = await running.client().pick("m")
        assert len(plan.candidates) == 2
        assert not plan.degraded


async def test_a_router_that_may_write_no_file_of_that_size_serves_and_says_so_once(
    migrated_dsn: str, database: Database, tmp_path: Path
) -> None:
    """RLIMIT_FSIZE, as a full disk: the process lives, is ready, counts the failure, and leaves nothing behind."""
    await database.channel("a", ["m"])
    http = f"127.0.0.1:{free_port()}"
    environ = environment(migrated_dsn) | {
        "TRUNKLINE_ROUTER_HTTP_LISTEN": http,
        "TRUNKLINE_ROUTER_SNAPSHOT_DIR": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",  # Python itself would leave what it could not write in full
    }
    program = (sys.executable, "-m", "router_svc")
    process = await asyncio.create_subprocess_exec(
        "prlimit", "--fsize=100", "--", *program, env=environ, stderr=asyncio.subprocess.PIPE
    )
    try:
        failed = 'trunkline_router_disk_copies_total{result="failed"} 1.0'
        await eventually_async(lambda: asyncio.to_thread(lambda: failed in page(http, "/metrics")))
        assert await asyncio.to_thread(page, http, "/readyz")
        assert not bytes_of(tmp_path)
    finally:
        process.terminate()
        _, log = await process.communicate()
    assert process.returncode == 0
    assert log.decode().count("copy of the catalog not written") == 1
    assert "File too large" in log.decode()


def page(address: str, path: str) -> str:
    """Fetch a page; empty while it cannot be had."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE) as answer:
            body: str = answer.read().decode()
            return body
    except (urllib.error.URLError, OSError):
        return ""
