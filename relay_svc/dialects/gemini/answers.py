"""Reads and writes whole Gemini answers.

The law: a prompt that was refused is an answer without content that the filter ended; an answer that Gemini itself says is
malformed is a failure.
"""

from typing import Any

from relay_svc.dialects import signatures
from relay_svc.dialects.answer import Answer, AnswerPart, Failure, Finish, Stamp, Usage
from relay_svc.dialects.errors import failure_of
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Call, Dialect, Refusal, Signature, Text, Thinking
from relay_svc.dialects.gemini.shapes import (
    FINISH_WORDS,
    MALFORMED,
    RESPONSE,
    CandidateShape,
    PartShape,
    ResponseShape,
    finish_of,
    read_logprobs,
    usage_of,
    written_logprobs,
    written_usage,
)
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import arguments_object, decoded, encode


def read(body: bytes, losses: Losses) -> Answer | Failure:
    """Read an answer. Raises DialectFault."""
    response = decoded(RESPONSE.decode, body)
    if type(response.error) is dict:
        return failure_of(response.error)
    usage = usage_of(response.usage_metadata)
    if not response.candidates:
        if not blocked(response):
            raise DialectFault("candidates", "must not be empty")
        return Answer(response.model_version or "", refusals(response), Finish.FILTER, usage)
    candidate = response.candidates[0]
    parts = [part for shape in shapes_of(candidate) if (part := _part(shape, losses)) is not None]
    note_unread(candidate, losses)
    finish = finish_of(candidate, calls=any(isinstance(part, Call) for part in parts))
    if isinstance(finish, Failure):
        return finish
    logprobs = read_logprobs(candidate.logprobs_result)
    for part in parts:
        if isinstance(part, Text) and logprobs:
            part.logprobs = logprobs  # told for the whole candidate
            break
    return Answer(response.model_version or "", parts, finish, usage)


def blocked(response: ResponseShape) -> bool:
    """Tell whether the prompt was refused."""
    return response.prompt_feedback is not None and bool(response.prompt_feedback.block_reason)


def refusals(response: ResponseShape) -> list[AnswerPart]:
    """Give Gemini's words for refusing a prompt, if it has any."""
    feedback = response.prompt_feedback
    return [Refusal(feedback.block_reason_message)] if feedback and feedback.block_reason_message else []


def shapes_of(candidate: CandidateShape) -> list[PartShape]:
    """Give a candidate's parts."""
    return (candidate.content.parts or []) if candidate.content else []


def note_unread(candidate: CandidateShape, losses: Losses) -> None:
    """Note what a candidate says that no other dialect has. Raises CannotCarry when strict."""
    if candidate.citation_metadata or candidate.grounding_metadata:
        losses.add("citations")


def arguments_of(shape: PartShape) -> str:
    """Give a call's arguments as JSON text."""
    return encode((shape.function_call.args if shape.function_call else None) or {}).decode()


def note_part(shape: PartShape, losses: Losses) -> None:
    """Note a part that is not carried. Raises CannotCarry when strict."""
    if shape.inline_data:
        losses.add("content.inline_data")
    elif shape.executable_code or shape.code_execution_result:
        losses.add("content.code_execution")


def _part(shape: PartShape, losses: Losses) -> AnswerPart | None:
    signature = signatures.known(shape.thought_signature or "", Dialect.GEMINI)
    if shape.function_call is not None:
        if not shape.function_call.name:
            raise DialectFault("candidates[0].content.parts.functionCall.name", "must be a string")
        return Call(shape.function_call.id or "", shape.function_call.name, arguments_of(shape), signature)
    if shape.text is None:
        note_part(shape, losses)
        return None
    if shape.thought:
        return Thinking(shape.text, signature)
    if signature is not None:
        losses.add("thought_signature")
    return Text(shape.text) if shape.text else None


def write(answer: Answer, stamp: Stamp, losses: Losses) -> bytes:
    """Write an answer. Raises CannotCarry when strict."""
    candidate: dict[str, Any] = {"index": 0}
    finish = FINISH_WORDS[answer.finish]
    parts: list[dict[str, Any]] = []
    logprobs = []
    for part in answer.parts:
        if isinstance(part, Call):
            try:
                parts.append(written_call(part.id, part.name, part.arguments, part.signature))
            except DialectFault:
                losses.add("tool_call.arguments")
                if answer.finish is not Finish.LENGTH:
                    finish = MALFORMED
        elif isinstance(part, Thinking):
            parts.append(written_thought(part.text, part.signature))
        else:
            parts.append({"text": part.text})
            if isinstance(part, Refusal) and answer.finish is Finish.STOP:
                finish = FINISH_WORDS[Finish.REFUSAL]
            if isinstance(part, Text) and part.logprobs:
                logprobs.extend(part.logprobs)
    candidate["content"] = {"role": "model", "parts": parts}
    candidate["finishReason"] = finish
    if logprobs:
        candidate["logprobsResult"] = written_logprobs(logprobs)
    return encode(response_body(candidate, stamp, answer.model, answer.usage or Usage()))


def response_body(candidate: dict[str, Any], stamp: Stamp, model: str, usage: Usage | None) -> dict[str, Any]:
    """Write a response around a candidate."""
    body: dict[str, Any] = {"candidates": [candidate], "modelVersion": model or stamp.model, "responseId": stamp.id}
    if usage is not None:
        body["usageMetadata"] = written_usage(usage)
    return body


def written_call(id_: str, name: str, arguments: str, signature: Signature | None) -> dict[str, Any]:
    """Write a call. Raises DialectFault when its arguments are no object."""
    call: dict[str, Any] = {"name": name, "args": arguments_object(arguments, f"{name}.arguments")}
    if id_:
        call["id"] = id_
    part: dict[str, Any] = {"functionCall": call}
    if signature is not None:
        part["thoughtSignature"] = signatures.shown(signature, Dialect.GEMINI)
    return part


def written_thought(text: str, signature: Signature | None) -> dict[str, Any]:
    """Write reasoning."""
    part: dict[str, Any] = {"text": text, "thought": True}
    if signature is not None:
        part["thoughtSignature"] = signatures.shown(signature, Dialect.GEMINI)
    return part
