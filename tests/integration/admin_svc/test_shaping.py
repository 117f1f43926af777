"""How a channel shapes its requests, over both doors: stored, shown, changed by mask, and never more shown than may be."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from admin_svc.wire import plain_list, plain_object
from tests.integration.admin_svc.conftest import ENVIRONMENT, READ_TOKEN, Admin
from trunkline.secret import PROXY, Sealer, Secret
from trunkline.v1 import admin_pb2 as pb
from trunkline.v1 import catalog_pb2, router_pb2

PASSWORD = "pr0xy-s3cret"
PROXY_URL = f"socks5://user:{PASSWORD}@10.0.0.1:1080"
SHOWN = "socks5://10.0.0.1:1080"
OPERATIONS: list[Any] = [
    {"op": "rename", "path": "max_tokens", "to": "max_completion_tokens", "when": {"model": ["o1*", "o3*"]}},
    {"op": "default", "path": "metadata.tags.0", "value": None},
]
SHAPING: dict[str, Any] = {
    "provider_options": {"organization": "org-1"},
    "removed_headers": ["x-b", "x-a"],
    "system_prompt": "be kind",
    "system_prompt_mode": "PREPEND",
    "status_mapping": {"429": 503, "500": 502},
    "strict": True,
    "repeat_after_timeout": True,
}
PLAIN: dict[str, Any] = {
    "provider_options": {},
    "removed_headers": [],
    "system_prompt": "",
    "system_prompt_mode": "DEFAULT",
    "status_mapping": {},
    "proxy_url": "",
    "strict": False,
    "repeat_after_timeout": False,
    "parameter_overrides": {},
}


async def row_of(admin: Admin) -> dict[str, Any]:
    """The one channel's row, as a hand sees it."""
    async with await psycopg.AsyncConnection.connect(admin.dsn, row_factory=psycopg.rows.dict_row) as hand:
        row = await (await hand.execute("SELECT * FROM channels")).fetchone()
    assert row is not None
    return row


def opened(row: dict[str, Any]) -> str:
    """The proxy of a row, unsealed."""
    sealer = Sealer.parse(Secret(ENVIRONMENT["TRUNKLINE_ENCRYPTION_KEYS"]))
    return sealer.unseal(row["proxy_sealed"], row["id"], PROXY).reveal()


