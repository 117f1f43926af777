"""Makes connections: looks the host up, tries its addresses, and speaks TLS where it is wanted.

The law: an address that does not answer costs a quarter of a second, not the whole limit (RFC 8305: families by turns, the
next one tried beside those under way). Whatever ends the dialling, sockets that did not win are closed. The time limit is
the caller's.
"""

import asyncio
import contextlib
import socket
import ssl
from itertools import chain, zip_longest
from typing import Any, Final

from relay_svc.upstream_http1.connection import Connection
from relay_svc.upstream_http1.tls import ResumingContext

_HEAD_START: Final = 0.25
"""Seconds that an address is given before the next one is tried beside it."""
_MOST_ADDRESSES: Final = 8

_PROBE_EVERY: Final = 60
"""Seconds between signs of life on a silent connection: an answer may take minutes to begin, and what lies between the two
ends forgets connections on which nothing moves."""
_SOCKET: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), _PROBE_EVERY)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL")
        if hasattr(socket, name)
    ),
]

Address = tuple[int, int, int, str, Any]


class Dialler:
    """Connects connections."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        """Take the context for origins that want TLS."""
        self._tls = tls

    async def dial(self, connection: Connection) -> None:
        """Connect a connection to its origin. Raises OSError, ValueError."""
        loop = asyncio.get_running_loop()
        secure, host, port = connection.origin
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        winner = await connected(by_turns(found)[:_MOST_ADDRESSES])
        await loop.create_connection(
            lambda: connection, sock=winner, ssl=self._tls if secure else None, server_hostname=host if secure else None
        )

    def remember(self, connection: Connection) -> None:
        """Keep the TLS session of a connection that was read from: the next to its host resumes it."""
        if connection.origin.secure and isinstance(self._tls, ResumingContext):
            self._tls.remember(connection.tls)


def by_turns(found: list[Any]) -> list[Address]:
    """Order addresses so that families take turns, beginning with that of the first."""
    first = [address for address in found if address[0] == found[0][0]]
    others = [address for address in found if address[0] != found[0][0]]
    return [address for address in chain.from_iterable(zip_longest(first, others)) if address is not None]


async def connected(addresses: list[Address]) -> socket.socket:
    """Connect to the first address that can be reached, trying them in order. Raises OSError when none can."""
    if not addresses:
        raise OSError("no address")
    if len(addresses) == 1:
        return await _connect(addresses[0])
    return await _Race().run(addresses)


async def _connect(address: Address) -> socket.socket:
    family, kind, proto, _, where = address
    made = socket.socket(family, kind, proto)
    try:
        made.setblocking(False)  # noqa: FBT003 - the standard library's
        for level, option, value in _SOCKET:
            made.setsockopt(level, option, value)
        await asyncio.get_running_loop().sock_connect(made, where)
    except BaseException:
        made.close()
        raise
    return made


class _Race:
    """Attempts on several addresses, of which the first to succeed ends the others."""

    def __init__(self) -> None:
        self._winner: socket.socket | None = None
        self._fault = OSError("no address")
        self._ended = asyncio.Event()
        """Whether an attempt has ended since the last one began."""

    async def run(self, addresses: list[Address]) -> socket.socket:
        try:
            async with asyncio.TaskGroup() as tasks:
                attempts: list[asyncio.Task[None]] = []
                for address in addresses:
                    self._ended.clear()
                    attempts.append(tasks.create_task(self._attempt(address), name="dial"))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_HEAD_START):
                            await self._ended.wait()
                    if self._winner is not None:
                        break
                await self._settled(attempts)
        except BaseException:
            if self._winner is not None:
                self._winner.close()
            raise
        if self._winner is None:
            raise self._fault
        return self._winner

    async def _settled(self, attempts: list[asyncio.Task[None]]) -> None:
        """Wait until one has succeeded or all have failed, and end those still under way."""
        while self._winner is None and not all(attempt.done() for attempt in attempts):
            self._ended.clear()
            await self._ended.wait()
        for attempt in attempts:
            attempt.cancel()

    async def _attempt(self, address: Address) -> None:
        try:
            made = await _connect(address)
        except OSError as fault:
            self._fault = fault
        else:
            if self._winner is None:
                self._winner = made
            else:
                made.close()
        finally:
            self._ended.set()
