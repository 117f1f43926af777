"""Reads a responses request.

The law: what is not read here is a loss by its name; what stands elsewhere (an earlier response, a stored prompt, a
conversation) cannot be carried. Items in a row that the model made become one turn, as the other dialects have it.
"""

from typing import Final

from relay_svc.dialects import dropped
from relay_svc.dialects.form import Dialect, Format, Message, Reasoning, Request, Text, Tool, ToolChoice
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import Members, decode
from relay_svc.dialects.openai_responses.items import read_input
from relay_svc.dialects.openai_words import (
    allowed_tools,
    choice_word,
    format_word,
    read_common,
    read_function,
    read_schema,
)

_LOGPROBS: Final = "message.output_text.logprobs"
_CARRIED: Final = frozenset({_LOGPROBS, "reasoning.encrypted_content"})


def read(body: bytes, losses: Losses) -> Request:
    """Read a request. Raises DialectFault, CannotCarry."""
    top = Members(decode(body), "")
    dropped.refuse(top, Dialect.OPENAI_RESPONSES, losses)
    include = top.texts("include")
    if not _CARRIED.issuperset(include):
        losses.add("include")
    request = Request(
        model=top.need_text("model"),
        messages=_instructions(top) + read_input(top, losses),
        stream=top.flag("stream") is True,
        tools=[tool for entry in top.each("tools") if (tool := _tool(entry, losses))],
        tool_choice=_tool_choice(top, losses),
        parallel_tool_calls=top.flag("parallel_tool_calls"),
        format=_format(top, losses),
        reasoning=_reasoning(top, losses),
        max_tokens=top.whole("max_output_tokens", low=1),
        logprobs=_LOGPROBS in include,
        top_logprobs=top.whole("top_logprobs"),
    )
    _read_text(top, request, losses)
    read_common(top, request)
    if top.text("truncation") == "auto":
        losses.add("truncation")
    top.rest(losses, "", dropped.HARMLESS[Dialect.OPENAI_RESPONSES])
    return request


def _instructions(top: Members) -> list[Message]:
    text = top.text("instructions")
    return [Message("system", [Text(text)])] if text else []


def _reasoning(top: Members, losses: Losses) -> Reasoning | None:
    entry = top.inner("reasoning")
    if entry is None:
        return None
    effort = entry.text("effort")
    summary = entry.text("summary") or entry.text("generate_summary")
    entry.rest(losses, "reasoning", frozenset({"context", "mode"}))
    return Reasoning(effort=effort or None, show=True if summary else None) if effort or summary else None


def _tool(entry: Members, losses: Losses) -> Tool | None:
    type_ = entry.text("type")
    if type_ == "custom":
        losses.add("tools.custom")
        return None
    if type_ != "function":
        losses.unknown("tools", type_)  # run by OpenAI itself
        return None
    return read_function(entry, losses)


def _tool_choice(top: Members, losses: Losses) -> ToolChoice | None:
    if type(top.peek("tool_choice")) is str:
        return choice_word(top)
    choice = top.inner("tool_choice")
    if choice is None:
        return None
    type_ = choice.text("type")
    if type_ == "allowed_tools":
        return allowed_tools(choice, losses)
    if type_ != "function":
        losses.essential("tool_choice")  # a tool that is not carried, and must be called
    return ToolChoice("required", [choice.need_text("name")])


def _format(top: Members, losses: Losses) -> Format | None:
    text = top.peek("text")
    if type(text) is not dict or text.get("format") is None:
        return None
    inner = Members(text.pop("format"), "text.format")
    type_ = inner.text("type")
    return read_schema(inner, losses) if type_ == "json_schema" else format_word(type_, inner.path("type"))


def _read_text(top: Members, request: Request, losses: Losses) -> None:
    text = top.inner("text")
    if text is not None:
        request.verbosity = text.text("verbosity")
        text.rest(losses, "text")
