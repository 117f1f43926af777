"""What an administrator does with a generic gRPC client and reflection; no schema at hand."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from google.rpc import error_details_pb2

from tests.acceptance.stack import Stack, unique
from tests.harness.waiting import PATIENCE

BUF = str(Path(sys.executable).with_name("buf"))


def curl(address: str, method: str, token: str, *messages: Any) -> subprocess.CompletedProcess[str]:
    """Call a method through reflection."""
    command = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--timeout", "10s"]
    header = ["--header", f"authorization: Bearer {token}"]
    data = ["--data", "\n".join(json.dumps(message) for message in messages)] if messages else []
    url = f"http://{address}/trunkline.v1.{method}"
    return subprocess.run(
        [*command, *header, *data, url], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_an_administrator_creates_a_channel_and_a_router_picks_it(stack: Stack) -> None:
    """Admin over gRPC, then the router; the key stays hidden from a token without the scope."""
    channel = {
        "name": unique("channel"),
        "provider": "openai",
        "base_url": "http://127.0.0.1:9/v1",
        "models": [(name := unique("model"))],
        "groups": ["default"],
    }
    token = stack.addresses["admin_token"]
    made = curl(
        stack.addresses["admin_grpc"],
        "AdminService/CreateChannel",
        token,
        {"channel": channel, "keys": ["sk-0123456789-tail"]},
    )
    assert made.returncode == 0, made.stderr
    answer = json.loads(made.stdout)
    assert answer["visibility"] == {"visibleOn": 2, "of": 2}
    for address in stack.routers:
        picked = curl(
            address, "RouterService/PickChannel", token, {"pick": {"group": "default", "model": name, "seed": 1}}
        )
        assert picked.returncode == 0, picked.stderr
        candidate = json.loads(picked.stdout)["plan"]["candidates"][0]
        assert candidate["channelId"] == answer["channel"]["id"]
        assert candidate["keyLastFour"] == "tail"
        assert "key" not in candidate


def test_a_refusal_carries_a_typed_error_info(stack: Stack) -> None:
    """Reason, domain and values, readable by any client."""
    name = unique("model")
    refused = curl(
        stack.routers[0],
        "RouterService/PickChannel",
        stack.addresses["admin_token"],
        {"pick": {"group": "default", "model": name}},
    )
    assert refused.returncode != 0
    error = json.loads(refused.stderr)
    assert error["code"] == "not_found"
    info = error_details_pb2.ErrorInfo.FromString(_bytes(error["details"][0]["value"]))
    assert (info.reason, info.domain, info.metadata["model"]) == ("MODEL_UNKNOWN", "trunkline", name)
    assert int(info.metadata["revision"]) >= 1


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


def test_an_explanation_names_every_channel_considered(stack: Stack) -> None:
    """One in, one out, and why."""
    name = unique("model")
    stack.channel("http://127.0.0.1:9/v1", name)
    stack.channel("http://127.0.0.1:9/v1", name, status="DISABLED")
    explained = curl(
        stack.routers[0],
        "RouterService/ExplainPick",
        stack.addresses["admin_token"],
        {"pick": {"group": "default", "model": name}},
    )
    assert explained.returncode == 0, explained.stderr
    considered = json.loads(explained.stdout)["considered"]
    assert sorted(channel.get("outReason", "") for channel in considered) == ["", "channel_disabled"]


def test_an_empty_invalidate_is_answered_after_catching_up(stack: Stack) -> None:
    """A change typed into psql is in force when the empty call returns."""
    stack.sql("UPDATE groups SET remark = %s WHERE name = 'default'", [unique("remark")])
    [(head,)] = stack.sql("SELECT revision FROM catalog")
    for address in stack.routers:
        # No message at all: `buf curl` half-closes at once when it is given no data.
        answered = curl(address, "RouterService/Invalidate", stack.addresses["admin_token"])
        assert answered.returncode == 0, answered.stderr
        last = json.loads("[" + answered.stdout.replace("}\n{", "},{") + "]")[-1]
        assert int(last["applied"]["revision"]) >= head


def test_the_services_are_listed_through_reflection_without_a_token(stack: Stack) -> None:
    """Names are no secret."""
    for address, service in ((stack.addresses["admin_grpc"], "AdminService"), (stack.routers[0], "RouterService")):
        listed = subprocess.run(
            [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--list-services", f"http://{address}"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        assert f"trunkline.v1.{service}" in listed.stdout
        assert "grpc.health.v1.Health" in listed.stdout


def test_a_token_of_another_scope_is_told_so(stack: Stack) -> None:
    """The service token changes nothing."""
    refused = curl(
        stack.addresses["admin_grpc"],
        "AdminService/CreateGroup",
        stack.addresses["service_token"],
        {"group": {"name": unique("group")}},
    )
    assert json.loads(refused.stderr)["code"] == "permission_denied"