async def patched(admin: Admin, channel: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The channel after a patch that must be taken."""
    response = await admin.http.patch(f"/api/v1/channels/{channel['id']}", json=fields)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()["channel"]
    return answer


async def test_a_channel_that_says_nothing_is_shown_at_its_defaults(admin: Admin) -> None:
    """And leaves nothing in the router's view."""
    channel = await admin.create()
    assert {name: channel[name] for name in PLAIN} == PLAIN
    assert "parameter_operations" not in channel


async def test_what_is_written_is_read_back_and_can_be_sent_back(admin: Admin) -> None:
    """Over HTTP, whole and by parts; a patch of what was read changes nothing, the proxy's password neither."""
    channel = await admin.create(**SHAPING, parameter_overrides=OPERATIONS, proxy_url=PROXY_URL)
    assert {name: channel[name] for name in SHAPING} == SHAPING
    assert (channel["parameter_overrides"], channel["proxy_url"]) == (OPERATIONS, SHOWN)
    assert opened(await row_of(admin)) == PROXY_URL
    assert await patched(admin, channel, **channel) == channel
    assert opened(await row_of(admin)) == PROXY_URL
    for name, value in PLAIN.items():
        before, channel = channel, await patched(admin, channel, **{name: value})
        same = channel.keys() - {name, "etag", "revision", "update_time"}
        assert channel[name] == value != before[name]
        assert {other: channel[other] for other in same} == {other: before[other] for other in same}
    row = await row_of(admin)
    assert (row["proxy_sealed"], row["proxy_shown"], row["parameter_overrides"]) == (None, "", {})


async def test_null_takes_a_field_away(admin: Admin) -> None:
    """As an empty value does."""
    channel = await admin.create(**SHAPING, parameter_overrides=OPERATIONS, proxy_url=PROXY_URL)
    cleared = await patched(admin, channel, **dict.fromkeys(PLAIN))
    assert {name: cleared[name] for name in PLAIN} == PLAIN


async def test_overrides_change_from_members_to_operations_and_back(admin: Admin) -> None:
    """One value under one name, in the database too."""
    channel = await admin.create(parameter_overrides={"temperature": 0})
    assert (await patched(admin, channel, parameter_overrides=OPERATIONS))["parameter_overrides"] == OPERATIONS
    assert (await row_of(admin))["parameter_overrides"] == OPERATIONS
    assert (await patched(admin, channel, parameter_overrides={"n": 1}))["parameter_overrides"] == {"n": 1}
    assert (await patched(admin, channel, parameter_overrides=[]))["parameter_overrides"] == {}
    response = await admin.http.patch(f"/api/v1/channels/{channel['id']}", json={"parameter_operations": OPERATIONS})
    assert [fault["field"] for fault in response.json()["faults"]] == ["parameter_operations"]


async def test_over_grpc_the_two_spellings_are_two_fields(admin: Admin) -> None:
    """Either name in a mask means the one value; both at once are a fault."""
    sent = catalog_pb2.Channel(
        name="a",
        provider="openai",
        proxy_url=PROXY_URL,
        status_mapping={429: 503},
        system_prompt_mode=router_pb2.SYSTEM_PROMPT_MODE_PREPEND,
    )
    sent.parameter_operations.extend(OPERATIONS)
    created = (await admin.grpc.CreateChannel(pb.CreateChannelRequest(channel=sent))).channel
    assert plain_list(created.parameter_operations) == OPERATIONS
    assert not created.HasField("parameter_overrides")
    assert dict(created.status_mapping) == {429: 503}
    assert (created.proxy_url, created.system_prompt_mode) == (SHOWN, sent.system_prompt_mode)
    assert created.base_url == "https://api.openai.com/v1"
    update = pb.UpdateChannelRequest(channel=catalog_pb2.Channel(id=created.id))
    update.channel.parameter_overrides.update({"n": 1})
    for path in ("parameter_operations", "parameter_overrides"):
        update.update_mask.paths[:] = [path]
        updated = (await admin.grpc.UpdateChannel(update)).channel
        assert plain_object(updated.parameter_overrides) == {"n": 1}
        assert not updated.HasField("parameter_operations")
    update.channel.parameter_operations.extend(OPERATIONS)
    refusal = await admin.refusal(admin.grpc.UpdateChannel(update))
    assert [fault.field for fault in refusal.faults] == ["channel.parameter_operations"]


async def test_a_mask_of_everything_from_a_caller_who_knows_nothing_of_it_resets_it(admin: Admin) -> None:
    """An unspecified mode is the default one, for older callers send none."""
    created = await admin.create(**SHAPING, proxy_url=PROXY_URL)
    update = pb.UpdateChannelRequest(
        channel=catalog_pb2.Channel(id=created["id"], name="a", provider="p", base_url="http://h", models=["m"])
    )
    update.channel.groups.append("default")
    update.channel.status = catalog_pb2.CHANNEL_STATUS_ENABLED
    update.update_mask.paths.append("*")
    updated = (await admin.grpc.UpdateChannel(update)).channel
    assert updated.system_prompt_mode == router_pb2.SYSTEM_PROMPT_MODE_DEFAULT
    assert (updated.proxy_url, dict(updated.status_mapping)) == ("", {})


async def test_every_fault_is_answered_at_once_by_its_field(admin: Admin) -> None:
    """As the body names them."""
    body = {
        "name": "a",
        "provider": "azure-openai",
        "base_url": "",
        "provider_options": {"deployment": "../up"},
        "removed_headers": ["host name"],
        "parameter_overrides": [{"op": "delete", "path": "model"}, {"op": "set", "path": "a", "when": {"model": "*x"}}],
        "system_prompt_mode": "append",
        "status_mapping": {"200": 500, "no": 500, "500": "x"},
        "proxy_url": f"ftp://u:{PASSWORD}@h",
        "strict": "yes",
        "repeat_after_timeout": 1,
    }
    response = await admin.http.post("/api/v1/channels", json=body)
    assert response.status_code == 400
    assert sorted(fault["field"] for fault in response.json()["faults"]) == sorted(
        [
            "base_url",
            'provider_options["api_version"]',
            'provider_options["deployment"]',
            "removed_headers[0]",
            "parameter_overrides[0].path",
            "parameter_overrides[1].value",
            "parameter_overrides[1].when.model",
            "system_prompt_mode",
            'status_mapping["no"]',
            'status_mapping["500"]',
            "proxy_url",
            "strict",
            "repeat_after_timeout",
        ]
    )
    assert PASSWORD not in response.text


async def test_a_new_provider_is_refused_for_options_that_it_cannot_do_with(admin: Admin) -> None:
    """Else a channel would be saved that cannot work."""
    channel = await admin.create()
    path = f"/api/v1/channels/{channel['id']}"
    response = await admin.http.patch(path, json={"provider": "azure-openai"})
    assert [fault["field"] for fault in response.json()["faults"]] == ['provider_options["api_version"]']
    options = {"api_version": "2024-10-21"}
    assert (await patched(admin, channel, provider="azure-openai", provider_options=options))[
        "provider"
    ] == "azure-openai"


async def test_a_proxys_password_is_in_no_answer_and_no_row(admin: Admin) -> None:
    """Of any door or caller, in the answers kept for repeated requests neither."""
    channel = await admin.create(proxy_url=PROXY_URL, keys=["sk-upstream"])
    texts = [json.dumps(channel)]
    reader = {"authorization": f"Bearer {READ_TOKEN}"}
    for path in (f"/api/v1/channels/{channel['id']}", "/api/v1/channels", "/api/v1/revisions"):
        texts += [(await admin.http.get(path)).text, (await admin.http.get(path, headers=reader)).text]
    texts.append(str(await admin.grpc.GetChannel(pb.GetChannelRequest(channel_id=channel["id"]))))
    async with await psycopg.AsyncConnection.connect(admin.dsn) as hand:
        for table in ("channels", "revisions"):
            rows = await (await hand.execute(f"SELECT t::text FROM {table} AS t")).fetchall()
            texts += [text for (text,) in rows]
        kept = await (await hand.execute("SELECT response FROM revisions WHERE response IS NOT NULL")).fetchall()
    assert all(PASSWORD not in text for text in texts)
    assert all(PASSWORD.encode() not in answer for (answer,) in kept)
    assert SHOWN in texts[0]


@pytest.mark.parametrize(
    ("written", "kept"),
    [(SHOWN, True), ("socks5://10.0.0.1:1081", False), (f"socks5://other:{PASSWORD}@10.0.0.1:1080", False)],
)
async def test_what_was_shown_given_back_leaves_the_password(admin: Admin, written: str, *, kept: bool) -> None:
    """Anything else is a new proxy, with its own credentials or none."""
    channel = await admin.create(proxy_url=PROXY_URL)
    changed = await patched(admin, channel, proxy_url=written)
    assert opened(await row_of(admin)) == (PROXY_URL if kept else written)
    assert (changed["etag"] == channel["etag"]) is kept


async def test_what_a_hand_wrote_is_shown_as_far_as_it_can_be(admin: Admin) -> None:
    """No row makes a list unreadable, and text that holds JSON is read as routers read it."""
    await admin.create()
    async with await psycopg.AsyncConnection.connect(admin.dsn, autocommit=True) as hand:
        await hand.execute(
            """UPDATE channels SET system_prompt_mode = 'NEVER', status_mapping = '{"429": 503, "x": 1, "500": "y"}',
            provider_options = '"{\\"a\\": 1}"', removed_headers = '{NULL,x}', parameter_overrides = '[3, {"op": 1}]',
            proxy_sealed = 'damaged'"""
        )
    (channel,) = (await admin.http.get("/api/v1/channels")).json()["channels"]
    assert (channel["system_prompt_mode"], channel["status_mapping"]) == ("UNSPECIFIED", {"429": 503})
    assert (channel["provider_options"], channel["removed_headers"]) == ({"a": "1"}, ["x"])
    assert channel["parameter_overrides"] == [3, {"op": 1}]
    assert (await patched(admin, channel, weight=5))["weight"] == 5


async def test_what_the_schema_refuses_is_a_fault_of_a_field(admin: Admin) -> None:
    """Values that no router could read are the caller's to mend, not a fault inside."""
    deep: object = 1
    for _ in range(30):
        deep = {"a": deep}
    body = {"name": "deep", "provider": "openai", "base_url": "http://127.0.0.1:9/v1", "models": ["m"]}
    response = await admin.http.post("/api/v1/channels", json=body | {"parameter_overrides": {"a": deep}})
    assert response.status_code == 400, response.text
