"""The upstream port, through the proxy that a channel asks for: HTTP (by CONNECT where the upstream wants TLS) or SOCKS5.

The law: a request that names no proxy costs one comparison. Each proxy has a pool of its own, made when it is first asked
for; of a bounded number of them the one that was used longest ago goes first, and is closed when the last answer on it is
over. Names are looked up by the proxy. A proxy's URL may hold a password: it is told nowhere.
"""

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from relay_svc.upstream import ConnectFailed, Upstream, UpstreamAnswer, UpstreamRequest
from trunkline.secret import Secret

MOST_PROXIES: Final = 64
"""Proxies that are kept ready."""


class ThroughProxies:
    """Sends requests, each through its proxy if it names one."""

    def __init__(self, direct: Upstream, make: Callable[[Secret], Upstream]) -> None:
        """Take what goes without a proxy, and what makes a way through one."""
        self._direct, self._make = direct, make
        self._ways: OrderedDict[str, _Way] = OrderedDict()
        self._retired: set[_Way] = set()
        """Ways that are kept ready no more, and still used."""

    def send(self, request: UpstreamRequest) -> Coroutine[Any, Any, UpstreamAnswer]:
        """Send a request. Raises UpstreamFailure."""
        if request.proxy is None:
            return self._direct.send(request)
        return self._through(self._way(request.proxy), request)

    async def _through(self, way: "_Way", request: UpstreamRequest) -> UpstreamAnswer:
        way.users += 1
        try:
            await self._retire()
            answer = await way.upstream.send(request)
        except BaseException:
            await self._leave(way)
            raise
        # By a cast, since it hands on whatever else an answer can do.
        return cast("UpstreamAnswer", _Answer(answer, lambda: self._leave(way)))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._direct.aclose()
        for way in (*self._ways.values(), *self._retired):
            await way.upstream.aclose()

    def _way(self, proxy: Secret) -> "_Way":
        url = proxy.reveal()
        way = self._ways.get(url)
        if way is None:
            try:
                way = _Way(self._make(proxy))
            except (ValueError, ImportError) as fault:
                raise ConnectFailed(f"the proxy cannot be used: {type(fault).__name__}") from None
            self._ways[url] = way
        else:
            self._ways.move_to_end(url)
        return way

    async def _retire(self) -> None:
        """Keep no more ways ready than allowed."""
        while len(self._ways) > MOST_PROXIES:
            _, way = self._ways.popitem(last=False)
            if way.users:
                self._retired.add(way)
            else:
                await way.upstream.aclose()

    async def _leave(self, way: "_Way") -> None:
        way.users -= 1
        if not way.users and way in self._retired:
            self._retired.discard(way)
            await way.upstream.aclose()


class _Way:
    """The way through one proxy."""

    __slots__ = ("upstream", "users")

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.users = 0
        """Requests on it whose answers are not over."""


class _Answer:
    """An answer that tells when it is over."""

    __slots__ = ("_answer", "_over")

    def __init__(self, answer: UpstreamAnswer, over: Callable[[], Any]) -> None:
        self._answer = answer
        self._over: Callable[[], Any] | None = over

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answer, name)

    async def aclose(self) -> None:
        over, self._over = self._over, None
        try:
            await self._answer.aclose()
        finally:
            if over is not None:
                await over()
