"""Reads and writes whole messages.

The law: blocks of the provider's own tools are a loss, since no other dialect has a place for them.
"""

from typing import Any

from relay_svc.dialects import signatures
from relay_svc.dialects.answer import Answer, AnswerPart, Failure, Finish, Stamp, Usage
from relay_svc.dialects.anthropic.shapes import (
    FINISH_WORDS,
    MESSAGE,
    REDACTED,
    Block,
    finish_of,
    usage_of,
    written_thinking,
    written_usage,
)
from relay_svc.dialects.errors import failure_of
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Call, Dialect, Refusal, Text, Thinking
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import arguments_object, decoded, encode


def read(body: bytes, losses: Losses) -> Answer | Failure:
    """Read an answer. Raises DialectFault."""
    message = decoded(MESSAGE.decode, body)
    if type(message.error) is dict:
        return failure_of(message.error)
    if message.content is None:
        raise DialectFault("content", "must be a list")
    parts = [part for place, block in enumerate(message.content) if (part := _part(block, place, losses))]
    if message.stop_details is not None and message.stop_details.explanation:
        parts.append(Refusal(message.stop_details.explanation))
    return Answer(
        message.model or "",
        parts,
        finish_of(message.stop_reason or "", losses),
        usage_of(message.usage),
        message.stop_sequence or "",
    )


def _part(block: Block, place: int, losses: Losses) -> AnswerPart | None:
    if block.type == "text":
        if block.citations:
            losses.add("citations")
        return Text(block.text or "")
    if block.type == "thinking":
        return Thinking(block.thinking or "", signatures.known(block.signature or "", Dialect.ANTHROPIC))
    if block.type == "redacted_thinking":
        return Thinking("", signatures.known(REDACTED + (block.data or ""), Dialect.ANTHROPIC))
    if block.type == "tool_use":
        if not block.name:
            raise DialectFault(f"content[{place}].name", "must be a string")
        return Call(block.id or "", block.name, encode(block.input if block.input is not None else {}).decode())
    losses.unknown("content", block.type)
    return None


def write(answer: Answer, stamp: Stamp, losses: Losses) -> bytes:
    """Write an answer. Raises DialectFault, CannotCarry when strict."""
    content = []
    for place, part in enumerate(answer.parts):
        block = written_block(part, f"toolu_{stamp.id}_{place}", answer.finish, losses)
        if block is not None:
            content.append(block)
    refused = any(isinstance(part, Refusal) for part in answer.parts) and answer.finish is Finish.STOP
    return encode(
        {
            "id": f"msg_{stamp.id}",
            "type": "message",
            "role": "assistant",
            "model": answer.model or stamp.model,
            "content": content,
            "stop_reason": FINISH_WORDS[Finish.REFUSAL if refused else answer.finish],
            "stop_sequence": answer.stop_sequence or None,
            "usage": written_usage(answer.usage or Usage()),
        }
    )


def written_block(part: AnswerPart, made_up: str, finish: Finish, losses: Losses) -> dict[str, Any] | None:
    """Write a part; None for a call that was cut short. Raises DialectFault when its arguments are no object."""
    if isinstance(part, Text):
        if part.logprobs:
            losses.add("logprobs")
        return {"type": "text", "text": part.text}
    if isinstance(part, Refusal):
        return {"type": "text", "text": part.text}
    if isinstance(part, Thinking):
        return written_thinking(part.text, signatures.shown(part.signature, Dialect.ANTHROPIC) or signatures.UNSIGNED)
    try:
        arguments = arguments_object(part.arguments, f"{part.name}.arguments")
    except DialectFault:
        if finish is not Finish.LENGTH:
            raise
        losses.add("tool_call.arguments")  # cut short by the limit of tokens
        return None
    if part.signature is not None:
        losses.add("thought_signature")
    return {"type": "tool_use", "id": part.id or made_up, "name": part.name, "input": arguments}
