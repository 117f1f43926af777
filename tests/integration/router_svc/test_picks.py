"""Picks against a real database: plans from memory, refusals proven, changes in force."""

from __future__ import annotations

import pytest

from router_svc.catalog import one_state_a_read
from router_svc.follower import State
from router_svc.lease import Holder, Identity, leave, renew
from router_svc.snapshot import Token
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.router_svc.running import (
    ADMIN_TOKEN,
    PICK_TOKEN,
    Client,
    Database,
    RunningRouter,
    refusal_of,
    running_router,
)
from trunkline.errors import Code, Reason
from trunkline.v1 import revision_pb2, router_pb2


async def test_a_plan_names_channel_key_and_token(client: Client, database: Database) -> None:
    """All that an attempt needs, and the state that decided."""
    channel_id = await database.channel("a", ["m"], keys=("sk-upstream-1",), priority=3)
    plan = await client.pick("m")
    [candidate] = plan.candidates
    assert (candidate.channel_id, candidate.channel_name, candidate.key) == (channel_id, "a", "sk-upstream-1")
    assert (candidate.upstream_model, candidate.priority, candidate.base_url) == ("m", 3, "http://127.0.0.1:9/v1")
    assert plan.token == await database.token()
    assert candidate.channel_revision == plan.token.revision
    assert not plan.degraded


async def test_whole_keys_are_for_those_who_may_have_them(router: RunningRouter, database: Database) -> None:
    """A caller without the scope sees the last four characters; one without `pick` nothing at all."""
    await database.channel("a", ["m"], keys=("sk-upstream-1",))
    [candidate] = (await router.client(PICK_TOKEN).pick("m")).candidates
    assert (candidate.key, candidate.key_last_four) == ("", "am-1")
    [candidate] = (await router.client(ADMIN_TOKEN).pick("m")).candidates
    assert candidate.key == ""
    assert (await refusal_of(router.client("wrong").pick("m"))).reason is Reason.TOKEN_INVALID


async def test_reads_see_one_state_and_change_nothing(database: Database) -> None:
    """Whatever the digest would find afterwards: reads for single picks are held against none."""
    await one_state_a_read(database.connection)
    async with database.connection.transaction():
        assert await database.run("SHOW transaction_isolation") == [("repeatable read",)]
        assert await database.run("SHOW transaction_read_only") == [("on",)]


async def test_a_router_that_leaves_takes_no_lease_but_its_own(database: Database) -> None:
    """Its successor under the same id may have come already, and must go on being waited for."""
    token = Token(1, "00")
    old, new = Identity("r", "old", "1"), Identity("r", "new", "1")
    assert (await renew(database.connection, old, "127.0.0.1:1", token, State.SERVING)).granted
    refused = await renew(database.connection, new, "127.0.0.1:2", token, State.SERVING)
    assert (refused.granted, refused.holder) == (False, Holder("r", "127.0.0.1:1", "old"))
    await database.run("UPDATE routers SET expire_time = now()")
    assert (await renew(database.connection, new, "127.0.0.1:2", token, State.SERVING)).granted
    await leave(database.connection, old)
    assert await database.run("SELECT incarnation FROM routers") == [("new",)]
    await leave(database.connection, new)
    assert await database.run("SELECT incarnation FROM routers") == []


async def test_a_refusal_is_never_said_of_what_was_committed_before_the_pick(
    client: Client, database: Database
) -> None:
    """Channels, models, groups and API keys that were just committed are found by the very next pick."""
    for number in range(10):
        await database.channel(f"c{number}", [f"model {number}"], groups=("default", f"group {number}"))
        assert (await client.pick(f"model {number}")).candidates
        assert (await client.pick(f"model {number}", f"group {number}")).candidates
        api_key_id = await database.api_key(f"sk-{number}")
        assert (await client.pick(f"model {number}", api_key=f"sk-{number}")).api_key_id == api_key_id
        await database.run("UPDATE channels SET status = 'DISABLED' WHERE name = %s", f"c{number}")
        refusal = await refusal_of(client.pick(f"model {number}", min_token=await database.token()))
        assert refusal.reason is Reason.NO_CHANNEL
        await database.run("UPDATE channels SET status = 'ENABLED' WHERE name = %s", f"c{number}")
        assert (await client.pick(f"model {number}")).candidates


