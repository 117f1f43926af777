"""How picks wait, without a database."""

from __future__ import annotations

import asyncio
import time

import pytest

from router_svc.cache import Cache
from router_svc.desk import MOST_WAITING, Desk, Request
from router_svc.direct import Direct, Reading
from router_svc.picker import Ask, Plan
from tests.unit.router_svc.builders import channel, open_any, snapshot
from trunkline.errors import Unverified
from trunkline.secret import Secret


@pytest.fixture
def cache() -> Cache:
    """A cache that nobody keeps up to date."""
    cache = Cache(Secret("no dsn"), poll=1.0)
    cache.snapshot = snapshot(channel(1))
    return cache


@pytest.fixture
def desk(cache: Cache) -> Desk:
    """A desk before it."""
    return Desk(cache, open_any)


def request_for(model: str, limit: float = 60.0) -> Request:
    """A pick that may wait so many seconds."""
    return Request(b"", Ask(model, group="default"), None, time.monotonic() + limit)


async def test_so_many_picks_wait_and_no_more_and_plans_go_out_all_the_same(desk: Desk) -> None:
    """The next refusal is put off at once, retryable; a plan waits for nothing."""
    desk._waiting = MOST_WAITING
    async with asyncio.timeout(5.0):
        refused = await desk.settle_one(request_for("none"), time.monotonic())
        planned = await desk.settle_one(request_for("m"), time.monotonic())
    assert isinstance(refused.decision, Unverified)
    assert isinstance(planned.decision, Plan)
    assert desk._waiting == MOST_WAITING


@pytest.mark.parametrize("fault", ["OperationalError: nobody there", ""])
async def test_what_cannot_be_proven_says_why(cache: Cache, desk: Desk, fault: str) -> None:
    """By what the last head read failed of, if it did; and at which revision it was not."""
    cache.fault = fault
    answer = await desk.settle_one(request_for("none", -1.0), time.monotonic())
    assert isinstance(answer.decision, Unverified)
    assert answer.decision.metadata["cause"] == fault or "did not confirm" in answer.decision.metadata["cause"]
    assert answer.decision.metadata["revision"] == "1"


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
