"""What coding agents send on a turn, as it was read off the wire (Claude Code 2.1.197, Codex 0.171.0), with short texts.

Law: every header, every member and every kind of item that they send by themselves is here; nothing was made up but the ids.
"""

from __future__ import annotations

from typing import Any, Final

SESSION: Final = "f3ffe5f7-ca93-4a48-9ad7-5c7eeb4fa807"
_CACHED: Final = {"cache_control": {"type": "ephemeral"}}
_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "url": {"description": "The URL to fetch", "type": "string", "format": "uri"},
        "offset": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
        "limit": {"type": "integer", "exclusiveMinimum": 0},
        "names": {"type": "array", "items": {"type": "string"}},
        "how": {"type": "string", "enum": ["a", "b"]},
    },
    "required": ["url"],
    "additionalProperties": False,
}

CLAUDE_CODE_HEADERS: Final = {
    "accept": "application/json",
    "content-type": "application/json",
    "user-agent": "claude-cli/2.1.197 (external, sdk-cli)",
    "x-stainless-arch": "x64",
    "x-stainless-lang": "js",
    "x-stainless-os": "Linux",
    "x-stainless-package-version": "0.94.0",
    "x-stainless-retry-count": "0",
    "x-stainless-runtime": "node",
    "x-stainless-runtime-version": "v26.3.0",
    "x-stainless-timeout": "600",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "mid-conversation-system-2026-04-07,effort-2025-11-24",
    "anthropic-dangerous-direct-browser-access": "true",
    "anthropic-version": "2023-06-01",
    "x-app": "cli",
}
CLAUDE_CODE_OF_ITS_OWN: Final = {"x-claude-code-session-id": SESSION}
"""Says whose request it is, and nothing of what is asked."""
CLAUDE_CODE: Final[dict[str, Any]] = {
    "model": "m",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "<system-reminder>As you answer …</system-reminder>"},
                {"type": "text", "text": "Say hi", **_CACHED},
            ],
        },
        {"role": "system", "content": "Available agent types for the Agent tool: …"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I read it.", "signature": "c2ln"},
                {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"url": "x"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no", "is_error": True, **_CACHED}
            ],
        },
    ],
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.123; cc_entrypoint=sdk-cli;"},
        {"type": "text", "text": "You are a Claude agent.", **_CACHED},
    ],
    "tools": [
        {
            "name": "Read",
            "description": "Reads a file.",
            "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", **_SCHEMA},
        }
    ],
    "metadata": {"user_id": '{"device_id":"3bcb5f15","account_uuid":"","session_id":"' + SESSION + '"}'},
    "max_tokens": 64000,
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "stream": True,
}

CODEX_HEADERS: Final = {
    "accept": "text/event-stream",
    "content-type": "application/json",
    "user-agent": "codex_exec/0.171.0 (Debian 12.0.0; x86_64) unknown (codex_exec; 0.171.0)",
    "originator": "codex_exec",
    "x-client-request-id": SESSION,
    "x-codex-beta-features": "remote_compaction_v2",
}
CODEX_OF_ITS_OWN: Final = {
    "session-id": SESSION,
    "thread-id": SESSION,
    "x-codex-window-id": f"{SESSION}:0",
    "x-codex-turn-metadata": '{"installation_id":"af570f3a","session_id":"' + SESSION + '"}',
}
"""Says whose request it is, and nothing of what is asked."""
_FUNCTION: Final = {"type": "function", "description": "Runs a command.", "strict": False, "parameters": _SCHEMA}


def _message(role: str, *texts: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text} for text in texts]
    return {"type": "message", "id": f"msg_{SESSION}", "role": role, "content": content}


CODEX: Final[dict[str, Any]] = {
    "model": "m",
    "stream": True,
    "input": [
        _message("developer", "You are a coding agent running in the Codex CLI."),
        _message("developer", "<skills_instructions>…", "<permissions instructions>…"),
        _message("user", "<environment_context>…"),
        _message("user", "Say hi"),
        {
            "type": "reasoning",
            "id": "rs_x",
            "summary": [{"type": "summary_text", "text": "Two towns."}],
            "content": None,
            "encrypted_content": None,
        },
        {
            "type": "message",
            "status": "completed",
            "id": "msg_x",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}],
        },
        {"type": "function_call", "id": "fc_1", "name": "exec_command", "arguments": '{"url":"x"}', "call_id": "c1"},
        {"type": "function_call_output", "id": f"fco_{SESSION}", "call_id": "c1", "output": "no"},
    ],
    "tools": [
        {"name": "exec_command", **_FUNCTION},
        {"type": "namespace", "name": "multi_agent_v1", "description": "…", "tools": [{"name": "close", **_FUNCTION}]},
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": SESSION,
    "client_metadata": {"thread_id": SESSION, "session_id": SESSION, "x-codex-window-id": f"{SESSION}:0"},
}
