"""Requests that go on while their API key is switched off."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from relay_svc.deadlines import Deadlines
from relay_svc.key_watch import KeyWatch
from relay_svc.plan import Asked, NoPlan, PickRefused, RoutersUnreachable
from tests.unit.relay_svc.timed import by_the_clock
from trunkline.errors import Reason
from trunkline.secret import Secret

INTERVAL = 30.0
OFF = (Reason.API_KEY_UNKNOWN, Reason.API_KEY_DISABLED, Reason.API_KEY_EXPIRED)


class Routers:
    """Routers that say what the test gave, by key."""

    def __init__(self) -> None:
        self.says: dict[str, Exception] = {}
        self.asked: Counter[str] = Counter()
        self.at_once = self.most = 0

    async def pick(self, asked: Asked, _deadline: float) -> Any:
        """Answer after a moment."""
        key = asked.api_key.reveal()
        self.asked[key] += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if key in self.says:
            raise self.says[key]
        return None


def refused(reason: Reason | None) -> PickRefused:
    """A router's refusal."""
    return PickRefused(reason, "no", {}, None)


class House:
    """Requests, each in a task, on one watch."""

    def __init__(self) -> None:
        self.routers, self.deadlines = Routers(), Deadlines()
        self.watch = KeyWatch(self.routers, INTERVAL, 5.0)  # type: ignore[arg-type]  # a part of the port
        self.ended: dict[str, tuple[float, Reason | None]] = {}

    async def request(self, name: str, key: str, seconds: float) -> None:
        """Go on for so long, or until ended."""
        loop = asyncio.get_running_loop()
        deadline = self.deadlines.within(3600)
        watched = self.watch.watching(Asked(Secret(key), "m", "127.0.0.1", 3), deadline)
        try:
            with deadline, watched:
                await asyncio.sleep(seconds)
        except TimeoutError:
            assert watched.refused is not None
            self.ended[name] = (loop.time(), watched.refused.reason)


@pytest.mark.parametrize("reason", OFF)
def test_a_key_that_is_switched_off_ends_its_requests_within_a_minute(reason: Reason) -> None:
    """All of them, whenever they began, and nobody else's."""

    @by_the_clock
    async def test() -> None:
        house, loop = House(), asyncio.get_running_loop()
        start = loop.time()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(house.watch.run())
            for number in range(4):
                tasks.create_task(house.request(f"of a {number}", "a", 500))
                await asyncio.sleep(7)
            other = tasks.create_task(house.request("of b", "b", 500))
            await asyncio.sleep(start + 100 - loop.time())
            house.routers.says["a"] = refused(reason)
            await asyncio.sleep(60)
            assert set(house.ended) == {f"of a {number}" for number in range(4)}
            assert all(when - start <= 100 + 45 and why is reason for when, why in house.ended.values())
            assert not other.done()
            await asyncio.wait({other})
            watching.cancel()
        assert not house.watch.open

    test()


@pytest.mark.parametrize(
    "said",
    [
        RoutersUnreachable(),
        TimeoutError(),
        refused(None),
        *map(refused, (Reason.UNVERIFIED, Reason.NO_CHANNEL, Reason.MODEL_UNKNOWN, Reason.TOKEN_INVALID)),
    ],
    ids=["unreachable", "time", "no reason", "unverified", "no channel", "unknown model", "token"],
)
def test_a_doubt_ends_nobody(said: NoPlan | TimeoutError) -> None:
    """Only what is proven of the key itself does."""

    @by_the_clock
    async def test() -> None:
        house = House()
        house.routers.says["a"] = said
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(house.watch.run())
            await house.request("of a", "a", 200)
            watching.cancel()
        assert house.routers.asked["a"] >= 5
        assert not house.ended

    test()


@by_the_clock
async def test_short_requests_ask_nothing_and_many_of_one_key_ask_once() -> None:
    """A check is of a key, not of a request; so many are asked at once and no more."""
    house = House()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(house.watch.run())
        for _ in range(50):
            await house.request("short", "short", 1)
        assert not house.routers.asked
        for _ in range(100):
            tasks.create_task(house.request("of one", "one", 35))
        for number in range(200):
            tasks.create_task(house.request(f"of {number}", f"key {number}", 35))
        await asyncio.sleep(36)
        watching.cancel()
    assert house.routers.asked["one"] == 1
    assert len(house.routers.asked) == 201
    assert house.routers.most <= 64
