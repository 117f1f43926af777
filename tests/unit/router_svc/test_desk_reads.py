"""Picks that are read for, without a database: what a read is taken for, and what is never said without one."""

from __future__ import annotations

import asyncio
import time

import pytest

from router_svc.cache import Cache
from router_svc.catalog import Loaded, Part
from router_svc.desk import Desk, Request
from router_svc.direct import Direct, Reading
from router_svc.draft import BadRow
from router_svc.plan import Ask, Plan
from router_svc.snapshot import Snapshot, Token
from tests.harness.waiting import PATIENCE
from tests.unit.router_svc.builders import channel, open_any, snapshot
from trunkline.errors import ModelUnknown, NoChannel, Unverified
from trunkline.secret import Secret

HELD = snapshot(channel(1), channel(2, ("off",), status="DISABLED"))
UNREADABLE = BadRow("channel", 7, 1, 5, "a fault", off=False)


class Reads(Direct):
    """Reads that bring what the test says, at once."""

    def __init__(self, cache: Cache, part: Part | None) -> None:
        """Take what they bring; None for reads that fail."""
        super().__init__(Secret("no dsn"), cache)
        self.part, self.failing = part, part is None
        self.asked: list[Ask] = []

    def join(self, ask: Ask) -> Reading:
        """Note who asks."""
        self.asked.append(ask)
        reading = Reading(part=self.part)
        reading.done.set()
        return reading


def desk_of(part: Part | None, *, from_snapshot: bool = False, held: Snapshot = HELD) -> tuple[Desk, Reads, Cache]:
    """A desk whose cache holds this, and what reads for it."""
    cache = Cache(Secret("no dsn"), poll=1.0)
    cache._install(Loaded("full", held, held.head, [], 1), 0.0)
    reads = Reads(cache, part)
    return Desk(cache, open_any, reads, from_snapshot=from_snapshot), reads, cache


def request_for(model: str, limit: float = 0.1, token: Token | None = None) -> Request:
    """A pick that may wait so many seconds."""
    return Request(b"", Ask(model, group="default"), token, time.monotonic() + limit)


async def settled(desk: Desk, request: Request) -> object:
    """Settle one pick."""
    async with asyncio.timeout(PATIENCE):
        return (await desk.settle_one(request, time.monotonic())).decision


async def test_where_a_read_failed_what_is_held_gives_plans_and_no_refusals() -> None:
    """A refusal needs a read that began after the pick came; what is held may be of long ago."""
    desk, reads, _ = desk_of(None)
    assert isinstance(await settled(desk, request_for("m")), Plan)
    for model in ("none", "off"):
        assert isinstance(await settled(desk, request_for(model)), Unverified)
    assert {ask.model for ask in reads.asked} == {"m", "none", "off"}


async def test_what_was_read_decides_whatever_is_held() -> None:
    """A channel that is gone since gives no plan, one that came since does."""
    desk, _, _ = desk_of(Part(snapshot(channel(3, ("new",)), channel(4, status="DISABLED"), revision=2), ours=True))
    assert isinstance(await settled(desk, request_for("new")), Plan)
    assert isinstance(await settled(desk, request_for("m")), NoChannel)
    assert isinstance(await settled(desk, request_for("none")), ModelUnknown)


async def test_a_row_that_cannot_be_read_makes_a_read_refusal_unsaid() -> None:
    """It may be the one that was asked for."""
    desk, _, _ = desk_of(Part(snapshot(channel(1), UNREADABLE, revision=2), ours=True))
    assert isinstance(await settled(desk, request_for("none")), Unverified)
    assert isinstance(await settled(desk, request_for("m")), Plan)


async def test_a_row_that_cannot_be_read_is_read_for_before_a_refusal_upon_a_snapshot() -> None:
    """What is at head may be in doubt all the same; the read tells, by its own rows."""
    desk, reads, cache = desk_of(
        Part(snapshot(channel(1), channel(7, ("found",)), revision=2), ours=True),
        from_snapshot=True,
        held=snapshot(channel(1), UNREADABLE),
    )
    arrival = time.monotonic()
    cache.follower.confirmed = arrival
    request, answers = request_for("found"), list[object]()
    assert desk.at_once(request, arrival) is None
    assert await desk._directly([request], arrival, lambda _, decided: answers.append(decided.decision)) == []
    assert isinstance(answers.pop(), Plan)
    assert len(reads.asked) == 1


@pytest.mark.parametrize("ours", [True, False])
async def test_a_read_answers_a_token_only_in_the_history_that_is_held(*, ours: bool) -> None:
    """A failover may have come between the token and the read: then nothing that was read tells of it."""
    read = snapshot(channel(1), channel(3, ("new",)), revision=2)
    desk, _, _ = desk_of(Part(read, ours=ours))
    finished: list[object] = []
    request = request_for("new", token=HELD.token)
    left = await desk._directly([request], time.monotonic(), lambda _, decided: finished.append(decided.decision))
    assert left == ([] if ours else [request])
    assert [type(decision) for decision in finished] == ([Plan] if ours else [])


async def test_a_token_that_is_lost_while_its_pick_is_read_for_is_not_answered() -> None:
    """Though what was read is of the history that the router has come to follow since."""
    read = snapshot(channel(1), channel(3, ("new",)), revision=2)
    desk, reads, cache = desk_of(Part(read, ours=True))
    lost = snapshot(channel(1), revision=9)

    class Late(Reading):
        async def wait(self, deadline: float) -> Part | None:
            cache._install(Loaded("full", lost, lost.head, [], 1), 0.0)
            return await super().wait(deadline)

    def join(ask: Ask) -> Reading:
        reads.asked.append(ask)
        late = Late(part=reads.part)
        late.done.set()
        return late

    reads.join = join  # type: ignore[method-assign]  # another's read, which ends late
    request = request_for("new", token=HELD.token)
    assert await desk._directly([request], time.monotonic(), lambda *_: None) == [request]


async def test_a_token_that_was_not_reached_is_not_read_for() -> None:
    """Nobody knows yet whether what would be read is of its history."""
    desk, reads, _ = desk_of(Part(snapshot(channel(1), revision=9), ours=True))
    request = request_for("m", token=Token(5, "e" * 64))
    assert await desk._directly([request], time.monotonic(), lambda *_: None) == [request]
    assert not reads.asked
