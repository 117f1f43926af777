"""A change made anywhere is in force on every router: at once through the admin, within two seconds by hand."""

from __future__ import annotations

import json
from typing import Any, cast

import grpc
import pytest

from tests.acceptance.stack import Stack, unique
from tests.harness.waiting import PATIENCE, eventually
from trunkline.v1 import router_pb2, router_pb2_grpc

UPSTREAM = "http://127.0.0.1:9/v1"


class Client:
    """An internal service that asks each router itself."""

    def __init__(self, stack: Stack) -> None:
        """Dial every router."""
        self._metadata = (("authorization", f"Bearer {stack.addresses['service_token']}"),)
        self._channels = [grpc.insecure_channel(address) for address in stack.routers]

    def pick(self, model: str, group: str = "default") -> list[Any]:
        """Each router's answer: the plan's channel ids, or the reason of its refusal."""
        return [self._pick(channel, model, group) for channel in self._channels]

    def _pick(self, channel: grpc.Channel, model: str, group: str) -> Any:
        stub: Any = router_pb2_grpc.RouterServiceStub(cast("Any", channel))
        request = router_pb2.PickChannelRequest(pick=router_pb2.Pick(model=model, group=group))
        try:
            answer = stub.PickChannel(request, metadata=self._metadata, timeout=PATIENCE)
        except grpc.RpcError as error:
            return reason_of(error)
        return [candidate.channel_id for candidate in answer.plan.candidates]

    def close(self) -> None:
        """Hang up."""
        for channel in self._channels:
            channel.close()


def reason_of(error: Any) -> str:
    """The reason in a refusal."""
    from google.rpc import error_details_pb2  # noqa: PLC0415 - as a client would
    from grpc_status import rpc_status  # noqa: PLC0415

    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    assert status is not None, error
    assert any(detail.Unpack(info) for detail in status.details)
    return str(info.reason)


@pytest.fixture
def client(stack: Stack) -> Any:
    """A client of both routers."""
    dialled = Client(stack)
    yield dialled
    dialled.close()


def test_a_channel_created_is_picked_by_both_routers_when_the_call_returns(stack: Stack, client: Client) -> None:
    """wait=ALL is the default, and names two of two."""
    answer = stack.ask("POST", "/api/v1/channels", body(name := unique("model")))
    assert answer["visibility"] == {"visible_on": 2, "of": 2, "lagging": [], "lapsed": []}
    assert client.pick(name) == [[answer["channel"]["id"]]] * 2


def test_a_channel_updated_disabled_and_deleted_is_so_on_both_when_each_call_returns(
    stack: Stack, client: Client
) -> None:
    """Each step is seen by the very next pick."""
    first, second = unique("model"), unique("model")
    channel = stack.ask("POST", "/api/v1/channels", body(first))["channel"]
    path = f"/api/v1/channels/{channel['id']}"
    stack.ask("PATCH", path, {"models": [second]}, wait="ALL")
    assert client.pick(first) == ["MODEL_UNKNOWN"] * 2
    assert client.pick(second) == [[channel["id"]]] * 2
    stack.ask("PATCH", path, {"status": "DISABLED"}, wait="ALL")
    assert client.pick(second) == ["NO_CHANNEL"] * 2
    stack.ask("PATCH", path, {"status": "ENABLED"}, wait="ALL")
    assert client.pick(second) == [[channel["id"]]] * 2
    stack.ask("DELETE", path, wait="ALL")
    assert client.pick(second) == ["MODEL_UNKNOWN"] * 2


def test_a_group_deleted_takes_its_abilities_along(stack: Stack, client: Client) -> None:
    """And an override switches off just one pair."""
    group, name = stack.group(), unique("model")
    channel = stack.ask("POST", "/api/v1/channels", body(name, groups=["default", group]))["channel"]
    stack.ask("PUT", f"/api/v1/abilities/{group}/{name}/{channel['id']}", {"enabled": False})
    assert client.pick(name, group) == ["NO_CHANNEL"] * 2
    assert client.pick(name) == [[channel["id"]]] * 2
    stack.ask("DELETE", f"/api/v1/abilities/{group}/{name}/{channel['id']}")
    assert client.pick(name, group) == [[channel["id"]]] * 2
    stack.ask("DELETE", f"/api/v1/groups/{group}")
    assert client.pick(name, group) == ["MODEL_NOT_IN_GROUP"] * 2


def test_a_status_typed_into_psql_is_in_force_by_the_next_poll(stack: Stack, client: Client) -> None:
    """No admin is involved."""
    channel = stack.channel(UPSTREAM, (name := unique("model")))
    stack.sql("UPDATE channels SET status = 'DISABLED' WHERE id = %s", [channel["id"]])
    eventually(lambda: client.pick(name) == ["NO_CHANNEL"] * 2)


def test_a_model_typed_into_psql_is_served_at_once(stack: Stack, client: Client) -> None:
    """A row in channel_models is enough; asking for it proves freshness, so it is in force at once."""
    channel = stack.channel(UPSTREAM, unique("model"))
    stack.sql(
        "INSERT INTO channel_models (channel_id, model) VALUES (%s, %s)", [channel["id"], name := unique("model")]
    )
    assert client.pick(name) == [[channel["id"]]] * 2


def test_an_ability_switched_off_in_psql_is_off_by_the_next_poll(stack: Stack, client: Client) -> None:
    """The view is written as the table that operators know."""
    channel = stack.channel(UPSTREAM, (name := unique("model")))
    stack.sql("UPDATE abilities SET enabled = false WHERE model = %s AND channel_id = %s", [name, channel["id"]])
    eventually(lambda: client.pick(name) == ["NO_CHANNEL"] * 2)


def test_sync_says_what_each_router_reached(stack: Stack) -> None:
    """Every router, the head, nobody behind."""
    channel = stack.channel(UPSTREAM, unique("model"))
    stack.sql("UPDATE channels SET remark = 'by hand' WHERE id = %s", [channel["id"]])
    answer = stack.ask("POST", "/api/sync/channels")
    assert len(answer["routers"]) == 2
    for router in answer["routers"]:
        assert router["reached"] is True
        assert router["applied"]["revision"] >= answer["token"]["revision"]


def test_no_secret_is_in_any_log(stack: Stack) -> None:
    """Upstream keys, API keys and tokens stay out of every log file of the stack."""
    secret = f"sk-{unique('very-secret')}"
    stack.channel(UPSTREAM, unique("model"), keys=[secret])
    api_key = stack.api_key()
    stack.ask("POST", "/api/sync/channels")
    logs = "".join(path.read_text(errors="replace") for path in stack.log.parent.rglob("*.log"))
    assert logs
    for hidden in (secret, api_key, stack.addresses["admin_token"], stack.addresses["service_token"]):
        assert hidden not in logs


def body(model: str, **fields: Any) -> dict[str, Any]:
    """A channel to create."""
    channel = {
        "name": unique("channel"),
        "provider": "openai-compatible",
        "base_url": UPSTREAM,
        "keys": ["sk-x"],
        "models": [model],
        "groups": ["default"],
    }
    assert json.dumps(channel)
    return {**channel, **fields}
