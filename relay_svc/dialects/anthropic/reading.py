"""Reads a messages request.

The law: what is not read here is a loss by its name; what the conversation cannot do without raises CannotCarry.
"""

from typing import Any, Final

from relay_svc.dialects import dropped, media, signatures
from relay_svc.dialects.anthropic.shapes import REDACTED
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import (
    Call,
    Dialect,
    Format,
    Media,
    Message,
    Part,
    Reasoning,
    Request,
    Result,
    Text,
    Thinking,
    Tool,
    ToolChoice,
)
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import Members, decode, encode

_TOOL_ELSEWHERE: Final = frozenset({"allowed_callers", "defer_loading", "eager_input_streaming", "input_examples"})


def read(body: bytes, losses: Losses) -> Request:
    """Read a request. Raises DialectFault, CannotCarry."""
    top = Members(decode(body), "")
    dropped.refuse(top, Dialect.ANTHROPIC, losses)
    metadata = top.inner("metadata")
    request = Request(
        model=top.need_text("model"),
        messages=_system(top, losses) + _messages(top, losses),
        stream=top.flag("stream") is True,
        tools=[tool for entry in top.each("tools") if (tool := _tool(entry, losses))],
        max_tokens=top.whole("max_tokens", low=1),
        temperature=top.number("temperature"),
        top_p=top.number("top_p"),
        top_k=top.whole("top_k"),
        stop=top.texts("stop_sequences"),
        user=metadata.text("user_id") if metadata else "",
    )
    _read_choice(top, request, losses)
    _read_thinking(top, request, losses)
    tier = top.text("service_tier")
    request.service_tier = "" if tier == "auto" else tier
    top.rest(losses, "", dropped.HARMLESS[Dialect.ANTHROPIC])
    return request


def _system(top: Members, losses: Losses) -> list[Message]:
    parts = _content(top, "system", losses)
    return [Message("system", parts)] if parts else []


def _messages(top: Members, losses: Losses) -> list[Message]:
    messages: list[Message] = []
    for entry in top.each("messages"):
        role = entry.text("role")
        if role not in ("user", "assistant", "system"):
            raise DialectFault(entry.path("role"), "must be one of user, assistant, system")
        parts = _content(entry, "content", losses)
        parts.sort(key=_results_first)
        if parts:
            messages.append(Message(role, parts))  # type: ignore[arg-type]  # checked above
        entry.rest(losses, "messages")
    if not messages:
        raise DialectFault("messages", "must not be empty")
    return messages


def _results_first(part: Part) -> bool:
    return not isinstance(part, Result)


def _content(entry: Members, name: str, losses: Losses) -> list[Part]:
    content = entry.peek(name)
    if type(content) is str:
        entry.take(name)
        return [Text(content)] if content else []
    return [_block(block, losses) for block in entry.each(name)]


def _block(block: Members, losses: Losses) -> Part:
    type_ = block.text("type")
    reader = _BLOCKS.get(type_)
    if reader is None:
        if not type_:
            raise DialectFault(block.path("type"), "must be a string")
        losses.essential("messages.content")  # a tool of the provider's own, or newer than this
    part = reader(block, losses)
    block.rest(losses, "messages.content", frozenset({"transformations", "caller", "toolset_name", "context"}))
    return part


def _cache(entry: Members) -> str | None:
    mark = entry.inner("cache_control")
    return None if mark is None else mark.text("ttl")


def _text(block: Members, losses: Losses) -> Part:
    if block.take("citations"):
        losses.add("citations")
    return Text(block.given_text("text"), _cache(block))


def _image(block: Members, losses: Losses) -> Part:
    source = _source(block)
    found = _media(source, losses, "image")
    found.kind = "image"
    found.cache = _cache(block)
    return found


def _document(block: Members, losses: Losses) -> Part:
    citations = block.inner("citations")
    if citations is not None and citations.flag("enabled"):
        losses.add("citations")
    source = _source(block)
    title = block.text("title")
    if source.peek("type") == "text":
        found = media.text_file(source.given_text("data"))
    else:
        found = _media(source, losses, "document")
    found.kind, found.name, found.cache = "file", title, _cache(block)
    return found


def _source(block: Members) -> Members:
    source = block.inner("source")
    if source is None:
        raise DialectFault(block.path("source"), "must be an object")
    return source


