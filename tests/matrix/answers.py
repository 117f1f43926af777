"""What the providers answer, byte by byte as their API references show it: a text whole and in a stream, and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from relay_svc.dialects import Dialect
from tests.unit.relay_svc.dialects.samples import ANTHROPIC, CHAT, GEMINI, RESPONSES, sse

TOKENS: Final = (9, 4)
"""In and out, of every text."""
_IN, _OUT = TOKENS
_RESPONSE: Final[dict[str, Any]] = {
    "id": "resp_67ccd3a9da748190",
    "object": "response",
    "created_at": 1_760_000_000,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "model": "m-1",
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": {
        "input_tokens": _IN,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": _OUT,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": _IN + _OUT,
    },
    "metadata": {},
}
_CHAT_USAGE: Final = {"prompt_tokens": _IN, "completion_tokens": _OUT, "total_tokens": _IN + _OUT}
_MESSAGE_USAGE: Final[dict[str, Any]] = {
    "input_tokens": _IN,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": _OUT,
    "service_tier": "standard",
}
_GEMINI_USAGE: Final = {"promptTokenCount": _IN, "candidatesTokenCount": _OUT, "totalTokenCount": _IN + _OUT}


def whole(dialect: Dialect, text: str) -> dict[str, Any]:
    """A text in one piece."""
    return {CHAT: _chat, RESPONSES: _response, ANTHROPIC: _message, GEMINI: _content}[dialect](text)


def streamed(dialect: Dialect, text: str) -> bytes:
    """A text in a stream of two pieces."""
    half = len(text) // 2
    writers: dict[Dialect, Callable[[str, str], bytes]] = {
        CHAT: _chat_stream,
        RESPONSES: _response_stream,
        ANTHROPIC: _message_stream,
        GEMINI: _content_stream,
    }
    return writers[dialect](text[:half], text[half:])


def _chat(text: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    return {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "m-1",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _CHAT_USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
    }


def _chat_stream(*pieces: str) -> bytes:
    def chunk(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> dict[str, Any]:
        return {
            "id": "chatcmpl-123",
            "object": "chat.completion.chunk",
            "created": 1_760_000_000,
            "model": "m-1",
            "system_fingerprint": "fp_44709d6fcb",
            "choices": choices,
            "usage": usage,
        }

    def of(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])

    return sse(
        of({"role": "assistant", "content": "", "refusal": None}),
        *(of({"content": piece}) for piece in pieces),
        of({}, "stop"),
        chunk([], _CHAT_USAGE),
        "[DONE]",
    )


def _response(text: str) -> dict[str, Any]:
    return {**_RESPONSE, "output": [_item(text)]}


def _item(text: str | None) -> dict[str, Any]:
    content = [] if text is None else [_output_text(text)]
    status = "in_progress" if text is None else "completed"
    return {"type": "message", "id": "msg_67ccd3acc8d4", "status": status, "role": "assistant", "content": content}


def _output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response_stream(*pieces: str) -> bytes:
    text = "".join(pieces)
    begun = {**_RESPONSE, "status": "in_progress", "usage": None}
    at: dict[str, Any] = {"item_id": "msg_67ccd3acc8d4", "output_index": 0, "content_index": 0}
    deltas: list[dict[str, Any]] = [
        {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []} for piece in pieces
    ]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": _item(None)},
        {"type": "response.content_part.added", **at, "part": _output_text("")},
        *deltas,
        {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": _output_text(text)},
        {"type": "response.output_item.done", "output_index": 0, "item": _item(text)},
        {"type": "response.completed", "response": _response(text)},
    ]
    return sse(*({**event, "sequence_number": number} for number, event in enumerate(events)), named=True)


def _message(text: str) -> dict[str, Any]:
    return {
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": [{"type": "text", "text": text, "citations": None}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _MESSAGE_USAGE,
    }


def _message_stream(*pieces: str) -> bytes:
    usage = {**_MESSAGE_USAGE, "output_tokens": 1}
    begun = {**_message(""), "content": [], "stop_reason": None, "usage": usage}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in pieces
    ]
    return sse(
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": _OUT}},
        {"type": "message_stop"},
        named=True,
    )


def _content(text: str, *, finish: str | None = "STOP") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "usageMetadata": _GEMINI_USAGE,
        "modelVersion": "m-1",
        "responseId": "zKk0aO6TBa2XvdIP",
    }


def _content_stream(first: str, last: str) -> bytes:
    return sse(_content(first, finish=None), _content(last))


def _openai_error(kind: str, code: str | None, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _anthropic_error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}


_OPENAI_ERRORS: Final = {
    429: _openai_error("requests", "rate_limit_exceeded", "Rate limit reached for m-1 on requests per min (RPM)."),
    400: _openai_error("invalid_request_error", "context_length_exceeded", "This model's maximum context is 8 tokens."),
}
ERRORS: Final[dict[Dialect, dict[int, dict[str, Any]]]] = {
    CHAT: _OPENAI_ERRORS,
    RESPONSES: _OPENAI_ERRORS,
    ANTHROPIC: {
        429: _anthropic_error("rate_limit_error", "This request would exceed your rate limit of 50 per minute."),
        400: _anthropic_error("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
    },
    GEMINI: {
        429: {"error": {"code": 429, "message": "You exceeded your current quota.", "status": "RESOURCE_EXHAUSTED"}},
        400: {"error": {"code": 400, "message": "The input token count exceeds 8.", "status": "INVALID_ARGUMENT"}},
    },
}
COZE_ERRORS: Final = {
    429: {"code": 4013, "msg": "The request exceeds the rate limit.", "detail": {"logid": "2024"}},
    400: {"code": 4000, "msg": "Request parameter error", "detail": {"logid": "2024"}},
}
"""Coze says them with status 200."""


def coze_stream(text: str) -> bytes:
    """A bot's answer: created, in progress, pieces, the whole, completed."""
    said = {"id": "7", "conversation_id": "1", "bot_id": "7", "role": "assistant", "type": "answer"}
    written = {**said, "content_type": "text", "chat_id": "2"}
    usage = {"token_count": _IN + _OUT, "output_count": _OUT, "input_count": _IN}
    events: list[tuple[str, dict[str, Any]]] = [
        ("conversation.chat.created", {"id": "2", "conversation_id": "1", "bot_id": "7", "status": "created"}),
        ("conversation.chat.in_progress", {"id": "2", "conversation_id": "1", "bot_id": "7", "status": "in_progress"}),
        *(("conversation.message.delta", {**written, "content": piece}) for piece in (text[:4], text[4:])),
        ("conversation.message.completed", {**written, "content": text}),
        ("conversation.chat.completed", {"id": "2", "status": "completed", "usage": usage}),
    ]
    return _coze_events(events) + b'event:done\ndata:"[DONE]"\n\n'


