"""An upstream that answers at once: a fixed completion, or a fixed stream, from memory. `python -m bench.canned PORT`.

It parses no JSON and allocates next to nothing, so that it is not what a measurement measures; `bench.quick` shows its own
capacity beside the relay's.
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import uvloop

COMPLETION = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"canned","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"' + b"word " * 150 + b'"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":150,"total_tokens":159}}'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(COMPLETION) + COMPLETION
)
EVENT = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNKS = [b"%x\r\n%s\r\n" % (len(event), event) for event in [EVENT] * 20 + [b"data: [DONE]\n\n"]]


class Canned(asyncio.Protocol):
    """One connection: answers each request once its body is in."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._streaming = False

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Note whether a stream is wanted."""
        self._streaming = self._streaming or b'"stream":true' in body

    def on_message_complete(self) -> None:
        """Answer."""
        write = self._transport.write  # type: ignore[attr-defined]
        if self._streaming:
            write(STREAM_HEAD)
            for chunk in CHUNKS:
                write(chunk)
            write(b"0\r\n\r\n")
            self._streaming = False
        else:
            write(ANSWER)


async def main(port: int) -> None:
    """Serve until killed; print the port."""
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
