"""What a mutation says of where it is in force, with routers that obey, lag, lapse, lie and come and go."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from tests.harness.waiting import eventually_async
from tests.integration.admin_svc.conftest import ADMIN_TOKEN, Admin, running_admin
from tests.integration.admin_svc.doubles import FakeRouter
from trunkline import auth
from trunkline.secret import Secret
from trunkline.v1 import revision_pb2

Routers = tuple[FakeRouter, FakeRouter]
LONGEST = 60.0  # seconds that a mutation may wait
CHANNEL: dict[str, Any] = {"name": "a", "provider": "p", "base_url": "http://h"}


async def connected(admin: Admin, *routers: FakeRouter) -> None:
    """Wait until the admin has a stream to each of these; a sync makes it look at the leases at once."""
    await admin.running.broadcaster.sync(0)
    await eventually_async(lambda: all(admin.running.broadcaster.is_connected(router.id) for router in routers))


async def visibility(admin: Admin, *, wait: str = "ALL", limit: float = LONGEST) -> tuple[dict[str, Any], bool]:
    """Make a change; where it is in force, and whether the time limit was waited out."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    query = {"wait": wait, "wait_timeout": f"{limit * 1000:.0f}ms"}
    response = await admin.http.post("/api/v1/channels", json=CHANNEL, params=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()["visibility"]
    return answer, loop.time() - start >= limit


async def test_a_change_is_in_force_on_every_router_when_the_call_returns(admin: Admin, routers: Routers) -> None:
    """Each was told the head, said that it serves it, and heard a token that is good there alone."""
    await connected(admin, *routers)
    answer, ran_out = await visibility(admin)
    assert answer == {"visible_on": 2, "of": 2, "lagging": [], "lapsed": []}
    assert not ran_out
    assert {router.applied.revision for router in routers} == {2}
    for router in routers:
        bound = auth.bound(Secret(ADMIN_TOKEN), auth.TO_INVALIDATE, router.address).reveal()
        assert set(router.tokens) == {f"Bearer {bound}"}


@pytest.mark.parametrize(("wait", "count", "lagging"), [("ALL", 1, ["router-2"]), ("QUORUM", 1, ["router-2"])])
async def test_a_router_that_does_not_follow_is_named_as_lagging(
    admin: Admin, routers: Routers, wait: str, count: int, lagging: list[str]
) -> None:
    """The answer comes at the time limit, partial, and is no error."""
    routers[1].obeys = False
    await connected(admin, *routers)
    answer, ran_out = await visibility(admin, wait=wait, limit=0.4)
    assert answer == {"visible_on": count, "of": 2, "lagging": lagging, "lapsed": []}
    assert ran_out


async def test_nobody_is_waited_for_when_none_is_asked(admin: Admin, routers: Routers) -> None:
    """The answer comes with the commit; the hints go out all the same."""
    for router in routers:
        router.obeys = False
    await connected(admin, *routers)
    answer, ran_out = await visibility(admin, wait="NONE")
    assert (answer["visible_on"], answer["of"]) == (0, 2)
    assert not ran_out
    await eventually_async(lambda: all(router.told[-1].revision == 2 for router in routers))


async def test_a_quorum_is_enough_when_asked_for(admin: Admin, routers: Routers, migrated_dsn: str) -> None:
    """Two of three; the third is named."""
    async with FakeRouter("router-3", migrated_dsn, obeys=False).serving() as third:
        await connected(admin, *routers, third)
        answer, ran_out = await visibility(admin, wait="QUORUM")
        assert answer["visible_on"] == 2
        assert answer["lagging"] == ["router-3"]
        assert not ran_out


async def test_a_router_whose_lease_runs_out_while_waited_for_has_lapsed(admin: Admin, routers: Routers) -> None:
    """Its answers are marked degraded by itself: nobody waits for it."""
    routers[1].obeys = False
    await connected(admin, *routers)
    await routers[1].lease(1.0)
    answer, ran_out = await visibility(admin)
    assert answer == {"visible_on": 1, "of": 2, "lagging": [], "lapsed": ["router-2"]}
    assert not ran_out


async def test_a_router_that_leaves_while_waited_for_has_lapsed(admin: Admin, routers: Routers) -> None:
    """On a drain its row goes at once."""
    routers[1].obeys = False
    await connected(admin, *routers)
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(visibility(admin))
        await eventually_async(lambda: bool(routers[1].told) and routers[1].told[-1].revision == 2)
        await routers[1].leave()
    assert call.result()[0]["lapsed"] == ["router-2"]


async def test_a_degraded_router_is_lagging_until_it_serves(admin: Admin, routers: Routers) -> None:
    """At the right revision, but it cannot vouch for it."""
    routers[1].state = "DEGRADED"
    await connected(admin, *routers)
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(visibility(admin))
        await eventually_async(lambda: routers[1].applied.revision == 2)
        assert not call.done()
        routers[1].say(state="SERVING")
    assert call.result()[0]["visible_on"] == 2


async def test_a_router_on_another_branch_is_lagging(admin: Admin, routers: Routers) -> None:
    """The number alone is not the state."""
    routers[1].obeys = False
    await connected(admin, *routers)
    routers[1].say(revision_pb2.RevisionToken(revision=99, chain="f" * 64))
    answer, _ = await visibility(admin, limit=0.3)
    assert (answer["visible_on"], answer["lagging"]) == (1, ["router-2"])


async def test_a_router_that_took_its_lease_just_before_the_commit_is_counted(admin: Admin, migrated_dsn: str) -> None:
    """Leases are read again after the commit, so no live router is forgotten, and it is dialled at once."""
    async with FakeRouter("late", migrated_dsn).serving():
        answer, ran_out = await visibility(admin)
    assert (answer["visible_on"], answer["of"]) == (1, 1)
    assert not ran_out


async def test_a_change_made_by_hand_reaches_the_routers(admin: Admin, routers: Routers) -> None:
    """The head is polled, and hinted as if it were our own."""
    await admin.create()
    await connected(admin, *routers)
    async with await psycopg.AsyncConnection.connect(admin.dsn, autocommit=True) as hand:
        await hand.execute("UPDATE channels SET status = 'DISABLED'")
    await eventually_async(lambda: all(router.applied.revision == 3 for router in routers))


async def test_two_admins_hint_the_same_routers(admin: Admin, routers: Routers, migrated_dsn: str) -> None:
    """There is no leader: each answers for its own commits, and sees the other's."""
    async with running_admin(migrated_dsn) as other:
        await connected(admin, *routers)
        await connected(other, *routers)
        first, _ = await visibility(admin)
        second = (await other.http.patch("/api/v1/channels/1", json={"weight": 3})).json()["visibility"]
    assert first["visible_on"] == second["visible_on"] == 2


async def test_a_router_that_comes_back_is_dialled_again(admin: Admin, migrated_dsn: str) -> None:
    """On the same address or on another."""
    router = FakeRouter("router-1", migrated_dsn)
    for _ in range(2):
        async with router.serving():
            await connected(admin, router)
            assert (await admin.http.post("/api/sync/channels")).json()["routers"][0]["reached"] is True
    assert router.streams >= 2


async def test_a_stranger_at_a_routers_address_is_not_taken_for_it(admin: Admin, migrated_dsn: str) -> None:
    """A port that another router has taken over."""
    async with FakeRouter("stranger", migrated_dsn).serving(leased=False) as stranger:
        async with await psycopg.AsyncConnection.connect(migrated_dsn, autocommit=True) as hand:
            await hand.execute(
                "INSERT INTO routers (id, address, incarnation, state, expire_time)"
                " VALUES ('router-1', %s, 'x', 'SERVING', now() + interval '1 minute')",
                (stranger.address,),
            )
        answer = (await admin.http.post("/api/sync/channels", params={"timeout": "500ms"})).json()
        await eventually_async(lambda: stranger.streams > 0)
        assert answer["routers"][0]["reached"] is False
        assert not admin.running.broadcaster.is_connected("router-1")


async def test_a_sync_tells_what_each_router_reached(admin: Admin, routers: Routers) -> None:
    """All are told the head anew; what went wrong with one is said beside it."""
    await connected(admin, *routers)
    routers[1].obeys = False
    await visibility(admin, wait="NONE")
    head = (await admin.http.get("/api/v1/revisions", params={"page_size": 1})).json()["revisions"][0]["token"]
    told = len(routers[1].told)
    answer = await admin.http.post("/api/sync/channels", json={"timeout": "300ms"})
    assert answer.status_code == 200
    assert (answer.json()["success"], answer.json()["token"]) == (True, head)
    one, two = answer.json()["routers"]
    assert one == {"router_id": "router-1", "applied": head, "reached": True, "fault": ""}
    assert (two["router_id"], two["reached"], two["fault"]) == ("router-2", False, "did not catch up in time")
    assert len(routers[1].told) > told


async def test_a_burst_of_changes_is_few_hints(admin: Admin, routers: Routers) -> None:
    """At most one hint is on its way to a router; newer ones merge."""
    await connected(admin, *routers)
    routers[1].mute = True
    before = len(routers[1].told)
    async with asyncio.TaskGroup() as tasks:
        for number in range(30):
            body = CHANNEL | {"name": f"c{number}"}
            tasks.create_task(admin.http.post("/api/v1/channels", json=body, params={"wait": "NONE"}))
    await eventually_async(lambda: routers[1].told[-1].revision == 31)
    assert routers[0].applied.revision == 31
    assert len(routers[1].told) - before <= 5, "the first, what merged behind it, and heartbeats"
