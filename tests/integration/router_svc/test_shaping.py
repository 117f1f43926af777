"""How requests are shaped, from a hand in psql to the plan: read, followed, put aside when it cannot be read, kept secret."""

from __future__ import annotations

import json

import pytest

from tests.harness.waiting import PATIENCE
from tests.integration.router_svc.running import (
    ADMIN_TOKEN,
    PICK_TOKEN,
    SEALER,
    SERVICE_TOKEN,
    Client,
    Database,
    RunningRouter,
    refusal_of,
    running_router,
)
from trunkline.errors import Reason
from trunkline.secret import PROXY, Secret
from trunkline.v1 import router_pb2

PASSWORD = "pr0xy-s3cret"
PROXY_URL = f"http://user:{PASSWORD}@proxy:8080"
OPERATIONS = [{"op": "delete", "path": "user", "when": {"model": "m*"}}]
CHANGES = {
    "provider_options": """'"{\\"bot_id\\": \\"1\\"}"'""",
    "removed_headers": "'{X-A}'",
    "system_prompt": "'be kind'",
    "system_prompt_mode": "'PREPEND'",
    "status_mapping": """'{"429": 503}'""",
    "strict": "true",
    "repeat_after_timeout": "true",
    "parameter_overrides": f"'{json.dumps(OPERATIONS)}'",
}


async def reached_through(database: Database, channel_id: int, url: str = PROXY_URL, sealed_for: int = 0) -> None:
    """Have a channel reached through a proxy."""
    sealed = SEALER.seal(Secret(url), sealed_for or channel_id, PROXY)
    await database.run("UPDATE channels SET proxy_sealed = %s WHERE id = %s", sealed, channel_id)


async def candidates(client: Client, database: Database) -> list[router_pb2.Candidate]:
    """The candidates for `m` at head."""
    return list((await client.pick("m", min_token=await database.token())).candidates)


async def test_a_plan_says_how_requests_are_shaped(client: Client, database: Database) -> None:
    """Whatever a hand wrote, one column after the other; a channel that shapes nothing says nothing."""
    channel_id = await database.channel("a", ["m"])
    [plain] = await candidates(client, database)
    assert not plain.HasField("shaping")
    for column, value in CHANGES.items():
        await database.run(f"UPDATE channels SET {column} = {value}")
        [candidate] = await candidates(client, database)
        assert candidate.channel_revision == (await database.token()).revision
    await reached_through(database, channel_id)
    [candidate] = await candidates(client, database)
    assert candidate.shaping == router_pb2.Shaping(
        provider_options={"bot_id": "1"},
        removed_headers=["x-a"],
        system_prompt="be kind",
        system_prompt_mode=router_pb2.SYSTEM_PROMPT_MODE_PREPEND,
        status_mapping={429: 503},
        proxy_url=PROXY_URL,
        strict=True,
        repeat_after_timeout=True,
    )
    assert json.loads(candidate.parameter_overrides_json) == OPERATIONS
    for column in (*CHANGES, "proxy_sealed"):
        await database.run(f"UPDATE channels SET {column} = DEFAULT")
    [candidate] = await candidates(client, database)
    plain.channel_revision = candidate.channel_revision
    assert candidate == plain


