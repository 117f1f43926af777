"""Channels behind proxies, through a proxy that is not ours: HTTP and SOCKS5, with a user and a password."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.conftest import Bench, dead_port
from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.upstreams import answers, streams
from trunkline.v1 import router_pb2 as pb

SECRET = "trunk:line"
START = """
import asyncio, sys
sys.modules["uvloop"] = None  # with it the proxy finds no event loop
asyncio.set_event_loop(asyncio.new_event_loop())
from pproxy.server import main
main()
"""


@dataclass
class Proxy:
    """A running proxy."""

    port: int
    lines: list[str] = field(default_factory=list)
    """What it says it does."""


@pytest.fixture(scope="module")
async def proxy() -> AsyncIterator[Proxy]:
    """One that takes both protocols, and nobody without the password."""
    port = dead_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", START, "-v", "--auth", "0", "-l", f"http+socks5://127.0.0.1:{port}#{SECRET}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Proxy(port)

    async def read() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            running.lines.append(line.decode())

    async def listens() -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            return True
        return False

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        try:
            await eventually_async(listens)
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def shaping(url: str) -> pb.Shaping:
    """What a channel behind a proxy says of it."""
    return pb.Shaping(proxy_url=url)


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
async def test_a_channel_is_reached_through_its_proxy(bench: Bench, proxy: Proxy, scheme: str) -> None:
    """Whole answers and streams; the proxy looks the upstream's name up."""
    upstream = await bench.upstream(answers(200, b'{"ok":true}'))
    url = upstream.base_url.replace("127.0.0.1", "localhost")
    bench.router.plans["m"] = [candidate(1, url, shaping=shaping(f"{scheme}://{SECRET}@127.0.0.1:{proxy.port}"))]
    answer = await bench.chat()
    assert (answer.status_code, answer.content) == (200, b'{"ok":true}')
    where = url.removeprefix("http://").removesuffix("/v1")
    await eventually_async(lambda: any(where in line and scheme[:5] in line for line in proxy.lines))
    upstream.script = streams
    answer = await bench.chat(b'{"model":"m","stream":true,"messages":[]}')
    assert answer.content.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_refuses_or_is_down_is_passed_over(bench: Bench, proxy: Proxy, scheme: str) -> None:
    """It is a failed connection like another: the next candidate answers, and the password shows nowhere."""
    good = await bench.upstream(answers(200, b'{"ok":true}'))
    urls = [f"{scheme}://wrong:password@127.0.0.1:{proxy.port}", f"{scheme}://a:password@127.0.0.1:{dead_port()}"]
    tls = good.base_url.replace("http://", "https://")  # which an HTTP proxy is asked to connect to
    bench.router.plans["m"] = [
        *(candidate(number, tls, shaping=shaping(url)) for number, url in enumerate(urls, 1)),
        candidate(3, good.base_url),
    ]
    answer = await bench.chat()
    assert (answer.status_code, answer.headers["x-trunkline-attempts"]) == (200, "3")
    await eventually_async(lambda: len(bench.outcomes) == 3)
    assert {outcome.result for outcome in bench.outcomes[:2]} == {pb.OUTCOME_RESULT_CONNECT_FAILED}
