"""What must have been read and heard before a change is called visible, without a database and without routers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

import pytest

from admin_svc.broadcaster import Broadcaster
from admin_svc.fanout import Report
from admin_svc.link import BrokenStreamError, Link
from admin_svc.records import RouterLease, Sight, Token
from tests.harness.waiting import PATIENCE, eventually_async, turns
from trunkline.errors import Cause, DatabaseUnavailable
from trunkline.v1 import router_pb2


def token(revision: int, branch: str = "main") -> Token:
    """A state of the catalog."""
    return Token(revision, f"{branch}-{revision}")


def lease(router_id: str, address: str) -> RouterLease:
    """A live lease."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return RouterLease(
        id=router_id,
        address=address,
        incarnation="one",
        applied=Token(0, ""),
        state="STARTING",
        version="",
        expire_time=now,
        start_time=now,
        live=True,
        lease_left=5.0,
    )


class Database:
    """A head and leases, read when the test lets a read go."""

    def __init__(self, *router_ids: str) -> None:
        """Begin at revision 1."""
        self.head, self.routers = token(1), {router_id: f"{router_id}:1" for router_id in router_ids}
        self.begun = 0
        self.open = asyncio.Event()
        self.open.set()
        self.gone = False

    async def head_and_leases(self) -> Sight:
        """Read them as they are now; the answer comes when it may."""
        self.begun += 1
        if self.gone:
            raise DatabaseUnavailable(cause=Cause.DATABASE_UNREACHABLE)
        sight = Sight(self.head, [lease(*router) for router in self.routers.items()], 100.0, "1")
        await self.open.wait()
        return sight

    async def chains(self, asked: Sequence[int]) -> dict[int, str]:
        """Know every revision."""
        return {revision: token(revision).chain for revision in asked}


def undialled(_address: str) -> NoReturn:
    """Dial nobody: these tests say what routers say."""
    raise AssertionError


def broadcaster(database: Database) -> Broadcaster:
    """A broadcaster that does not run: it reads when it is asked."""
    return Broadcaster(database, undialled, "admin")


def say(made: Broadcaster, router_id: str, revision: int) -> None:
    """Have a router say that it serves a state."""
    made.fanout.hear(router_id, Report(token(revision), "SERVING"), 0.0)
    made._heard(router_id)


async def test_a_change_is_visible_only_with_routers_of_a_read_that_began_after_it() -> None:
    """One that began before may not know of a router that took its lease meanwhile."""
    database = Database("a")
    made = broadcaster(database)
    database.open.clear()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        tasks.create_task(made._refresh())
        await eventually_async(lambda: database.begun == 1)
        database.routers["b"] = "b:1"
        asked = [tasks.create_task(made.visible(token(2), "ALL", 4.0)) for _ in range(5)]
        await turns()
        database.head = token(2)
        database.open.set()
        await eventually_async(lambda: "b" in made.fanout.peers)
        say(made, "a", 2)
        await turns()
        assert not any(asking.done() for asking in asked)
        say(made, "b", 2)
    answers = [asking.result() for asking in asked]
    assert {(answer.visible_on, answer.of, answer.lagging) for answer in answers} == {(2, 2, ())}
    assert database.begun == 2, "callers that came together share a read"


async def test_while_leases_cannot_be_read_no_change_is_called_visible() -> None:
    """Whatever those say who were known; a caller that waits for nobody needs no read."""
    database = Database("a")
    made = broadcaster(database)
    await made._refresh()
    say(made, "a", 2)
    database.gone = True
    answer = await made.visible(token(2), "ALL", 0.05)
    assert (answer.visible_on, answer.of, answer.lagging) == (0, 1, ("a",))
    begun = database.begun
    assert (await made.visible(token(2), "NONE", 0.05)).visible_on == 1
    assert database.begun == begun


async def test_a_database_that_went_back_is_noticed_and_a_read_that_a_commit_overtook_is_none() -> None:
    """By what was known before the read began, not after it."""
    database = Database("a")
    made = broadcaster(database)
    database.head = token(5)
    await made._refresh()
    database.open.clear()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(made._refresh())
        await eventually_async(lambda: database.begun == 2)
        made.committed(token(6))
        database.open.set()
        await reading
    assert made.fanout.head == token(6)
    database.head = token(3, "restored")
    await made._refresh()
    assert made.fanout.head == token(3, "restored")


class Stream:
    """A router's stream that says one word, and then nothing."""

    def __init__(self, router_id: str) -> None:
        """Take whose word it is."""
        self._words = [router_pb2.InvalidateResponse(router_id=router_id, state=router_pb2.ROUTER_STATE_SERVING)]

    async def read(self) -> Any:
        """Give it."""
        if not self._words:
            await asyncio.Event().wait()
        return self._words.pop()


def link_of(made: Broadcaster, dial: Any) -> Link:
    """A link to router a."""
    return Link("a", "a:1", admin_id="admin", fanout=made.fanout, dial=dial, on_word=made._heard)


async def test_another_routers_word_is_not_taken_for_that_of_whom_was_dialled() -> None:
    """Its address may be somebody else's by now."""
    made = broadcaster(Database("a"))
    await made._refresh()
    with pytest.raises(BrokenStreamError):
        await link_of(made, undialled)._listen(cast("Any", Stream("b")))
    assert made.fanout.peers["a"].heard is None
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(link_of(made, undialled)._listen(cast("Any", Stream("a"))))
        await eventually_async(lambda: made.fanout.peers["a"].heard is not None)
        listening.cancel()


async def test_what_a_router_said_on_a_stream_counts_no_more_when_that_is_broken() -> None:
    """Its lease's row speaks for it until it is heard again."""
    made = broadcaster(Database("a"))
    await made._refresh()
    say(made, "a", 1)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link_of(made, breaks).run())
        await eventually_async(lambda: made.fanout.peers["a"].heard is None)
        running.cancel()


def breaks(_address: str) -> NoReturn:
    """Reach nobody."""
    raise BrokenStreamError("nobody there")


async def test_a_router_is_dialled_where_its_lease_says_and_while_it_has_one() -> None:
    """One that moved is dialled anew, one that went no more."""
    database = Database("a", "b")
    made = Broadcaster(database, breaks, "admin")
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as made._tasks:
        for routers in ({"a": "a:1", "b": "b:1"}, {"a": "a:2", "b": "b:1"}, {"a": "a:2"}, {}):
            kept = dict(made._links)
            database.routers = routers
            await made._refresh()
            assert {router_id: link.address for router_id, (link, _) in made._links.items()} == routers
            for router_id, entry in made._links.items():
                assert (
                    router_id not in kept or kept[router_id][0].address != entry[0].address or kept[router_id] is entry
                )


async def test_a_state_that_a_router_names_and_nobody_knows_here_is_looked_up() -> None:
    """Its word counts once that is known to be of our history."""
    database = Database("a")
    database.head = token(9)
    made = broadcaster(database)
    await made._refresh()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(made._look_up())
        asked = tasks.create_task(made.visible(token(9), "ALL", 60.0))
        await eventually_async(lambda: made._waits)
        say(made, "a", 12)
        assert (await asked).visible_on == 1
        looking.cancel()
