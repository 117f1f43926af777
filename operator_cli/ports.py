"""Ports, taken before anything starts and kept while children come and go.

Law: a port in use is found here, at once, and named together with the flag that moves it. HTTP children inherit the
listening socket itself, so that connections made while one restarts wait instead of being refused. A gRPC server cannot
take a socket over: its port is *reserved* by a socket that is bound and never listens, which keeps everybody else away
(other users altogether, our own unless they share ports on purpose) while the child binds beside it with SO_REUSEPORT.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from dataclasses import dataclass

from operator_cli.errors import OperatorError, PortInUseError
from trunkline.settings import Listen

HOST = "127.0.0.1"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where this machine reaches what listens everywhere
_BACKLOG = 2048
_PAUSE = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Port:
    """A port of ours, for as long as its socket is open."""

    socket: socket.socket
    host: str = HOST

    @property
    def number(self) -> int:
        """The port."""
        number: int = self.socket.getsockname()[1]
        return number

    @property
    def address(self) -> str:
        """host:port, as this machine reaches it."""
        return str(Listen(_ANY.get(self.host, self.host), self.number))

    @property
    def url(self) -> str:
        """Where HTTP clients reach it."""
        return f"http://{self.address}"

    @property
    def descriptor(self) -> int:
        """What an HTTP child inherits."""
        return self.socket.fileno()


def listen(number: int, flag: str, *, patience: float = 0.0, host: str = HOST) -> Port:
    """Listen on `number` (0: a free one) for HTTP children. Raises PortInUseError, after `patience` seconds."""
    host = HOST if host == "localhost" else host
    opened = _open(host)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last run may linger
    _bind(opened, number, flag, patience, host)
    opened.listen(_BACKLOG)
    return Port(opened, host)


def reserve(number: int, flag: str, *, patience: float = 0.0) -> Port:
    """Keep `number` (0: a free one) for a gRPC child, who binds it again with SO_REUSEPORT.

    Raises PortInUseError, after `patience` seconds.
    """
    # Exclusively first: SO_REUSEPORT alone would let us in beside a stranger who shares ports as well.
    with contextlib.closing(_open()) as exclusive:
        exclusive.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(exclusive, number, flag, patience)
        number = exclusive.getsockname()[1]
    reserved = _open()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with contextlib.suppress(OSError):
        reserved.bind((HOST, number))
        return Port(reserved)
    # Old connections of a server that did not share the port linger on it. They yield to SO_REUSEADDR only, which makes
    # the reservation weaker: until the child listens, others who set it as well could slip in.
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _bind(reserved, number, flag, patience)
    return Port(reserved)


def _open(host: str = HOST) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)


def _bind(opened: socket.socket, number: int, flag: str, patience: float, host: str = HOST) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            opened.bind((host, number))
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(_PAUSE)
                continue
            opened.close()
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(host, number, flag) from None
            raise OperatorError(f"cannot use port {number} on {host} ({flag}): {error.strerror}") from None
        return
