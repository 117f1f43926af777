"""Reads and writes whole responses.

The law: nothing is remembered here, so a response's own settings are shown at their defaults, not as they were asked for.
"""

from typing import Any, Final

from relay_svc.dialects import signatures
from relay_svc.dialects.answer import Answer, AnswerPart, Failure, Finish, Stamp, Usage
from relay_svc.dialects.errors import failure_of
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Call, Dialect, Refusal, Signature, Text, Thinking
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import decoded, encode
from relay_svc.dialects.openai_responses.items import signature_of
from relay_svc.dialects.openai_responses.shapes import (
    INCOMPLETE_WORDS,
    RESPONSE,
    Item,
    Piece,
    ResponseShape,
    finish_of,
    usage_of,
    written_usage,
)
from relay_svc.dialects.openai_words import read_logprobs, write_logprobs

FAILED: Final = ("failed", "cancelled")


def read(body: bytes, losses: Losses) -> Answer | Failure:
    """Read an answer. Raises DialectFault."""
    response = decoded(RESPONSE.decode, body)
    if response.status in FAILED or type(response.error) is dict:
        return failure_in(response)
    if response.output is None:
        raise DialectFault("output", "must be a list")
    parts = [part for place, item in enumerate(response.output) for part in _parts(item, place, losses)]
    finish = finish_of(response, losses, calls=any(isinstance(part, Call) for part in parts))
    return Answer(response.model or "", parts, finish, usage_of(response.usage))


def failure_in(response: ResponseShape) -> Failure:
    """Read why a response failed."""
    return failure_of(response.error if type(response.error) is dict else {})


def _parts(item: Item, place: int, losses: Losses) -> list[AnswerPart]:
    if item.type == "message":
        return [part for piece in item.content or () if (part := _piece(piece, losses))]
    if item.type == "reasoning":
        return [Thinking(reasoning_text(item), signature_of(item.id or "", item.encrypted_content or ""))]
    if item.type == "function_call":
        if not item.name:
            raise DialectFault(f"output[{place}].name", "must be a string")
        return [Call(item.call_id or "", item.name, item.arguments or "")]
    losses.unknown("output", item.type)
    return []


def reasoning_text(item: Item) -> str:
    """Give what of the reasoning may be seen."""
    return "\n\n".join(piece.text for piece in (item.summary or item.content or ()) if piece.text)


def _piece(piece: Piece, losses: Losses) -> AnswerPart | None:
    if piece.type == "output_text":
        if piece.annotations:
            losses.add("annotations")
        return Text(piece.text or "", logprobs=read_logprobs(piece.logprobs))
    if piece.type == "refusal":
        return Refusal(piece.refusal or "")
    losses.unknown("output", piece.type)
    return None


def write(answer: Answer, stamp: Stamp, losses: Losses) -> bytes:
    """Write an answer. Raises DialectFault, CannotCarry when strict."""
    output: list[dict[str, Any]] = []
    for place, part in enumerate(answer.parts):
        if isinstance(part, Text | Refusal):
            content = text_piece(part.text, part.logprobs) if isinstance(part, Text) else refusal_piece(part.text)
            if output and output[-1]["type"] == "message":
                output[-1]["content"].append(content)
            else:
                output.append(message_item(f"msg_{stamp.id}_{place}", "completed", [content]))
        elif isinstance(part, Thinking):
            output.append(reasoning_item(f"rs_{stamp.id}_{place}", part.text, part.signature))
        else:
            if part.signature is not None:
                losses.add("thought_signature")
            call_id = part.id or f"call_{stamp.id}_{place}"
            output.append(call_item(f"fc_{stamp.id}_{place}", call_id, part.name, part.arguments or "{}"))
    refused = any(isinstance(part, Refusal) for part in answer.parts)
    body = response_body(stamp, answer.model, *ending(answer.finish, refused=refused))
    body["output"] = output
    body["usage"] = written_usage(answer.usage or Usage())
    return encode(body)


def ending(finish: Finish, *, refused: bool) -> tuple[str, str | None]:
    """Give the status and, of an incomplete response, the reason."""
    if finish is Finish.REFUSAL and not refused:
        finish = Finish.FILTER
    reason = INCOMPLETE_WORDS.get(finish)
    return ("incomplete" if reason else "completed"), reason


def response_body(stamp: Stamp, model: str, status: str, reason: str | None = None) -> dict[str, Any]:
    """Write a response without output."""
    return {
        "id": f"resp_{stamp.id}",
        "object": "response",
        "created_at": stamp.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "model": model or stamp.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None,
    }


def message_item(id_: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """Write an item of what was said."""
    return {"type": "message", "id": id_, "status": status, "role": "assistant", "content": content}


def text_piece(text: str, logprobs: Any = None) -> dict[str, Any]:
    """Write a piece of text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": write_logprobs(logprobs or ())}


def refusal_piece(text: str) -> dict[str, Any]:
    """Write a refusal."""
    return {"type": "refusal", "refusal": text}


def reasoning_item(id_: str, text: str, signature: Signature | None) -> dict[str, Any]:
    """Write an item of reasoning."""
    item: dict[str, Any] = {"type": "reasoning", "id": id_, "summary": []}
    if text:
        item["summary"].append({"type": "summary_text", "text": text})
    if signature is not None:
        item["encrypted_content"] = signatures.shown(signature, Dialect.OPENAI_RESPONSES)
    return item


def call_item(id_: str, call_id: str, name: str, arguments: str, status: str = "completed") -> dict[str, Any]:
    """Write an item of a call."""
    return {
        "type": "function_call",
        "id": id_,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }
