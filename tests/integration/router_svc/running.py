"""Runs routers on real databases, speaks to them over real gRPC, and changes their catalogs as an operator would."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psycopg

from router_svc.__main__ import Router
from router_svc.desk import LONGEST_LIMIT
from router_svc.settings import Settings
from tests.harness.postgres import ROUTER, SUPERUSER, as_role
from tests.harness.waiting import PATIENCE, eventually_async
from trunkline.rpc import RefusalRead, dial, read_error
from trunkline.secret import ApiKeyHasher, Sealer, Secret
from trunkline.settings import read
from trunkline.v1 import revision_pb2, router_pb2, router_pb2_grpc

PEPPER = "a pepper of the tests"
ENCRYPTION_KEYS = "k1:" + base64.b64encode(bytes(range(32))).decode()
ADMIN_TOKEN = "the-admin-token-of-tests"
SERVICE_TOKEN = "the-service-token"
PICK_TOKEN = "a-token-that-may-only-pick"

HASHER = ApiKeyHasher(Secret(PEPPER))
SEALER = Sealer.parse(Secret(ENCRYPTION_KEYS))


def environment(dsn: str) -> dict[str, str]:
    """What a router is told, with free ports; it logs in as a role with a router's rights and no more."""
    return {
        "TRUNKLINE_DSN": as_role(dsn, ROUTER),
        "TRUNKLINE_PEPPER": PEPPER,
        "TRUNKLINE_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
        "TRUNKLINE_ADMIN_TOKEN": ADMIN_TOKEN,
        "TRUNKLINE_SERVICE_TOKEN": SERVICE_TOKEN,
        "TRUNKLINE_TOKENS": f"pick:{PICK_TOKEN}",
        "TRUNKLINE_ROUTER_LISTEN": "127.0.0.1:0",
        "TRUNKLINE_ROUTER_HTTP_LISTEN": "127.0.0.1:0",
        "TRUNKLINE_DRAIN_TIMEOUT": "5s",
    }


@dataclass(slots=True)
class Client:
    """Calls one router with one token."""

    stub: router_pb2_grpc.RouterServiceStub
    metadata: tuple[tuple[str, str], ...]
    timeout: float = PATIENCE

    async def pick(
        self, model: str, group: str = "default", *, limit: float = LONGEST_LIMIT, **pick: object
    ) -> router_pb2.Plan:
        """Pick for a group, or for an API key when one is given."""
        caller = {} if "api_key" in pick else {"group": group}
        message = router_pb2.Pick(model=model, **caller, **pick)  # type: ignore[arg-type]  # fields by name
        request = router_pb2.PickChannelRequest(pick=message)
        request.time_limit.FromNanoseconds(round(limit * 1e9))
        answer = await self.stub.PickChannel(request, metadata=self.metadata, timeout=self.timeout)
        return answer.plan

    async def status(self) -> router_pb2.GetRouterStatusResponse:
        """Ask for the router's status."""
        return await self.stub.GetRouterStatus(
            router_pb2.GetRouterStatusRequest(), metadata=self.metadata, timeout=self.timeout
        )


