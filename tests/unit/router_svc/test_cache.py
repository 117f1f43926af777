"""What the cache does with what its workers bring, without a database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

from router_svc.cache import Cache, Presence
from router_svc.catalog import HeadRead, Loaded
from router_svc.follower import Load, ReadHead, RenewLease, State
from router_svc.lease import Identity, Renewed
from router_svc.line import Line, LineDown
from router_svc.lineage import Standing
from router_svc.snapshot import Head, Token
from tests.harness.waiting import PATIENCE, turns
from tests.unit.router_svc.builders import channel, snapshot
from trunkline.errors import Cause
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
    assert held.fault is Cause.DATABASE_UNREACHABLE


async def test_while_nothing_is_loaded_a_head_read_that_failed_is_news() -> None:
    """There is nothing to wait for: whoever asked looks at the time, and asks again."""
    held, read = cache(), snapshot(channel(1))
    held._install(Loaded("full", read, read.head, [], 1), 0.0)
    held._lines[ReadHead] = DeadLine()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        now = time.monotonic()
        waiting = tasks.create_task(held.news(now, now + 60.0))
        await turns()
        await held._read_head(held._jobs[ReadHead].get_nowait())
        assert await waiting
    assert held.confirmed < now


async def test_what_is_read_without_a_change_is_still_a_load() -> None:
    """The snapshot stays, and the follower learns that it was at head."""
    held, read = cache(), snapshot(channel(1))
    held._install(Loaded("full", read, read.head, [], 1), 0.0)
    head: Head = read.head
    held._install(Loaded("unchanged", snapshot(channel(1)), head, [], 0), 0.0)
    assert held.snapshot is read


class ToldLine(Line):
    """A session whose answers a test gives."""

    def __init__(self, answer: Any) -> None:
        super().__init__(Secret("no dsn"), silence=1.0)
        self._answer = answer

    async def run(self, _work: object) -> Any:
        """Give it."""
        return self._answer


@contextlib.asynccontextmanager
async def behind() -> AsyncIterator[tuple[Cache, asyncio.Task[bool]]]:
    """A cache whose head read found it behind, and a pick that waits for news of it."""
    held, read, later = cache(), snapshot(channel(1)), snapshot(channel(2), revision=2)
    held._install(Loaded("full", read, read.head, [], 1), 0.0)
    held._lines[ReadHead] = ToldLine(HeadRead(later.head, b"[]"))
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        now = time.monotonic()
        waiting = tasks.create_task(held.news(now, now + 60.0))
        await turns()
        await held._read_head(held._jobs[ReadHead].get_nowait())
        held._jobs[Load].get_nowait()
        await turns()
        assert not waiting.done()
        yield held, waiting


async def test_whoever_waits_for_news_is_told_of_each_load_that_changes_what_is_held() -> None:
    """Deciding again may help then."""
    async with behind() as (held, waiting):
        later = snapshot(channel(2), revision=2)
        held._install(Loaded("delta", later, later.head, [], 1), time.monotonic())
        assert await waiting


async def test_whoever_waits_for_news_is_told_that_what_was_read_does_not_add_up() -> None:
    """Whoever can looks elsewhere, and not only when its time is over; a load that just failed is tried again meanwhile."""
    async with behind() as (held, waiting):
        held._load_failed(disagreed=False)
        held._jobs[Load].get_nowait()
        await turns()
        assert not waiting.done()
        held._load_failed(disagreed=True)
        assert await waiting
        assert held.disagrees
    later = snapshot(channel(2), revision=2)
    held._install(Loaded("full", later, later.head, [], 1), time.monotonic())
    assert not held.disagrees


async def test_a_change_of_what_is_held_is_told_and_nothing_else_is() -> None:
    """Streams tell their admins of it at once."""
    held, copied, read = cache(), snapshot(channel(1)), snapshot(channel(2), revision=2)

    async def tells(change: Callable[[], object]) -> bool:
        heard: list[bool] = []

        async def hear() -> None:
            heard.append(await held.applied.next())

        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(hear())
            await turns()
            change()
            await turns()
            hearing.cancel()
        return bool(heard)

    assert await tells(lambda: held.restore(copied, 5.0))
    assert held.known(copied.token)
    assert await tells(lambda: held._install(Loaded("full", read, read.head, [], 1), 0.0))
    assert not await tells(lambda: held._install(Loaded("unchanged", read, read.head, [], 0), 0.0))


async def test_a_cache_that_drains_says_so_whatever_it_holds() -> None:
    """Its lease would say that it serves, and its relays would come."""
    held = cache()
    held.draining = True
    assert held.state is State.DRAINING


class FaultyLine(Line):
    """A session upon which something goes wrong that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__(Secret("no dsn"), silence=1.0)

    async def run(self, _work: object) -> NoReturn:
        """Go wrong."""
        raise ZeroDivisionError


async def test_following_goes_on_after_a_read_that_met_what_nobody_foresaw() -> None:
    """The first retry comes at once."""
    held = cache()
    held._lines[Load] = FaultyLine()
    held._do(held.follower.start(time.monotonic()))
    await held._load(held._jobs[Load].get_nowait())
    assert held._jobs[Load].qsize() == 1


async def test_each_renewal_of_the_lease_tells_the_time_by_which_api_keys_expire() -> None:
    """The database's, whatever this machine's clock says."""
    held, read = cache(), snapshot(channel(1))
    held._install(Loaded("full", read, read.head, [], 1), 0.0)
    held.presence = Presence(Identity("r", "1", "0"), "r:1")
    told = time.time() + 1_000_000.0
    held._lines[RenewLease] = ToldLine(Renewed(True, None, [], told))
    await held._renew(RenewLease())
    assert abs(held.time() - told) < 60.0
