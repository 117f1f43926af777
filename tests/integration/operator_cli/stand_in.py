"""A service that is none: it takes its ports as the real ones do, says that it is ready, and notes when it is stopped.

Supervising can be tested with it in a second, and made to go wrong in ways that real services do not.
"""

from __future__ import annotations

import http.server
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

_PORTS = {
    "admin": ("TRUNKLINE_ADMIN_HTTP_LISTEN", "TRUNKLINE_ADMIN_LISTEN"),
    "router": ("TRUNKLINE_ROUTER_HTTP_LISTEN", "TRUNKLINE_ROUTER_LISTEN"),
    "relay": ("TRUNKLINE_RELAY_LISTEN", None),
}


class _Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer 200 with the process number, whatever is asked."""
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(kind: str, environ: Mapping[str, str]) -> None:
    """Serve as `kind` until SIGTERM. The file STAND_IN_DIR/<kind>.fault says what to do wrong."""
    folder = Path(environ["STAND_IN_DIR"])
    fault = folder / f"{kind}.fault"
    if fault.exists() and fault.read_text() == "exit":
        sys.exit(f"{kind}: the settings are at fault")
    http_name, grpc_name = _PORTS[kind]
    grpc = _bind_beside(environ[grpc_name]) if grpc_name else None
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    for name in (http_name, "TRUNKLINE_RELAY_OPERATIONS_LISTEN"):
        if name in environ:
            _serve(int(environ[name].removeprefix("fd:")))
    _wait_for_the_end(folder, kind, stubborn=fault.exists())
    if grpc is not None:
        grpc.close()
    _note(folder, kind)
    os._exit(0)


def _serve(descriptor: int) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Ready, bind_and_activate=False)
    server.socket = socket.socket(fileno=os.dup(descriptor))
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _wait_for_the_end(folder: Path, kind: str, *, stubborn: bool) -> None:
    """Until SIGTERM; a stubborn one only notes it, and leaves when nobody is left to kill it."""
    parent = os.getppid()
    if not stubborn:
        signal.sigwait({signal.SIGTERM})
        return
    while os.getppid() == parent:
        if signal.sigtimedwait({signal.SIGTERM}, 0.1) is not None:
            _note(folder, f"{kind} ignores it")


def _note(folder: Path, line: str) -> None:
    with (folder / "journal").open("a") as journal:
        journal.write(line + "\n")


def _bind_beside(address: str) -> socket.socket:
    """Bind as a gRPC server does: beside the socket that reserves the port."""
    host, _, port = address.rpartition(":")
    grpc = socket.socket()
    grpc.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    grpc.bind((host, int(port)))
    grpc.listen()
    return grpc
