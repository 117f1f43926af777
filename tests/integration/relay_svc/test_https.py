"""The clients' port under TLS, when no front speaks it."""

import asyncio
import ssl
from pathlib import Path

import httpx2

from relay_svc.__main__ import serve
from relay_svc.settings import Settings
from tests.harness.ports import free_port
from tests.harness.waiting import eventually_async
from tests.integration.admin_svc.test_tls import certificate
from tests.integration.relay_svc.conftest import CHAT, HEADERS
from tests.integration.relay_svc.routers import TOKEN, Router, candidate
from tests.integration.relay_svc.upstreams import DONE, Upstream, streams
from trunkline.settings import read


async def test_clients_are_served_under_tls_and_no_longer_in_the_clear(tmp_path: Path) -> None:
    """A streamed answer comes whole through it; a client that speaks plaintext gets nothing."""
    path, key = certificate(tmp_path)
    router = Router()
    async with Upstream(streams).serving() as upstream, router.serving():
        router.plans["m"] = [candidate(1, upstream.base_url)]
        port = free_port()
        given = {
            "TRUNKLINE_SERVICE_TOKEN": TOKEN.reveal(),
            "TRUNKLINE_RELAY_LISTEN": f"127.0.0.1:{port}",
            "TRUNKLINE_RELAY_ROUTERS": router.address,
            "TRUNKLINE_RELAY_OPERATIONS_FOR_CLIENTS": "true",
            "TRUNKLINE_RELAY_HTTPS_CERT": str(path),
            "TRUNKLINE_RELAY_HTTPS_KEY": str(key),
            "TRUNKLINE_DRAIN_TIMEOUT": "1s",
        }
        stop = asyncio.Event()
        trusting = ssl.create_default_context(cafile=path)
        async with (
            httpx2.AsyncClient(verify=trusting, headers=HEADERS, trust_env=False) as client,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(serve(read(Settings, given), stop))

            async def ready() -> bool:
                try:
                    return (await client.get(f"https://localhost:{port}/readyz")).status_code == 200
                except httpx2.TransportError:
                    return False

            try:
                await eventually_async(ready)
                answer = await client.post(f"https://localhost:{port}{CHAT}", content=b'{"model":"m","stream":true}')
                assert answer.status_code == 200
                assert answer.content.endswith(DONE)
                try:
                    plain = (await client.get(f"http://127.0.0.1:{port}/health")).status_code
                except httpx2.TransportError:
                    plain = 0
                assert plain == 0
            finally:
                stop.set()
