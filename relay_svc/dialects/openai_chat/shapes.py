"""The shapes of chat completions' answers, whole and streamed.

The law: only what is read stands here, and all of it may be missing or null, since many servers speak this format.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from relay_svc.dialects.answer import Finish, Usage
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.openai_words import TokenShape, count


class Function(Struct):
    """A called function, or more of one."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct):
    """A tool call, or more of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: Any = None


class Said(Struct):
    """A message, or more of one."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None
    annotations: Any = None
    audio: Any = None
    function_call: Any = None


class Logprobs(Struct):
    """Probabilities of the tokens said."""

    content: list[TokenShape] | None = None


class Choice(Struct):
    """One choice: `message` of a whole answer, `delta` of a stream."""

    index: int | None = None
    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Details(Struct):
    """Tokens by kind."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class UsageShape(Struct):
    """Tokens."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None


class Chunk(Struct):
    """A whole answer, or one event of a stream."""

    model: str | None = None
    choices: list[Choice] | None = None
    usage: UsageShape | None = None
    error: Any = None


CHUNK: Final = msgspec.json.Decoder(Chunk)

_FINISHES: Final = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "tool_calls": Finish.TOOLS,
    "function_call": Finish.TOOLS,
    "content_filter": Finish.FILTER,
}
FINISH_WORDS: Final = {
    Finish.STOP: "stop",
    Finish.STOP_SEQUENCE: "stop",
    Finish.LENGTH: "length",
    Finish.CONTEXT: "length",
    Finish.TOOLS: "tool_calls",
    Finish.FILTER: "content_filter",
    Finish.REFUSAL: "content_filter",
    Finish.PAUSE: "stop",
}


def finish_of(word: str, losses: Losses, *, calls: bool) -> Finish:
    """Read why it ended; some servers say `stop` after calls."""
    finish = _FINISHES.get(word)
    if finish is None:
        losses.add("finish_reason")
        finish = Finish.STOP
    return Finish.TOOLS if finish is Finish.STOP and calls else finish


def usage_of(shape: UsageShape | None) -> Usage | None:
    """Read the tokens."""
    if shape is None:
        return None
    inputs, outputs = shape.prompt_tokens_details or Details(), shape.completion_tokens_details or Details()
    return Usage(
        count(shape.prompt_tokens),
        count(shape.completion_tokens),
        count(inputs.cached_tokens),
        count(inputs.cache_write_tokens),
        count(outputs.reasoning_tokens),
    )


def written_usage(usage: Usage) -> dict[str, Any]:
    """Write the tokens."""
    details: dict[str, Any] = {"cached_tokens": usage.cached}
    if usage.cache_written:
        details["cache_write_tokens"] = usage.cache_written
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def signature_text(extra: Any) -> str:
    """Read a call's proof from where Gemini's own face of this format puts it; empty when there is none."""
    google = extra.get("google") if type(extra) is dict else None
    text = google.get("thought_signature") if type(google) is dict else None
    return text if type(text) is str else ""
