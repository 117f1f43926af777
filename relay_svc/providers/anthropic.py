"""Anthropic: messages, and counting their tokens.

The law: pure. Every other conversation is translated to messages. The client's `anthropic-version` and `anthropic-beta` pass;
a version of the channel's, or the current one, stands in where the client names none.
"""

from typing import Final

from relay_svc.operations import Format, Operation
from relay_svc.providers.call import (
    Adapter,
    Answer,
    Asked,
    Call,
    NotOffered,
    Target,
    asks_for_generation,
    named,
    rooted,
)
from relay_svc.providers.openai import ANTHROPIC_VERSION

_PATHS: Final = {Operation.MESSAGES: "/messages", Operation.COUNT_TOKENS: "/messages/count_tokens"}


def anthropic(target: Target, asked: Asked) -> Answer:
    """Ask Anthropic."""
    if asks_for_generation(asked):
        operation = Operation.MESSAGES
    elif asked.operation is Operation.COUNT_TOKENS:
        operation = Operation.COUNT_TOKENS
    else:
        return NotOffered(target.provider, asked.operation)
    counts = operation is Operation.COUNT_TOKENS and asked.format is not Format.ANTHROPIC
    version = target.options.get("api_version", "").encode() or ANTHROPIC_VERSION
    return Call(
        rooted(target.base_url, "/v1", "/v1") + _PATHS[operation],
        operation,
        asked.format if counts else Format.ANTHROPIC,
        named(b"x-api-key", target.key),
        ((b"anthropic-version", version),),
        target.model,
        events=asked.stream,
        adapter=Adapter.ANTHROPIC_COUNT if counts else Adapter.NONE,
        errors=Format.ANTHROPIC,
    )
