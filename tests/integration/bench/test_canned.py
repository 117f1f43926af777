"""The canned upstream on a real socket."""

from __future__ import annotations

import asyncio
import json

from bench.canned import CHUNKS, Canned
from tests.harness.waiting import PATIENCE


async def test_each_chunk_of_a_stream_arrives_by_itself() -> None:
    """Chunks that arrived together would be read, and paid for, as one."""
    body = json.dumps({"stream": True})
    request = f"POST /pace=20/v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    async with server, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(request.encode())
        reads = [await reader.read(65536)]
        while not reads[-1].endswith(b"0\r\n\r\n"):
            reads.append(await reader.read(65536))
        writer.close()
        await writer.wait_closed()
    # A machine that is busy for a while may join two of them.
    assert CHUNKS - 3 <= len(reads) <= CHUNKS
