"""Writes a chat completions request.

The law: only members that servers of this format have long known are written, since many others than OpenAI's speak it and
refuse what they do not know. A stream is always asked for its tokens.
"""

from typing import Any

from relay_svc.dialects import efforts, media, signatures
from relay_svc.dialects.form import (
    Call,
    Dialect,
    Format,
    Media,
    Message,
    Refusal,
    Request,
    Result,
    Signature,
    Target,
    Text,
    Thinking,
    ToolChoice,
)
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import encode
from relay_svc.dialects.openai_words import fill, note_common, write_common, write_function, write_schema


def write(request: Request, target: Target, losses: Losses) -> bytes:
    """Write a request. Raises CannotCarry."""
    body: dict[str, Any] = {"model": target.model, "messages": _messages(request, losses)}
    write_common(body, request)
    fill(
        body,
        tools=[{"type": "function", "function": write_function(tool)} for tool in request.tools] or None,
        tool_choice=_choice(request.tool_choice) if request.tools and request.tool_choice else None,
        response_format=_format(request.format) if request.format else None,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        seed=request.seed,
        stop=request.stop or None,
        logprobs=True if request.logprobs else None,
        top_logprobs=request.top_logprobs if request.logprobs else None,
        reasoning_effort=_effort(request, losses),
        verbosity=request.verbosity or None,
    )
    if request.max_tokens is not None:
        body["max_completion_tokens" if target.max_completion_tokens else "max_tokens"] = request.max_tokens
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    note_common(request, losses)
    return encode(body)


def _effort(request: Request, losses: Losses) -> str | None:
    if request.reasoning is None:
        return None
    effort = efforts.effort_of(request.reasoning)
    if not effort:
        losses.add("reasoning")  # asked for, and left to the model how much
    return effort or None


def _choice(choice: ToolChoice) -> Any:
    if not choice.names or choice.mode == "none":
        return choice.mode
    if choice.mode == "required" and len(choice.names) == 1:
        return {"type": "function", "function": {"name": choice.names[0]}}
    tools = [{"type": "function", "function": {"name": name}} for name in choice.names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}


def _format(wanted: Format) -> dict[str, Any]:
    if wanted.kind == "json":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": write_schema(wanted)}


def _messages(request: Request, losses: Losses) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for message in request.messages:
        if message.role == "assistant":
            written.append(_assistant(message, losses))
        elif message.role == "user":
            written.extend(_user(message, losses))
        else:  # `developer` is OpenAI's alone, and it reads `system` as the same
            written.append({"role": "system", "content": _content(message.parts, losses)})
    return written


def _user(message: Message, losses: Losses) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    said: list[Any] = []
    for part in message.parts:
        if not isinstance(part, Result):
            said.append(part)
            continue
        seen = [inner for inner in part.parts if isinstance(inner, Media)]
        texts = [inner for inner in part.parts if isinstance(inner, Text)]
        if part.is_error:
            losses.add("tool_result.is_error")
        if seen:  # a tool's message holds text only: what it showed follows as if the user had
            losses.add("tool_result.media")
            said.extend(seen)
        written.append({"role": "tool", "tool_call_id": part.call_id, "content": _content(texts, losses)})
    if said:
        written.append({"role": "user", "content": _content(said, losses)})
    return written


def _assistant(message: Message, losses: Losses) -> dict[str, Any]:
    texts = [part for part in message.parts if isinstance(part, Text)]
    calls = [_call(part, losses) for part in message.parts if isinstance(part, Call)]
    refusals = [part.text for part in message.parts if isinstance(part, Refusal)]
    if any(isinstance(part, Media) for part in message.parts):
        losses.essential("assistant.media")
    if any(isinstance(part, Thinking) for part in message.parts):
        losses.add("thinking")
    written: dict[str, Any] = {"role": "assistant", "content": _content(texts, losses) if texts else None}
    fill(written, refusal="".join(refusals) or None, tool_calls=calls or None)
    return written


def _call(call: Call, losses: Losses) -> dict[str, Any]:
    if call.signature is not None:
        losses.add("thought_signature")
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}


def _content(parts: list[Any], losses: Losses) -> Any:
    if all(isinstance(part, Text) for part in parts) and len(parts) < 2:  # noqa: PLR2004 - one text or none
        return "".join(part.text for part in parts)
    return [_part(part, losses) for part in parts]


def _part(part: Text | Media, losses: Losses) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if (text := media.plain_text(part)) is not None:
        return {"type": "text", "text": text}
    if part.kind == "image":
        return _image(part, losses)
    if part.kind == "audio":
        name = media.audio_format(part.mime)
        if not name or not part.data:
            losses.essential("audio")
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": name}}
    return _file(part, losses)


def _image(image: Media, losses: Losses) -> dict[str, Any]:
    if image.file_id:
        losses.essential("image.file_id")
    inner: dict[str, Any] = {"url": image.url or media.data_url(image)}
    fill(inner, detail=image.detail or None)
    return {"type": "image_url", "image_url": inner}


def _file(file: Media, losses: Losses) -> dict[str, Any]:
    if file.url:
        losses.essential("file.url")
    if file.file_id:
        if file.home is not Dialect.OPENAI_CHAT:
            losses.essential("file.file_id")
        return {"type": "file", "file": {"file_id": file.file_id}}
    return {"type": "file", "file": {"filename": file.name or "file.pdf", "file_data": media.data_url(file)}}


def shown_signature(signature: Signature | None) -> dict[str, Any] | None:
    """Write a call's proof where Gemini's own face of this format puts it; None when there is none to show."""
    if signature is None or signature.home is not Dialect.GEMINI:
        return None
    return {"google": {"thought_signature": signatures.shown(signature, Dialect.GEMINI)}}
