"""Reads a generateContent request; the model and whether it streams stand in its path, not here.

The law: what is not read here is a loss by its name; what the conversation cannot do without raises CannotCarry.
"""

from typing import Any, Final

from relay_svc.dialects import dropped
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Dialect, Format, Message, Reasoning, Request, Tool, ToolChoice
from relay_svc.dialects.gemini.contents import Contents
from relay_svc.dialects.gemini.proto import ProtoMembers
from relay_svc.dialects.gemini.schemas import json_schema
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import decode
from relay_svc.dialects.openai_words import EMPTY_SCHEMA


def read(body: bytes, model: str, losses: Losses, *, stream: bool) -> Request:
    """Read a request. Raises DialectFault, CannotCarry."""
    top = ProtoMembers(decode(body), "")
    top.take("model")  # the path's word stands
    dropped.refuse(top, Dialect.GEMINI, losses)
    contents = Contents(losses)
    request = Request(model=model, messages=_system(top, contents) + contents.read(top), stream=stream)
    for entry in top.each("tools"):
        _read_tools(entry, request, losses)
    _read_choice(top, request, losses)
    config = top.inner("generationConfig")
    if config is not None:
        _read_config(config, request, losses)
    tier = top.text("serviceTier").lower()
    request.service_tier = "" if tier in ("unspecified", "standard") else tier
    top.rest(losses, "", dropped.HARMLESS[Dialect.GEMINI])
    return request


def _system(top: ProtoMembers, contents: Contents) -> list[Message]:
    entry = top.peek("systemInstruction")
    if type(entry) is str:  # SDKs make a content of it; people write a string
        top.take("systemInstruction")
        entry = {"parts": [{"text": entry}]}
    elif entry is not None:
        top.take("systemInstruction")
    if not entry:
        return []
    parts = contents.parts(ProtoMembers(entry, "systemInstruction"))
    return [Message("system", parts)] if parts else []


def _read_tools(entry: ProtoMembers, request: Request, losses: Losses) -> None:
    for function in entry.each("functionDeclarations"):
        schema = function.take("parametersJsonSchema")
        if schema is None:
            schema = json_schema(function.take("parameters"))
        if schema is not None and type(schema) is not dict:
            raise DialectFault(function.path("parameters"), "must be a schema")
        tool = Tool(function.need_text("name"), function.text("description"), schema or EMPTY_SCHEMA)
        request.tools.append(tool)
        function.rest(losses, "tools", frozenset({"response", "responseJsonSchema", "behavior", "parameters"}))
    for name in entry.left():  # tools that Google runs itself; an empty one is meant all the same
        losses.unknown("tools", name)


_MODES: Final[dict[str, Any]] = {"AUTO": "auto", "ANY": "required", "NONE": "none", "VALIDATED": "auto"}


def _read_choice(top: ProtoMembers, request: Request, losses: Losses) -> None:
    entry = top.inner("toolConfig")
    config = entry.inner("functionCallingConfig") if entry else None
    if config is not None:
        mode = config.text("mode").upper() or "AUTO"
        names = config.texts("allowedFunctionNames")
        if mode in _MODES:
            request.tool_choice = ToolChoice(_MODES[mode], names)
        elif mode != "MODE_UNSPECIFIED":
            raise DialectFault(config.path("mode"), "must be one of AUTO, ANY, NONE, VALIDATED")
        config.rest(losses, "tool_config")
    if entry is not None:
        entry.rest(losses, "tool_config")


def _read_config(config: ProtoMembers, request: Request, losses: Losses) -> None:
    dropped.refuse_config(config, losses)
    request.max_tokens = config.whole("maxOutputTokens", low=1)
    request.temperature = config.number("temperature")
    request.top_p = config.number("topP")
    request.top_k = config.whole("topK")
    request.presence_penalty = config.number("presencePenalty")
    request.frequency_penalty = config.number("frequencyPenalty")
    request.seed = config.whole("seed", low=-(1 << 53))
    request.stop = config.texts("stopSequences")
    request.logprobs = config.flag("responseLogprobs") is True
    request.top_logprobs = config.whole("logprobs")
    request.format = _format(config, losses)
    request.reasoning = _reasoning(config, losses)
    if (config.whole("candidateCount") or 1) > 1:
        losses.add("n")
    config.rest(losses, "generation_config", dropped.CONFIG_HARMLESS)


def _format(config: ProtoMembers, losses: Losses) -> Format | None:
    mime = config.text("responseMimeType")
    schema = config.take("responseJsonSchema")
    if schema is None:
        schema = json_schema(config.take("responseSchema"))
    if schema is not None and type(schema) is not dict:
        raise DialectFault(config.path("responseSchema"), "must be a schema")
    if schema:
        return Format("schema", schema)
    if mime == "application/json":
        return Format("json")
    if mime not in ("", "text/plain"):
        losses.essential("response_mime_type")  # another form of answer
    return None


def _reasoning(config: ProtoMembers, losses: Losses) -> Reasoning | None:
    entry = config.inner("thinkingConfig")
    if entry is None:
        return None
    level = entry.text("thinkingLevel").lower()
    budget = entry.whole("thinkingBudget", low=-1)
    show = entry.flag("includeThoughts")
    entry.rest(losses, "thinking_config")
    level = "" if level == "thinking_level_unspecified" else level
    return Reasoning(level or None, None if budget == -1 else budget, show)
