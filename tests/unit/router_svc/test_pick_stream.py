"""The marks of plans on a stream: each is as trusted as the router is when it is decided, not when its message came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from router_svc.desk import Decided, Give, Request
from router_svc.follower import Trust
from router_svc.journal import Journal
from router_svc.pick_stream import MOST_PICKS, PickStream
from router_svc.plan_writer import PlanWriter
from router_svc.wire import Asks
from tests.unit.router_svc.builders import channel, plan_of, snapshot
from trunkline.secret import ApiKeyHasher, Secret
from trunkline.v1 import router_pb2

HELD = snapshot(channel(1))


class Router:
    """Decides everything, at once or later, and is trusted until it is told not to be."""

    def __init__(self, *, at_once: bool) -> None:
        """Take when it decides."""
        self._at_once, self.degraded = at_once, False
        self.sent: list[router_pb2.PickChannelsResponse] = []

    def at_once(self, _request: Request, _arrival: float) -> Decided | None:
        """Decide now, if it does."""
        return Decided(plan_of(HELD), HELD) if self._at_once else None

    async def settle(self, waiting: list[Request], _arrival: float, give: Give, given: Callable[[], None]) -> None:
        """Lose the lease, and decide."""
        self.degraded = True
        for request in waiting:
            give(request, Decided(plan_of(HELD), HELD))
        given()

    async def make_way(self) -> None:
        """Wait for nobody."""

    async def send(self, message: bytes) -> None:
        """Keep what would travel."""
        self.sent.append(router_pb2.PickChannelsResponse.FromString(message))

    async def take(self, picks: int) -> list[bool]:
        """Take a message of so many picks; give the marks of the plans in their order."""
        writer = PlanWriter(credentials=False, trust=lambda: Trust(self.degraded, 0.0))
        asks = Asks(ApiKeyHasher(Secret("pepper")))
        stream = PickStream(cast("Any", self), asks, Journal(), writer, self.send)
        item = router_pb2.PickChannelsRequest.Item(id=1, pick=router_pb2.Pick(group="default", model="m"))
        async with asyncio.timeout(5.0), asyncio.TaskGroup() as tasks:
            await stream.take(router_pb2.PickChannelsRequest(items=[item] * picks), tasks)
        return [result.plan.degraded for message in self.sent for result in message.results]


async def test_a_deferred_plan_is_marked_by_what_the_router_is_then() -> None:
    """The lease ended while it waited."""
    assert await Router(at_once=False).take(1) == [True]


async def test_a_plan_is_marked_by_what_the_router_is_after_the_turns_of_others() -> None:
    """The lease ended in the midst of a long message."""
    router = Router(at_once=True)
    asyncio.get_running_loop().call_soon(setattr, router, "degraded", True)
    marks = await router.take(MOST_PICKS)
    assert marks == sorted(marks)
    assert (marks[0], marks[-1]) == (False, True)
