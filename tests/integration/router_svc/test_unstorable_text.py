"""Text that Postgres cannot store, in every string field that a router takes: its caller's fault, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf import message_factory

from tests.harness.string_fields import string_fields
from tests.harness.waiting import PATIENCE
from tests.integration.router_svc.running import ADMIN_TOKEN, Database, RunningRouter, refusal_of, running_router
from trunkline.auth import TO_INVALIDATE, bound
from trunkline.errors import Reason
from trunkline.rpc import read_error
from trunkline.secret import Secret
from trunkline.v1 import error_reason_pb2, router_pb2

SERVICE = router_pb2.DESCRIPTOR.services_by_name["RouterService"]
HOSTILE = ("\0", "a\0", "日本\0", "a\0b")


@pytest.fixture(params=["true", "false"], ids=["cached", "uncached"])
async def router(migrated_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[RunningRouter]:
    """A router, with its cache on and off."""
    async with running_router(migrated_dsn, TRUNKLINE_ROUTER_CACHE=request.param) as running:
        await running.ready()
        yield running


async def test_a_nul_in_any_string_field_of_any_call_is_never_the_routers_fault(
    router: RunningRouter, database: Database
) -> None:
    """Refused as the caller's, or of no meaning there; and picks go on."""
    client = router.client()
    invalidates = router.client(bound(Secret(ADMIN_TOKEN), TO_INVALIDATE, router.address).reveal())
    await database.channel("a", ["m"])
    token = await database.token()
    tried = 0
    wrong: list[tuple[str, str, str | None]] = []
    for name, method in SERVICE.methods_by_name.items():
        for path, put in string_fields(method.input_type):
            kind = message_factory.GetMessageClass(method.input_type)
            request = kind(pick=router_pb2.Pick(group="default", model="m")) if path.startswith("pick.") else kind()
            put(request, HOSTILE[tried % len(HOSTILE)])
            tried += 1
            by = invalidates if name == "Invalidate" else client
            call = getattr(by.stub, name)
            try:
                if method.client_streaming:
                    async for _ in call(iter([request]), metadata=by.metadata, timeout=PATIENCE):
                        break
                else:
                    await call(request, metadata=by.metadata, timeout=PATIENCE)
                    wrong.append((name, path, "answered"))
            except grpc.aio.AioRpcError as error:
                if read_error(error).reason is not Reason.INVALID_FIELDS:
                    wrong.append((name, path, error.details()))
    assert (wrong, tried > 15) == ([], True)
    assert (await client.pick("m", min_token=token)).candidates


@pytest.mark.parametrize("field", ["model", "api_key", "group", "client_address"])
async def test_one_hostile_pick_of_a_message_leaves_the_others_their_plans(
    router: RunningRouter, database: Database, field: str
) -> None:
    """Of one message and of one read: the hostile one is INVALID_FIELDS by name, its neighbours are served at once."""
    client = router.client()
    await database.channel("a", ["m", "n"])
    await client.pick("m", min_token=await database.token())
    hostile = {"model": "m", "group": "default"} | {field: "x\0"}
    if field == "api_key":
        del hostile["group"]
    items = [
        router_pb2.PickChannelsRequest.Item(id=1, pick=router_pb2.Pick(group="default", model="m")),
        router_pb2.PickChannelsRequest.Item(id=2, pick=router_pb2.Pick(**hostile)),  # type: ignore[arg-type]
        router_pb2.PickChannelsRequest.Item(id=3, pick=router_pb2.Pick(group="default", model="n")),
    ]
    stream = client.stub.PickChannels(metadata=client.metadata)
    await stream.write(router_pb2.PickChannelsRequest(items=items))
    results: dict[int, router_pb2.PickChannelsResponse.Result] = {}
    async with asyncio.timeout(PATIENCE):
        while len(results) < len(items):
            message = await stream.read()
            assert isinstance(message, router_pb2.PickChannelsResponse)
            results |= {result.id: result for result in message.results}
    stream.cancel()
    assert results[1].HasField("plan")
    assert results[3].HasField("plan")
    refusal = results[2].refusal
    assert refusal.reason == error_reason_pb2.ERROR_REASON_INVALID_FIELDS
    assert refusal.metadata["fields"] == f"pick.{field}"


async def test_listing_models_for_a_hostile_caller_names_the_field(router: RunningRouter) -> None:
    """Neither an unknown key nor an empty list."""
    client = router.client()
    refusal = await refusal_of(
        client.stub.ListModels(
            router_pb2.ListModelsRequest(group="default\0"), metadata=client.metadata, timeout=client.timeout
        )
    )
    assert [fault.field for fault in refusal.faults] == ["group"]
