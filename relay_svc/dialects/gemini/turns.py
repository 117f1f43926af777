"""Writes the turns of a Gemini conversation.

The law: results of tools come first in a turn, in the order of their calls, and name the function as Gemini wants it; what
they showed beside text follows them. Turns of one role in a row become one.
"""

from typing import Any

import msgspec

from relay_svc.dialects import media
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Call, Dialect, Media, Message, Part, Refusal, Result, Text, Thinking
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import arguments_object
from relay_svc.dialects.signatures import SKIP

_OUTPUTS = frozenset({"output", "error", "result"})
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def write_turns(messages: list[Message], losses: Losses) -> tuple[list[Any], list[Any]]:
    """Write the system's parts and the contents. Raises DialectFault, CannotCarry."""
    system: list[Any] = []
    contents: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for place, message in enumerate(messages):
        path = f"messages[{place}]"
        if message.role in ("system", "developer"):
            if contents:
                losses.add("system.position")
            system.extend(_part(part, losses) for part in message.parts)
            continue
        role = "model" if message.role == "assistant" else "user"
        parts = _model(message, names, path, losses) if role == "model" else _user(message, names, path, losses)
        if not parts:
            continue
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"].extend(parts)
        else:
            contents.append({"role": role, "parts": parts})
    return system, contents


def _model(message: Message, names: dict[str, str], path: str, losses: Losses) -> list[Any]:
    parts: list[Any] = []
    first: dict[str, Any] | None = None
    signed = False
    for part in message.parts:
        if isinstance(part, Thinking):
            if part.signature is None or part.signature.home is not Dialect.GEMINI:
                losses.add("thinking")
            else:
                parts.append({"text": part.text, "thought": True, "thoughtSignature": part.signature.value})
        elif isinstance(part, Call):
            names[part.id] = part.name
            written = _call(part, path, losses)
            first = first or written
            signed |= "thoughtSignature" in written
            parts.append(written)
        else:
            parts.append(_part(part, losses))
    if first is not None and not signed:
        first["thoughtSignature"] = SKIP
    return parts


def _call(call: Call, path: str, losses: Losses) -> dict[str, Any]:
    arguments = arguments_object(call.arguments, f"{path}.arguments")
    written: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": arguments}}
    if call.signature is not None:
        if call.signature.home is Dialect.GEMINI:
            written["thoughtSignature"] = call.signature.value
        else:
            losses.add("thought_signature")
    return written


def _user(message: Message, names: dict[str, str], path: str, losses: Losses) -> list[Any]:
    parts: list[Any] = []
    rest: list[Any] = []
    for part in message.parts:
        if isinstance(part, Result):
            name = part.name or names.get(part.call_id, "")
            if not name:
                raise DialectFault(f"{path}.tool_call_id", "must be that of a call before it")
            shown = [inner for inner in part.parts if isinstance(inner, Media)]
            if shown:
                losses.add("tool_result.media")
                rest.extend(_part(inner, losses) for inner in shown)
            response = {"id": part.call_id, "name": name, "response": _response(part)}
            parts.append({"functionResponse": response})
        else:
            rest.append(_part(part, losses))
    return parts + rest


def _response(result: Result) -> dict[str, Any]:
    text = "".join(part.text for part in result.parts if isinstance(part, Text))
    if result.is_error:
        return {"error": text}
    try:
        response = _OBJECT.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {"output": text}
    return {"output": text} if _OUTPUTS.issuperset(response) else response


def _part(part: Part, losses: Losses) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    if isinstance(part, Refusal):
        losses.add("refusal")
        return {"text": part.text}
    assert isinstance(part, Media)  # noqa: S101 - for the type checker: the form's law leaves nothing else
    if part.detail:
        losses.add("image.detail")
    if part.data:
        return {"inlineData": {"mimeType": part.mime or "application/octet-stream", "data": part.data}}
    if part.file_id and part.home is not Dialect.GEMINI:
        losses.essential("file.file_id")
    file = {"fileUri": part.file_id or part.url}
    mime = part.mime or media.guessed_mime(part.url)
    if mime:
        file["mimeType"] = mime
    return {"fileData": file}
