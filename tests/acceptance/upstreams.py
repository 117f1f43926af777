"""Upstreams that misbehave on purpose, over real sockets; good ones are a real LLM server.

Law: each notes what it saw, under a lock, for the test to ask.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

EVENT = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}


@dataclass(slots=True)
class Upstream:
    """A running upstream and what it saw."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: ClassVar[Upstream]
    status: ClassVar[int] = 200
    body: ClassVar[bytes] = b""

    def do_POST(self) -> None:
        """Note the request, then answer."""
        payload = self.rfile.read(int(self.headers["content-length"]))
        self.upstream.requests.append({"path": self.path, "headers": dict(self.headers), "body": json.loads(payload)})
        self.answer()

    def answer(self) -> None:
        """Answer the class's status and body."""
        self.send_response(self.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_arguments: Any) -> None:
        """Keep quiet."""


class _Coze(_Handler):
    """Starts runs, and tells of each that it is done."""

    def answer(self) -> None:
        """Start one."""
        self._tell({"execute_id": "743"})

    def do_GET(self) -> None:
        """Tell of one."""
        self.upstream.requests.append({"path": self.path, "headers": dict(self.headers)})
        self._tell({"data": [{"execute_id": "743", "execute_status": "Success", "output": "done"}]})

    def _tell(self, said: dict[str, Any]) -> None:
        body = json.dumps({"code": 0, **said}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Endless(_Handler):
    """Streams events until the client leaves, and notes when that was."""

    def answer(self) -> None:
        """Write an event every few milliseconds until writing fails."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        choice = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
        event = f"data: {json.dumps({**EVENT, 'choices': [choice]})}\n\n".encode()
        try:
            while not self.upstream.left.wait(0.01):
                self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        except OSError:
            self.upstream.left.set()
        self.close_connection = True


@contextmanager
def serving(handler: type[_Handler]) -> Iterator[Upstream]:
    """Serve on a free port."""
    upstream = Upstream("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (handler,), {"upstream": upstream}))
    server.daemon_threads = True
    upstream.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        upstream.left.set()
        server.shutdown()
        server.server_close()


@contextmanager
def endless() -> Iterator[Upstream]:
    """An upstream whose stream never ends by itself."""
    with serving(_Endless) as upstream:
        yield upstream


@contextmanager
def answering(status: int, body: Any) -> Iterator[Upstream]:
    """An upstream that always answers this."""
    content = {"status": status, "body": json.dumps(body).encode()}
    with serving(type("Answering", (_Handler,), content)) as upstream:
        yield upstream


@contextmanager
def coze() -> Iterator[Upstream]:
    """A vendor of workflows that run on by themselves; its URL is its root."""
    with serving(_Coze) as upstream:
        upstream.url = upstream.url.removesuffix("/v1")
        yield upstream
