"""Writes a generateContent request.

The law: schemas go as JSON schemas, which Gemini takes whole. Reasoning is sent back only with Google's own proof of it; a
call that another model made says so in Google's own word, since newer models insist on a proof.
"""

from typing import Any, Final

from relay_svc.dialects import efforts
from relay_svc.dialects.form import Request, Tool, ToolChoice
from relay_svc.dialects.gemini.turns import write_turns
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import encode
from relay_svc.dialects.openai_words import fill

_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def write(request: Request, losses: Losses) -> bytes:
    """Write a request. Raises DialectFault, CannotCarry."""
    system, contents = write_turns(request.messages, losses)
    if not contents:
        losses.essential("messages")
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool, losses) for tool in request.tools]}]
        if request.tool_choice is not None:
            body["toolConfig"] = {"functionCallingConfig": _choice(request.tool_choice)}
    config = _config(request)
    if config:
        body["generationConfig"] = config
    _note(request, losses)
    return encode(body)


def _note(request: Request, losses: Losses) -> None:
    wanted = {
        "parallel_tool_calls": request.tools and request.parallel_tool_calls is False,
        "verbosity": request.verbosity,
        "user": request.user or request.safety_identifier,
        "metadata": request.metadata,
        "prompt_cache_key": request.prompt_cache_key,
        "service_tier": request.service_tier,
        "cache_control": any(tool.cache is not None for tool in request.tools)
        or any(getattr(part, "cache", None) is not None for message in request.messages for part in message.parts),
    }
    for name, value in wanted.items():
        if value:
            losses.add(name)
    if request.format is not None and request.format.description:
        losses.add("response_format.description")


def _tool(tool: Tool, losses: Losses) -> dict[str, Any]:
    if tool.strict:
        losses.add("tools.strict")
    written: dict[str, Any] = {"name": tool.name, "parametersJsonSchema": tool.schema}
    fill(written, description=tool.description or None)
    return written


def _choice(choice: ToolChoice) -> dict[str, Any]:
    mode = _MODES[choice.mode]
    if not choice.names or mode == "NONE":
        return {"mode": mode}
    # Names go only with these two; VALIDATED leaves open whether a tool is called.
    return {"mode": "VALIDATED" if mode == "AUTO" else mode, "allowedFunctionNames": choice.names}


def _config(request: Request) -> dict[str, Any]:
    config: dict[str, Any] = {}
    fill(
        config,
        maxOutputTokens=request.max_tokens,
        temperature=request.temperature,
        topP=request.top_p,
        topK=request.top_k,
        presencePenalty=request.presence_penalty,
        frequencyPenalty=request.frequency_penalty,
        seed=request.seed,
        stopSequences=request.stop or None,
        responseLogprobs=request.logprobs or None,
        logprobs=request.top_logprobs if request.logprobs else None,
    )
    if request.format is not None:
        config["responseMimeType"] = "application/json"
        if request.format.schema:
            config["responseJsonSchema"] = request.format.schema
    if request.reasoning is not None:
        # A budget and not a level, which only the newest models take; -1 leaves it to the model.
        budget = efforts.budget_of(request.reasoning)
        thinking: dict[str, Any] = {"thinkingBudget": -1 if budget is None else budget}
        fill(thinking, includeThoughts=request.reasoning.show)
        config["thinkingConfig"] = thinking
    return config