async def test_changes_by_hand_are_in_force_by_the_next_poll(client: Client, database: Database) -> None:
    """Without any hint: a channel, an ability and a key switched off, a model taken away, another priority."""
    for model in ("m", "n", "o", "p", "q"):
        await database.channel(f"channel of {model}", [model])
        assert (await client.pick(model)).candidates
    await database.run("UPDATE channels SET status = 'DISABLED' WHERE name = 'channel of m'")
    await database.run("UPDATE abilities SET enabled = false WHERE model = 'n'")
    await database.run(
        "UPDATE channel_keys AS k SET status = 'DISABLED' FROM channels AS c"
        " WHERE c.id = k.channel_id AND c.name = 'channel of o'"
    )
    await database.run("DELETE FROM channel_models WHERE model = 'p'")
    await database.run("UPDATE channels SET priority = 5 WHERE name = 'channel of q'")

    async def in_force() -> bool:
        return (await client.pick("q")).candidates[0].priority == 5

    await eventually_async(in_force)
    reasons = [(await refusal_of(client.pick(model))).reason for model in ("m", "n", "o", "p")]
    assert reasons == [Reason.NO_CHANNEL, Reason.NO_CHANNEL, Reason.NO_CHANNEL, Reason.MODEL_UNKNOWN]


async def test_every_refusal_says_why(client: Client, database: Database) -> None:
    """Reason, code and values; all proven."""
    await database.channel("a", ["m"])
    await database.channel("b", ["vip-only"], groups=("vip",))
    off = await database.channel("c", ["off"])
    await database.run("UPDATE channels SET status = 'DISABLED' WHERE id = %s", off)
    await database.api_key("sk-off", status="DISABLED")
    await database.api_key("sk-old", expire_time="2001-01-01")
    await database.api_key("sk-narrow", model_allow_list=["x*"])
    await database.api_key("sk-near", address_allow_list=["10.0.0.0/8"])
    expected = [
        ({"model": "none"}, Reason.MODEL_UNKNOWN, Code.NOT_FOUND),
        ({"model": "vip-only"}, Reason.MODEL_NOT_IN_GROUP, Code.NOT_FOUND),
        ({"model": "off"}, Reason.NO_CHANNEL, Code.FAILED_PRECONDITION),
        ({"model": "m", "api_key": "sk-none"}, Reason.API_KEY_UNKNOWN, Code.UNAUTHENTICATED),
        ({"model": "m", "api_key": "sk-off"}, Reason.API_KEY_DISABLED, Code.UNAUTHENTICATED),
        ({"model": "m", "api_key": "sk-old"}, Reason.API_KEY_EXPIRED, Code.UNAUTHENTICATED),
        ({"model": "m", "api_key": "sk-narrow"}, Reason.MODEL_NOT_ALLOWED, Code.PERMISSION_DENIED),
        (
            {"model": "m", "api_key": "sk-near", "client_address": "9.9.9.9"},
            Reason.ADDRESS_NOT_ALLOWED,
            Code.PERMISSION_DENIED,
        ),
        ({"model": ""}, Reason.INVALID_FIELDS, Code.INVALID_ARGUMENT),
    ]  # fmt: skip
    for pick, reason, code in expected:
        refusal = await refusal_of(client.pick(**pick))  # type: ignore[arg-type]  # fields by name
        assert (refusal.reason, refusal.code) == (reason, code)
        assert refusal.retry_delay is None
    plan = await client.pick("m", api_key="sk-near", client_address="10.1.2.3")
    assert plan.group == "default"


async def test_a_pick_with_a_token_reads_its_callers_own_write(client: Client, database: Database) -> None:
    """A plan for a revision is never older than it, though nobody hinted."""
    await database.channel("a", ["m"], priority=1)
    await client.pick("m")
    for priority in range(2, 12):
        await database.run("UPDATE channels SET priority = %s", priority)
        plan = await client.pick("m", min_token=await database.token())
        assert plan.candidates[0].priority == priority


async def test_a_token_of_no_known_history_is_refused(client: Client, database: Database) -> None:
    """Another chain, or a revision that does not exist: FAILED_PRECONDITION, not an endless wait."""
    await database.channel("a", ["m"])
    head = await database.token()
    await client.pick("m")
    for wrong in (
        revision_pb2.RevisionToken(revision=head.revision, chain="00"),
        revision_pb2.RevisionToken(revision=head.revision + 5, chain="11"),
    ):
        refusal = await refusal_of(client.pick("m", min_token=wrong))
        assert (refusal.reason, refusal.code) == (Reason.LOST_BRANCH, Code.FAILED_PRECONDITION)
    by_number = revision_pb2.RevisionToken(revision=head.revision)
    assert (await client.pick("m", min_token=by_number)).candidates


