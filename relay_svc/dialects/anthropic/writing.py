"""Writes a messages request.

The law: what Anthropic refuses together is not sent together. Thinking goes without temperature, top_k and forced tools:
the first two give way to it, it gives way to the third. What a model does not take is not sent, as the target says. Turns
of one role in a row become one, results of tools first. Reasoning is sent back only with Anthropic's own proof of it.
"""

import re
from typing import Any, Final

from relay_svc.dialects import efforts, media
from relay_svc.dialects.anthropic.shapes import written_thinking
from relay_svc.dialects.form import (
    Call,
    Dialect,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Request,
    Result,
    Target,
    Text,
    Thinking,
    Tool,
)
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import arguments_object, encode

_LEAST_BUDGET: Final = 1024
_DEFAULT: Final = 1  # of temperature and top_p: saying it says nothing
_EFFORTS: Final = {"minimal": "low"}
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_TIERS: Final = {"default": "standard_only", "standard_only": "standard_only"}
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")
_LONG_CACHES: Final = frozenset({"1h", "12h"})


def write(request: Request, target: Target, losses: Losses) -> bytes:
    """Write a request. Raises DialectFault, CannotCarry."""
    system, messages = _messages(request, losses)
    if not messages:
        losses.essential("messages")
    body: dict[str, Any] = {
        "model": target.model,
        "max_tokens": request.max_tokens or target.default_max_tokens,
        "messages": messages,
    }
    if system:
        body["system"] = system
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        _write_choice(body, request, losses)
    if request.stop:
        body["stop_sequences"] = request.stop
    _write_thinking(body, request, target, losses)
    _write_sampling(body, request, target, losses)
    _write_format(body, request, losses)
    user = request.user or request.safety_identifier
    if user:
        body["metadata"] = {"user_id": user}
    if request.stream:
        body["stream"] = True
    _note(body, request, losses)
    return encode(body)


def _note(body: dict[str, Any], request: Request, losses: Losses) -> None:
    wanted = {
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "seed": request.seed is not None,
        "logprobs": request.logprobs,
        "verbosity": request.verbosity,
        "metadata": request.metadata,
        "prompt_cache_key": request.prompt_cache_key,
    }
    for name, value in wanted.items():
        if value:
            losses.add(name)
    if request.service_tier in _TIERS:
        body["service_tier"] = _TIERS[request.service_tier]
    elif request.service_tier:
        losses.add("service_tier")


def _write_sampling(body: dict[str, Any], request: Request, target: Target, losses: Losses) -> None:
    thinks = body.get("thinking", {"type": "disabled"})["type"] != "disabled"
    if request.temperature is not None:
        if (thinks or not target.sampling) and request.temperature != _DEFAULT:
            losses.add("temperature")
        elif request.temperature > 1:  # OpenAI's and Gemini's reach to 2
            losses.add("temperature")
            body["temperature"] = 1
        elif target.sampling:
            body["temperature"] = request.temperature
    if request.top_p is not None:
        excluded = not target.sampling or (target.one_sampling and "temperature" in body)
        if excluded or (thinks and request.top_p < 0.95):  # noqa: PLR2004 - the least that goes with thinking
            if request.top_p != _DEFAULT:
                losses.add("top_p")
        else:
            body["top_p"] = request.top_p
    if request.top_k is not None:
        if thinks or not target.sampling:
            losses.add("top_k")
        else:
            body["top_k"] = request.top_k


def _write_format(body: dict[str, Any], request: Request, losses: Losses) -> None:
    wanted = request.format
    if wanted is None:
        return
    if wanted.kind == "json" or not wanted.schema:
        losses.add("response_format.json_object")
        return
    body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": wanted.schema}
    if wanted.strict is False:
        losses.add("response_format.strict")
    if wanted.description:
        losses.add("response_format.description")


def _write_choice(body: dict[str, Any], request: Request, losses: Losses) -> None:
    choice = request.tool_choice
    written: dict[str, Any] = {"type": "auto"}
    if choice is not None:
        if choice.mode == "none":
            written = {"type": "none"}
        elif choice.mode == "required":
            written = {"type": "any"}
        if choice.mode == "required" and len(choice.names) == 1:
            written = {"type": "tool", "name": choice.names[0]}
        elif choice.names and choice.mode != "none":
            # The tools that are not allowed stay at home: Anthropic has no list of allowed ones.
            body["tools"] = [tool for tool in body["tools"] if tool["name"] in choice.names]
    if request.parallel_tool_calls is not None and written["type"] != "none":
        written["disable_parallel_tool_use"] = not request.parallel_tool_calls
    if choice is not None or request.parallel_tool_calls is not None:
        body["tool_choice"] = written
    if not body["tools"]:
        del body["tools"]
        body.pop("tool_choice", None)
        losses.add("tool_choice")


def _write_thinking(body: dict[str, Any], request: Request, target: Target, losses: Losses) -> None:
    reasoning = request.reasoning
    if reasoning is None:
        return
    if efforts.is_off(reasoning):
        body["thinking"] = {"type": "disabled"}
        return
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        losses.add("reasoning")
        return
    if target.adaptive_thinking:
        thinking: dict[str, Any] = {"type": "adaptive"}
        effort = efforts.effort_of(reasoning)
        if effort == "xhigh" and not target.xhigh:
            effort = "high"
        if effort:
            body["output_config"] = {"effort": _EFFORTS.get(effort, effort)}
    else:
        budget = 0 if _unthought(body["messages"]) else _budget(reasoning, body["max_tokens"])
        if not budget:
            losses.add("reasoning")
            return
        thinking = {"type": "enabled", "budget_tokens": budget}
    if reasoning.show is not None:
        thinking["display"] = "summarized" if reasoning.show else "omitted"
    body["thinking"] = thinking