def coze_run(text: str, *, goes_on: bool) -> dict[str, Any]:
    """What a workflow gave, or the id of one that goes on."""
    usage = {"token_count": _IN + _OUT, "output_count": _OUT, "input_count": _IN}
    said = {"code": 0, "msg": "Success", "debug_url": "https://www.coze.com/work_flow?execute_id=743"}
    return said | ({"execute_id": "743"} if goes_on else {"data": text, "usage": usage})


def coze_run_stream(text: str) -> bytes:
    """What a workflow says while it runs."""
    usage = {"token_count": _IN + _OUT, "output_count": _OUT, "input_count": _IN}
    node = {"node_title": "End", "node_type": "End", "node_id": "900001"}
    first = {**node, "content": text[:4], "node_seq_id": "0", "node_is_finish": False}
    last = {**node, "content": text[4:], "node_seq_id": "1", "node_is_finish": True, "usage": usage}
    done = {"debug_url": "https://www.coze.com/work_flow?execute_id=743"}
    return _coze_events([("Message", first), ("Message", last), ("Done", done)])


def _coze_events(events: list[tuple[str, dict[str, Any]]]) -> bytes:
    return b"".join(
        f"event:{name}\n".encode() + b"data:" + json.dumps(data).encode() + b"\n\n" for name, data in events
    )
