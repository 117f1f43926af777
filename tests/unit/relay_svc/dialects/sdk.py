"""What the providers' own SDKs make of what is written here: their types, strictly."""

import json
from typing import Any

import anthropic.types
import google.genai.types as google
import openai.types.chat
import openai.types.responses
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as ClaudeParams
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatParams
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as ResponsesParams
from pydantic import TypeAdapter

from relay_svc.dialects import Dialect

_REQUESTS: dict[Dialect, TypeAdapter[Any]] = {
    Dialect.OPENAI_CHAT: TypeAdapter(ChatParams),
    Dialect.OPENAI_RESPONSES: TypeAdapter(ResponsesParams),
    Dialect.ANTHROPIC: TypeAdapter(ClaudeParams),
}
_GOOGLE_TOP: dict[str, TypeAdapter[Any]] = {
    "contents": TypeAdapter(list[google.Content]),
    "systemInstruction": TypeAdapter(google.Content),
    "tools": TypeAdapter(list[google.Tool]),
    "toolConfig": TypeAdapter(google.ToolConfig),
    "generationConfig": TypeAdapter(google.GenerationConfig),
}
_ANSWERS: dict[Dialect, TypeAdapter[Any]] = {
    Dialect.OPENAI_CHAT: TypeAdapter(openai.types.chat.ChatCompletion),
    Dialect.OPENAI_RESPONSES: TypeAdapter(openai.types.responses.Response),
    Dialect.ANTHROPIC: TypeAdapter(anthropic.types.Message),
    Dialect.GEMINI: TypeAdapter(google.GenerateContentResponse),
}
_EVENTS: dict[Dialect, TypeAdapter[Any]] = {
    Dialect.OPENAI_CHAT: TypeAdapter(openai.types.chat.ChatCompletionChunk),
    Dialect.OPENAI_RESPONSES: TypeAdapter(openai.types.responses.ResponseStreamEvent),
    Dialect.ANTHROPIC: TypeAdapter(anthropic.types.RawMessageStreamEvent),
    Dialect.GEMINI: _ANSWERS[Dialect.GEMINI],
}


def check_request(dialect: Dialect, body: dict[str, Any]) -> None:
    """Read a request as the provider's SDK would write it; lazy lists are walked to their ends."""
    if dialect is Dialect.GEMINI:
        for name, value in body.items():
            _GOOGLE_TOP[name].validate_python(value)
        return
    _walk(_REQUESTS[dialect].validate_python({**body, "stream": False}))


def check_answer(dialect: Dialect, body: bytes) -> Any:
    """Read a whole answer."""
    return _ANSWERS[dialect].validate_json(body)


def check_event(dialect: Dialect, data: bytes) -> Any:
    """Read one event of a stream that is no error and no `[DONE]`."""
    return _EVENTS[dialect].validate_python(json.loads(data))


def _walk(value: Any) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _walk(inner)
    elif not isinstance(value, str | bytes | int | float | None):
        for inner in value:
            _walk(inner)
