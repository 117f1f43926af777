"""An upstream that answers at once, from memory: a fixed completion, or a fixed stream. `python -m bench.canned`.

It parses no JSON and allocates next to nothing, so that it is not what a measurement measures; every run shows its own
capacity and its share of a core. A chunk of a stream is its own write in its own turn of the event loop, `pace`
milliseconds after the last one: chunks written together would arrive as one, and a stream would not cost its chunks.

A path may begin with `/name=number,…/` and so ask for something else: `bytes` of an answer, `chunks` of a stream, its
`pace`, and `hold=1` for a stream that stays open after its first chunk. `GET /count` answers how many were served.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import cast

import httptools
import uvloop

CHUNKS = 21  # of a stream, `[DONE]` included
PACE_MILLISECONDS = 5
WORDS = 150

_COMPLETION = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"canned","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"%s"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":150,"total_tokens":159}}'
)
_EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"canned",'
    b'"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":%s}]}\n\n'
)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
# Clients write JSON with and without spaces.
_WANTS_STREAM = (b'"stream":true', b'"stream": true')


@dataclass(frozen=True, slots=True)
class Answer:
    """All that one path answers with: the whole answer, or the writes of a stream and the seconds between them."""

    whole: bytes
    writes: tuple[bytes, ...]
    pace: float


@cache
def answer_of(path: bytes) -> Answer:
    """Read what a path asks for; paths are few, so each is read once."""
    first = path.split(b"/", 2)[1].decode()
    asked = {name: int(value) for name, _, value in (part.partition("=") for part in first.split(",")) if value}
    body = _completion(asked.get("bytes", 0))
    frames = [b"%x\r\n%s\r\n" % (len(event), event) for event in _events(asked.get("chunks", CHUNKS))]
    # The head travels with the first chunk and the end with the last, so that a stream is as many writes as chunks.
    frames[0] = _STREAM_HEAD + frames[0]
    frames[-1] += b"0\r\n\r\n"
    writes = frames[:1] if asked.get("hold") else frames
    return Answer(_HEAD % len(body) + body, tuple(writes), asked.get("pace", PACE_MILLISECONDS) / 1e3)


def _completion(size: int) -> bytes:
    filler = size - len(_COMPLETION % b"")
    return _COMPLETION % (b"word " * (filler // 5 + 1))[:filler] if filler > 0 else _COMPLETION % (b"word " * WORDS)


def _events(count: int) -> list[bytes]:
    words = [_EVENT % b"null"] * (count - 1)
    words[-1:] = [_EVENT % b'"stop"'] * bool(words)
    return [*words, b"data: [DONE]\n\n"]


class Canned(asyncio.Protocol):
    """One connection: answers each request once its body is in."""

    served = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._streaming = False

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Note the path."""
        self._path = url

    def on_body(self, body: bytes) -> None:
        """Note whether a stream is wanted."""
        self._streaming = self._streaming or any(mark in body for mark in _WANTS_STREAM)

    def on_message_complete(self) -> None:
        """Answer."""
        if self._path == b"/count":
            self._transport.write(_count())
            return
        Canned.served += 1
        answer = answer_of(self._path)
        if self._streaming:
            self._streaming = False
            self._stream(iter(answer.writes), answer.pace)
        else:
            self._transport.write(answer.whole)

    def _stream(self, writes: Iterator[bytes], pace: float) -> None:
        data = next(writes, None)
        if data is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if pace:
            self._loop.call_later(pace, self._stream, writes, pace)
        else:
            self._loop.call_soon(self._stream, writes, pace)


def _count() -> bytes:
    return _HEAD % len(str(Canned.served)) + b"%d" % Canned.served


async def main(port: int) -> None:
    """Serve until killed; print the port."""
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", port, backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
