"""The shapes of responses, whole and streamed.

The law: only what is read stands here.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from relay_svc.dialects.answer import Finish, Usage
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.openai_words import TokenShape, count


class Details(Struct):
    """Tokens by kind."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class UsageShape(Struct):
    """Tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None


class Piece(Struct):
    """A piece of an item's content."""

    type: str
    text: str | None = None
    refusal: str | None = None
    annotations: Any = None
    logprobs: list[TokenShape] | None = None


class Item(Struct):
    """An output item."""

    type: str
    id: str | None = None
    content: list[Piece] | None = None
    summary: list[Piece] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None


class Incomplete(Struct):
    """Why it is not complete."""

    reason: str | None = None


class ResponseShape(Struct):
    """A response."""

    model: str | None = None
    status: str | None = None
    output: list[Item] | None = None
    incomplete_details: Incomplete | None = None
    usage: UsageShape | None = None
    error: Any = None


class EventShape(Struct):
    """One event of a stream."""

    type: str
    response: ResponseShape | None = None
    item: Item | None = None
    part: Piece | None = None
    item_id: str | None = None
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: str | None = None
    logprobs: list[TokenShape] | None = None
    error: Any = None


RESPONSE: Final = msgspec.json.Decoder(ResponseShape)
EVENT: Final = msgspec.json.Decoder(EventShape)

_INCOMPLETE: Final = {"max_output_tokens": Finish.LENGTH, "content_filter": Finish.FILTER}
INCOMPLETE_WORDS: Final = {
    Finish.LENGTH: "max_output_tokens",
    Finish.CONTEXT: "max_output_tokens",
    Finish.FILTER: "content_filter",
}


def finish_of(response: ResponseShape, losses: Losses, *, calls: bool) -> Finish:
    """Read why it ended, of one that did not fail."""
    if response.status != "incomplete":
        return Finish.TOOLS if calls else Finish.STOP
    reason = response.incomplete_details.reason if response.incomplete_details else None
    finish = _INCOMPLETE.get(reason or "")
    if finish is None:
        losses.add("finish_reason")
        finish = Finish.LENGTH
    return finish


def usage_of(shape: UsageShape | None) -> Usage | None:
    """Read the tokens."""
    if shape is None:
        return None
    inputs, outputs = shape.input_tokens_details or Details(), shape.output_tokens_details or Details()
    return Usage(
        count(shape.input_tokens),
        count(shape.output_tokens),
        count(inputs.cached_tokens),
        count(inputs.cache_write_tokens),
        count(outputs.reasoning_tokens),
    )


def written_usage(usage: Usage) -> dict[str, Any]:
    """Write the tokens."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
