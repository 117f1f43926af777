"""The database gone, late, frozen, replaced or wrong; the router going down."""

from __future__ import annotations

import asyncio
import signal
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from prove.clocks import Clock, by_python
from tests.harness.ports import free_port
from tests.harness.postgres import TestPostgres
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.router_svc.running import (
    ADMIN_TOKEN,
    SERVICE_TOKEN,
    Client,
    Database,
    RunningRouter,
    environment,
    frozen,
    refusal_of,
    running_router,
)
from trunkline.errors import Cause, Reason
from trunkline.rpc import dial
from trunkline.secret import Secret
from trunkline.v1 import error_reason_pb2, router_pb2, router_pb2_grpc

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trunkline-router'"


async def state_of(client: Client) -> router_pb2.RouterState.ValueType:
    """How far the router says it can be trusted."""
    return (await client.status()).state


async def applied_by(client: Client) -> int:
    """The revision in force."""
    return (await client.status()).applied.revision


async def test_a_router_starts_without_its_database_and_serves_once_it_is_there(
    postgres: TestPostgres, migrated_dsn: str
) -> None:
    """NOT_READY until then, retryable; ready by itself soon after."""
    with psycopg.connect(migrated_dsn) as connection:
        name = connection.info.dbname
    with psycopg.connect(postgres.server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" RENAME TO "{name}_away"')
        async with running_router(migrated_dsn) as running:
            client = running.client()
            refusal = await refusal_of(client.pick("m"))
            assert (refusal.reason, refusal.retry_delay) == (Reason.NOT_READY, 1.0)
            assert await state_of(client) == router_pb2.ROUTER_STATE_STARTING
            assert running.router.health.reason == "starting"
            connection.execute(f'ALTER DATABASE "{name}_away" RENAME TO "{name}"')
            await running.ready()
            assert running.router.health.ready
            assert (await refusal_of(client.pick("m"))).reason is Reason.MODEL_UNKNOWN


async def test_cut_connections_cost_no_pick(client: Client, database: Database) -> None:
    """Sessions that are terminated are opened anew, and no negative becomes UNVERIFIED for it."""
    await database.channel("a", ["m"])
    for number in range(5):
        await database.run(CUT)
        assert (await refusal_of(client.pick("none"))).reason is Reason.MODEL_UNKNOWN
        await database.channel(f"c{number}", [f"m{number}"])
        await database.run(CUT)
        assert (await client.pick(f"m{number}")).candidates


async def test_a_router_past_its_lease_marks_its_answers_and_recovers_by_itself(
    client: Client, router: RunningRouter, database: Database
) -> None:
    """With the database frozen it serves on, DEGRADED once the lease has run out; ready all the time."""
    await database.channel("a", ["m"])
    assert not (await client.pick("m", min_token=await database.token())).degraded
    async with frozen(database):

        async def marked() -> bool:
            return (await client.pick("m")).degraded

        await eventually_async(marked)
        plan = await client.pick("m")
        assert plan.snapshot_age.seconds >= 4
        assert await state_of(client) == router_pb2.ROUTER_STATE_DEGRADED
        assert router.router.health.ready
    await router.ready()
    assert not (await client.pick("m")).degraded


@pytest.mark.parametrize("cache", ["on", "off"])
async def test_a_lost_branch_is_noticed_and_left(
    postgres: TestPostgres, migrated_dsn: str, database: Database, cache: str
) -> None:
    """After a restore the router follows the new history, tokens of the old one are refused, and no row of it stands in."""
    name = database.connection.info.dbname
    await database.channel("kept", ["m"])
    await database.connection.close()
    copy = f"{name}_copy"
    with psycopg.connect(postgres.server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')
        async with running_router(migrated_dsn, TRUNKLINE_ROUTER_CACHE=cache) as running:
            await running.ready()
            client = running.client()
            async with await psycopg.AsyncConnection.connect(migrated_dsn, autocommit=True) as first:
                async with first.transaction():
                    await Database(first).channel("lost", ["m"], priority=9)
                    await Database(first).channel("lost too", ["m"], priority=8)
                lost = await Database(first).token()
                assert len((await client.pick("m", min_token=lost)).candidates) == 3
            connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
            connection.execute(CUT + " AND datname = %s", (name,))
            connection.execute(f'ALTER DATABASE "{name}" RENAME TO "{name}_lost"')
            connection.execute(f'ALTER DATABASE "{copy}" RENAME TO "{name}"')
            async with await psycopg.AsyncConnection.connect(migrated_dsn, autocommit=True) as second:
                async with second.transaction():
                    await Database(second).channel("new", ["n"])
                    bad = await Database(second).channel("bad", ["n"])  # of the id that another had on the lost branch
                    await Database(second).run("UPDATE channels SET header_overrides = '[]' WHERE id = %s", bad)
                new = await Database(second).token()
                assert (new.revision, new.chain != lost.chain) == (lost.revision, True)
                assert [c.channel_name for c in (await client.pick("n")).candidates] == ["new"]
                assert [c.channel_name for c in (await client.pick("m")).candidates] == ["kept"]
                assert (await refusal_of(client.pick("m", min_token=lost))).reason is Reason.LOST_BRANCH
                assert (await client.pick("m", min_token=new)).token == new
        connection.execute(f'DROP DATABASE "{name}_lost" WITH (FORCE)')


async def test_a_catalog_that_does_not_add_up_is_not_installed(client: Client, database: Database) -> None:
    """What was held serves on, marked; nothing is proven by it; and a repair ends it."""
    await database.channel("a", ["m"])
    await client.pick("m")
    held = await applied_by(client)
    async with database.connection.transaction():
        await database.run("UPDATE channels SET weight = 5")
        await database.run("UPDATE catalog SET digest = digest + 1")
    refusal = await refusal_of(client.pick("none", limit=0.5))
    assert (refusal.reason, refusal.metadata["cause"]) == (Reason.UNVERIFIED, Cause.HEAD_UNSOUND)
    plan = await client.pick("m")
    assert (plan.token.revision, plan.degraded) == (held, True)

    async def says_so() -> bool:
        return await database.run("SELECT state FROM routers") == [("DEGRADED",)]

    await eventually_async(says_so)  # admins without a stream go by its row
    await database.run("SELECT catalog_repair()")
    assert (await client.pick("m", min_token=await database.token())).token.revision > held
    assert (await refusal_of(client.pick("none"))).reason is Reason.MODEL_UNKNOWN


async def test_a_drain_ends_streams_answers_what_is_open_and_gives_the_lease_back(
    migrated_dsn: str, database: Database
) -> None:
    """Nobody waits for a router that has left, and nothing it took is lost."""
    await database.channel("a", ["m"])
    async with running_router(migrated_dsn) as running:
        await running.ready()
        client, admin = running.client(), running.client(ADMIN_TOKEN)
        picks: Any = client.stub.PickChannels(metadata=client.metadata)
        hints: Any = admin.stub.Invalidate(metadata=admin.metadata)
        await hints.read()
        item = router_pb2.PickChannelsRequest.Item(id=1, pick=router_pb2.Pick(group="default", model="none"))
        async with frozen(database):
            await picks.write(router_pb2.PickChannelsRequest(items=[item]))
            assert list((await picks.read()).deferred_ids) == [1]
            running.stop.set()
        [result] = (await picks.read()).results
        assert (result.id, result.refusal.reason) == (1, error_reason_pb2.ERROR_REASON_MODEL_UNKNOWN)
        assert await picks.read() is grpc.aio.EOF
        state = None
        while (answer := await hints.read()) is not grpc.aio.EOF:
            state = answer.state
        assert state == router_pb2.ROUTER_STATE_DRAINING
        await eventually_async(lambda: _no_lease(database))


async def _no_lease(database: Database) -> bool:
    return await database.run("SELECT id FROM routers") == []


async def test_the_program_serves_and_leaves_on_a_signal(migrated_dsn: str, database: Database) -> None:
    """`python -m router_svc`: ready over HTTP with its metrics, and gone with status 0 on SIGTERM, frozen database or not."""
    await database.channel("a", ["m"])
    http = f"127.0.0.1:{free_port()}"
    environ = environment(migrated_dsn) | {"TRUNKLINE_ROUTER_HTTP_LISTEN": http, "NODE_TYPE": "master"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "router_svc", env=environ, stderr=asyncio.subprocess.PIPE
    )
    try:
        await eventually_async(lambda: asyncio.to_thread(_get, http, "/readyz"))
        metrics = await asyncio.to_thread(_get, http, "/metrics")
        for name in ("revision 2.0", "channels 1.0", "serving ", "snapshot_age_seconds ", "loads_total"):
            assert f"trunkline_router_{name}" in metrics
        async with frozen(database):
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE):
                _, log = await process.communicate()
        assert process.returncode == 0
        text = log.decode()
        assert "[Distributor] catalog loaded at revision 2" in text
        assert "following every 1 s" in text
        assert "sk-upstream" not in text
        assert "Traceback" not in text
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _get(address: str, path: str) -> str:
    """Fetch a page; empty while it cannot be had."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE) as answer:
            body: str = answer.read().decode()
            return body
    except (urllib.error.URLError, OSError):
        return ""


async def test_api_keys_expire_by_the_databases_clock_whatever_the_machines_says(
    migrated_dsn: str, database: Database, tmp_path: Path
) -> None:
    """A router whose machine is a day ahead serves what has an hour left."""
    await database.channel("a", ["m"])
    await database.api_key("tl-caller", expire_time=datetime.now(UTC) + timedelta(hours=1))
    clock = Clock(tmp_path / "clock")
    clock.jump(86_400.0)
    listen = f"127.0.0.1:{free_port()}"
    environ = environment(migrated_dsn) | {"TRUNKLINE_ROUTER_LISTEN": listen, **clock.environment(by_python())}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "router_svc", env=environ)
    dialled = dial(listen, Secret(SERVICE_TOKEN))
    client = Client(router_pb2_grpc.RouterServiceStub(dialled.channel), dialled.metadata)

    async def leased() -> bool:
        try:
            return await state_of(client) == router_pb2.ROUTER_STATE_SERVING
        except grpc.aio.AioRpcError:
            return False

    try:
        await eventually_async(leased)
        assert (await client.pick("m", api_key="tl-caller")).candidates
        await database.run("UPDATE api_keys SET expire_time = now()")
        token = await database.token()
        refusal = await refusal_of(client.pick("m", api_key="tl-caller", min_token=token))
        assert refusal.reason is Reason.API_KEY_EXPIRED
    finally:
        await dialled.channel.close()
        process.kill()
        await process.wait()


async def test_settings_at_fault_are_told_all_at_once() -> None:
    """Every fault in one go, and no secret in it."""
    environ = {
        "TRUNKLINE_ENCRYPTION_KEYS": "sk-secret", "TRUNKLINE_ROUTER_LISTEN": "fd:3",
        "SYNC_FREQUENCY": "0",
    }  # fmt: skip
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "router_svc", env=environ, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await program.communicate()
    assert program.returncode == 78
    for name in ("TRUNKLINE_DSN", "TRUNKLINE_PEPPER", "TRUNKLINE_ENCRYPTION_KEYS", "SYNC_FREQUENCY"):
        assert name.encode() in errors
    assert b"secret" not in errors
