"""Reads and writes whole chat completions.

The law: one choice is carried, the first. What a choice holds beside text, refusal, reasoning and calls is a loss.
"""

from typing import Any

from relay_svc.dialects import signatures
from relay_svc.dialects.answer import Answer, AnswerPart, Failure, Stamp
from relay_svc.dialects.errors import failure_of
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Call, Dialect, Refusal, Text, Thinking
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import decoded, encode
from relay_svc.dialects.openai_chat.shapes import (
    CHUNK,
    FINISH_WORDS,
    Choice,
    Said,
    ToolCall,
    finish_of,
    signature_text,
    usage_of,
    written_usage,
)
from relay_svc.dialects.openai_chat.writing import shown_signature
from relay_svc.dialects.openai_words import fill, read_logprobs, write_logprobs


def read(body: bytes, losses: Losses) -> Answer | Failure:
    """Read an answer. Raises DialectFault."""
    chunk = decoded(CHUNK.decode, body)
    if type(chunk.error) is dict:
        return failure_of(chunk.error)
    if not chunk.choices:
        raise DialectFault("choices", "must not be empty")
    choice = chunk.choices[0]
    if choice.message is None:
        raise DialectFault("choices[0].message", "must be an object")
    note_unread(choice.message, losses)
    parts = _parts(choice.message, choice)
    finish = finish_of(choice.finish_reason or "", losses, calls=any(isinstance(part, Call) for part in parts))
    return Answer(chunk.model or "", parts, finish, usage_of(chunk.usage))


def note_unread(said: Said, losses: Losses) -> None:
    """Note what is said in ways that no other dialect has. Raises CannotCarry when strict."""
    if said.annotations:
        losses.add("annotations")
    if said.audio:
        losses.add("audio")
    if said.function_call:
        losses.add("function_call")


def _parts(said: Said, choice: Choice) -> list[AnswerPart]:
    parts: list[AnswerPart] = []
    thought = said.reasoning_content or said.reasoning
    if thought:
        parts.append(Thinking(thought))
    if said.content:
        parts.append(Text(said.content, logprobs=read_logprobs(choice.logprobs.content if choice.logprobs else None)))
    if said.refusal:
        parts.append(Refusal(said.refusal))
    parts.extend(_call(place, call) for place, call in enumerate(said.tool_calls or ()))
    return parts


def _call(place: int, call: ToolCall) -> Call:
    if call.function is None or not call.function.name:
        raise DialectFault(f"choices[0].message.tool_calls[{place}].function.name", "must be a string")
    signature = signatures.known(signature_text(call.extra_content), Dialect.GEMINI)
    return Call(call.id or "", call.function.name, call.function.arguments or "", signature)


def write(answer: Answer, stamp: Stamp, losses: Losses) -> bytes:
    """Write an answer. Raises DialectFault, CannotCarry when strict."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": _message(answer, stamp, losses),
        "logprobs": _logprobs(answer),
        "finish_reason": FINISH_WORDS[answer.finish],
    }
    body: dict[str, Any] = {
        "id": f"chatcmpl-{stamp.id}",
        "object": "chat.completion",
        "created": stamp.created,
        "model": answer.model or stamp.model,
        "choices": [choice],
    }
    fill(body, usage=written_usage(answer.usage) if answer.usage else None)
    return encode(body)


def _message(answer: Answer, stamp: Stamp, losses: Losses) -> dict[str, Any]:
    texts, thoughts, refusals, calls = [], [], [], []
    for place, part in enumerate(answer.parts):
        if isinstance(part, Text):
            texts.append(part.text)
        elif isinstance(part, Refusal):
            refusals.append(part.text)
        elif isinstance(part, Thinking):
            thoughts.append(part.text)
            if part.signature is not None:
                losses.add("thinking.signature")
        else:
            calls.append(_written_call(part, f"call_{stamp.id}_{place}", losses))
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    fill(message, reasoning_content="".join(thoughts) or None, tool_calls=calls or None)
    return message


def _written_call(call: Call, made_up: str, losses: Losses) -> dict[str, Any]:
    written = {
        "id": call.id or made_up,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }
    extra = shown_signature(call.signature)
    if extra is None and call.signature is not None:
        losses.add("thought_signature")
    fill(written, extra_content=extra)
    return written


def _logprobs(answer: Answer) -> dict[str, Any] | None:
    told = [each for part in answer.parts if isinstance(part, Text) and part.logprobs for each in part.logprobs]
    return {"content": write_logprobs(told), "refusal": None} if told else None
