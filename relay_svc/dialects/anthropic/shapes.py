"""The shapes of Anthropic's answers, whole and streamed.

The law: only what is read stands here.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from relay_svc.dialects.answer import Finish, Usage
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.openai_words import count


class Details(Struct):
    """Tokens by kind."""

    thinking_tokens: int | None = None


class UsageShape(Struct):
    """Tokens. `input_tokens` counts neither those read from a cache nor those written to one."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: Details | None = None


class Block(Struct):
    """A content block, or the beginning of one."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    citations: Any = None


class StopDetails(Struct):
    """Why the model would not."""

    explanation: str | None = None


class Message(Struct):
    """A whole answer, or the beginning of one."""

    type: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: UsageShape | None = None
    error: Any = None


class DeltaShape(Struct):
    """What a delta event adds."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class EventShape(Struct):
    """One event of a stream."""

    type: str
    index: int = 0
    message: Message | None = None
    content_block: Block | None = None
    delta: DeltaShape | None = None
    usage: UsageShape | None = None
    error: Any = None


MESSAGE: Final = msgspec.json.Decoder(Message)
EVENT: Final = msgspec.json.Decoder(EventShape)

REDACTED: Final = "redacted:"
"""Marks the proof of reasoning that has no text at all, which Anthropic keeps in a block of another type."""


def written_thinking(text: str, signature: str) -> dict[str, Any]:
    """Write a block of reasoning."""
    if signature.startswith(REDACTED):
        return {"type": "redacted_thinking", "data": signature.removeprefix(REDACTED)}
    return {"type": "thinking", "thinking": text, "signature": signature}


_FINISHES: Final = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.CONTEXT,
    "tool_use": Finish.TOOLS,
    "refusal": Finish.REFUSAL,
    "pause_turn": Finish.PAUSE,
}
FINISH_WORDS: Final = {finish: word for word, finish in _FINISHES.items()} | {Finish.FILTER: "refusal"}


def finish_of(word: str, losses: Losses) -> Finish:
    """Read why it ended."""
    finish = _FINISHES.get(word)
    if finish is None:
        losses.add("finish_reason")
        return Finish.STOP
    return finish


def merged(first: UsageShape, later: UsageShape | None) -> UsageShape:
    """Give the tokens after a later count: counts are totals, and one that is missing stands as it was."""
    if later is None:
        return first

    def last(name: str) -> Any:
        value = getattr(later, name)
        return getattr(first, name) if value is None else value

    return UsageShape(*map(last, UsageShape.__struct_fields__))


def usage_of(shape: UsageShape | None) -> Usage | None:
    """Read the tokens."""
    if shape is None:
        return None
    cached, written = count(shape.cache_read_input_tokens), count(shape.cache_creation_input_tokens)
    details = shape.output_tokens_details or Details()
    return Usage(
        count(shape.input_tokens) + cached + written,
        count(shape.output_tokens),
        cached,
        written,
        count(details.thinking_tokens),
    )


def written_usage(usage: Usage) -> dict[str, Any]:
    """Write the tokens."""
    written: dict[str, Any] = {
        "input_tokens": max(0, usage.input - usage.cached - usage.cache_written),
        "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": usage.cache_written,
    }
    if usage.reasoning:
        written["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return written
