"""When a copy of the catalog is due, and what it says of its age."""

from __future__ import annotations

import asyncio
import time
from math import inf
from pathlib import Path

import pytest

from router_svc import disk, keeper
from router_svc.cache import Cache
from router_svc.keeper import _REFRESH, Keeper
from tests.harness.waiting import PATIENCE
from tests.unit.router_svc.builders import channel, snapshot
from trunkline.secret import Secret


def copies(directory: Path) -> list[Path]:
    """The copies that a router could start from."""
    return [*directory.glob("catalog.[01]")]


def cache() -> Cache:
    """A cache that holds something and does not run."""
    held = Cache(Secret("no dsn"), poll=1.0)
    held.snapshot = snapshot(channel(1))
    held.follower.applied = held.snapshot.head
    return held


def test_a_copy_is_due_for_a_change_and_for_a_later_proof_and_for_nothing_else(tmp_path: Path) -> None:
    """An old one is refreshed only when something newer can be said of it: that it was at head since."""
    held = cache()
    due = Keeper(held, tmp_path, wait=1.0)
    assert due._due()
    due._kept, due._kept_at = snapshot(channel(1)).token, time.monotonic() - _REFRESH - 1.0
    held.follower.confirmed = -inf
    assert not due._due()
    held.follower.confirmed = time.monotonic()
    assert due._due()
    due._kept_at = time.monotonic()
    assert not due._due()
    held.snapshot = snapshot(channel(1), revision=2)
    assert due._due()


async def test_a_copy_says_when_its_state_was_last_known_to_be_the_head(tmp_path: Path) -> None:
    """Not when it was written: with the database away that may be long after."""
    held = cache()
    held.follower.confirmed = time.monotonic() - 1_000.0
    assert await Keeper(held, tmp_path, wait=1.0)._keep()
    [copy] = [slot.copy for slot in disk.survey(tmp_path) if slot.copy is not None]
    copy.close()
    assert 990.0 < time.time() - copy.heading.confirmed_time < 1_100.0


async def test_the_first_copy_waits_for_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A router killed in its first seconds under changes that never pause has a copy to start from."""
    monkeypatch.setattr(keeper, "_UNSETTLED", inf)
    held, stop = cache(), asyncio.Event()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        tasks.create_task(Keeper(held, tmp_path, wait=1.0).run(stop))
        while not await asyncio.to_thread(copies, tmp_path):
            held.applied.tell()
        stop.set()
    [copy] = [slot.copy for slot in disk.survey(tmp_path) if slot.copy is not None]
    copy.close()
    assert copy.heading.head == snapshot(channel(1)).head