def _unthought(messages: list[dict[str, Any]]) -> bool:
    """Tell whether the last turn called tools without thinking first, which a budget does not go with."""
    turns = [message["content"] for message in messages if message["role"] == "assistant"]
    last: list[dict[str, Any]] = turns[-1] if turns else []
    called = any(block["type"] == "tool_use" for block in last)
    return called and last[0]["type"] not in ("thinking", "redacted_thinking")


def _budget(reasoning: Reasoning, max_tokens: int) -> int:
    wanted = efforts.budget_of(reasoning) or efforts.BUDGETS["medium"]
    budget = min(max(wanted, _LEAST_BUDGET), max_tokens - 1)
    return budget if budget >= _LEAST_BUDGET else 0


def _tool(tool: Tool) -> dict[str, Any]:
    schema = tool.schema if "type" in tool.schema else {"type": "object", **tool.schema}
    written: dict[str, Any] = {"name": tool.name, "input_schema": schema}
    if tool.description:
        written["description"] = tool.description
    if tool.strict:
        written["strict"] = True
    return _marked(written, tool.cache)


def _marked(block: dict[str, Any], cache: str | None) -> dict[str, Any]:
    if cache is not None:
        block["cache_control"] = {"type": "ephemeral", "ttl": "1h"} if cache in _LONG_CACHES else {"type": "ephemeral"}
    return block


def _messages(request: Request, losses: Losses) -> tuple[list[Any], list[dict[str, Any]]]:
    system: list[Any] = []
    messages: list[dict[str, Any]] = []
    for place, message in enumerate(request.messages):
        if message.role in ("system", "developer"):
            if messages:  # only the newest models take one later on
                losses.add("system.position")
            system.extend(_part(part, "", losses) for part in message.parts)
            continue
        blocks = _blocks(message, f"messages[{place}]", losses)
        if not blocks:
            continue
        if messages and messages[-1]["role"] == message.role:
            messages[-1]["content"].extend(blocks)
        else:
            messages.append({"role": message.role, "content": blocks})
    for written in messages:
        written["content"].sort(key=_results_first)
    return system, messages


def _results_first(block: dict[str, Any]) -> bool:
    return bool(block["type"] != "tool_result")


def _blocks(message: Message, path: str, losses: Losses) -> list[dict[str, Any]]:
    blocks = []
    for part in message.parts:
        if isinstance(part, Thinking):
            if part.signature is None or part.signature.home is not Dialect.ANTHROPIC:
                losses.add("thinking")
                continue
        elif isinstance(part, Text) and not part.text:
            continue  # refused when empty, and says nothing
        elif isinstance(part, Media) and message.role == "assistant":
            losses.essential("assistant.media")
        blocks.append(_part(part, path, losses))
    return blocks


def _part(part: Part, path: str, losses: Losses) -> dict[str, Any]:
    if isinstance(part, Text):
        return _marked({"type": "text", "text": part.text}, part.cache)
    if isinstance(part, Media):
        return _marked(_media(part, losses), part.cache)
    if isinstance(part, Result):
        return _result(part, path, losses)
    if isinstance(part, Call):
        if part.signature is not None:
            losses.add("thought_signature")
        arguments = arguments_object(part.arguments, f"{path}.arguments")
        return _marked({"type": "tool_use", "id": _id(part.id), "name": part.name, "input": arguments}, part.cache)
    if isinstance(part, Refusal):
        losses.add("refusal")
        return {"type": "text", "text": part.text}
    return written_thinking(part.text, part.signature.value if part.signature else "")


def _id(id_: str) -> str:
    return _NOT_IN_IDS.sub("_", id_)  # other providers are freer in what ids hold


def _result(result: Result, path: str, losses: Losses) -> dict[str, Any]:
    content: Any = [_part(part, path, losses) for part in result.parts]
    if len(content) == 1 and set(content[0]) == {"type", "text"}:
        content = content[0]["text"]
    written: dict[str, Any] = {"type": "tool_result", "tool_use_id": _id(result.call_id), "content": content}
    if result.is_error:
        written["is_error"] = True
    return _marked(written, result.cache)


def _media(found: Media, losses: Losses) -> dict[str, Any]:
    if found.detail:
        losses.add("image.detail")
    if found.kind == "audio":
        losses.essential("audio")
    block: dict[str, Any] = {"type": "image" if found.kind == "image" else "document"}
    if found.file_id:
        if found.home is not Dialect.ANTHROPIC:
            losses.essential("file.file_id")
        block["source"] = {"type": "file", "file_id": found.file_id}
    elif found.url:
        block["source"] = {"type": "url", "url": found.url}
    elif (text := media.plain_text(found)) is not None:
        block["source"] = {"type": "text", "media_type": "text/plain", "data": text}
    elif found.mime in _IMAGES if found.kind == "image" else found.mime == "application/pdf":
        block["source"] = {"type": "base64", "media_type": found.mime, "data": found.data}
    else:
        losses.essential(f"{found.kind}.type")
    if found.kind == "file" and found.name:
        block["title"] = found.name
    return block
