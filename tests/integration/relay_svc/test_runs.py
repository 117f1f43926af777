"""Workflow runs that go on after their answer: any relay can be asked for one, by whoever started it and by nobody else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.conftest import CHAT, Bench, RunningRelay, open_bench, running_relay
from tests.integration.relay_svc.routers import API_KEY, OTHER_KEY, candidate
from tests.integration.relay_svc.upstreams import Call, Upstream, response
from trunkline.errors import ModelNotAllowed
from trunkline.v1 import router_pb2 as pb

SECRET, NEWER = "a" * 32, "b" * 32
SIGNED = {"TRUNKLINE_RELAY_RUN_SECRET": SECRET}
BODY = json.dumps({"model": "flow", "messages": [{"role": "user", "content": "hi"}]}).encode()


@dataclass
class Coze:
    """A vendor that starts runs and tells of them."""

    states: dict[str, str] = field(default_factory=dict)
    asked: list[Call] = field(default_factory=list)

    async def __call__(self, call: Call) -> None:
        """Answer one request."""
        if call.line.startswith("POST /v1/workflow/run "):
            self.states["743"] = "Running"
            await call.send(response(200, b'{"code":0,"execute_id":"743","debug_url":"https://x/"}'))
            return
        self.asked.append(call)
        execution = call.line.split()[1].rpartition("/")[2]
        if execution not in self.states:
            await call.send(response(200, b'{"code":4200,"msg":"no such execution"}'))
            return
        run = {"execute_id": execution, "execute_status": self.states[execution], "output": '{"a":1}', "logid": "x"}
        await call.send(response(200, json.dumps({"code": 0, "data": [run]}).encode()))


async def told(relay: RunningRelay, run_id: str, api_key: str = API_KEY) -> tuple[int, dict[str, object]]:
    """Ask a relay for a run."""
    async with relay.http() as client:
        answer = await client.get(f"/v1/workflows/runs/{run_id}", headers={"authorization": f"Bearer {api_key}"})
        return answer.status_code, answer.json()


@contextlib.asynccontextmanager
async def started(bench: Bench) -> AsyncIterator[tuple[Coze, Upstream, str]]:
    """A vendor with one run that was started through a relay; another channel serves the model as well."""
    coze = Coze()
    async with Upstream(coze).serving() as upstream:
        base_url = upstream.base_url.removesuffix("/v1")
        kind = {"provider": "coze-workflow-async", "upstream_model": "75"}
        bench.router.plans["flow"] = [candidate(1, base_url, **kind), candidate(2, "http://127.0.0.1:1", **kind)]
        async with bench.relay.http() as client:
            answer = await client.post(CHAT, content=BODY)
        assert answer.status_code == 200, answer.text
        yield coze, upstream, answer.json()["execute_id"]


@pytest.fixture(scope="module")
async def shared_bench() -> AsyncIterator[Bench]:
    """A relay that has a secret to sign with."""
    async with open_bench(**SIGNED) as bench:
        yield bench


async def test_any_relay_tells_of_a_run_and_only_its_channel_is_asked(bench: Bench) -> None:
    """No table, no state: another relay of the same secret knows as much, whatever its service token is."""
    async with started(bench) as (coze, _, run_id), running_relay(bench.router.address, **SIGNED) as other:
        status, state = await told(other, run_id)
        assert (status, state["execute_id"], state["status"]) == (200, run_id, "running")
        coze.states["743"] = "Success"
        status, state = await told(bench.relay, run_id)
        assert (status, state["status"], state["output"]) == (200, "succeeded", '{"a":1}')
        assert "logid" not in state
        assert [call.line for call in coze.asked] == ["GET /v1/workflows/75/run_histories/743 HTTP/1.1"] * 2
        assert coze.asked[0].headers["authorization"] == "Bearer sk-channel-1"
        assert bench.router.picks[-1].required_channel_id == 1
        await eventually_async(lambda: len(bench.outcomes) == 3)
        assert all(outcome.result == pb.OUTCOME_RESULT_SUCCESS for outcome in bench.outcomes)


async def test_a_run_is_nobody_elses(bench: Bench) -> None:
    """Another's id, one that was tampered with, and one by a model that is no longer the caller's read the same."""
    async with started(bench) as (coze, _, run_id):
        assert run_id[-1] != "A"
        for asked, key in ((run_id, OTHER_KEY), (run_id[:-2] + "AA", API_KEY), ("743", API_KEY), ("run_x", API_KEY)):
            status, said = await told(bench.relay, asked, key)
            assert (status, said["error"]["reason"]) == (404, "RUN_UNKNOWN")  # type: ignore[index]  # an error
        bench.router.refuses["flow"] = ModelNotAllowed(api_key_id=5, model="flow", revision=7)
        assert (await told(bench.relay, run_id))[0] == 404
        assert not coze.asked
        assert (await told(bench.relay, run_id, "sk-unknown"))[0] == 401


async def test_a_run_whose_channel_is_off_or_down_says_so(bench: Bench) -> None:
    """It is there, and can be asked for later; an id that the vendor does not know is the vendor's word."""
    async with started(bench) as (coze, _, run_id):
        coze.states.clear()
        status, said = await told(bench.relay, run_id)
        assert (status, said["error"]["reason"]) == (502, "RUN_NOT_TOLD")  # type: ignore[index]  # an error
        down = bench.router.plans["flow"][0]
        down.base_url = "http://127.0.0.1:1"
        status, said = await told(bench.relay, run_id)
        assert (status, said["error"]["reason"]) == (502, "UPSTREAM_UNREACHABLE")  # type: ignore[index]  # an error
        del bench.router.plans["flow"][0]
        status, said = await told(bench.relay, run_id)
        assert (status, said["error"]["reason"]) == (503, "NO_CHANNEL")  # type: ignore[index]  # an error


async def test_the_secret_can_be_replaced_while_runs_go_on(bench: Bench) -> None:
    """The old one is believed as long as it is given; without any no run is started."""
    async with started(bench) as (_, _, run_id):
        newer = {"TRUNKLINE_RELAY_RUN_SECRET": NEWER}
        for environ, status in (
            (newer | {"TRUNKLINE_RELAY_OLD_RUN_SECRET": SECRET}, 200),
            (newer, 404),
            ({}, 404),
        ):
            async with running_relay(bench.router.address, **environ) as relay:
                assert (await told(relay, run_id))[0] == status
                if not environ:
                    async with relay.http() as client:
                        refused = (await client.post(CHAT, content=BODY)).json()
                    assert refused["error"]["reason"] == "RUN_INCOMPLETE"
