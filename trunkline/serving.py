"""How a service lives: its event loop, signals, readiness, HTTP side and drain.

The law: SIGTERM sets one stop event; whoever owns work watches it, and the process leaves when the work has drained or its
time is up. Liveness (`/health`) says only that the loop turns; readiness (`/readyz`) says whether work should be sent here.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop

from trunkline import descriptors
from trunkline.http_bounds import HttpBounds
from trunkline.http_connection import BoundedConnection
from trunkline.settings import Listen
from trunkline.telemetry import exposition, get_logger

log = get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LIVENESS: Final = "/health"
OPERATIONS: Final = frozenset({LIVENESS, "/readyz", "/metrics"})
"""The paths that `operations` answers."""

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_BACKLOG: Final = 2048


class Health:
    """Whether work should be sent here, and why not."""

    def __init__(self) -> None:
        """Begin not ready."""
        self._reason = "starting"

    @property
    def ready(self) -> bool:
        """Whether work should be sent here."""
        return not self._reason

    @property
    def reason(self) -> str:
        """Why not; empty when ready."""
        return self._reason

    @property
    def draining(self) -> bool:
        """Whether no more work will ever be sent here."""
        return self._reason == "draining"

    def set_ready(self) -> None:
        """Ask for work, unless draining."""
        if self._reason != "draining":
            self._reason = ""

    def set_waiting(self, reason: str) -> None:
        """Turn work away until `set_ready`, unless draining."""
        if self._reason != "draining":
            self._reason = reason

    def set_draining(self) -> None:
        """Turn work away, for good."""
        self._reason = "draining"


def operations(health: Health, shared_metrics: Path | None = None) -> App:
    """Make the ASGI app that answers `/health`, `/readyz` and `/metrics` (GET and HEAD).

    With `shared_metrics`, a folder, `/metrics` adds up all processes that keep their metrics there.
    """

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, content_type, body = _operation(scope["path"], scope["method"], health, shared_metrics)
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return app


def _operation(path: str, method: str, health: Health, shared_metrics: Path | None) -> tuple[int, str, bytes]:
    if path not in OPERATIONS:
        return 404, "application/json", b'{"error":"no such path"}'
    if method not in ("GET", "HEAD"):
        return 405, "application/json", b'{"error":"use GET"}'
    if path == "/metrics":
        body, content_type = exposition(shared_metrics)
        return 200, content_type, body
    if path == "/health":
        return 200, "application/json", b'{"status":"ok"}'
    answer = {"ready": health.ready} | ({} if health.ready else {"reason": health.reason})
    return 200 if health.ready else 503, "application/json", json.dumps(answer).encode()


class HttpServer:
    """An ASGI app served by uvicorn on one address, under our lifecycle."""

    def __init__(
        self,
        app: App,
        listen: Listen,
        *,
        drain_timeout: float,
        http: type[BoundedConnection] | None = None,
        **options: Any,
    ) -> None:
        """Bind the address. Raises OSError when it cannot be had. `options` go to uvicorn.Config."""
        self._socket = _bound(listen)
        host, port = self._socket.getsockname()[:2]
        self.address = str(Listen(host, port))
        defaults: dict[str, Any] = {
            "http": http or BoundedConnection.bounded(HttpBounds()),
            "ws": "none",
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
            "backlog": _BACKLOG,
            "timeout_graceful_shutdown": max(1, round(drain_timeout)),
        }
        self._server = _Uvicorn(uvicorn.Config(app, **(defaults | options)))

    def close(self) -> None:
        """Give the address back without having served."""
        self._socket.close()

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then finish open requests within the drain time."""
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(self._server.serve(sockets=[self._socket]), name="http")
            await stop.wait()
            self._server.should_exit = True
            await serving


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to `run`."""
        yield


def _bound(listen: Listen) -> socket.socket:
    if listen.fd is not None:
        return socket.socket(fileno=os.dup(listen.fd))
    family, _, _, _, address = socket.getaddrinfo(
        listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    # Named, since asyncio switches Nagle's delay off only on sockets that say they are TCP.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        message = f"cannot listen on {listen}: {error.strerror}"
        raise OSError(error.errno, message) from None
    return bound


def run(main: Callable[[asyncio.Event], Awaitable[None]], *, die_with_parent: bool = False) -> int:
    """Run a service until it ends by itself or SIGTERM or SIGINT sets its stop event; a second signal ends it at once.

    Returns the exit status.
    """
    if die_with_parent:
        _die_with_parent()
    descriptors.raise_limit()

    async def body() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            if stop.is_set():
                os._exit(128 + signal.SIGTERM)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        await main(stop)

    status = 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(body())
    except* OSError as group:
        log.error(  # noqa: TRY400 - an address or a file that cannot be had needs no traceback
            "cannot go on",
            fault="; ".join(str(error) for error in _leaves(group)),
        )
        status = 1
    return status


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves


def _die_with_parent() -> None:
    """Have the kernel send SIGTERM when the parent ends; one that ended before this is its launcher's to notice."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
