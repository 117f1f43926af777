"""What the cache does with what its workers bring, without a database."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from router_svc.cache import Cache
from router_svc.catalog import Loaded
from router_svc.follower import ReadHead
from router_svc.line import Line, LineDown
from router_svc.lineage import Standing
from router_svc.snapshot import Head, Token
from tests.unit.router_svc.builders import channel, snapshot
from trunkline.secret import Secret


class DeadLine(Line):
    """A session to a database that is not there."""

    def __init__(self) -> None:
        super().__init__(Secret("no dsn"), silence=1.0)

    async def run(self, _work: object) -> NoReturn:
        """Fail."""
        raise LineDown("nobody there")


def cache() -> Cache:
    """A cache that does not run."""
    return Cache(Secret("no dsn"), poll=1.0)


async def test_a_copy_never_takes_the_place_of_what_was_read() -> None:
    """A load may end while the copy is read from the disk."""
    held, read, copied = cache(), snapshot(channel(1), revision=2), snapshot(channel(1))
    held._install(Loaded("full", read, read.head, [], 1), 0.0)
    assert not held.restore(copied, 5.0)
    assert held.snapshot is read
    assert held.follower.applied == read.head


async def test_a_whole_load_forgets_the_history_that_was_followed_before() -> None:
    """However far above it begins: a token of another branch must not pass for one of this."""
    held, first, second = cache(), snapshot(channel(1), revision=5), snapshot(channel(1), revision=9)
    lost = Token(4, "lost")
    held._install(Loaded("full", first, first.head, [lost], 1), 0.0)
    assert held.known(lost)
    held._install(Loaded("full", second, second.head, [], 1), 0.0)
    assert not held.known(lost)
    assert not held.known(first.token)
    assert held._lineage.standing(first.token) is Standing.FORGOTTEN


async def test_a_head_read_that_failed_wakes_who_waited_for_it() -> None:
    """So that they ask again within their time, and can say what failed."""
    held, waiting = cache(), asyncio.Event()
    held._lines[ReadHead] = DeadLine()
    held._tickets[1] = waiting
    await held._read_head(ReadHead(1))
    assert waiting.is_set()
    assert held.fault == "nobody there"


async def test_what_is_read_without_a_change_is_still_a_load() -> None:
    """The snapshot stays, and the follower learns that it was at head."""
    held, read = cache(), snapshot(channel(1))
    held._install(Loaded("full", read, read.head, [], 1), 0.0)
    head: Head = read.head
    held._install(Loaded("unchanged", snapshot(channel(1)), head, [], 0), 0.0)
    assert held.snapshot is read
