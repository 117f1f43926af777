"""Counting a conversation's tokens, between Anthropic's form and Gemini's.

    anthropic    the request, as `/v1/messages` takes it     →  {"input_tokens"}
    gemini       {"contents"} or {"generateContentRequest"}  →  {"totalTokens"}

The law: pure. The conversation goes through the internal form as any other; what only steers the answer is left out, since it
costs no tokens. Raises AdapterFault, DialectFault, CannotCarry; an answer that is none is a failure.
"""

from typing import Any, Final

import msgspec

from relay_svc.dialects import Dialect, Losses, Target, read_request, write_request
from relay_svc.providers.faults import AdapterFault

_COUNTED: Final = ("model", "messages", "system", "tools", "tool_choice", "thinking")
"""Members of a message request that Anthropic's counter takes."""
_CONVERSATION: Final = ("contents", "systemInstruction", "tools", "toolConfig")


def to_gemini(body: bytes, model: str, losses: Losses) -> bytes:
    """Write Anthropic's question for Gemini; `model` as its paths have it."""
    request = read_request(Dialect.ANTHROPIC, body, losses)
    written = msgspec.json.decode(write_request(Dialect.GEMINI, request, Target(model), losses))
    kept = {name: written[name] for name in _CONVERSATION if name in written}
    return msgspec.json.encode({"generateContentRequest": {"model": model} | kept})


def to_anthropic(body: bytes, model: str, losses: Losses) -> bytes:
    """Write Gemini's question for Anthropic."""
    try:
        asked: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise AdapterFault("the body", f"is not valid JSON: {fault}") from None
    if not isinstance(asked, dict):
        raise AdapterFault("the body", "must be a JSON object")
    inner = asked.get("generateContentRequest", asked)
    if not isinstance(inner, dict):
        raise AdapterFault("generateContentRequest", "must be an object")
    conversation = msgspec.json.encode({name: value for name, value in inner.items() if name != "model"})
    request = read_request(Dialect.GEMINI, conversation, losses, model=model)
    written = msgspec.json.decode(write_request(Dialect.ANTHROPIC, request, Target(model), losses))
    return msgspec.json.encode({name: written[name] for name in _COUNTED if name in written})


def counted(answer: bytes, name: str) -> int | None:
    """Read a count; None when there is none."""
    try:
        said: Any = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    count = said.get(name) if isinstance(said, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