async def test_what_was_followed_is_what_is_there(migrated_dsn: str, database: Database) -> None:
    """A router that read every change by itself holds what one reads that starts now."""
    async with running_router(migrated_dsn) as running:
        await running.ready()
        one, two = await database.channel("a", ["m"]), await database.channel("b", ["m"])
        for column, value in CHANGES.items():
            await database.run(f"UPDATE channels SET {column} = {value} WHERE id = %s", one)
            await candidates(running.client(), database)
            assert await running.router.scrub._scrub() == "same"
        await reached_through(database, two)
        await candidates(running.client(), database)
        assert await running.router.scrub._scrub() == "same"
        async with running_router(migrated_dsn) as second:
            await second.ready()
            assert (await second.client().status()).digest == (await running.client().status()).digest


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status_mapping", """'{"429": "s3cret"}'"""),
        ("status_mapping", """'{"429": 200}'"""),
        ("status_mapping", "'[]'"),
        ("system_prompt_mode", "'s3cret'"),
        ("removed_headers", "'{NULL}'"),
        ("provider_options", """'{"a": ["s3cret"]}'"""),
        ("proxy_sealed", "'http://user:s3cret@proxy'"),
        ("parameter_overrides", """'[{"op": "set", "path": "model", "value": "s3cret"}]'"""),
    ],
)
async def test_a_shaping_that_cannot_be_read_puts_its_row_aside_alone(
    client: Client, reader: Client, database: Database, column: str, value: str
) -> None:
    """Its last good version serves on, the others as ever, and the repair ends it."""
    bad = await database.channel("a", ["m"], priority=9)
    good = await database.channel("b", ["m"])
    await candidates(client, database)
    await database.run(f"UPDATE channels SET {column} = {value}, strict = true WHERE id = %s", bad)
    await database.run("UPDATE channels SET strict = true WHERE id = %s", good)
    held, other = await candidates(client, database)
    assert ((held.channel_id, held.shaping.strict), (other.channel_id, other.shaping.strict)) == (
        (bad, False),
        (good, True),
    )
    [row] = (await reader.status()).quarantine
    assert (row.kind, row.id, row.served_revision) == ("channel", str(bad), held.channel_revision)
    assert column in row.fault
    assert "s3cret" not in row.fault
    await database.run(f"UPDATE channels SET {column} = DEFAULT WHERE id = %s", bad)
    repaired, _ = await candidates(client, database)
    assert repaired.shaping.strict
    assert not (await client.status()).quarantine


@pytest.mark.parametrize("keys", [("sk-upstream",), ()], ids=["with keys", "without"])
async def test_a_proxy_sealed_for_another_channel_takes_its_own_out(
    client: Client, reader: Client, database: Database, keys: tuple[str, ...]
) -> None:
    """Nothing goes around a proxy; the status says whose it is, and a proxy that opens brings the channel back."""
    first = await database.channel("a", ["m"], keys=keys, priority=9)
    second = await database.channel("b", ["m"])
    await reached_through(database, first, sealed_for=second)
    for _ in range(3):
        assert [candidate.channel_id for candidate in await candidates(client, database)] == [second]
    [row] = (await reader.status()).quarantine
    assert (row.id, PASSWORD in row.fault) == (str(first), False)
    assert row.fault.startswith("proxy of channel")
    await reached_through(database, first)
    both = await candidates(client, database)
    assert [candidate.channel_id for candidate in both] == [first, second]
    assert both[0].shaping.proxy_url == PROXY_URL
    assert not (await client.status()).quarantine


async def test_a_proxy_is_for_those_who_may_have_keys(
    router: RunningRouter, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Callers without the scope get the rest; ExplainPick, status and log show it to nobody."""
    channel_id = await database.channel("a", ["m"])
    await reached_through(database, channel_id)
    await database.run("UPDATE channels SET strict = true")
    client = router.client()
    [candidate] = await candidates(client, database)
    assert candidate.shaping.proxy_url == PROXY_URL
    for token in (PICK_TOKEN, ADMIN_TOKEN):
        [candidate] = (await router.client(token).pick("m")).candidates
        assert candidate.shaping == router_pb2.Shaping(
            strict=True, system_prompt_mode=router_pb2.SYSTEM_PROMPT_MODE_DEFAULT
        )
    request = router_pb2.ExplainPickRequest(pick=router_pb2.Pick(group="default", model="m"))
    answer = await client.stub.ExplainPick(request, metadata=client.metadata, timeout=PATIENCE)
    assert PASSWORD not in f"{answer}{await client.status()}"
    await reached_through(database, channel_id, url=PROXY_URL, sealed_for=channel_id + 1)
    refusal = await refusal_of(client.pick("m", min_token=await database.token()))
    assert (refusal.reason, PASSWORD in refusal.message) == (Reason.UNVERIFIED, False)
    assert "cannot be opened" in (logged := "".join(capsys.readouterr()))
    assert PASSWORD not in logged


async def test_what_reaches_an_account_is_masked_however_a_plan_is_asked_for(
    router: RunningRouter, database: Database
) -> None:
    """PickChannel, PickChannels and ExplainPick: values of header overrides and the system prompt need `credentials`."""
    await database.channel("a", ["m"])
    await database.run(
        """UPDATE channels SET header_overrides = '{"X-Team": "s3cret"}', system_prompt = 's3cret words'"""
    )
    token = await database.token()
    pick = router_pb2.Pick(group="default", model="m", min_token=token)
    for caller, clear in ((SERVICE_TOKEN, True), (PICK_TOKEN, False), (ADMIN_TOKEN, False)):
        client = router.client(caller)
        unary = await client.stub.PickChannel(
            router_pb2.PickChannelRequest(pick=pick), metadata=client.metadata, timeout=PATIENCE
        )
        stream = client.stub.PickChannels(metadata=client.metadata, timeout=PATIENCE)
        await stream.write(router_pb2.PickChannelsRequest(items=[router_pb2.PickChannelsRequest.Item(id=1, pick=pick)]))
        streamed = await stream.read()
        await stream.done_writing()
        assert isinstance(streamed, router_pb2.PickChannelsResponse)
        explained = await client.stub.ExplainPick(
            router_pb2.ExplainPickRequest(pick=pick), metadata=client.metadata, timeout=PATIENCE
        )
        for plan, shown in ((unary.plan, clear), (streamed.results[0].plan, clear), (explained.plan, False)):
            [candidate] = plan.candidates
            assert candidate.header_overrides == {"X-Team": "s3cret" if shown else "••••"}
            assert candidate.shaping.system_prompt == ("s3cret words" if shown else "••••")