async def test_an_old_token_is_looked_up(migrated_dsn: str, database: Database) -> None:
    """History older than what a router keeps in memory is in the database; pruned history was reached long ago."""
    await database.channel("a", ["m"])
    old = await database.token()
    for _ in range(3):
        await database.run("UPDATE channels SET weight = weight + 1")
    async with running_router(migrated_dsn) as running:
        await running.ready()
        cache, client = running.router.cache, running.client()
        assert cache.snapshot is not None
        cache._lineage.restart([], cache.snapshot.token)
        assert (await client.pick("m", min_token=old)).candidates
        foreign = revision_pb2.RevisionToken(revision=old.revision, chain="00")
        cache._lineage.restart([], cache.snapshot.token)
        assert (await refusal_of(client.pick("m", min_token=foreign))).reason is Reason.LOST_BRANCH


async def test_a_row_that_cannot_be_read_harms_nobody_else(client: Client, reader: Client, database: Database) -> None:
    """It is reported, its last good version serves on, and its repair ends the quarantine."""
    first = await database.channel("a", ["m"])
    second = await database.channel("b", ["m"], priority=9)
    await client.pick("m", min_token=await database.token())
    await database.run("UPDATE channels SET header_overrides = '[\"sk-secret\"]', priority = 20 WHERE id = %s", second)
    third = await database.channel("c", ["m"], priority=5)
    plan = await client.pick("m", min_token=await database.token())
    assert [candidate.channel_id for candidate in plan.candidates] == [second, third, first]
    assert plan.candidates[0].priority == 9
    [row] = (await reader.status()).quarantine
    assert (row.kind, row.id) == ("channel", str(second))
    assert row.served_revision == plan.candidates[0].channel_revision < row.revision
    assert "secret" not in row.fault
    await database.run("UPDATE channels SET header_overrides = '{}' WHERE id = %s", second)
    plan = await client.pick("m", min_token=await database.token())
    assert plan.candidates[0].priority == 20
    assert not (await client.status()).quarantine


async def test_a_bad_row_that_is_switched_off_or_deleted_goes(client: Client, database: Database) -> None:
    """Quarantine never keeps alive what an operator took away."""
    first = await database.channel("a", ["m"])
    second = await database.channel("b", ["m"])
    await client.pick("m", min_token=await database.token())
    await database.run("UPDATE channels SET header_overrides = '[]'")
    await database.run("UPDATE channels SET status = 'DISABLED' WHERE id = %s", first)
    plan = await client.pick("m", min_token=await database.token())
    assert [candidate.channel_id for candidate in plan.candidates] == [second]
    await database.run("DELETE FROM channels WHERE id = %s", second)
    refusal = await refusal_of(client.pick("m", min_token=await database.token()))
    assert refusal.reason in (Reason.NO_CHANNEL, Reason.MODEL_UNKNOWN)


async def test_a_key_sealed_for_another_row_is_not_used(client: Client, reader: Client, database: Database) -> None:
    """The next key or channel serves, and the status says which key is at fault."""
    first = await database.channel("a", ["m"], keys=("sk-good",), priority=9)
    second = await database.channel("b", ["m"])
    bad = await database.key(first, "sk-other")
    await database.run(
        "UPDATE channel_keys SET sealed = (SELECT sealed FROM channel_keys WHERE channel_id = %s) WHERE id = %s",
        second, bad,
    )  # fmt: skip
    token = await database.token()
    for _ in range(10):
        plan = await client.pick("m", min_token=token)
        assert [candidate.key for candidate in plan.candidates] == ["sk-good", "sk-upstream"]
    rows = (await reader.status()).quarantine
    assert [(row.kind, row.id) for row in rows] == [("channel", str(first))]
    assert str(bad) in rows[0].fault


async def test_a_large_change_and_a_large_catalog_are_read_in_slices(migrated_dsn: str, database: Database) -> None:
    """Thousands of channels in one statement arrive whole, by delta and by full load alike."""
    await database.run("INSERT INTO groups (name) VALUES ('default') ON CONFLICT DO NOTHING")
    async with running_router(migrated_dsn) as running:
        await running.ready()
        async with database.connection.transaction():
            await database.run(
                "INSERT INTO channels (name, provider, base_url) SELECT 'c' || n, 'openai', 'http://h' FROM"
                " generate_series(1, 3000) AS n"
            )
            await database.run("INSERT INTO channel_groups SELECT id, 'default' FROM channels")
            await database.run("INSERT INTO channel_models SELECT id, 'm' || id % 7 FROM channels")
        await running.client().pick("m3", min_token=await database.token(), limit=5.0)
        followed = await running.client().status()
        assert (followed.channel_count, followed.ability_count) == (3000, 3000)
        async with running_router(migrated_dsn) as second:
            await second.ready()
            loaded = await second.client().status()
            assert loaded.digest == followed.digest
            assert loaded.channel_count == 3000
        await database.run("DELETE FROM channels WHERE id % 2 = 0")
        await running.client().pick("m3", min_token=await database.token(), limit=5.0)
        assert (await running.client().status()).channel_count == 1500


