"""Picks on a stream: what repeats is read once and decided anew, and plans are marked by what the router is then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any, cast

from prometheus_client import REGISTRY

from router_svc.cache import Cache
from router_svc.desk import Decided, Desk, Give, Request
from router_svc.follower import Trust
from router_svc.journal import Journal
from router_svc.pick_stream import MOST_PICKS, PickStream
from router_svc.plan_writer import PlanWriter
from router_svc.snapshot import ApiKey, Channel, Snapshot
from router_svc.wire import Asks
from tests.harness.waiting import PATIENCE
from tests.unit.router_svc.builders import api_key, channel, open_any, plan_of, snapshot
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
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            await stream.take(router_pb2.PickChannelsRequest(items=[item] * picks).SerializeToString(), tasks)
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


# ---------------------------------------------------------------------- what repeats

Result = router_pb2.PickChannelsResponse.Result
HASHER = ApiKeyHasher(Secret("pepper"))
KEYED = router_pb2.Pick(api_key="sk-1", model="m", client_address="10.0.0.1")


class Stream:
    """A stream at a real desk, before a cache that says at once what it holds."""

    def __init__(self, *held: Channel | ApiKey) -> None:
        """Take what is held first."""
        self.cache = Cache(Secret("no dsn"), poll=1.0)
        self.hold(1, *held)
        self._sent: list[bytes] = []
        writer = PlanWriter(credentials=False, trust=self.cache.trust)
        self._stream = PickStream(Desk(self.cache, open_any), Asks(HASHER), Journal(), writer, self._send)

    def hold(self, revision: int, *held: Channel | ApiKey) -> Snapshot:
        """Hold another snapshot from now on, at head."""
        self.cache.snapshot = snapshot(*held, revision=revision)
        self.cache.follower.confirmed = 1e12  # at head as of whatever time
        return self.cache.snapshot

    async def ask(self, *picks: router_pb2.Pick) -> list[Result]:
        """Send picks in one message; give the results in their order."""
        items = [router_pb2.PickChannelsRequest.Item(id=number, pick=pick) for number, pick in enumerate(picks)]
        self._sent.clear()
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            await self._stream.take(router_pb2.PickChannelsRequest(items=items).SerializeToString(), tasks)
        results = router_pb2.PickChannelsResponse.FromString(b"".join(self._sent)).results
        assert [result.id for result in results] == list(range(len(picks)))
        return list(results)

    async def _send(self, message: bytes) -> None:
        self._sent.append(message)


def key_with(**columns: Any) -> ApiKey:
    """The caller's API key."""
    return api_key(hash=HASHER.hash("sk-1"), **columns)


def outcome(result: Result) -> str:
    """What became of a pick: the channels of its plan, or the status of its refusal."""
    if result.HasField("refusal"):
        return str(result.refusal.code)
    return ",".join(candidate.channel_name for candidate in result.plan.candidates)


UNAUTHENTICATED, PERMISSION_DENIED = "16", "7"


async def test_picks_that_say_the_same_are_plans_of_their_own() -> None:
    """In one message and in the next: a seed and a decision id each, and other channels first."""
    stream = Stream(*(channel(number) for number in range(1, 9)), key_with())
    plans = [result.plan for _ in range(2) for result in await stream.ask(*[KEYED] * 40)]
    assert len({plan.decision_id for plan in plans}) == len({plan.seed for plan in plans}) == len(plans)
    assert {plan.candidates[0].channel_id for plan in plans} == set(range(1, 9))


async def test_the_same_bytes_are_answered_by_what_is_held_now() -> None:
    """Channels come and go, keys lose their groups or are switched off, from one message to the next."""
    stream = Stream(channel(1), key_with())
    seen = [outcome(*await stream.ask(KEYED))]
    later: list[list[Channel | ApiKey]] = [
        [channel(2), key_with()],
        [channel(2, groups=["vip"]), key_with(groups=["vip"])],
        [channel(2), key_with(status="DISABLED")],
        [channel(2)],
        [channel(2), key_with(models=("other",))],
        [channel(2), key_with(networks=(ip_network("10.1.0.0/16"),))],
        [channel(3), key_with(models=("m",), networks=(ip_network("10.0.0.0/16"),))],
    ]
    for revision, held in enumerate(later, 2):
        stream.hold(revision, *held)
        [result] = await stream.ask(KEYED)
        assert not result.HasField("plan") or result.plan.token.revision == revision
        seen.append(outcome(result))
    assert seen == [
        "channel 1", "channel 2", "channel 2", UNAUTHENTICATED, UNAUTHENTICATED, PERMISSION_DENIED, PERMISSION_DENIED,
        "channel 3",
    ]  # fmt: skip


async def test_an_api_key_expires_between_two_messages_of_the_same_bytes() -> None:
    """By the clock, with nothing else changed."""
    stream = Stream(channel(1), key_with(expire_time=time.time() + 1000))
    assert outcome(*await stream.ask(KEYED)) == "channel 1"
    stream.cache._database_clock.learn(time.time() + 2000, 0.0, 0.0)
    assert outcome(*await stream.ask(KEYED)) == UNAUTHENTICATED


async def test_an_address_counts_for_the_pick_that_has_it() -> None:
    """Callers of one key, from here and from elsewhere, in one message."""
    stream = Stream(channel(1), key_with(networks=(ip_network("10.0.0.0/16"),)))
    elsewhere = router_pb2.Pick(api_key="sk-1", model="m", client_address="10.9.0.1")
    results = await stream.ask(KEYED, elsewhere, KEYED, router_pb2.Pick(api_key="sk-1", model="m"))
    assert [*map(outcome, results)] == ["channel 1", PERMISSION_DENIED, "channel 1", PERMISSION_DENIED]


async def test_each_pick_of_a_message_is_counted_by_its_outcome() -> None:
    """Plans at once, refusals one by one."""
    stream = Stream(channel(1), key_with())
    none = router_pb2.Pick(api_key="sk-1", model="none")
    before = {name: counted(name) for name in ("plan", "MODEL_UNKNOWN", "INVALID_FIELDS")}
    await stream.ask(KEYED, none, KEYED, router_pb2.Pick(), KEYED)
    assert {name: counted(name) - count for name, count in before.items()} == {
        "plan": 3, "MODEL_UNKNOWN": 1, "INVALID_FIELDS": 0,
    }  # fmt: skip


def counted(name: str) -> float:
    """Picks counted so far."""
    return REGISTRY.get_sample_value("trunkline_router_picks_total", {"outcome": name}) or 0.0
