"""Reads a chat completions request.

The law: what is not read here is a loss by its name.
"""

from relay_svc.dialects import dropped
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Dialect, Format, Request, Tool, ToolChoice
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import Members, decode
from relay_svc.dialects.openai_chat.messages import read_messages
from relay_svc.dialects.openai_words import (
    allowed_tools,
    choice_word,
    format_word,
    read_common,
    read_function,
    read_schema,
    reasoning_of,
)


def read(body: bytes, losses: Losses) -> Request:
    """Read a request. Raises DialectFault, CannotCarry."""
    top = Members(decode(body), "")
    dropped.refuse(top, Dialect.OPENAI_CHAT, losses)
    request = Request(
        model=top.need_text("model"),
        messages=read_messages(top, losses),
        stream=top.flag("stream") is True,
        include_usage=_include_usage(top),
        tools=[tool for entry in top.each("tools") if (tool := _tool(entry, losses))],
        tool_choice=_tool_choice(top, losses),
        parallel_tool_calls=top.flag("parallel_tool_calls"),
        format=_format(top, losses),
        reasoning=reasoning_of(top.text("reasoning_effort")),
        max_tokens=_max_tokens(top),
        top_k=top.whole("top_k"),  # of no dialect of OpenAI's, but of many servers that speak it
        presence_penalty=top.number("presence_penalty"),
        frequency_penalty=top.number("frequency_penalty"),
        seed=top.whole("seed", low=-(1 << 53)),
        stop=_stop(top),
        logprobs=top.flag("logprobs") is True,
        top_logprobs=top.whole("top_logprobs"),
        verbosity=top.text("verbosity"),
    )
    read_common(top, request)
    if (top.whole("n") or 1) > 1:
        losses.add("n")
    top.rest(losses, "", dropped.HARMLESS[Dialect.OPENAI_CHAT])
    return request


def _include_usage(top: Members) -> bool:
    options = top.inner("stream_options")
    return options is not None and options.flag("include_usage") is True


def _max_tokens(top: Members) -> int | None:
    older = top.whole("max_tokens", low=1)
    newer = top.whole("max_completion_tokens", low=1)
    return older if newer is None else newer


def _stop(top: Members) -> list[str]:
    if type(top.peek("stop")) is str:
        return [top.text("stop")]
    return top.texts("stop")


def _tool(entry: Members, losses: Losses) -> Tool | None:
    type_ = entry.text("type")
    if type_ == "custom":
        losses.add("tools.custom")
        return None
    function = entry.inner("function")
    if function is None:
        raise DialectFault(entry.path("function"), "must be an object")
    tool = read_function(function, losses)
    entry.rest(losses, "tools")
    return tool


def _tool_choice(top: Members, losses: Losses) -> ToolChoice | None:
    if type(top.peek("tool_choice")) is str:
        return choice_word(top)
    choice = top.inner("tool_choice")
    if choice is None:
        return None
    type_ = choice.text("type")
    if type_ == "allowed_tools":
        allowed = choice.inner("allowed_tools")
        return allowed_tools(allowed, losses) if allowed else None
    function = choice.inner("function")
    if type_ != "function" or function is None:
        losses.essential("tool_choice")  # a tool that is not carried, and must be called
    return ToolChoice("required", [function.need_text("name")])


def _format(top: Members, losses: Losses) -> Format | None:
    entry = top.inner("response_format")
    if entry is None:
        return None
    type_ = entry.text("type")
    if type_ != "json_schema":
        return format_word(type_, entry.path("type"))
    inner = entry.inner("json_schema")
    if inner is None:
        raise DialectFault(entry.path("json_schema"), "must be an object")
    return read_schema(inner, losses)
