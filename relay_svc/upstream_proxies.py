"""The upstream port, through the proxy that a channel asks for.

The law: a request that names no proxy costs one comparison. Each proxy has a pool of its own, made when it is first asked
for; of a bounded number of them the one that was used longest ago goes first. A proxy's URL may hold a password: it is told
nowhere.
"""

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final

from relay_svc.upstream import ConnectFailed, Upstream, UpstreamAnswer, UpstreamRequest
from trunkline.secret import Secret

_MOST: Final = 64
"""Proxies that are kept ready."""


class ThroughProxies:
    """Sends requests, each through its proxy if it names one."""

    def __init__(self, direct: Upstream, make: Callable[[Secret], Upstream]) -> None:
        """Take what goes without a proxy, and what makes a way through one."""
        self._direct, self._make = direct, make
        self._ways: OrderedDict[str, Upstream] = OrderedDict()

    def send(self, request: UpstreamRequest) -> Coroutine[Any, Any, UpstreamAnswer]:
        """Send a request. Raises UpstreamFailure."""
        return (self._direct if request.proxy is None else self._way(request.proxy)).send(request)

    async def aclose(self) -> None:
        """Close every connection."""
        for way in (self._direct, *self._ways.values()):
            await way.aclose()

    def _way(self, proxy: Secret) -> Upstream:
        url = proxy.reveal()
        way = self._ways.get(url)
        if way is None:
            try:
                way = self._make(proxy)
            except (ValueError, ImportError) as fault:
                raise ConnectFailed(f"the proxy cannot be used: {type(fault).__name__}") from None
            self._ways[url] = way
            if len(self._ways) > _MOST:
                self._ways.popitem(last=False)  # what is under way on it goes on, and closes with its answers
        else:
            self._ways.move_to_end(url)
        return way
