"""How a service serves HTTP, says whether it is ready, and drains."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.harness.waiting import PATIENCE
from trunkline.serving import Health, HttpServer, operations
from trunkline.settings import Listen


async def serving(server: HttpServer, stop: asyncio.Event, body: Any) -> None:
    """Run `body` while the server serves, then stop it."""
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(stop))
        try:
            await body()
        finally:
            stop.set()


async def test_readiness_says_why_and_liveness_does_not_care() -> None:
    """Not ready is 503 with the reason; draining is for good."""
    health = Health()
    server = HttpServer(operations(health), Listen("127.0.0.1", 0), drain_timeout=1)

    async def body() -> None:
        async with httpx2.AsyncClient(base_url=f"http://{server.address}") as client:
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()) == (503, {"ready": False, "reason": "starting"})
            assert (await client.get("/health")).json() == {"status": "ok"}
            health.set_ready()
            assert (await client.get("/readyz")).json() == {"ready": True}
            health.set_draining()
            health.set_ready()
            assert (await client.get("/readyz")).json()["reason"] == "draining"
            assert (await client.head("/health")).content == b""
            assert (await client.post("/health")).status_code == 405
            assert (await client.get("/nothing")).status_code == 404
            assert "trunkline_grpc_server_handled_total" in (await client.get("/metrics")).text

    await serving(server, asyncio.Event(), body)


async def test_an_open_request_is_finished_after_the_stop() -> None:
    """Stop takes no new connections and lets an answer that has begun end."""
    begun, finish, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first,", "more_body": True})
        begun.set()
        await finish.wait()
        await send({"type": "http.response.body", "body": b"last"})

    server = HttpServer(app, Listen("127.0.0.1", 0), drain_timeout=5)

    async def body() -> None:
        async with httpx2.AsyncClient() as client, asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(client.get(f"http://{server.address}/"))
            await begun.wait()
            stop.set()
            finish.set()
            assert (await asked).text == "first,last"

    await serving(server, stop, body)


async def test_a_port_in_use_is_an_os_error_that_names_it() -> None:
    """One clear line for the operator."""
    first = HttpServer(operations(Health()), Listen("127.0.0.1", 0), drain_timeout=1)
    with pytest.raises(OSError, match=first.address):
        HttpServer(operations(Health()), Listen.parse(first.address), drain_timeout=1)
    first.close()
