"""The upstream port on httpx2: HTTP/1.1 keep-alive pools, TLS with verification, no environment, no redirects, no cookies.

The law is the port's; a request is sent again, once, when the pooled connection it went out on ended without a byte of
answer, which is how a connection looks that the upstream closed while it lay idle. The transport is used without
httpx2's client, whose redirects, cookies, content decoding and default headers are all unwanted here. httpcore's trace
tells how far a request got: that is what separates a time-out before from one after sending, and a connection that had
gone stale in the pool from one that broke.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable
from functools import lru_cache
from typing import Any, Final, cast

import httpx2

from relay_svc.upstream import (
    BrokenAnswer,
    Coming,
    ConnectFailed,
    ConnectTimeout,
    NoDescriptor,
    ReadTimeout,
    Sink,
    UpstreamAnswer,
    UpstreamFailure,
    UpstreamRequest,
)
from trunkline import descriptors
from trunkline.secret import Secret

_KEEP_ALIVE: Final = 30.0
"""Seconds that an idle connection is kept: less than common servers keep theirs, so that few go stale."""
_SENT: Final = "http11.send_request_body.complete"
_DIALLED: Final = "connection.connect_tcp.started"
_CONNECTED: Final = ".connect_tcp.complete"


class Httpx2Upstream:
    """Sends requests through one pool."""

    def __init__(
        self, *, max_connections: int, max_idle: int, tls: ssl.SSLContext | None = None, proxy: Secret | None = None
    ) -> None:
        """Open no connection yet; `max_connections` bounds them over all upstreams, `max_idle` those kept for reuse.

        `tls` takes the place of the context that trusts this system's authorities; `proxy` is the URL of a proxy to go
        through, by CONNECT or SOCKS5.
        """
        self._transport = httpx2.AsyncHTTPTransport(
            verify=tls or True,
            trust_env=False,
            proxy=httpx2.Proxy(proxy.reveal()) if proxy is not None else None,
            limits=httpx2.Limits(
                max_connections=max_connections, max_keepalive_connections=max_idle, keepalive_expiry=_KEEP_ALIVE
            ),
        )

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Send a request; again, once, when its pooled connection turned out to have been closed before any answer."""
        total = asyncio.get_running_loop().time() + request.limits.total
        try:
            return await self._send(request, total)
        except _StaleConnection as stale:
            if request.coming is not None and not request.coming.rewind():
                raise BrokenAnswer(str(stale)) from None
        try:
            return await self._send(request, total)
        except _StaleConnection as stale:
            raise BrokenAnswer(str(stale)) from None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def _send(self, request: UpstreamRequest, total: float) -> "_Answer":
        progress = _Progress(request.limits.first_byte, total)
        try:
            async with asyncio.timeout_at(min(total, progress.now() + _time_to_send(request))) as timer:
                progress.timer = timer
                response = await progress.guarded(self._transport.handle_async_request(_wire(request, progress)))
        except TimeoutError:
            raise progress.timed_out() from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, ExceptionGroup) as error:  # a group for an odd port
            raise progress.failure(error) from None
        return _Answer(response, request.limits.idle, total)


_SLOWEST: Final = 1 << 20
"""Bytes a second that an upstream must take at least."""


def _time_to_send(request: UpstreamRequest) -> float:
    """Bound what comes before the request is sent: a free connection, TCP and TLS (a connect limit each), and the body."""
    if request.coming is not None:  # its source bounds itself, and each write is bounded
        return request.limits.total
    return 3 * request.limits.connect + len(request.body) / _SLOWEST


class _StaleConnection(Exception):  # noqa: N818 - never leaves this module
    """A pooled connection ended without a byte of answer."""


