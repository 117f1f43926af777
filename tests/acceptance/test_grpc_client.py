"""What an internal service does: picks over gRPC, calls the upstream itself, reports what happened."""

from __future__ import annotations

from typing import Any

import grpc
import httpx2
import pytest

from tests.acceptance.stack import Stack, unique
from tests.harness.waiting import PATIENCE, eventually_async
from trunkline.v1 import router_pb2, router_pb2_grpc


async def test_pick_call_and_report(stack: Stack, llm: str, model: str) -> None:
    """The plan holds all that a call needs, and the outcome shows in the router's metrics."""
    channel = stack.channel(llm, (name := unique("model")), model_mapping={name: model})
    metadata = (("authorization", f"Bearer {stack.addresses['service_token']}"),)
    async with grpc.aio.insecure_channel(stack.routers[0]) as dialled:
        stub = router_pb2_grpc.RouterServiceStub(dialled)
        request = router_pb2.PickChannelRequest(pick=router_pb2.Pick(group="default", model=name))
        plan = (await stub.PickChannel(request, metadata=metadata, timeout=PATIENCE)).plan
        candidate = plan.candidates[0]
        assert (candidate.channel_id, candidate.key, candidate.upstream_model) == (
            channel["id"],
            "sk-upstream-secret",
            model,
        )

        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            answer = await http.post(
                f"{candidate.base_url}/chat/completions",
                headers={"authorization": f"Bearer {candidate.key}"},
                json={
                    "model": candidate.upstream_model,
                    "messages": [{"role": "user", "content": "Hi"}],
                    "max_tokens": 4,
                },
            )
        assert answer.status_code == 200

        reports: Any = stub.ReportOutcomes(metadata=metadata, timeout=PATIENCE)
        outcome = router_pb2.Outcome(
            decision_id=plan.decision_id,
            attempt=1,
            channel_id=candidate.channel_id,
            key_id=candidate.key_id,
            model=name,
            result=router_pb2.OUTCOME_RESULT_SUCCESS,
            http_status=200,
        )
        await reports.write(router_pb2.ReportOutcomesRequest(outcomes=[outcome]))
        assert (await reports.read()).accepted == 1
        await reports.done_writing()
        assert await reports.read() == grpc.aio.EOF


async def test_a_pick_may_demand_the_revision_that_a_change_answered(stack: Stack) -> None:
    """Reads its own write without having waited for it; a token of another history is refused."""
    metadata = (("authorization", f"Bearer {stack.addresses['service_token']}"),)
    channel = {
        "name": unique("channel"),
        "provider": "openai",
        "base_url": "http://127.0.0.1:9/v1",
        "models": [(name := unique("model"))],
        "groups": ["default"],
    }
    made = stack.ask("POST", "/api/v1/channels", channel, wait="NONE")
    async with grpc.aio.insecure_channel(stack.routers[-1]) as dialled:
        stub = router_pb2_grpc.RouterServiceStub(dialled)
        pick = router_pb2.Pick(group="default", model=name, min_token=made["token"])
        answer = await stub.PickChannel(router_pb2.PickChannelRequest(pick=pick), metadata=metadata, timeout=PATIENCE)
        assert answer.plan.token.revision >= made["token"]["revision"]
        pick.min_token.chain = "00" * 32
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.PickChannel(router_pb2.PickChannelRequest(pick=pick), metadata=metadata, timeout=PATIENCE)
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_status_tells_what_the_router_holds_and_who_its_peers_are(stack: Stack) -> None:
    """Both routers, serving, at the same digest once they are at the same revision."""
    metadata = (("authorization", f"Bearer {stack.addresses['service_token']}"),)

    async def agree() -> bool:
        statuses = []
        for address in stack.routers:
            async with grpc.aio.insecure_channel(address) as dialled:
                stub = router_pb2_grpc.RouterServiceStub(dialled)
                request = router_pb2.GetRouterStatusRequest()
                statuses.append(await stub.GetRouterStatus(request, metadata=metadata, timeout=PATIENCE))
        one, two = statuses
        assert one.state == two.state == router_pb2.ROUTER_STATE_SERVING
        assert {peer.address for peer in one.peers} == set(stack.routers)
        return bool(one.applied == two.applied and one.digest == two.digest)

    await eventually_async(agree)