async def test_explain_tells_every_channel_considered(client: Client, database: Database) -> None:
    """The plan without keys, shares, ranks, and why others are out."""
    first = await database.channel("a", ["m"], weight=3)
    second = await database.channel("b", ["m"], weight=1)
    off = await database.channel("c", ["m"])
    await database.run("UPDATE channels SET status = 'DISABLED' WHERE id = %s", off)
    request = router_pb2.ExplainPickRequest(pick=router_pb2.Pick(group="default", model="m"))
    request.pick.min_token.CopyFrom(await database.token())
    answer = await client.stub.ExplainPick(request, metadata=client.metadata, timeout=PATIENCE)
    told = {entry.channel_id: entry for entry in answer.considered}
    assert (told[first].share, told[second].share, told[off].out_reason) == (0.75, 0.25, "channel_disabled")
    assert {told[first].rank, told[second].rank} == {1, 2}
    assert all(candidate.key == "" for candidate in answer.plan.candidates)
    request.pick.model = "none"
    answer = await client.stub.ExplainPick(request, metadata=client.metadata, timeout=PATIENCE)
    assert answer.refusal.code == Code.NOT_FOUND
    assert not answer.HasField("plan")


async def test_models_are_listed_for_a_key_and_for_a_group(client: Client, database: Database) -> None:
    """Only what this caller may use; an unknown key is refused, a new one found at once."""
    await database.channel("a", ["m", "gpt-*"])
    await database.channel("b", ["n"], groups=("vip",))

    async def names(**caller: str) -> list[str]:
        request = router_pb2.ListModelsRequest(**caller)  # type: ignore[arg-type]  # fields by name
        answer = await client.stub.ListModels(request, metadata=client.metadata, timeout=PATIENCE)
        return [model.name for model in answer.models]

    assert await names(group="default") == ["gpt-*", "m"]
    assert await names(group="vip") == ["n"]
    assert await names(group="nobody") == []
    assert (await refusal_of(names(api_key="sk-1"))).reason is Reason.API_KEY_UNKNOWN
    await database.api_key("sk-1", fallback_groups=["vip"], model_allow_list=["gpt-4o", "n"])
    assert await names(api_key="sk-1") == ["gpt-4o", "n"]
    await database.channel("c", ["p"], groups=("new",))
    assert await names(group="new") == ["p"]


async def test_outcomes_are_taken_message_by_message(client: Client, router: RunningRouter) -> None:
    """Each message is acknowledged, and the latest of a channel is kept."""
    call = client.stub.ReportOutcomes(metadata=client.metadata, timeout=PATIENCE)
    outcome = router_pb2.Outcome(channel_id=7, result=router_pb2.OUTCOME_RESULT_UPSTREAM_ERROR, http_status=500)
    for count in (1, 3):
        await call.write(router_pb2.ReportOutcomesRequest(outcomes=[outcome] * count))
        answer = await call.read()
        assert isinstance(answer, router_pb2.ReportOutcomesResponse)
        assert answer.accepted == count
    await call.done_writing()
    record = router.router.parts.outcomes.of(7)
    assert record is not None
    assert (record.failures, record.last_http_status) == (4, 500)


async def test_routers_name_each_other_and_leave_at_once(migrated_dsn: str, router: RunningRouter) -> None:
    """A relay finds every router from one of them; a drained router is nobody's peer."""
    client = router.client()

    own = (await client.status()).router_id

    async def peers_are(expected: set[str]) -> bool:
        return {peer.router_id for peer in (await client.status()).peers} == expected

    async with running_router(migrated_dsn, TRUNKLINE_ROUTER_ID="second") as second:
        await second.ready()
        await eventually_async(lambda: peers_are({own, "second"}))
    await eventually_async(lambda: peers_are({own}))


@pytest.mark.parametrize("sync_frequency", ["0.1", "3600"])
async def test_the_poll_can_only_be_shortened(migrated_dsn: str, database: Database, sync_frequency: str) -> None:
    """A catalog is followed every second at the latest, whatever SYNC_FREQUENCY says."""
    async with running_router(migrated_dsn, SYNC_FREQUENCY=sync_frequency, NODE_TYPE="slave") as running:
        await running.ready()
        await database.channel("a", ["m"])
        head = await database.token()
        await eventually_async(lambda: _applied(running, head))


async def _applied(running: RunningRouter, head: revision_pb2.RevisionToken) -> bool:
    return (await running.client().status()).applied == head
