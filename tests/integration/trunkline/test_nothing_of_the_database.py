"""Nobody but the log learns of the database: its host, its name and its user are in no byte that a client sees.

Law: real relay, router and admin with a marker wherever a DSN has room for one; whatever fails, the answers are searched.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx2
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from admin_svc.assembly import serve
from admin_svc.settings import Settings
from tests.harness.ports import free_port
from tests.harness.postgres import SUPERUSER, as_role
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.admin_svc.conftest import ENVIRONMENT, Admin, running_admin
from tests.integration.relay_svc.conftest import running_relay
from tests.integration.router_svc.running import (
    ADMIN_TOKEN,
    ENCRYPTION_KEYS,
    PEPPER,
    PICK_TOKEN,
    SERVICE_TOKEN,
    Client,
    Database,
    RunningRouter,
    frozen,
    running_router,
)
from trunkline.errors import Cause
from trunkline.settings import read
from trunkline.v1 import admin_pb2, router_pb2

MARKER = "marker7f3a"
SECRETS = {"TRUNKLINE_PEPPER": PEPPER, "TRUNKLINE_ENCRYPTION_KEYS": ENCRYPTION_KEYS}
MESSAGES = [{"role": "user", "content": "hi"}]
DIALECTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", "authorization", {"model": "none", "messages": MESSAGES}),
    "responses": ("/v1/responses", "authorization", {"model": "none", "input": "hi"}),
    "anthropic": ("/v1/messages", "x-api-key", {"model": "none", "max_tokens": 9, "messages": MESSAGES}),
    "gemini": (
        "/v1beta/models/none:generateContent",
        "x-goog-api-key",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    ),
}


@dataclass
class Heard:
    """All that clients were told, by where."""

    texts: dict[str, list[str]] = field(default_factory=dict)

    async def call(self, where: str, call: Any) -> None:
        """Make a gRPC call and keep everything of its end."""
        try:
            text = repr(await call)
        except grpc.aio.AioRpcError as error:
            ends = [*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())]
            text = f"{error.code()} {error.details()} {error.debug_error_string()} {ends}"
        self.texts.setdefault(where, []).append(text)

    async def http(self, where: str, response: Any) -> int:
        """Keep the head and the body of a response."""
        answered = await response
        text = f"{answered.headers.raw!r} {answered.text}"
        self.texts.setdefault(where, []).append(text)
        return int(answered.status_code)

    def leaks(self) -> dict[str, list[str]]:
        """What holds the marker."""
        return {
            where: found
            for where, texts in self.texts.items()
            if (found := [text for text in texts if MARKER in text.lower()])
        }


async def ask_router(heard: Heard, client: Client) -> None:
    """Every call of a router that answers by the database."""
    pick = router_pb2.Pick(model="none", group="default")
    end: dict[str, Any] = {"metadata": client.metadata, "timeout": 2.0}
    await heard.call("PickChannel", client.pick("none", limit=0.4))
    await heard.call("PickChannel", client.pick("m", api_key="sk-nobody", limit=0.4))
    await heard.call("ExplainPick", client.stub.ExplainPick(router_pb2.ExplainPickRequest(pick=pick), **end))
    await heard.call("ListModels", client.stub.ListModels(router_pb2.ListModelsRequest(group="nobody's"), **end))
    await heard.call("GetRouterStatus", client.stub.GetRouterStatus(router_pb2.GetRouterStatusRequest(), **end))


async def ask_relay(heard: Heard, http: httpx2.AsyncClient) -> None:
    """A model that nobody serves, in each dialect; and what lists."""
    for name, (path, header, body) in DIALECTS.items():
        token = "Bearer sk-nobody" if header == "authorization" else "sk-nobody"
        assert await heard.http(name, http.post(path, headers={header: token}, json=body)) in (401, 404, 503)
    await heard.http("models", http.get("/v1/models", headers={"authorization": "Bearer sk-nobody"}))
    await heard.http("readyz", http.get("/readyz"))


async def ask_admin(heard: Heard, admin: Admin) -> None:
    """Reads and a change by both doors, and what the operations say."""
    body = {"name": "x", "provider": "openai", "base_url": "http://127.0.0.1:9/v1", "models": ["m"]}
    for path in ("channels", "revisions", "routers", "api-keys"):
        await heard.http(f"GET {path}", admin.http.get(f"/api/v1/{path}"))
    await heard.http("POST channels", admin.http.post("/api/v1/channels", json=body))
    await heard.http("readyz", admin.http.get("/readyz"))
    await heard.call("ListChannels", admin.grpc.ListChannels(admin_pb2.ListChannelsRequest()))
    await heard.call("SyncChannels", admin.grpc.SyncChannels(admin_pb2.SyncChannelsRequest()))
    await heard.call("CreateGroup", admin.grpc.CreateGroup(admin_pb2.CreateGroupRequest()))


@contextlib.asynccontextmanager
async def marked(dsn: str) -> AsyncIterator[str]:
    """The same database under a name that holds the marker."""
    name = str(conninfo_to_dict(dsn)["dbname"])
    marker = f"{MARKER}_{name}"
    other = as_role(make_conninfo(dsn, dbname="postgres"), SUPERUSER)
    async with await psycopg.AsyncConnection.connect(other, autocommit=True) as operator:
        await operator.execute(f"ALTER DATABASE {name} RENAME TO {marker}")
        try:
            yield make_conninfo(dsn, dbname=marker)
        finally:
            await operator.execute(f"ALTER DATABASE {marker} ALLOW_CONNECTIONS false")
            await operator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [marker]
            )
            await operator.execute(f"ALTER DATABASE {marker} RENAME TO {name}")
            await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@contextlib.asynccontextmanager
async def shut(dsn: str) -> AsyncIterator[None]:
    """Let nobody into a database, and throw out who is in."""
    name = str(conninfo_to_dict(dsn)["dbname"])
    async with await psycopg.AsyncConnection.connect(
        as_role(make_conninfo(dsn, dbname="postgres"), SUPERUSER), autocommit=True
    ) as operator:
        await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield


@contextlib.asynccontextmanager
async def unusable(dsn: str, database: Database, fault: str) -> AsyncIterator[None]:
    """Have the database fail in one way."""
    if fault == "shut":
        async with shut(dsn):
            yield
    elif fault == "frozen":
        async with frozen(database):
            yield
    else:
        await database.run("ALTER VIEW router_head RENAME TO marker7f3a_head")
        await database.run("ALTER TABLE channels RENAME TO marker7f3a_channels")
        yield


@pytest.mark.parametrize("fault", ["shut", "frozen", "schema"])
async def test_what_clients_see_of_a_database_that_fails_is_a_code(migrated_dsn: str, fault: str) -> None:
    """In relays of every dialect, in routers, and at both doors of an admin."""
    heard = Heard()
    async with marked(migrated_dsn) as dsn, running_admin(dsn, **SECRETS) as admin, running_router(dsn) as router:
        await router.ready()
        async with (
            running_relay(router.address, TRUNKLINE_SERVICE_TOKEN=SERVICE_TOKEN) as relay,
            await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection,
            unusable(dsn, Database(connection), fault),
        ):
            await eventually_async(lambda: router.router.cache.fault is not None or fault == "schema")
            await ask_router(heard, router.client(PICK_TOKEN))
            await ask_router(heard, router.client(SERVICE_TOKEN))
            async with httpx2.AsyncClient(base_url=relay.url, timeout=PATIENCE, trust_env=False) as http:
                await ask_relay(heard, http)
            await ask_admin(heard, admin)
    assert heard.leaks() == {}
    told = str(heard.texts)
    if fault != "schema":
        assert any(cause in told for cause in (Cause.DATABASE_UNREACHABLE, Cause.DATABASE_SLOW))


@pytest.mark.parametrize(
    "dsn",
    [
        f"host=/tmp/{MARKER} user={MARKER} dbname={MARKER}",
        f"host={MARKER}.invalid user={MARKER} dbname={MARKER}",
        f"host=127.0.0.1 port=1 user={MARKER} password={MARKER} dbname={MARKER}",
    ],
    ids=["no socket", "no such host", "refused"],
)
async def test_services_that_never_reached_their_database_tell_nothing_of_it(dsn: str, tmp_path: Path) -> None:
    """A router that has no catalog yet, and an admin whose doors are open before it is ready."""
    heard = Heard()
    async with _router_alone(dsn, tmp_path) as router:
        await ask_router(heard, router.client(PICK_TOKEN))
    settings = read(Settings, ENVIRONMENT | SECRETS | {"TRUNKLINE_DSN": dsn, "TRUNKLINE_ADMIN_HTTP_LISTEN": _port()})
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(settings, stop, lambda _: None))
        base = f"http://{settings.http_listen}"
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=PATIENCE, trust_env=False) as http:
            assert await heard.http("GET channels", http.get("/api/v1/channels")) == 503
            await heard.http("readyz", http.get("/readyz"))
        stop.set()
    assert heard.leaks() == {}
    assert Cause.STARTING in str(heard.texts["GET channels"])


@contextlib.asynccontextmanager
async def _router_alone(dsn: str, directory: Path) -> AsyncIterator[RunningRouter]:
    """A router whose database is not to be had; the DSN of its tests names a role, so it is set anew."""
    async with running_router(
        "dbname=unused", TRUNKLINE_DSN=dsn, TRUNKLINE_ROUTER_SNAPSHOT_DIR=str(directory)
    ) as running:
        yield running


def _port() -> str:
    return f"127.0.0.1:{free_port()}"
