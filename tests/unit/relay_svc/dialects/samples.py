"""One answer in each dialect's own words, whole and streamed, written by hand from the API references."""

import json
from typing import Any

from relay_svc.dialects import Dialect, Stamp

CHAT, RESPONSES, ANTHROPIC, GEMINI = (
    Dialect.OPENAI_CHAT,
    Dialect.OPENAI_RESPONSES,
    Dialect.ANTHROPIC,
    Dialect.GEMINI,
)
STAMP = Stamp("0a1b", 1_760_000_000, "unnamed")
OSLO, ROME = '{"city":"Oslo"}', '{"city":"Rome"}'

_RESPONSE = {
    "id": "resp_x",
    "object": "response",
    "created_at": 1_760_000_000,
    "status": "completed",
    "model": "m-1",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
_RESPONSE_USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 0},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 50,
}
_CHAT_USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 20,
    "total_tokens": 50,
    "prompt_tokens_details": {"cached_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
_CLAUDE_USAGE = {
    "input_tokens": 20,
    "cache_read_input_tokens": 10,
    "cache_creation_input_tokens": 0,
    "output_tokens": 20,
    "output_tokens_details": {"thinking_tokens": 5},
}
_GEMINI_USAGE = {
    "promptTokenCount": 30,
    "cachedContentTokenCount": 10,
    "candidatesTokenCount": 15,
    "thoughtsTokenCount": 5,
    "totalTokenCount": 50,
}

ANSWERS: dict[Dialect, dict[str, Any]] = {
    CHAT: {
        "id": "chatcmpl-x",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "reasoning_content": "Two towns.",
                    "content": "Let me see. ☂",
                    "refusal": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": OSLO}},
                        {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": ROME}},
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": _CHAT_USAGE,
    },
    RESPONSES: {
        **_RESPONSE,
        "output": [
            {"type": "reasoning", "id": "rs_x", "summary": [{"type": "summary_text", "text": "Two towns."}]},
            {
                "type": "message",
                "id": "msg_x",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Let me see. ☂", "annotations": []}],
            },
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": OSLO},
            {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "weather", "arguments": ROME},
        ],
        "usage": _RESPONSE_USAGE,
    },
    ANTHROPIC: {
        "id": "msg_x",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": [
            {"type": "thinking", "thinking": "Two towns.", "signature": ""},
            {"type": "text", "text": "Let me see. ☂"},
            {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}},
            {"type": "tool_use", "id": "c2", "name": "weather", "input": {"city": "Rome"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": _CLAUDE_USAGE,
    },
    GEMINI: {
        "candidates": [
            {
                "index": 0,
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "Two towns.", "thought": True},
                        {"text": "Let me see. ☂"},
                        {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Oslo"}}},
                        {"functionCall": {"id": "c2", "name": "weather", "args": {"city": "Rome"}}},
                    ],
                },
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": _GEMINI_USAGE,
        "modelVersion": "m-1",
        "responseId": "x",
    },
}


def sse(*events: Any, named: bool = False) -> bytes:
    """Write server-sent events."""
    out = []
    for event in events:
        if named:
            out.append(f"event: {event['type']}\n")
        out.append(f"data: {event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)}\n\n")
    return "".join(out).encode()


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _call(index: int, arguments: str, **members: Any) -> dict[str, Any]:
    function = {"name": "weather", "arguments": arguments} if members else {"arguments": arguments}
    return _chunk({"tool_calls": [{"index": index, **members, "function": function}]})


def _chat_stream() -> bytes:
    usage = {**_chunk({}), "choices": [], "usage": _CHAT_USAGE}
    return sse(
        _chunk({"role": "assistant", "content": ""}),
        _chunk({"reasoning_content": "Two "}),
        _chunk({"reasoning_content": "towns."}),
        _chunk({"content": "Let me "}),
        _chunk({"content": "see. ☂"}),
        _call(0, "", id="c1", type="function"),
        _call(1, '{"city"', id="c2", type="function"),
        _call(0, OSLO[:5]),  # interleaved, as the format allows
        _call(1, ':"Rome"}'),
        _call(0, OSLO[5:]),
        _chunk({}, "tool_calls"),
        usage,
        "[DONE]",
    )


def _responses_stream() -> bytes:
    def at(type_: str, **members: Any) -> dict[str, Any]:
        return {"type": f"response.{type_}", "sequence_number": 0, **members}

    reasoning, message, *calls = ANSWERS[RESPONSES]["output"]
    events = [
        at("created", response={**_RESPONSE, "status": "in_progress", "output": []}),
        at("in_progress", response={**_RESPONSE, "status": "in_progress", "output": []}),
        at("output_item.added", output_index=0, item={**reasoning, "summary": []}),
        at(
            "reasoning_summary_part.added",
            output_index=0,
            item_id="rs_x",
            summary_index=0,
            part={"type": "summary_text", "text": ""},
        ),
        at("reasoning_summary_text.delta", output_index=0, item_id="rs_x", summary_index=0, delta="Two "),
        at("reasoning_summary_text.delta", output_index=0, item_id="rs_x", summary_index=0, delta="towns."),
        at("output_item.done", output_index=0, item=reasoning),
        at("output_item.added", output_index=1, item={**message, "content": []}),
        at(
            "content_part.added",
            output_index=1,
            content_index=0,
            item_id="msg_x",
            part={"type": "output_text", "text": "", "annotations": []},
        ),
        at("output_text.delta", output_index=1, content_index=0, item_id="msg_x", delta="Let me ", logprobs=[]),
        at("output_text.delta", output_index=1, content_index=0, item_id="msg_x", delta="see. ☂", logprobs=[]),
        at("content_part.done", output_index=1, content_index=0, item_id="msg_x", part=message["content"][0]),
        at("output_item.done", output_index=1, item=message),
    ]
    for place, call in enumerate(calls, 2):
        events += [
            at("output_item.added", output_index=place, item={**call, "arguments": ""}),
            at("function_call_arguments.delta", output_index=place, item_id=call["id"], delta=call["arguments"][:5]),
            at("function_call_arguments.delta", output_index=place, item_id=call["id"], delta=call["arguments"][5:]),
            at("function_call_arguments.done", output_index=place, item_id=call["id"], arguments=call["arguments"]),
            at("output_item.done", output_index=place, item=call),
        ]
    return sse(*events, at("completed", response=ANSWERS[RESPONSES]), named=True)


def _claude_stream() -> bytes:
    def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"type": "content_block_start", "index": index, "content_block": start},
            *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": index},
        ]

    def words(member: str, *texts: str, type_: str) -> list[dict[str, Any]]:
        return [{"type": type_, member: each} for each in texts]

    begin = {**ANSWERS[ANTHROPIC], "content": [], "stop_reason": None, "usage": {**_CLAUDE_USAGE, "output_tokens": 1}}
    tool = {"type": "tool_use", "name": "weather", "input": {}}
    return sse(
        {"type": "message_start", "message": begin},
        {"type": "ping"},
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            *words("thinking", "Two ", "towns.", type_="thinking_delta"),
        ),
        *block(1, {"type": "text", "text": ""}, *words("text", "Let me ", "see. ☂", type_="text_delta")),
        *block(2, {**tool, "id": "c1"}, *words("partial_json", "", OSLO[:5], OSLO[5:], type_="input_json_delta")),
        *block(3, {**tool, "id": "c2"}, *words("partial_json", "", ROME[:5], ROME[5:], type_="input_json_delta")),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 20},
        },
        {"type": "message_stop"},
        named=True,
    )


def gemini_pieces() -> list[dict[str, Any]]:
    """Give the elements of Gemini's stream."""

    def piece(*parts: dict[str, Any], **members: Any) -> dict[str, Any]:
        return {
            "candidates": [{"index": 0, "content": {"role": "model", "parts": list(parts)}, **members}],
            "modelVersion": "m-1",
        }

    calls = ANSWERS[GEMINI]["candidates"][0]["content"]["parts"][2:]
    return [
        piece({"text": "Two ", "thought": True}),
        piece({"text": "towns.", "thought": True}),
        piece({"text": "Let me "}),
        piece({"text": "see. ☂"}),
        piece(*calls),
        {**piece({"text": ""}, finishReason="STOP"), "usageMetadata": _GEMINI_USAGE},
    ]


STREAMS: dict[Dialect, bytes] = {
    CHAT: _chat_stream(),
    RESPONSES: _responses_stream(),
    ANTHROPIC: _claude_stream(),
    GEMINI: sse(*gemini_pieces()),
}
GEMINI_ARRAY = json.dumps(gemini_pieces(), indent=2, ensure_ascii=False).encode()
