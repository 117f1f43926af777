"""How the relay goes: open streams end well, those that cannot are told, and outcomes arrive."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import httpx2

from tests.harness.ports import free_port
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.relay_svc.conftest import CHAT, HEADERS, open_bench
from tests.integration.relay_svc.routers import TOKEN, Router, candidate
from tests.integration.relay_svc.upstreams import DONE, LAST_CHUNK, SSE_HEAD, Call, Upstream, event
from trunkline.v1 import router_pb2 as pb

BODY = b'{"model":"m","stream":true}'


async def test_sigterm_lets_an_open_stream_end_and_then_the_process() -> None:
    """A real process: no new connections, the stream to its last byte, its outcome told, exit status 0."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        await call.send(SSE_HEAD)
        await call.chunk(event("a"))
        await go_on.wait()
        await call.chunk(event(None, "stop") + DONE)
        await call.send(LAST_CHUNK)

    router = Router()
    async with Upstream(script).serving() as upstream, router.serving():
        router.plans["m"] = [candidate(1, upstream.base_url)]
        address = f"127.0.0.1:{free_port()}"
        url = f"http://{address}"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "relay_svc",
            stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": os.defpath,
                "TRUNKLINE_SERVICE_TOKEN": TOKEN.reveal(),
                "TRUNKLINE_RELAY_LISTEN": address,
                "TRUNKLINE_RELAY_OPERATIONS_FOR_CLIENTS": "true",
                "TRUNKLINE_RELAY_ROUTERS": router.address,
            },
        )
        try:
            async with httpx2.AsyncClient(base_url=url, headers=HEADERS, trust_env=False) as client:

                async def ready() -> bool:
                    try:
                        return (await client.get("/readyz")).status_code == 200
                    except httpx2.ConnectError:
                        return False

                await eventually_async(ready)
                async with client.stream("POST", CHAT, content=BODY) as answer:
                    chunks = answer.aiter_raw()
                    assert await anext(chunks) == event("a")
                    process.send_signal(signal.SIGTERM)
                    await eventually_async(lambda: refused(url))
                    go_on.set()
                    assert b"".join([chunk async for chunk in chunks]) == event(None, "stop") + DONE
            assert process.stderr is not None
            async with asyncio.timeout(PATIENCE):
                lines = (await process.stderr.read()).decode().splitlines()
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        (line,) = [json.loads(line) for line in lines if "[Distributor]" in line]
        assert line["outcome"] == "served"
        assert line["channel_ids"] == [1]
        assert [outcome.result for outcome in router.outcomes] == [pb.OUTCOME_RESULT_SUCCESS]


async def refused(url: str) -> bool:
    """Whether nobody listens any more."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        try:
            await client.get(f"{url}/health")
        except httpx2.ConnectError:
            return True
    return False


async def test_a_stream_that_outlasts_the_drain_is_told_so() -> None:
    """An error event before the end, since a silent end would look like the stream's own."""

    async def endless(call: Call) -> None:
        await call.send(SSE_HEAD)
        await call.chunk(event("a"))
        await call.until_gone()

    async with open_bench() as bench:
        await bench.plan(endless)
        received = b""
        async with bench.relay.http() as client:
            try:
                async with client.stream("POST", CHAT, content=BODY) as answer:
                    async for chunk in answer.aiter_raw():
                        received += chunk
                        bench.relay.stop.set()
            except httpx2.RemoteProtocolError:
                pass
        first, last = received.strip().split(b"\n\n\n\n")
        assert first == event("a").strip()
        assert json.loads(last.removeprefix(b"data: "))["error"]["reason"] == "DRAINING"
        await bench.relay.task
        assert [outcome.result for outcome in bench.outcomes] == [pb.OUTCOME_RESULT_ABANDONED]
