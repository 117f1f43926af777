"""A workflow's run is asked for later where it was started, by whoever started it, through real routers and their catalog."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.acceptance import upstreams
from tests.acceptance.stack import Stack, unique
from tests.harness.waiting import PATIENCE

WORKFLOW = "75"


@dataclass
class Run:
    """A run that one of two channels started; the other is preferred since."""

    stack: Stack
    model: str
    run_id: str
    api_key: str
    channel: dict[str, Any]
    vendor: upstreams.Upstream
    other: dict[str, Any]
    other_vendor: upstreams.Upstream

    def told(self, api_key: str | None = None) -> tuple[int, dict[str, Any], str]:
        """Ask for it: status, body and the channel that was asked."""
        answer = _request(self.stack, "GET", f"/v1/workflows/runs/{self.run_id}", api_key or self.api_key)
        return answer.status_code, answer.json(), answer.headers.get("x-trunkline-channel-id", "")

    def refused(self, api_key: str | None = None) -> tuple[int, str]:
        """Ask for it: status and reason."""
        status, said, _ = self.told(api_key)
        return status, said["error"]["reason"]

    def asked(self) -> list[str]:
        """What its own vendor was asked since."""
        return [request["path"] for request in self.vendor.requests[1:]]


def _request(stack: Stack, method: str, path: str, api_key: str, body: Any = None) -> httpx2.Response:
    headers = {"authorization": f"Bearer {api_key}"}
    with httpx2.Client(base_url=stack.relay, headers=headers, timeout=PATIENCE, trust_env=False) as client:
        return client.request(method, path, json=body)


@pytest.fixture
def run(stack: Stack) -> Iterator[Run]:
    """Started at the only channel of its model; then another came that any other request goes to."""
    model, api_key = unique("flow"), stack.api_key()
    fields: dict[str, Any] = {"provider": "coze-workflow-async", "model_mapping": {model: WORKFLOW}}
    with upstreams.coze() as vendor, upstreams.coze() as other_vendor:
        channel = stack.channel(vendor.url, model, keys=["pat-first"], **fields)
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        answer = _request(stack, "POST", "/v1/chat/completions", api_key, body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-trunkline-channel-id"] == str(channel["id"])
        other = stack.channel(other_vendor.url, model, keys=["pat-second"], priority=100, **fields)
        yield Run(stack, model, answer.json()["execute_id"], api_key, channel, vendor, other, other_vendor)
        assert not other_vendor.requests, "a run was asked for where nobody knows it"


def test_a_run_is_asked_for_at_the_channel_that_started_it(run: Run) -> None:
    """Whatever is preferred meanwhile; with that channel's own key."""
    for _ in range(5):
        status, said, channel = run.told()
        assert (status, said["status"], said["output"]) == (200, "succeeded", "done")
        assert (said["execute_id"], channel) == (run.run_id, str(run.channel["id"]))
    assert run.asked() == [f"/v1/workflows/{WORKFLOW}/run_histories/743"] * 5
    assert {request["headers"]["authorization"] for request in run.vendor.requests} == {"Bearer pat-first"}


def test_a_run_is_not_there_for_another_api_key(run: Run) -> None:
    """Though it may use the same model; a key that nobody has is told so."""
    assert run.refused(run.stack.api_key()) == (404, "RUN_UNKNOWN")
    assert run.refused("sk-unknown") == (401, "API_KEY_UNKNOWN")
    assert run.asked() == []


def test_a_run_whose_channel_is_disabled_can_be_asked_for_when_it_is_back(run: Run) -> None:
    """Meanwhile its caller learns that there is no channel, not that there is no run."""
    path = f"/api/v1/channels/{run.channel['id']}"
    run.stack.ask("PATCH", path, {"status": "DISABLED"}, wait="ALL")
    assert run.refused() == (503, "NO_CHANNEL")
    assert run.asked() == []
    run.stack.ask("PATCH", path, {"status": "ENABLED"}, wait="ALL")
    assert run.told()[0] == 200


def test_a_run_whose_channel_is_deleted_says_so(run: Run) -> None:
    """No other channel of its model is asked; and when its model is gone as well, so is the run."""
    run.stack.ask("DELETE", f"/api/v1/channels/{run.channel['id']}", wait="ALL")
    assert run.refused() == (503, "NO_CHANNEL")
    run.stack.ask("DELETE", f"/api/v1/channels/{run.other['id']}", wait="ALL")
    assert run.refused() == (404, "RUN_UNKNOWN")
    assert run.asked() == []
