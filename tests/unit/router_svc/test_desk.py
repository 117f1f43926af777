"""How picks wait, without a database."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from router_svc.cache import Cache
from router_svc.catalog import Loaded
from router_svc.desk import MOST_WAITING, Desk, Request
from router_svc.direct import Direct, Reading
from router_svc.plan import Ask, Plan
from router_svc.snapshot import Token
from tests.harness.waiting import PATIENCE, eventually_async
from tests.unit.router_svc.builders import channel, open_any, snapshot
from trunkline.errors import Cause, LostBranch, ModelUnknown, NoChannel, Stale, Unverified
from trunkline.secret import Secret


@pytest.fixture
def cache() -> Cache:
    """A cache that nobody keeps up to date."""
    cache = Cache(Secret("no dsn"), poll=1.0)
    cache.snapshot = snapshot(channel(1), channel(2, ("off",), status="DISABLED"))
    return cache


@pytest.fixture
def desk(cache: Cache) -> Desk:
    """A desk before it."""
    return Desk(cache, open_any)


def request_for(model: str, limit: float = 60.0, token: Token | None = None) -> Request:
    """A pick that may wait so many seconds."""
    return Request(b"", Ask(model, group="default"), token, time.monotonic() + limit)


async def test_so_many_picks_wait_and_no_more_and_plans_go_out_all_the_same(desk: Desk) -> None:
    """The next refusal is put off at once, retryable; a plan waits for nothing."""
    desk._waiting = MOST_WAITING
    async with asyncio.timeout(PATIENCE):
        refused = await desk.settle_one(request_for("none"), time.monotonic())
        planned = await desk.settle_one(request_for("m"), time.monotonic())
    assert isinstance(refused.decision, Unverified)
    assert isinstance(planned.decision, Plan)
    assert desk._waiting == MOST_WAITING


@pytest.mark.parametrize("fault", [*Cause, None])
async def test_what_cannot_be_proven_says_why(cache: Cache, desk: Desk, fault: Cause | None) -> None:
    """By what the last head read failed of, if it did; and at which revision it was not."""
    cache.fault = fault
    answer = await desk.settle_one(request_for("none", -1.0), time.monotonic())
    assert isinstance(answer.decision, Unverified)
    assert answer.decision.metadata["cause"] == (fault or Cause.HEAD_MOVING)
    assert answer.decision.metadata["revision"] == "1"


AHEAD, FOREIGN = Token(9, "a" * 64), Token(1, "b" * 64)
"""A state that has not come yet, and one of another branch."""


def followed(cache: Cache) -> Token:
    """Have the cache follow what it holds; the token of that."""
    held = cache.snapshot
    assert held is not None
    cache._install(Loaded("full", held, held.head, [], 1), 0.0)
    return held.token


async def test_a_refusal_is_said_once_a_read_that_began_after_the_pick_came_confirmed_it(
    cache: Cache, desk: Desk
) -> None:
    """With a token or without; a plan needs no proof."""
    token, arrival = followed(cache), time.monotonic()
    for wanted, model in itertools.product((None, token), ("none", "off")):
        refused, planned = request_for(model, token=wanted), request_for("m", token=wanted)
        cache.follower.confirmed = arrival - 0.001
        assert await decided(desk, refused, arrival) is None
        assert isinstance(await decided(desk, planned, arrival), Plan)
        cache.follower.confirmed = arrival
        assert isinstance(await decided(desk, refused, arrival), ModelUnknown | NoChannel)


async def test_a_pick_that_wants_a_state_is_answered_by_no_older_one(cache: Cache, desk: Desk) -> None:
    """While it has time it waits; what is at head and not of its history is a lost branch, anything else is stale."""
    followed(cache)
    arrival = time.monotonic()
    for wanted in (AHEAD, FOREIGN):
        in_time, late = request_for("m", token=wanted), request_for("m", -1.0, wanted)
        cache.follower.confirmed = arrival - 0.001
        assert desk.at_once(in_time, arrival) is None
        assert await decided(desk, in_time, arrival) is None
        assert isinstance(await decided(desk, late, arrival), Stale)
        cache.follower.confirmed = arrival
        assert desk.at_once(in_time, arrival) is None
        assert isinstance(await decided(desk, in_time, arrival), LostBranch)


async def test_a_state_is_proven_by_no_read_that_began_before_it_was_asked_for(cache: Cache, desk: Desk) -> None:
    """However little before."""
    followed(cache)
    arrival = time.monotonic()
    cache.follower.confirmed = arrival - 0.001
    assert isinstance(await desk.proven(arrival, arrival - 1.0), Unverified)
    cache.follower.confirmed = arrival
    assert await desk.proven(arrival, arrival - 1.0) is None


async def test_picks_that_came_together_each_end_at_their_own_time(cache: Cache, desk: Desk) -> None:
    """The one that has least of it is not kept waiting by the others."""
    followed(cache)
    arrival, ended = time.monotonic(), list[str]()
    waiting = [request_for("later", 60.0), request_for("soon", 0.05)]
    async with asyncio.TaskGroup() as tasks:
        settling = tasks.create_task(desk.settle(waiting, arrival, lambda request, _: ended.append(request.ask.model)))
        await eventually_async(lambda: ended == ["soon"])
        settling.cancel()


async def decided(desk: Desk, request: Request, arrival: float) -> object:
    """What one look at a pick that waits comes to; None when it must go on waiting."""
    answers: list[object] = []
    left = await desk._by_turns([request], arrival, None, lambda _, decided: answers.append(decided.decision))
    assert len(left) + len(answers) == 1
    return answers[0] if answers else None


class Unasked(Direct):
    """Reads for nobody."""

    def join(self, ask: Ask) -> Reading | None:
        """Say that this must not be."""
        raise AssertionError(ask)


async def test_a_pick_that_only_lacks_its_proof_is_not_read_for(cache: Cache) -> None:
    """The one head read that all wait for costs less than reads for each; only a snapshot in doubt is gone around."""
    desk = Desk(cache, open_any, Unasked(Secret("no dsn"), cache))
    waiting = [request_for("none")]
    assert await desk._directly(waiting, time.monotonic(), lambda *_: None) == waiting
    cache.disagrees = True
    with pytest.raises(AssertionError):
        await desk._directly(waiting, time.monotonic(), lambda *_: None)
