"""Puts the admin service together and runs it from its first readiness to the end of its drain.

The law: the parts start in the order of their need (database, schema, followers, doors) and end in the reverse of it, so that
no change is accepted that cannot be carried to its end: doors close first, then changes under way finish, then the streams.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from admin_svc.broadcaster import Broadcaster
from admin_svc.http import HttpFace, connection_words
from admin_svc.migrate import LOCK_WAIT, STEP_LIMIT, MigrationError, migrate
from admin_svc.mutations import Tools
from admin_svc.queries import Follower
from admin_svc.service import SCOPES, AdminService
from admin_svc.settings import Settings
from admin_svc.shared_secrets import SecretsDifferError, register
from admin_svc.soundness import Soundness
from admin_svc.store import Store
from admin_svc.upkeep import Upkeep
from trunkline import auth, pooler, rpc
from trunkline.database import WrongEncoding, connect, open_pool, with_bounds
from trunkline.http_connection import BoundedConnection
from trunkline.secret import ApiKeyHasher, Sealer
from trunkline.serving import Health, HttpServer
from trunkline.shared_secrets import SharedSecrets
from trunkline.telemetry import get_logger

log = get_logger()

_APPLICATION: Final = "trunkline-admin"
_RETRY: Final = 0.25


@dataclass(frozen=True, slots=True)
class Running:
    """Where a service that is ready serves, and its parts."""

    grpc_address: str
    http_address: str
    service: AdminService
    broadcaster: Broadcaster


async def serve(settings: Settings, stop: asyncio.Event, on_ready: Callable[[Running], None]) -> None:
    """Serve until `stop` is set and all is drained. Raises OSError when an address or the database cannot be had."""
    health = Health()
    tokens = settings.table()
    tools = Tools(Sealer.parse(settings.encryption_keys), ApiKeyHasher(settings.pepper))
    held = SharedSecrets.of(settings.pepper, settings.old_pepper, settings.encryption_keys)
    async with open_pool(settings.dsn, _APPLICATION, max_size=settings.pool_size) as pool:
        broadcaster = Broadcaster(Follower(pool), lambda address: _dial(settings, address), str(settings.listen))
        service = AdminService(store=Store(pool, tools.sealer, held), pool=pool, broadcaster=broadcaster, tools=tools)
        http = HttpServer(
            HttpFace(service, tokens, health),
            settings.http_listen,
            drain_timeout=settings.drain_timeout,
            http=BoundedConnection.bounded(settings.http_bounds, connection_words),
            **settings.https(),
        )
        async with asyncio.TaskGroup() as doors:
            closing = asyncio.Event()
            doors.create_task(http.serve(closing), name="http")
            try:
                if not await _prepared(settings, held, tools.sealer, stop):
                    return
                async with (
                    _beside(broadcaster.run(), Upkeep(pool, settings.history_kept).run(), Soundness(pool).run()),
                    service.working(),
                ):
                    server = rpc.Server(
                        settings.listen, tokens, SCOPES, tls=settings, reserved=settings.die_with_parent
                    )
                    service.add_to(server.grpc)
                    try:
                        await server.start()
                        await server.set_serving(serving=True)
                        health.set_ready()
                        log.info("admin ready", grpc=server.address, http=http.address)
                        on_ready(Running(server.address, http.address, service, broadcaster))
                        await stop.wait()
                        log.info("admin drains", seconds=settings.drain_timeout)
                        health.set_draining()
                        closing.set()
                    finally:
                        await server.stop(settings.drain_timeout)
            finally:
                closing.set()


def _dial(settings: Settings, address: str) -> rpc.Dialled:
    """Dial what a row of the database calls a router, with a token that only invalidates, and only there."""
    return rpc.dial(address, auth.bound(settings.admin_token, auth.TO_INVALIDATE, address), settings)


async def _prepared(settings: Settings, held: SharedSecrets, sealer: Sealer, stop: asyncio.Event) -> bool:
    """Bring the schema up to date and register the secrets, waiting for the database; tells whether that came before `stop`.

    Raises OSError past the time limit, or when this admin cannot work with that database.
    """
    clock = asyncio.get_running_loop().time
    ends = clock() + settings.start_timeout
    told = ""
    bounded = with_bounds(settings.dsn, _APPLICATION, statement_timeout=STEP_LIMIT, lock_timeout=LOCK_WAIT)
    while not stop.is_set():
        try:
            if wrong := await pooler.fault_of(bounded):
                raise OSError(wrong)
            connection = await connect(bounded)
            async with connection:
                for applied in await migrate(connection):
                    log.info("migration applied", version=applied.version, name=applied.name, seconds=applied.seconds)
                if added := await register(connection, held, sealer):
                    log.info("secrets registered", secrets=", ".join(added))
            return True
        except (MigrationError, WrongEncoding) as error:
            raise OSError(f"the database's schema cannot be used: {error}") from None
        except SecretsDifferError as error:
            raise OSError(str(error)) from None
        except psycopg.OperationalError as error:
            fault = type(error).__name__
            if clock() >= ends:
                message = f"the database could not be reached within {settings.start_timeout:.0f} s ({fault})"
                raise OSError(message) from None
            if fault != told:
                log.warning("waiting for the database", fault=fault)
            told = fault
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY):
                    await stop.wait()
    return False


@contextlib.asynccontextmanager
async def _beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run work beside a block, and end it with the block."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
