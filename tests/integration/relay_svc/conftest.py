"""A relay on a real port, with routers and upstreams that the test scripts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import pytest

from relay_svc.__main__ import serve
from relay_svc.settings import Settings
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.relay_svc.routers import API_KEY, TOKEN, Router, candidate
from tests.integration.relay_svc.upstreams import Script, Upstream
from trunkline.settings import read
from trunkline.v1 import router_pb2 as pb

HEADERS = {"authorization": f"Bearer {API_KEY}"}
CHAT = "/v1/chat/completions"
OWN = "TRUNKLINE_RELAY_OPERATIONS_LISTEN"


@dataclass
class RunningRelay:
    """A relay that serves."""

    url: str
    port: int
    stop: asyncio.Event
    task: asyncio.Task[None]

    def http(self, **options: Any) -> httpx2.AsyncClient:
        """A client of its HTTP."""
        return httpx2.AsyncClient(base_url=self.url, headers=HEADERS, timeout=PATIENCE, trust_env=False, **options)

    def openai(self, api_key: str = API_KEY) -> openai.AsyncOpenAI:
        """The official SDK pointed at it."""
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=api_key, max_retries=0, timeout=PATIENCE)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)


@contextlib.asynccontextmanager
async def running_relay(*routers: str, **environ: str) -> AsyncIterator[RunningRelay]:
    """Run a relay in this event loop until the block ends; ready when it is entered."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    settings = read(
        Settings,
        {
            "TRUNKLINE_SERVICE_TOKEN": TOKEN.reveal(),
            "TRUNKLINE_RELAY_LISTEN": f"fd:{listening.fileno()}",
            "TRUNKLINE_RELAY_ROUTERS": ",".join(routers),
            "TRUNKLINE_RELAY_OPERATIONS_FOR_CLIENTS": "true",
            "TRUNKLINE_DRAIN_TIMEOUT": "1s",
            **environ,
        },
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        relay = RunningRelay(f"http://127.0.0.1:{port}", port, stop, tasks.create_task(serve(settings, stop)))
        try:
            await eventually_async(lambda: is_ready(relay, environ.get(OWN, "")))
            yield relay
        finally:
            stop.set()
            listening.close()


async def is_ready(relay: RunningRelay, own: str = "") -> bool:
    """Whether the relay says that it is ready."""
    async with relay.http() as client:
        return (await client.get(f"http://{own}/readyz" if own else "/readyz")).status_code == 200


@dataclass
class Bench:
    """One router, one relay, and as many upstreams as a test wants."""

    router: Router
    relay: RunningRelay
    stack: contextlib.AsyncExitStack

    @property
    def outcomes(self) -> list[pb.Outcome]:
        """What the router was told of this test's plans; an earlier test's may still come in."""
        return [outcome for outcome in self.router.outcomes if outcome.decision_id == self.router.decision_id]

    async def upstream(self, script: Script) -> Upstream:
        """Start an upstream."""
        return await self.stack.enter_async_context(Upstream(script).serving())

    async def plan(self, *scripts: Script | None, model: str = "m", **fields: Any) -> list[Upstream]:
        """Plan a model over upstreams with these scripts, in order; None is a port that nobody listens on."""
        upstreams = []
        candidates = []
        for number, script in enumerate(scripts, 1):
            if script is None:
                candidates.append(candidate(number, f"http://127.0.0.1:{dead_port()}/v1", **fields))
                continue
            upstream = await self.upstream(script)
            upstreams.append(upstream)
            candidates.append(candidate(number, upstream.base_url, **fields))
        self.router.plans[model] = candidates
        return upstreams

    async def chat(
        self, body: bytes = b'{"model":"m","messages":[]}', headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        """Post a chat request."""
        async with self.relay.http() as client:
            return await client.post(CHAT, content=body, headers=headers)


def dead_port() -> int:
    """A port that nobody listens on: bound and closed at once."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.asynccontextmanager
async def open_bench(**environ: str) -> AsyncIterator[Bench]:
    """Start a router and a relay with settings of the test's own."""
    async with contextlib.AsyncExitStack() as stack:
        router = await stack.enter_async_context(Router().serving())
        relay = await stack.enter_async_context(running_relay(router.address, **environ))
        yield Bench(router, relay, stack)


@pytest.fixture(scope="module")
async def shared_bench() -> AsyncIterator[Bench]:
    """A router and a relay with default settings, for all tests of a module: starting and draining take a while."""
    async with open_bench() as started:
        yield started


@pytest.fixture
async def bench(shared_bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """The shared router and relay, without anything an earlier test planned; this test's upstreams end with it."""
    shared_bench.router.forget(request.node.name)
    async with contextlib.AsyncExitStack() as stack:
        yield Bench(shared_bench.router, shared_bench.relay, stack)
