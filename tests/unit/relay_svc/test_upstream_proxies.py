"""Ways through proxies: a bounded number kept ready, and those let go closed once nothing is under way on them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from relay_svc.plan import TimeLimits
from relay_svc.upstream import ConnectFailed, Sink, UpstreamAnswer, UpstreamRequest
from relay_svc.upstream_proxies import MOST_PROXIES, ThroughProxies
from trunkline.secret import Secret

LIMITS = TimeLimits(1, 1, 1, 1)


class Answer:
    """An answer."""

    status = 200
    headers: list[tuple[bytes, bytes]] = []  # noqa: RUF012 - never changed

    over = True

    async def read(self) -> bytes:
        """Give nothing."""
        return b""

    async def pour(self, sink: Sink) -> bytes:
        """Give nothing."""
        del sink
        return b""

    async def aclose(self) -> None:
        """End."""


@dataclass
class Way:
    """A way that notes its end."""

    closed: int = 0
    fails: bool = False
    sent: list[UpstreamRequest] = field(default_factory=list)

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Answer, or fail."""
        self.sent.append(request)
        if self.fails:
            raise ConnectFailed
        return Answer()

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1


def request(proxy: int | None) -> UpstreamRequest:
    """A request through a proxy."""
    secret = None if proxy is None else Secret(f"socks5://proxy-{proxy}")
    return UpstreamRequest("http://u/", [], b"", LIMITS, secret)


def test_ways_past_the_bound_are_closed_when_they_are_free() -> None:
    """The one used longest ago goes first; what is under way on it goes on."""

    async def run() -> None:
        direct, made = Way(), list[Way]()

        def make(_: Secret) -> Way:
            made.append(Way(fails=len(made) == 1))
            return made[-1]

        ways = ThroughProxies(direct, make)
        kept = await ways.send(request(0))
        with pytest.raises(ConnectFailed):
            await ways.send(request(1))
        for number in range(2, MOST_PROXIES + 2):
            await (await ways.send(request(number))).aclose()
        assert len(made) == MOST_PROXIES + 2
        assert [way.closed for way in made[:3]] == [0, 1, 0]
        assert kept.status == 200
        await kept.aclose()
        await kept.aclose()
        assert [way.closed for way in made[:3]] == [1, 1, 0]
        await ways.send(request(None))
        assert len(direct.sent) == 1
        await ways.aclose()
        assert direct.closed == 1
        assert all(way.closed == 1 for way in made)

    asyncio.run(run())


def test_a_proxy_that_cannot_be_used_is_no_connection() -> None:
    """And its URL is told nowhere."""

    def make(_: Secret) -> Way:
        raise ValueError("socks5://user:password@proxy")

    async def run() -> None:
        with pytest.raises(ConnectFailed) as fault:
            await ThroughProxies(Way(), make).send(request(1))
        assert "password" not in repr(fault.value)

    asyncio.run(run())