def _media(source: Members, losses: Losses, what: str) -> Media:
    type_ = source.text("type")
    if type_ == "base64":
        return Media("file", mime=source.need_text("media_type").lower(), data=source.need_text("data"))
    if type_ == "url":
        mime = "application/pdf" if what == "document" else ""
        return Media("file", mime=mime, url=source.need_text("url"))
    if type_ == "file":
        return Media("file", file_id=source.need_text("file_id"), home=Dialect.ANTHROPIC)
    if type_ == "content":
        losses.essential("document.content")
    raise DialectFault(source.path("type"), "must be one of base64, url, file, text, content")


def _call(block: Members, _losses: Losses) -> Part:
    arguments = block.take("input")
    if type(arguments) is not dict:
        raise DialectFault(block.path("input"), "must be an object")
    text = encode(arguments).decode()
    return Call(block.need_text("id"), block.need_text("name"), text, cache=_cache(block))


def _result(block: Members, losses: Losses) -> Part:
    parts: list[Text | Media] = []
    for part in _content(block, "content", losses):
        if not isinstance(part, Text | Media):
            raise DialectFault(block.path("content"), "must hold text, images and documents")
        parts.append(part)
    is_error = block.flag("is_error") is True
    return Result(block.need_text("tool_use_id"), "", parts, is_error, _cache(block))


def _thinking(block: Members, _losses: Losses) -> Part:
    signature = signatures.known(block.text("signature"), Dialect.ANTHROPIC)
    return Thinking(block.text("thinking"), signature)


def _redacted(block: Members, _losses: Losses) -> Part:
    return Thinking("", signatures.known(REDACTED + block.need_text("data"), Dialect.ANTHROPIC))


_BLOCKS: Final = {
    "text": _text,
    "image": _image,
    "document": _document,
    "tool_use": _call,
    "tool_result": _result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}


def _tool(entry: Members, losses: Losses) -> Tool | None:
    type_ = entry.text("type")
    if type_ not in ("", "custom"):
        losses.unknown("tools", type_)  # run by the provider itself
        return None
    schema = entry.take("input_schema")
    if type(schema) is not dict:
        raise DialectFault(entry.path("input_schema"), "must be a JSON schema")
    name, description = entry.need_text("name"), entry.text("description")
    tool = Tool(name, description, schema, entry.flag("strict"), _cache(entry))
    entry.rest(losses, "tools", _TOOL_ELSEWHERE)
    return tool


_MODES: Final[dict[str, Any]] = {"auto": "auto", "any": "required", "none": "none", "tool": "required"}


def _read_choice(top: Members, request: Request, losses: Losses) -> None:
    choice = top.inner("tool_choice")
    if choice is None:
        return
    type_ = choice.text("type")
    if type_ not in _MODES:
        raise DialectFault(choice.path("type"), "must be one of auto, any, tool, none")
    names = [choice.need_text("name")] if type_ == "tool" else []
    request.tool_choice = ToolChoice(_MODES[type_], names)
    single = choice.flag("disable_parallel_tool_use")
    request.parallel_tool_calls = None if single is None else not single
    choice.rest(losses, "tool_choice")


def _read_thinking(top: Members, request: Request, losses: Losses) -> None:
    output = top.inner("output_config")
    effort = output.text("effort") if output else ""
    wanted = output.inner("format") if output else None
    if wanted is not None:
        schema = wanted.take("schema")
        if wanted.text("type") != "json_schema" or type(schema) is not dict:
            raise DialectFault(wanted.path("schema"), "must be a JSON schema, of type json_schema")
        request.format = Format("schema", schema, strict=True)
    if output is not None:
        output.rest(losses, "output_config")
    thinking = top.inner("thinking")
    if thinking is None:
        request.reasoning = Reasoning(effort=effort) if effort else None
        return
    type_ = thinking.text("type")
    display = thinking.text("display")
    reasoning = Reasoning(effort=effort or None, show=display != "omitted" if display else None)
    if type_ == "disabled":
        reasoning = Reasoning(effort="none")
    elif type_ == "enabled":
        reasoning.budget = thinking.whole("budget_tokens", low=1)
    elif type_ != "adaptive":
        losses.unknown("thinking", type_)
    request.reasoning = reasoning
