"""Writes a responses request.

The law: nothing is left with OpenAI (`store` is false), so sealed reasoning is asked for along with reasoning, and comes back
with the conversation.
"""

from typing import Any

from relay_svc.dialects import efforts, media
from relay_svc.dialects.form import (
    Call,
    Dialect,
    Format,
    Media,
    Message,
    Reasoning,
    Refusal,
    Request,
    Result,
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
    items: list[dict[str, Any]] = []
    for message in request.messages:
        _items(message, items, losses)
    body: dict[str, Any] = {"model": target.model, "input": items, "store": False}
    write_common(body, request)
    include = ["message.output_text.logprobs"] if request.logprobs else []
    if request.reasoning is not None and not efforts.is_off(request.reasoning):
        include.append("reasoning.encrypted_content")
    fill(
        body,
        tools=[{"type": "function", "strict": None, **write_function(tool)} for tool in request.tools] or None,
        tool_choice=_choice(request.tool_choice) if request.tools and request.tool_choice else None,
        text=_text_config(request) or None,
        reasoning=_reasoning(request.reasoning, losses) if request.reasoning else None,
        max_output_tokens=request.max_tokens,
        include=include or None,
        top_logprobs=request.top_logprobs if request.logprobs else None,
        stream=request.stream or None,
    )
    _note(request, losses)
    return encode(body)


def _note(request: Request, losses: Losses) -> None:
    note_common(request, losses)
    wanted = {
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "seed": request.seed is not None,
    }
    if request.stop:
        losses.essential("stop")  # what comes behind it was not asked for
    for name, value in wanted.items():
        if value:
            losses.add(name)


def _choice(choice: ToolChoice) -> Any:
    if not choice.names or choice.mode == "none":
        return choice.mode
    if choice.mode == "required" and len(choice.names) == 1:
        return {"type": "function", "name": choice.names[0]}
    tools = [{"type": "function", "name": name} for name in choice.names]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}


def _text_config(request: Request) -> dict[str, Any]:
    config: dict[str, Any] = {}
    fill(
        config,
        format=_format(request.format) if request.format else None,
        verbosity=request.verbosity or None,
    )
    return config


def _format(wanted: Format) -> dict[str, Any]:
    return {"type": "json_object"} if wanted.kind == "json" else {"type": "json_schema", **write_schema(wanted)}


def _reasoning(reasoning: Reasoning, losses: Losses) -> dict[str, Any] | None:
    written: dict[str, Any] = {}
    fill(written, effort=efforts.effort_of(reasoning) or None, summary="auto" if reasoning.show else None)
    if not written:
        losses.add("reasoning")  # asked for, and left to the model how much
    return written or None


def _items(message: Message, items: list[dict[str, Any]], losses: Losses) -> None:
    said: list[dict[str, Any]] = []

    def flush() -> None:
        if said:
            items.append({"type": "message", "role": message.role, "content": list(said)})
            said.clear()

    for part in message.parts:
        if isinstance(part, Call | Result | Thinking):
            flush()
            items.extend(_item(part, losses))
        elif message.role == "assistant":
            items.append({"type": "message", "role": "assistant", "content": _output(part, losses)})
        else:
            said.append(_input(part, losses))
    flush()


def _item(part: Call | Result | Thinking, losses: Losses) -> list[dict[str, Any]]:
    if isinstance(part, Call):
        if part.signature is not None:
            losses.add("thought_signature")
        arguments = part.arguments or "{}"
        return [{"type": "function_call", "call_id": part.id, "name": part.name, "arguments": arguments}]
    if isinstance(part, Result):
        if part.is_error:
            losses.add("tool_result.is_error")
        output: Any = [_input(inner, losses) for inner in part.parts]
        if all(isinstance(inner, Text) for inner in part.parts) and len(output) < 2:  # noqa: PLR2004 - one text or none
            output = "".join(inner["text"] for inner in output)
        return [{"type": "function_call_output", "call_id": part.call_id, "output": output}]
    if part.signature is None or part.signature.home is not Dialect.OPENAI_RESPONSES:
        losses.add("thinking")
        return []
    id_, _, secret = part.signature.value.partition("|")
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    return [{"type": "reasoning", "id": id_, "summary": summary, "encrypted_content": secret}]


def _output(part: Text | Media | Refusal, losses: Losses) -> str:
    # A list would have to name the ids of items that OpenAI made.
    if isinstance(part, Media):
        losses.essential("assistant.media")
    if isinstance(part, Refusal):
        losses.add("refusal")
    return part.text


def _input(part: Any, losses: Losses) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "input_text", "text": part.text}
    if (text := media.plain_text(part)) is not None:
        return {"type": "input_text", "text": text}
    if part.kind == "audio":
        losses.essential("audio")
    if part.file_id and part.home is not Dialect.OPENAI_CHAT:
        losses.essential("file.file_id")
    return _image(part) if part.kind == "image" else _file(part)


def _image(image: Media) -> dict[str, Any]:
    written: dict[str, Any] = {"type": "input_image", "detail": image.detail or "auto"}
    if image.file_id:
        written["file_id"] = image.file_id
    else:
        written["image_url"] = image.url or media.data_url(image)
    return written


def _file(file: Media) -> dict[str, Any]:
    if file.file_id:
        return {"type": "input_file", "file_id": file.file_id}
    if file.url:
        return {"type": "input_file", "file_url": file.url}
    return {"type": "input_file", "filename": file.name or "file.pdf", "file_data": media.data_url(file)}
