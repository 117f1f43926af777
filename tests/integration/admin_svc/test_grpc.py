"""The gRPC door: masks, faults by path, scopes, and the plumbing around them."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import field_mask_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.harness.waiting import PATIENCE
from tests.integration.admin_svc.conftest import READ_TOKEN, Admin, WithToken
from trunkline.errors import Code, Reason
from trunkline.v1 import admin_pb2 as pb
from trunkline.v1 import admin_pb2_grpc, catalog_pb2

OFF, KEY_OFF = catalog_pb2.CHANNEL_STATUS_DISABLED, catalog_pb2.API_KEY_STATUS_DISABLED


def update(mask: list[str], **fields: Any) -> pb.UpdateChannelRequest:
    """A change of channel 1."""
    channel = catalog_pb2.Channel(id=1, **fields)
    return pb.UpdateChannelRequest(channel=channel, update_mask=field_mask_pb2.FieldMask(paths=mask))


async def test_a_mask_changes_what_it_names_and_nothing_else(admin: Admin) -> None:
    """Unset fields that are named are cleared; `*` names them all."""
    await admin.create(remark="r", tags=["t"], weight=5)
    changed = (await admin.grpc.UpdateChannel(update(["tags", "timeouts.idle"], remark="ignored"))).channel
    assert (list(changed.tags), changed.remark, changed.weight) == ([], "r", 5)
    whole = {"name": "b", "provider": "p", "base_url": "http://h", "status": 2}
    changed = (await admin.grpc.UpdateChannel(update(["*"], **whole))).channel
    assert (changed.name, changed.weight, list(changed.models), changed.status) == ("b", 1, [], 2)


async def test_a_mask_that_names_nothing_or_what_only_the_server_gives_is_a_fault(admin: Admin) -> None:
    """Each path that cannot be changed is named."""
    await admin.create()
    refusal = await admin.refusal(admin.grpc.UpdateChannel(update(["keys", "weight", "timeouts.x"])))
    assert [fault.field for fault in refusal.faults] == ["update_mask", "update_mask"]
    assert "keys" in refusal.message
    refusal = await admin.refusal(admin.grpc.UpdateChannel(update([])))
    assert refusal.faults[0].description == "must name a field to change"


async def test_faults_are_named_by_their_path_in_the_request(admin: Admin) -> None:
    """Those of the channel under `channel`, those of the keys beside it, all at once."""
    request = pb.CreateChannelRequest(channel=catalog_pb2.Channel(base_url="x", models=["m", "*x"]), keys=["", "a\nb"])
    refusal = await admin.refusal(admin.grpc.CreateChannel(request))
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, Reason.INVALID_FIELDS)
    assert [fault.field for fault in refusal.faults] == [
        "channel.name",
        "channel.provider",
        "channel.base_url",
        "channel.models[1]",
        "keys[0]",
        "keys[1]",
    ]
    request = pb.CreateChannelRequest(request_id="x")
    request.wait.mode = 77  # type: ignore[assignment]  # a newer client's
    request.wait.timeout.FromSeconds(-1)
    refusal = await admin.refusal(admin.grpc.CreateChannel(request))
    assert [fault.field for fault in refusal.faults] == [
        "request_id",
        "wait.mode",
        "wait.timeout",
        "channel.name",
        "channel.provider",
        "channel.base_url",
    ]
    request = pb.CreateChannelRequest(channel=catalog_pb2.Channel(status=77))  # type: ignore[arg-type]
    assert "channel.status" in {
        fault.field for fault in (await admin.refusal(admin.grpc.CreateChannel(request))).faults
    }
    key = catalog_pb2.ApiKey(name="k")
    key.expire_time.seconds = 1 << 60
    refusal = await admin.refusal(admin.grpc.CreateApiKey(pb.CreateApiKeyRequest(api_key=key)))
    assert [fault.field for fault in refusal.faults] == ["api_key.expire_time"]


async def test_scopes_and_deadlines_are_asked_for(admin: Admin) -> None:
    """A reader reads and does not write; nobody calls without a deadline or a token."""
    async with grpc.aio.insecure_channel(admin.running.grpc_address) as channel:
        reader = WithToken(channel, READ_TOKEN)
        assert (await reader.ListGroups(pb.ListGroupsRequest())).groups[0].name == "default"
        assert (await admin.refusal(reader.DeleteGroup(pb.DeleteGroupRequest(name="x")))).reason == Reason.SCOPE_MISSING
        assert (await admin.refusal(reader.SyncChannels(pb.SyncChannelsRequest()))).reason == Reason.SCOPE_MISSING
        bare = admin_pb2_grpc.AdminServiceStub(channel)
        assert (
            await admin.refusal(bare.ListGroups(pb.ListGroupsRequest(), timeout=PATIENCE))
        ).reason == Reason.TOKEN_INVALID
        metadata = (("authorization", f"Bearer {READ_TOKEN}"),)
        refusal = await admin.refusal(bare.ListGroups(pb.ListGroupsRequest(), metadata=metadata))
        assert refusal.reason == Reason.DEADLINE_MISSING
        health: Any = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest(service="trunkline.v1.AdminService")
        assert (await health.Check(asked, timeout=PATIENCE)).status == health_pb2.HealthCheckResponse.SERVING


async def test_every_method_answers_over_grpc(admin: Admin) -> None:
    """The whole life of each resource, by the methods of the service."""
    call = admin.grpc
    await call.CreateGroup(pb.CreateGroupRequest(group=catalog_pb2.Group(name="vip")))
    draft = catalog_pb2.Channel(name="a", provider="p", base_url="http://h", models=["m"], groups=["vip"], weight=0)
    channel = (await call.CreateChannel(pb.CreateChannelRequest(channel=draft, keys=["sk-a-long-enough-key"]))).channel
    assert channel.weight == 0
    assert (await call.GetChannel(pb.GetChannelRequest(channel_id=channel.id))).channel == channel
    assert list((await call.ListChannels(pb.ListChannelsRequest(group="vip"))).channels) == [channel]
    added = await call.AddChannelKeys(pb.AddChannelKeysRequest(channel_id=channel.id, keys=["another-long-key"]))
    keys = (await call.ListChannelKeys(pb.ListChannelKeysRequest(channel_id=channel.id))).keys
    assert list(keys) == [*channel.keys, *added.keys]
    changed = pb.UpdateChannelKeyRequest(channel_id=channel.id, key=catalog_pb2.ChannelKey(id=keys[0].id, status=OFF))
    changed.update_mask.paths.append("status")
    assert (await call.UpdateChannelKey(changed)).key.status == OFF
    await call.DeleteChannelKey(pb.DeleteChannelKeyRequest(channel_id=channel.id, key_id=keys[1].id))
    own = pb.SetAbilityOverrideRequest(group="vip", model="m", channel_id=channel.id, weight=4)
    assert (await call.SetAbilityOverride(own)).ability.weight == 4
    assert (await call.ListAbilities(pb.ListAbilitiesRequest(channel_id=channel.id))).abilities[0].overridden
    follow = pb.DeleteAbilityOverrideRequest(group="vip", model="m", channel_id=channel.id)
    assert (await call.DeleteAbilityOverride(follow)).ability.weight == 0
    key = (await call.CreateApiKey(pb.CreateApiKeyRequest(api_key=catalog_pb2.ApiKey(name="k", group="vip")))).api_key
    assert (await call.GetApiKey(pb.GetApiKeyRequest(api_key_id=key.id))).api_key.secret == ""
    off = pb.UpdateApiKeyRequest(api_key=catalog_pb2.ApiKey(id=key.id, status=KEY_OFF, etag=key.etag))
    off.update_mask.paths.append("status")
    assert (await call.UpdateApiKey(off)).api_key.status == KEY_OFF
    assert len((await call.ListApiKeys(pb.ListApiKeysRequest(group="vip"))).api_keys) == 1
    await call.DeleteApiKey(pb.DeleteApiKeyRequest(api_key_id=key.id))
    await call.DeleteGroup(pb.DeleteGroupRequest(name="vip"))
    deleted = await call.DeleteChannel(pb.DeleteChannelRequest(channel_id=channel.id))
    assert (await call.SyncChannels(pb.SyncChannelsRequest())).token == deleted.token
    assert not (await call.ListRouters(pb.ListRoutersRequest())).routers
    revisions = (await call.ListRevisions(pb.ListRevisionsRequest(page_size=1000))).revisions
    assert revisions[0].token == deleted.token
    assert (revisions[0].action, list(revisions[0].touched_channel_ids)) == ("DeleteChannel", [channel.id])
