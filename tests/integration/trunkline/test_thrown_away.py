"""What comes behind a refusal is read and thrown away, within a bound of bytes as well as of time."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness.waiting import PATIENCE
from tests.integration.relay_svc.conftest import CHAT, open_bench
from trunkline.http_keep_alive import MOST_THROWN_AWAY

PIECE = b"x" * 65_536
FAR_MORE = 512 * len(PIECE)
HEADS = {
    "a refused body": f"POST {CHAT} HTTP/1.1\r\nhost: h\r\ncontent-length: {FAR_MORE}\r\n\r\n".encode(),
    "a malformed request": b"GET / HTTP/1.1\r\nbad\0: x\r\n\r\n",
}


@pytest.mark.parametrize("kind", HEADS)
async def test_a_client_that_sends_on_is_cut_off_after_the_bound(kind: str) -> None:
    """It reads why, and cannot make the server read for ever."""
    async with open_bench() as bench:
        reader, writer = await bench.relay.connect()
        writer.write(HEADS[kind])
        assert (await reader.readline()).startswith(b"HTTP/1.1 4")
        sent = 0
        try:
            async with asyncio.timeout(PATIENCE):
                while sent < FAR_MORE:
                    writer.write(PIECE)
                    await writer.drain()
                    sent += len(PIECE)
        except ConnectionError:
            pass
        assert MOST_THROWN_AWAY // 2 < sent < FAR_MORE, "its kernel's buffers are beside the bound"
        writer.close()


async def test_a_body_within_the_bound_leaves_the_connection_for_the_next_request() -> None:
    """The refusal is of the request, not of the connection."""
    async with open_bench() as bench:
        reader, writer = await bench.relay.connect()
        for _ in range(3):
            size = MOST_THROWN_AWAY // 2
            writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: h\r\ncontent-length: {size}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401")
            (length,) = [int(line.split(b":")[1]) for line in head.splitlines() if line.startswith(b"content-length")]
            await reader.readexactly(length)
            writer.write(b"x" * size)
        writer.close()
