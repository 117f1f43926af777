"""What both of OpenAI's formats say alike: reads and writes it for either.

The law: the two formats' own packages decide where these stand; nothing here knows which of them asked.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from relay_svc.dialects import media
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import (
    Dialect,
    Format,
    Media,
    Message,
    Part,
    Reasoning,
    Request,
    Result,
    Role,
    Text,
    TokenLogprob,
    Tool,
    ToolChoice,
)
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import MOST, Members

_DEFAULT_TIERS: Final = ("", "auto")
EMPTY_SCHEMA: Final[dict[str, Any]] = {"type": "object", "properties": {}}
"""The arguments of a function that takes none."""


def read_common(top: Members, request: Request) -> None:
    """Read what both of OpenAI's formats say alike. Raises DialectFault."""
    request.temperature = top.number("temperature")
    request.top_p = top.number("top_p")
    request.user = top.text("user")
    request.safety_identifier = top.text("safety_identifier")
    request.prompt_cache_key = top.text("prompt_cache_key")
    tier = top.text("service_tier")
    request.service_tier = "" if tier in _DEFAULT_TIERS else tier
    metadata = top.take("metadata")
    if metadata is not None:
        if type(metadata) is not dict or not all(type(value) is str for value in metadata.values()):
            raise DialectFault("metadata", "must be an object of strings")
        request.metadata = metadata


def reasoning_of(effort: str) -> Reasoning | None:
    """Read an effort; None when none was asked for."""
    return Reasoning(effort=effort) if effort else None


def read_cache(entry: Members) -> str | None:
    """Read a mark that says how far the prompt is to be cached. Raises DialectFault."""
    mark = entry.inner("prompt_cache_breakpoint")
    return None if mark is None else mark.text("ttl")


def of_a_tool(parts: list[Part], path: str) -> list[Text | Media]:
    """Take what a tool may have given. Raises DialectFault."""
    given = [part for part in parts if isinstance(part, Text | Media)]
    if len(given) < len(parts):
        raise DialectFault(path, "must hold text, images and files")
    return given


def read_detail(image: Members) -> str:
    """Read how closely an image is to be looked at; empty when that is left open. Raises DialectFault."""
    detail = image.text("detail")
    return "" if detail == "auto" else detail


def append(messages: list[Message], role: Role, parts: list[Part]) -> None:
    """Add a turn; what a user says after results of tools is one turn with them."""
    if messages and role == "user" and messages[-1].role == "user" and isinstance(messages[-1].parts[-1], Result):
        messages[-1].parts.extend(parts)
    elif parts:
        messages.append(Message(role, parts))


def read_file(file: Members, data: str, url: str) -> Media:
    """Read a file that both of OpenAI's formats describe alike. Raises DialectFault."""
    name, file_id = file.text("filename"), file.text("file_id")
    if file_id:
        return Media("file", file_id=file_id, home=Dialect.OPENAI_CHAT, name=name)
    if not data and not url:
        raise DialectFault(file.at, "must hold data, an id or an address")
    found = media.from_url(data or url, "file", file.path("file_data"))
    if data and not found.data:  # bare base64, which is a PDF by custom
        found = Media("file", mime="application/pdf", data=data)
    found.name = name
    return found


def read_function(function: Members, losses: Losses) -> Tool:
    """Read a function that both of OpenAI's formats describe alike. Raises DialectFault."""
    schema = function.take("parameters")
    if schema is not None and type(schema) is not dict:
        raise DialectFault(function.path("parameters"), "must be a JSON schema")
    tool = Tool(
        function.need_text("name"), function.text("description"), schema or EMPTY_SCHEMA, function.flag("strict")
    )
    function.rest(losses, "tools.function")
    return tool


def choice_word(top: Members) -> ToolChoice:
    """Read a choice said in one word. Raises DialectFault."""
    word = top.text("tool_choice")
    if word not in ("auto", "none", "required"):
        raise DialectFault("tool_choice", "must be auto, none, required, or an object")
    return ToolChoice(word)  # type: ignore[arg-type]  # checked above


