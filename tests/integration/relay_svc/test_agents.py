"""A turn of each coding agent, passed and translated: nothing that they always send is refused, or lost without a name.

Law: what an agent asks reaches its own vendor as it was sent; in another vendor's format only what does not change the
meaning is lost, by the names that stand here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import pytest

from relay_svc.dialects import Dialect
from tests.integration.relay_svc import agents
from tests.integration.relay_svc.conftest import Bench
from tests.integration.relay_svc.routers import API_KEY
from tests.integration.relay_svc.test_formats import golden, plan
from tests.integration.relay_svc.upstreams import Call


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent's request."""

    path: str
    key: dict[str, str]
    headers: dict[str, str]
    own: dict[str, str]
    body: dict[str, Any]
    vendor: Dialect
    tools: int
    """Of those it offers, those that any model can be given."""


AGENTS: Final = {
    "claude-code": Agent(
        "/v1/messages?beta=true",
        {"x-api-key": API_KEY, "authorization": ""},
        agents.CLAUDE_CODE_HEADERS,
        agents.CLAUDE_CODE_OF_ITS_OWN,
        agents.CLAUDE_CODE,
        Dialect.ANTHROPIC,
        1,
    ),
    "codex": Agent(
        "/v1/responses",
        {},
        agents.CODEX_HEADERS,
        agents.CODEX_OF_ITS_OWN,
        agents.CODEX,
        Dialect.OPENAI_RESPONSES,
        1,
    ),
}
_CLAUDES: Final = {"context_management", "cache_control", "thinking"}
_CODEXS: Final = {"tools.namespace", "tools.web_search", "client_metadata", "thinking"}
LOST: Final = {
    ("claude-code", Dialect.OPENAI_CHAT): _CLAUDES | {"tool_result.is_error"},
    ("claude-code", Dialect.OPENAI_RESPONSES): _CLAUDES | {"tool_result.is_error"},
    ("claude-code", Dialect.GEMINI): _CLAUDES | {"system.position", "user"},
    ("codex", Dialect.OPENAI_CHAT): _CODEXS | {"reasoning"},
    ("codex", Dialect.ANTHROPIC): _CODEXS | {"prompt_cache_key", "reasoning"},
    ("codex", Dialect.GEMINI): _CODEXS | {"prompt_cache_key"},
}
"""Thinking is that of the turns before: its proof is its own vendor's."""


async def ask(bench: Bench, agent: Agent, upstream: Dialect) -> tuple[Call, set[str]]:
    """Send a turn; gives what the upstream got, and what the client is told was lost."""
    calls: list[Call] = []

    async def script(call: Call) -> None:
        calls.append(call)
        await golden(call)

    await plan(bench, upstream, script)
    headers = {**agent.headers, **agent.own, **agent.key}
    async with bench.relay.http() as http:
        answer = await http.post(agent.path, json=agent.body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    [call] = calls
    return call, set(filter(None, answer.headers.get("x-trunkline-lost", "").replace(" ", "").split(",")))


@pytest.mark.parametrize("name", AGENTS)
async def test_an_agents_turn_reaches_its_own_vendor_as_it_was_sent(bench: Bench, name: str) -> None:
    """Body and every header that asks for something; no id of who asks, and no query: `anthropic-beta` says the same."""
    agent = AGENTS[name]
    call, lost = await ask(bench, agent, agent.vendor)
    assert not lost
    assert json.loads(call.body) == {**agent.body, "model": "u"}
    assert call.line.split(" ")[1] == agent.path.split("?")[0]
    assert agent.headers.items() <= call.headers.items()
    assert not agent.own.keys() & call.headers.keys()
    assert API_KEY not in str(call.headers)


@pytest.mark.parametrize(("name", "upstream"), LOST)
async def test_an_agents_turn_is_translated_and_what_is_lost_is_named(
    bench: Bench, name: str, upstream: Dialect
) -> None:
    """With its tools, its history and its stream; no header of its vendor's goes to another."""
    agent = AGENTS[name]
    call, lost = await ask(bench, agent, upstream)
    assert lost == LOST[name, upstream]
    body = json.loads(call.body)
    tools = body["tools"][0]["functionDeclarations"] if upstream is Dialect.GEMINI else body["tools"]
    assert len(tools) == agent.tools
    assert b"Say hi" in call.body
    assert not agent.own.keys() & call.headers.keys()
