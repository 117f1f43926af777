"""The upstream port on connections of our own: HTTP/1.1 with keep-alive over asyncio transports.

The law is the port's; a request is sent again, once and on a fresh connection, when the pooled connection it went out on
ended without a byte of answer, which is how a connection looks that the upstream closed while it lay idle. No environment,
no redirects, no cookies, no decoding.
"""

import asyncio
import ssl
from functools import cached_property, lru_cache
from typing import Final

from relay_svc.upstream import BrokenAnswer, ConnectFailed, UpstreamAnswer, UpstreamRequest
from relay_svc.upstream_http1.dialling import Dialler
from relay_svc.upstream_http1.exchange import StaleConnection, exchange
from relay_svc.upstream_http1.pool import Pool
from relay_svc.upstream_http1.request import Target, Unsendable
from relay_svc.upstream_http1.tls import system_context

KEEP_ALIVE: Final = 30.0
"""Seconds that an idle connection is kept: less than common servers keep theirs, so that few go stale."""
_MOST_TARGETS: Final = 4096
"""URLs that are kept read: there are as many as channels, and each is asked for again and again."""


class Http1Upstream:
    """Sends requests through one pool."""

    def __init__(
        self, *, max_connections: int, max_idle: int, tls: ssl.SSLContext | None = None, keep_alive: float = KEEP_ALIVE
    ) -> None:
        """Open no connection yet; `max_connections` bounds them over all upstreams, `max_idle` those kept for reuse.

        `tls` takes the place of the context that trusts this system's authorities. An idle connection is closed after
        `keep_alive` seconds.
        """
        dialler = Dialler(system_context() if tls is None else tls)
        self._pool = Pool(dialler, max_connections=max_connections, max_idle=max_idle, keep_alive=keep_alive)
        self._target = lru_cache(maxsize=_MOST_TARGETS)(Target)

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Send a request; again, once, when its pooled connection turned out to have been closed before any answer."""
        limits, body = request.limits, request.body
        total = self._loop.time() + limits.total
        try:
            target = self._target(request.url) if request.method == "POST" else Target(request.url, request.method)
            head = target.head(request.headers, len(body) if request.coming is None else request.length)
        except Unsendable as fault:
            raise ConnectFailed(str(fault)) from None
        pool, origin = self._pool, target.origin
        connection = pool.take(origin) or await pool.connection(origin, limits.connect, total, fresh=False)
        try:
            return await exchange(connection, head, body, limits, total, request.coming)
        except StaleConnection:
            if request.coming is not None and not request.coming.rewind():
                raise BrokenAnswer("the connection ended before the answer") from None
        connection = await pool.connection(origin, limits.connect, total, fresh=True)
        return await exchange(connection, head, body, limits, total, request.coming)

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, looked up once: Python 3.11 asks the kernel for the process id each time."""
        return asyncio.get_running_loop()

    async def aclose(self) -> None:
        """Close every connection."""
        self._pool.close()
