"""The port to upstreams: send one request, read one answer.

    UpstreamFailure
    ├── ConnectFailed     no connection: refused, unreachable, no such host, TLS, or none free here
    ├── NoDescriptor      no connection, since this process has no file descriptor left for one
    ├── ConnectTimeout    a limit ran out before the request was sent whole
    ├── ReadTimeout       a limit ran out after it
    └── BrokenAnswer      the connection broke, or what came was no HTTP

The law: bytes as they are on the wire, no redirect followed, no second try but on a pooled connection that had gone
stale, and every wait within the limits given. A response that was not read to its end closes its connection. A body that
is still coming in goes up at the upstream's pace and is never held whole; whatever its source raises ends the request.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from relay_svc.plan import TimeLimits, Unshown
from trunkline.secret import Secret


class UpstreamFailure(Exception):  # noqa: N818 - the root of the tree above
    """An attempt that got no answer, or only part of one. Holds no secret."""


class ConnectFailed(UpstreamFailure):
    """No connection could be had."""


class NoDescriptor(UpstreamFailure):
    """No file descriptor is left in this process: no failure of any upstream."""


class ConnectTimeout(UpstreamFailure):
    """Time ran out before the request was sent whole."""


class ReadTimeout(UpstreamFailure):
    """Time ran out after the request was sent: the upstream may be working on it."""


class BrokenAnswer(UpstreamFailure):
    """The connection broke before the answer was whole, or what came was no HTTP."""


class Coming(Protocol):
    """The part of a request's body that is still coming in. How long it may take is its own to bound."""

    @property
    def left(self) -> int | None:
        """Bytes that are still to be taken; None when nobody knows."""
        ...

    @property
    def over(self) -> bool:
        """Whether everything has been taken."""
        ...

    def take(self) -> bytes:
        """Take some of what is here, nothing if nothing is. Raises what ends the request, which is no UpstreamFailure."""
        ...

    def tell(self, wake: Callable[[], None]) -> None:
        """Call `wake`, once, when there is something to take, or something to raise, or all has been taken; or at once."""
        ...

    def rewind(self) -> bool:
        """Go back to its beginning; False when what was taken is gone."""
        ...


class UpstreamRequest(Unshown, frozen=True):
    """One request."""

    url: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    limits: TimeLimits
    proxy: Secret | None = None
    """The URL of the proxy to go through."""
    method: str = "POST"
    """POST, or GET."""
    coming: Coming | None = None
    """What follows `body`."""

    def __repr__(self) -> str:
        """Show where it goes, and no more: a credential is among the headers."""
        return f"UpstreamRequest({self.url!r})"

    @property
    def length(self) -> int | None:
        """How long the body will be; None when nobody knows."""
        if self.coming is None:
            return len(self.body)
        left = self.coming.left
        return None if left is None else len(self.body) + left


class Sink(Protocol):
    """Where the bytes of an answer go as they come."""

    def take(self, data: bytes) -> bool:
        """Take bytes; False when no more should be given before `ready`."""
        ...

    def take_chunk(self, chunk: bytes, start: int) -> bool:
        """Take the bytes `chunk[start:-2]` in the one whole chunk of HTTP/1.1 that they came in; the same as `take`."""
        ...

    async def ready(self) -> bool:
        """Wait until more can be taken; False when nothing more is wanted."""
        ...


class UpstreamAnswer(Protocol):
    """An answer whose head is here."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as they came."""
        ...

    @property
    def over(self) -> bool:
        """Whether it is known that there is no more to read."""
        ...

    async def read(self) -> bytes:
        """Wait for the next bytes of the body; empty at its end. Raises ReadTimeout, BrokenAnswer."""
        ...

    async def pour(self, sink: Sink) -> bytes:
        """Give a sink all that is still to come; bytes that came together with the answer's end are returned instead.

        Raises ReadTimeout, BrokenAnswer, and whatever the sink raises.
        """
        ...

    async def aclose(self) -> None:
        """Let the connection go: back to the pool if the body was read to its end, closed otherwise. May be repeated."""
        ...


class Upstream(Protocol):
    """Sends requests."""

    def send(self, request: UpstreamRequest) -> Coroutine[Any, Any, UpstreamAnswer]:
        """Send a request and wait for the head of its answer. Raises UpstreamFailure."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
