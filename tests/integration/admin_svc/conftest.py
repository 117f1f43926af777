"""A whole admin service in the test's own loop, on free ports and a database of its own, and clients to both of its doors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import httpx2
import pytest

from admin_svc.assembly import Running, serve
from admin_svc.settings import Settings
from tests.harness.waiting import PATIENCE
from tests.integration.admin_svc.doubles import FakeRouter
from trunkline.rpc import RefusalRead, read_error
from trunkline.settings import read
from trunkline.v1 import admin_pb2_grpc

ADMIN_TOKEN = "the-admin-token-of-tests"
READ_TOKEN = "a-token-that-reads"
SERVICE_TOKEN = "the-service-token"
ENVIRONMENT = {
    "TRUNKLINE_ADMIN_TOKEN": ADMIN_TOKEN,
    "TRUNKLINE_SERVICE_TOKEN": SERVICE_TOKEN,
    "TRUNKLINE_TOKENS": f"read:{READ_TOKEN}",
    "TRUNKLINE_PEPPER": "a pepper of the tests",
    "TRUNKLINE_ENCRYPTION_KEYS": "k1:" + "A" * 43 + "=",
    "TRUNKLINE_ADMIN_LISTEN": "127.0.0.1:0",
    "TRUNKLINE_ADMIN_HTTP_LISTEN": "127.0.0.1:0",
    "TRUNKLINE_DRAIN_TIMEOUT": "1s",
}


@dataclass
class Admin:
    """A running admin service with a client at each door."""

    running: Running
    dsn: str
    http: httpx2.AsyncClient
    grpc: Any

    async def create(self, name: str = "a", **fields: Any) -> dict[str, Any]:
        """Create a channel over HTTP and give its record."""
        body = {"name": name, "provider": "openai", "base_url": "http://127.0.0.1:9/v1", "models": ["m"]} | fields
        response = await self.http.post("/api/v1/channels", json=body)
        assert response.status_code == 200, response.text
        channel: dict[str, Any] = response.json()["channel"]
        return channel

    async def refusal(self, call: Any) -> RefusalRead:
        """The refusal that a gRPC call ends in."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return read_error(caught.value)


@contextlib.asynccontextmanager
async def running_admin(dsn: str, **environment: str) -> AsyncIterator[Admin]:
    """Run an admin service until the end of the block."""
    settings = read(Settings, ENVIRONMENT | {"TRUNKLINE_DSN": dsn} | environment)
    stop = asyncio.Event()
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(settings, stop, ready.set_result))
        try:
            running = await asyncio.wait_for(ready, PATIENCE)
            headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
            async with (
                httpx2.AsyncClient(
                    base_url=f"http://{running.http_address}", headers=headers, timeout=PATIENCE
                ) as http,
                grpc.aio.insecure_channel(
                    running.grpc_address, options=[("grpc.use_local_subchannel_pool", 1)]
                ) as channel,
            ):
                yield Admin(running, dsn, http, WithToken(channel, ADMIN_TOKEN))
        finally:
            stop.set()


class WithToken:
    """A stub whose calls carry a token and a deadline."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._stub = admin_pb2_grpc.AdminServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),)

    def __getattr__(self, method: str) -> Callable[[Any], Any]:
        call = getattr(self._stub, method)
        return lambda request: call(request, metadata=self._metadata, timeout=PATIENCE)


@pytest.fixture
async def admin(migrated_dsn: str) -> AsyncIterator[Admin]:
    """An admin service without routers."""
    async with running_admin(migrated_dsn) as admin:
        yield admin


@pytest.fixture
async def routers(migrated_dsn: str) -> AsyncIterator[tuple[FakeRouter, FakeRouter]]:
    """Two routers that do as they are told."""
    async with (
        FakeRouter("router-1", migrated_dsn).serving() as one,
        FakeRouter("router-2", migrated_dsn).serving() as two,
    ):
        yield one, two