class _Progress:
    """How far one request got, as httpcore's trace tells."""

    __slots__ = ("_first_byte", "_total", "dialled", "sent", "stream", "timer")

    def __init__(self, first_byte: float, total: float) -> None:
        self._first_byte, self._total = first_byte, total
        self.dialled = self.sent = False
        self.timer: asyncio.Timeout | None = None
        self.stream: Any = None
        """What was connected for this request, to the upstream or to a proxy."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        if event == _SENT:
            self.sent = True
            if self.timer is not None:
                self.timer.reschedule(min(self._total, self.now() + self._first_byte))
        elif event == _DIALLED:
            self.dialled = True
        elif event.endswith(_CONNECTED):
            self.stream = info["return_value"]

    async def guarded(self, sending: Awaitable[httpx2.Response]) -> httpx2.Response:
        """Close what was connected when it comes to nothing: httpcore forgets a connection that its proxy refused."""
        try:
            return await sending
        except BaseException:
            if self.stream is not None:
                await self.stream.aclose()
            raise

    def timed_out(self) -> UpstreamFailure:
        if self.sent:
            return ReadTimeout("no answer in time")
        return ConnectTimeout("the request could not be sent in time")

    def failure(self, error: Exception) -> Exception:
        match error:
            case httpx2.ConnectTimeout() | httpx2.PoolTimeout() | httpx2.WriteTimeout():
                return ConnectTimeout(_named(error))
            case httpx2.RemoteProtocolError() | httpx2.ReadError() | httpx2.WriteError():
                gone = not isinstance(error, httpx2.RemoteProtocolError) or "without sending a response" in str(error)
                return _StaleConnection(_named(error)) if gone and not self.dialled else BrokenAnswer(_named(error))
            case _ if descriptors.ran_out(error, "upstreams"):
                return NoDescriptor()
            case _:  # no connection; or a URL or header that cannot be sent
                return ConnectFailed(_named(error))


class _Answer:
    """An answer being read."""

    __slots__ = ("_chunks", "_idle", "_response", "_total", "headers", "over", "status")

    def __init__(self, response: httpx2.Response, idle: float, total: float) -> None:
        self._response, self._idle, self._total = response, idle, total
        self._chunks: AsyncIterator[bytes] = aiter(cast("httpx2.AsyncByteStream", response.stream))
        self.over = False
        self.status = response.status_code
        self.headers: list[tuple[bytes, bytes]] = response.headers.raw

    async def read(self) -> bytes:
        deadline = min(self._total, asyncio.get_running_loop().time() + self._idle)
        try:
            async with asyncio.timeout_at(deadline):
                while not (chunk := await anext(self._chunks, None)):
                    if chunk is None:
                        self.over = True
                        return b""
        except TimeoutError:
            raise ReadTimeout("the answer stalled") from None
        except httpx2.HTTPError as error:
            raise BrokenAnswer(_named(error)) from None
        return chunk

    async def pour(self, sink: Sink) -> bytes:
        while chunk := await self.read():
            if not sink.take(chunk) and not await sink.ready():
                break
        return b""

    async def aclose(self) -> None:
        await cast("Any", self._chunks).aclose()
        await self._response.stream.aclose()  # type: ignore[union-attr]  # ours is always an async stream


_url = lru_cache(maxsize=1024)(httpx2.URL)
"""Parses a URL; there are as many as channels, and each is asked for again and again."""


def _wire(request: UpstreamRequest, progress: _Progress) -> httpx2.Request:
    limits, headers = request.limits, request.headers
    content: bytes | AsyncIterator[bytes] = request.body
    if request.coming is not None:
        content = _pieces(request.body, request.coming)
        if (length := request.length) is not None:
            headers = [*headers, (b"content-length", b"%d" % length)]
    return httpx2.Request(
        request.method,
        _url(request.url),
        headers=headers,
        content=content,
        extensions={
            "timeout": {
                "connect": limits.connect,
                "pool": limits.connect,
                "write": None if request.coming is None else limits.connect,
                "read": None,
            },
            "trace": progress.trace,
        },
    )


async def _pieces(body: bytes, coming: Coming) -> AsyncIterator[bytes]:
    if body:
        yield body
    while not coming.over:
        if data := coming.take():
            yield data
        else:
            news = asyncio.Event()
            coming.tell(news.set)
            await news.wait()


def _named(error: Exception) -> str:
    # The text of a library's error could quote a header; its class and our own words cannot.
    return type(error).__name__