def allowed_tools(allowed: Members, losses: Losses) -> ToolChoice:
    """Read a choice among some tools. Raises DialectFault."""
    names = []
    for entry in allowed.each("tools"):
        function = entry.inner("function")
        name = function.text("name") if function else entry.text("name")
        if name:
            names.append(name)
        else:
            losses.add("tool_choice.tools")
    return ToolChoice("required" if allowed.text("mode") == "required" else "auto", names)


def format_word(type_: str, path: str) -> Format | None:
    """Read a format said in one word. Raises DialectFault."""
    if type_ == "json_object":
        return Format("json")
    if type_ in ("text", ""):
        return None
    raise DialectFault(path, "must be one of text, json_object, json_schema")


def read_schema(inner: Members, losses: Losses) -> Format:
    """Read a JSON schema for the output, that both of OpenAI's formats describe alike. Raises DialectFault."""
    schema = inner.take("schema")
    if schema is not None and type(schema) is not dict:
        raise DialectFault(inner.path("schema"), "must be a JSON schema")
    found = Format("schema", schema or {}, inner.text("name"), inner.text("description"), inner.flag("strict"))
    inner.rest(losses, "response_format.json_schema", frozenset({"type"}))
    return found


def write_common(body: dict[str, Any], request: Request) -> None:
    """Write what both formats say alike."""
    fill(
        body,
        temperature=request.temperature,
        top_p=request.top_p,
        parallel_tool_calls=request.parallel_tool_calls if request.tools else None,
        user=request.user or None,
        safety_identifier=request.safety_identifier or None,
        prompt_cache_key=request.prompt_cache_key or None,
        service_tier=_TIERS.get(request.service_tier, request.service_tier) or None,
        metadata=request.metadata or None,
    )


_TIERS: Final = {"standard_only": "default"}
"""Anthropic's word for the same wish."""


def note_common(request: Request, losses: Losses) -> None:
    """Note what neither format has a place for. Raises CannotCarry when strict."""
    if request.top_k is not None:
        losses.add("top_k")
    marked = any(getattr(part, "cache", None) is not None for message in request.messages for part in message.parts)
    if marked or any(tool.cache is not None for tool in request.tools):
        losses.add("cache_control")  # they cache by themselves


def fill(body: dict[str, Any], **members: Any) -> None:
    """Add the members that are not None."""
    body.update((name, value) for name, value in members.items() if value is not None)


def write_function(tool: Tool) -> dict[str, Any]:
    """Write a function's members."""
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.schema}
    fill(function, description=tool.description or None, strict=tool.strict)
    return function


def write_schema(wanted: Format) -> dict[str, Any]:
    """Write a JSON schema's members."""
    inner: dict[str, Any] = {"name": wanted.name or "response", "schema": wanted.schema}
    fill(inner, description=wanted.description or None, strict=wanted.strict)
    return inner


def write_logprobs(logprobs: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """Write the probabilities of tokens."""
    return [
        {**_token(each.token, each.logprob), "top_logprobs": [_token(token, logprob) for token, logprob in each.top]}
        for each in logprobs
    ]


def _token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


class TokenShape(Struct):
    """A token's probability as both formats write it."""

    token: str = ""
    logprob: float = 0.0
    top_logprobs: list["TokenShape"] | None = None


def read_logprobs(shapes: list[TokenShape] | None) -> list[TokenLogprob] | None:
    """Read the probabilities of tokens; None when there are none."""
    if not shapes:
        return None
    return [
        TokenLogprob(each.token, each.logprob, tuple((top.token, top.logprob) for top in each.top_logprobs or ()))
        for each in shapes
    ]


def count(value: int | None) -> int:
    """Read a number of tokens; what cannot be one is 0."""
    return value if value is not None and 0 <= value < MOST else 0
