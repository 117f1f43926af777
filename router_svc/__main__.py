"""`python -m router_svc`: one router process, configured by its environment."""

import asyncio
import importlib.metadata
import socket
import sys
import uuid

import psycopg

from router_svc import metrics, wire
from router_svc.cache import Cache, Presence
from router_svc.desk import Desk
from router_svc.direct import Direct
from router_svc.follower import State
from router_svc.keeper import Keeper
from router_svc.keyring import Keyring
from router_svc.lease import Identity
from router_svc.scrub import Scrub
from router_svc.service import SCOPES, Parts, serve_on
from router_svc.settings import STATEMENT_TIMEOUT, Settings
from trunkline import auth, loop_lag, pooler
from trunkline.database import WrongEncoding, with_bounds
from trunkline.http_connection import BoundedConnection
from trunkline.rpc import Server
from trunkline.secret import ApiKeyHasher, Sealer
from trunkline.serving import Health, HttpServer, operations, run
from trunkline.settings import read_or_exit
from trunkline.shared_secrets import SharedSecrets
from trunkline.telemetry import configure, get_logger

log = get_logger()


class Router:
    """One router: its cache, its gRPC and its HTTP side."""

    def __init__(self, settings: Settings) -> None:
        """Put the parts together; nothing is opened yet."""
        self._settings = settings
        self.health = Health()
        self.http_address = ""
        dsn = with_bounds(
            settings.dsn, "trunkline-router", statement_timeout=STATEMENT_TIMEOUT, lock_timeout=STATEMENT_TIMEOUT
        )
        held = SharedSecrets.of(settings.pepper, settings.old_pepper, settings.encryption_keys)
        self._dsn = dsn
        self.cache = Cache(dsn, poll=settings.sync_frequency, secrets=held)
        keyring = Keyring(Sealer.parse(settings.encryption_keys))
        self.direct = Direct(dsn, self.cache)
        self.scrub = Scrub(dsn, self.cache)
        directory = settings.snapshot_directory
        self.keeper = Keeper(self.cache, directory, wait=settings.snapshot_wait) if directory is not None else None
        self.parts = Parts(
            cache=self.cache,
            desk=Desk(self.cache, keyring.open, self.direct, from_snapshot=settings.cache_enabled),
            asks=wire.Asks(
                ApiKeyHasher(settings.pepper), ApiKeyHasher(settings.old_pepper) if settings.old_pepper else None
            ),
            keyring=keyring,
        )
        self._tokens = settings.table()
        self.grpc = Server(settings.listen, self._tokens, SCOPES, tls=settings, reserved=settings.die_with_parent)
        serve_on(self.grpc.grpc, self.parts)
        metrics.SNAPSHOT_AGE.set_function(lambda: self.cache.trust().age)
        metrics.SERVING.set_function(lambda: float(self.cache.state is State.SERVING))
        metrics.KEYS_IN_DOUBT.set_function(lambda: float(keyring.in_doubt(self.cache.snapshot)))

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then drain."""
        settings = self._settings
        http = HttpServer(
            operations(self.health),
            settings.http_listen,
            drain_timeout=settings.drain_timeout,
            http=BoundedConnection.bounded(settings.http_bounds),
            **settings.https(),
        )
        self.http_address = http.address
        await self.grpc.start()
        address = settings.advertise or self.grpc.address
        incarnation = uuid.uuid4().hex
        router_id = settings.router_id or _own_id(address, incarnation)
        who = Identity(router_id, incarnation, importlib.metadata.version("trunkline"))
        self._be_known_at(address)
        self.cache.presence = Presence(who, address)
        log.info(
            "router serves", grpc=self.grpc.address, http=http.address, router_id=who.id, incarnation=who.incarnation
        )
        log.info("following every %g s", self.cache.poll)
        if not settings.cache_enabled:
            log.info("the cache is off: each pick reads the database; following, leases and invalidations go on")
        if settings.node_type:
            log.info("NODE_TYPE is accepted and changes nothing: every router follows", node_type=settings.node_type)
        followed = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(http.serve(followed), name="http")
            tasks.create_task(self.cache.run(followed), name="cache")
            tasks.create_task(self.direct.run(followed), name="direct")
            tasks.create_task(self.scrub.run(followed), name="scrub")
            if self.keeper is not None:
                tasks.create_task(self.keeper.run(followed), name="keeper")
            watching = tasks.create_task(loop_lag.watch(metrics.LOOP_LAG.observe), name="loop lag")
            checking = tasks.create_task(self._check_pooler(), name="pooler")
            getting_ready = tasks.create_task(self._get_ready(), name="readiness")
            await stop.wait()
            getting_ready.cancel()
            checking.cancel()
            await self._drain()
            watching.cancel()
            followed.set()

    def _be_known_at(self, address: str) -> None:
        """Take the tokens that are good at the advertised address alone, and know the proof for it."""
        settings = self._settings
        invalidates = auth.bound(settings.admin_token, auth.TO_INVALIDATE, address)
        self._tokens.grant(invalidates, frozenset({auth.INVALIDATE}))
        self._tokens.grant(auth.bound(settings.service_token, auth.TO_PICK, address), auth.SERVICE_SCOPES)
        self.parts.proof = auth.bound(settings.service_token, auth.IS_ROUTER, address)

    async def _check_pooler(self) -> None:
        """Go no further behind a pooler that does not keep sessions, once the database answers. Raises OSError."""
        while True:
            try:
                wrong = await pooler.fault_of(self._dsn)
            except WrongEncoding as error:
                raise OSError(str(error)) from None
            except psycopg.Error:
                await asyncio.sleep(self.cache.poll)
                continue
            if wrong:
                raise OSError(wrong)
            return

    async def _get_ready(self) -> None:
        """Be ready once a head was confirmed or a copy serves, while nothing speaks against it."""
        await self.cache.applied.next()
        said: bool | None = None
        while True:
            differs = self.cache.secrets.differs
            if differs is not said:
                said = differs
                await self.grpc.set_serving(serving=not differs)
                log.info("router serves nothing" if differs else "router ready")
                continue  # much may have happened meanwhile
            if why := self._hindrance():
                self.health.set_waiting(why)
            else:
                self.health.set_ready()
            await self.cache.hindered.next()

    def _hindrance(self) -> str:
        """Why no work should be sent here; empty when it should."""
        if differing := self.cache.secrets.accord.differing:
            return f"secrets are not the catalog's: {', '.join(differing)}"
        if (holder := self.cache.holder) is not None:
            return f"incarnation {holder.incarnation} at {holder.address} lives as {holder.id}"
        return ""

    async def _drain(self) -> None:
        """Turn work away, end streams, finish what is open; following goes on meanwhile."""
        log.info("router drains")
        self.health.set_draining()
        self.cache.draining = True
        self.parts.drain.set()
        await self.grpc.stop(self._settings.drain_timeout)


def _own_id(address: str, incarnation: str) -> str:
    """A name that no other process bears, whatever ports and host names machines share."""
    port = address.rpartition(":")[2]
    return f"{socket.gethostname()}:{port}-{incarnation[:8]}"


def main() -> int:
    """Run a router."""
    settings = read_or_exit(Settings)
    configure("router", settings.level, settings.log_format)
    # Made inside the loop: grpc.aio binds its server to the loop that is current when it is made.
    return run(lambda stop: Router(settings).serve(stop), die_with_parent=settings.die_with_parent)


if __name__ == "__main__":
    sys.exit(main())
