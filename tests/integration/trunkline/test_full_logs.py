"""Real processes whose standard output and standard error take nothing: every answer is what it would be otherwise."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpx2
import psycopg
import pytest

from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.admin_svc.conftest import ADMIN_TOKEN, ENVIRONMENT
from tests.integration.relay_svc.conftest import CHAT, HEADERS
from tests.integration.relay_svc.routers import TOKEN, candidate
from tests.integration.relay_svc.routers import Router as FakeRouter
from tests.integration.relay_svc.upstreams import Upstream, answers
from tests.integration.router_svc import running
from trunkline.rpc import dial
from trunkline.secret import Secret
from trunkline.v1 import router_pb2, router_pb2_grpc

STREAMS = ["full disk", "closed", "reader gone", "reader stopped"]
BODY = b'{"model":"m"}'
MANY = 40
"""Requests, each with a line or more."""


@contextmanager
def stream_of(kind: str) -> Iterator[int | None]:
    """A descriptor that takes nothing; None for none at all."""
    if kind == "closed":
        yield None
    elif kind == "full disk":
        descriptor = os.open("/dev/full", os.O_WRONLY)
        yield descriptor
        os.close(descriptor)
    else:
        reading, writing = os.pipe()
        if kind == "reader gone":
            os.close(reading)
        else:
            os.set_blocking(writing, False)
            try:
                while True:
                    os.write(writing, b"x" * 4096)
            except BlockingIOError:
                os.set_blocking(writing, True)
        yield writing
        os.close(writing)
        if kind != "reader gone":
            os.close(reading)


@asynccontextmanager
async def started(
    module: str, kind: str, address: str, environment: Mapping[str, str]
) -> AsyncIterator[httpx2.AsyncClient]:
    """A service with such streams, once it is ready; it drains at the end and ends well."""
    with stream_of(kind) as stream:
        # A shell closes what Popen cannot.
        argv = [sys.executable, "-m", module]
        process = subprocess.Popen(  # noqa: ASYNC220 - its streams are descriptors, or none
            ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", *argv] if stream is None else argv,
            env={"PATH": os.defpath, **environment},
            stdout=stream,
            stderr=stream,
        )
        try:
            async with httpx2.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=PATIENCE) as client:

                async def ready() -> bool:
                    assert process.poll() is None, process.returncode
                    try:
                        return (await client.get("/readyz")).status_code == 200
                    except httpx2.TransportError:
                        return False

                await eventually_async(ready)
                yield client
            process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
        finally:
            process.kill()
            process.wait(PATIENCE)


async def lost_lines(client: httpx2.AsyncClient) -> float:
    """What the service says that it could not write."""
    for line in (await client.get("/metrics")).text.splitlines():
        if line.startswith("trunkline_log_lines_lost_total "):
            return float(line.rpartition(" ")[2])
    raise AssertionError("no such metric")


@pytest.mark.parametrize("kind", STREAMS)
async def test_a_committed_change_is_answered_as_committed(
    migrated_dsn: str, free_port: Callable[[], int], kind: str
) -> None:
    """The secret that is shown once is shown; a repeat, a refusal and a list are what they always are."""
    address = f"127.0.0.1:{free_port()}"
    environment = ENVIRONMENT | {"TRUNKLINE_DSN": migrated_dsn, "TRUNKLINE_ADMIN_HTTP_LISTEN": address}
    async with started("admin_svc", kind, address, environment) as client:
        client.headers["authorization"] = f"Bearer {ADMIN_TOKEN}"
        created = [await client.post("/api/v1/api-keys", json={"name": f"k{number}"}) for number in range(MANY)]
        assert [response.status_code for response in created] == [200] * MANY
        assert all(response.json()["api_key"]["secret"] for response in created)
        assert (await client.post("/api/v1/api-keys", json={"name": ""})).status_code == 400
        with psycopg.connect(migrated_dsn) as hand:
            assert hand.execute("SELECT count(*) FROM api_keys").fetchone() == (MANY,)
        assert (await lost_lines(client) > MANY) is (kind != "reader stopped"), "what may still be read is kept"


@pytest.mark.parametrize("kind", STREAMS)
async def test_picks_go_on(migrated_dsn: str, free_port: Callable[[], int], kind: str) -> None:
    """Plans and refusals."""
    address, listen = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    environment = running.environment(migrated_dsn) | {
        "TRUNKLINE_ROUTER_HTTP_LISTEN": address,
        "TRUNKLINE_ROUTER_LISTEN": listen,
    }
    async with (
        started("router_svc", kind, address, environment) as client,
        await psycopg.AsyncConnection.connect(migrated_dsn, autocommit=True) as hand,
    ):
        await running.Database(hand).channel("a", ["m"])
        token = await running.Database(hand).token()
        dialled = dial(listen, Secret(running.SERVICE_TOKEN))
        picker = running.Client(router_pb2_grpc.RouterServiceStub(dialled.channel), dialled.metadata)
        try:
            assert (await picker.pick("m", min_token=token)).candidates
            for number in range(MANY):
                await running.refusal_of(picker.pick(f"none-{number}"))
            assert (await picker.status()).state == router_pb2.ROUTER_STATE_SERVING
        finally:
            await dialled.channel.close()
        assert (await lost_lines(client) > 0) is (kind != "reader stopped")


@pytest.mark.parametrize("kind", STREAMS)
async def test_requests_are_relayed(free_port: Callable[[], int], kind: str) -> None:
    """Each request has its line, and none of them is worth the request."""
    router, address = FakeRouter(), f"127.0.0.1:{free_port()}"
    async with Upstream(answers()).serving() as upstream, router.serving():
        router.plans["m"] = [candidate(1, upstream.base_url)]
        environment = {
            "TRUNKLINE_SERVICE_TOKEN": TOKEN.reveal(),
            "TRUNKLINE_RELAY_LISTEN": address,
            "TRUNKLINE_RELAY_OPERATIONS_FOR_CLIENTS": "true",
            "TRUNKLINE_RELAY_ROUTERS": router.address,
        }
        async with started("relay_svc", kind, address, environment) as client:
            served = [await client.post(CHAT, content=BODY, headers=HEADERS) for _ in range(MANY)]
            assert [response.status_code for response in served] == [200] * MANY
            assert (await lost_lines(client) >= MANY) is (kind != "reader stopped")