@dataclass(slots=True)
class RunningRouter:
    """A router that serves, and clients of it."""

    router: Router
    stop: asyncio.Event
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where it serves gRPC."""
        return self.router.grpc.address

    def client(self, token: str = SERVICE_TOKEN) -> Client:
        """Give a client with a token."""
        dialled = dial(self.address, Secret(token))
        self.channels.append(dialled.channel)
        return Client(router_pb2_grpc.RouterServiceStub(dialled.channel), dialled.metadata)

    async def ready(self) -> None:
        """Wait until it serves from a snapshot that its lease vouches for."""
        client = self.client()

        async def serving() -> bool:
            return (await client.status()).state == router_pb2.ROUTER_STATE_SERVING

        await eventually_async(serving)


@asynccontextmanager
async def running_router(dsn: str, **environ: str) -> AsyncIterator[RunningRouter]:
    """Run a router until the end of the block, and drain it."""
    router = Router(read(Settings, environment(dsn) | environ))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(router.serve(stop))
        await eventually_async(lambda: router.cache.presence is not None)
        running = RunningRouter(router, stop)
        try:
            yield running
        finally:
            for channel in running.channels:
                await channel.close()
            stop.set()
            await asyncio.wait({serving}, timeout=PATIENCE)


@dataclass(slots=True)
class Database:
    """Changes the catalog by plain SQL."""

    connection: psycopg.AsyncConnection[tuple[object, ...]]

    async def run(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Run one statement; give its rows, if it has any."""
        cursor = await self.connection.execute(statement, values or None)
        return await cursor.fetchall() if cursor.description else []

    async def token(self) -> revision_pb2.RevisionToken:
        """Read the head."""
        [(revision, chain)] = await self.run("SELECT revision, encode(chain, 'hex') FROM router_head")
        return revision_pb2.RevisionToken(revision=int(str(revision)), chain=str(chain))

    async def channel(
        self,
        name: str,
        models: list[str],
        *,
        groups: tuple[str, ...] = ("default",),
        keys: tuple[str, ...] = ("sk-upstream",),
        priority: int = 0,
        weight: int = 1,
    ) -> int:
        """Create a channel in one transaction; give its id."""
        async with self.connection.transaction():
            [(channel_id,)] = await self.run(
                "INSERT INTO channels (name, provider, base_url, priority, weight)"
                " VALUES (%s, 'openai', 'http://127.0.0.1:9/v1', %s, %s) RETURNING id",
                name, priority, weight,
            )  # fmt: skip
            for group in groups:
                await self.run("INSERT INTO groups (name) VALUES (%s) ON CONFLICT DO NOTHING", group)
                await self.run("INSERT INTO channel_groups VALUES (%s, %s)", channel_id, group)
            for model in models:
                await self.run("INSERT INTO channel_models (channel_id, model) VALUES (%s, %s)", channel_id, model)
            for key in keys:
                await self.key(int(str(channel_id)), key)
        return int(str(channel_id))

    async def key(self, channel_id: int, plain: str) -> int:
        """Give a channel one more key; give the key's id."""
        [(key_id,)] = await self.run(
            "INSERT INTO channel_keys (channel_id, sealed) VALUES (%s, '\\x00') RETURNING id", channel_id
        )
        sealed = SEALER.seal(Secret(plain), channel_id, int(str(key_id)))
        await self.run("UPDATE channel_keys SET sealed = %s, last_four = %s WHERE id = %s", sealed, plain[-4:], key_id)
        return int(str(key_id))

    async def api_key(self, secret: str, group: str = "default", **columns: object) -> int:
        """Create an API key; give its id."""
        await self.run("INSERT INTO groups (name) VALUES (%s) ON CONFLICT DO NOTHING", group)
        names = "".join(f", {name}" for name in columns)
        marks = ", %s" * len(columns)
        [(api_key_id,)] = await self.run(
            f"INSERT INTO api_keys (name, hash, group_name{names}) VALUES (%s, %s, %s{marks}) RETURNING id",
            secret, HASHER.hash(secret), group, *columns.values(),
        )  # fmt: skip
        return int(str(api_key_id))


@asynccontextmanager
async def frozen(database: Database) -> AsyncIterator[None]:
    """Stop every process of the database server, as a machine that hangs would."""
    superuser = as_role(database.connection.info.dsn, SUPERUSER)
    async with await psycopg.AsyncConnection.connect(superuser) as connection:
        [(directory,)] = await Database(connection).run("SHOW data_directory")
    with _stopped(_postmaster_of(Path(str(directory)))):
        yield


def _postmaster_of(directory: Path) -> int:
    return int((directory / "postmaster.pid").read_text().split()[0])


@contextmanager
def _stopped(postmaster: int) -> Iterator[None]:
    pids = [postmaster]
    os.kill(postmaster, signal.SIGSTOP)
    try:
        for pid in _children(postmaster):
            os.kill(pid, signal.SIGSTOP)
            pids.append(pid)
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


def _children(parent: int) -> list[int]:
    """The processes whose parent is this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


async def refusal_of(call: Awaitable[object]) -> RefusalRead:
    """Make a call that must be refused; give the refusal."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return read_error(error)
    raise AssertionError(f"was answered: {type(answer).__name__}")
