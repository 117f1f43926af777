"""Puts a channel's own system prompt into a request, in each conversation's format.

    openai-chat          the first of `messages`, joined with the caller's own where that stands first
    openai-responses     `instructions`
    anthropic-messages   `system`
    gemini               `systemInstruction`

The law: pure. By default the prompt is given only where the caller gave none; a channel may have it put before the caller's
own. Members are decoded no further than the prompt's place; what is of an unexpected shape is left alone, for the upstream
to refuse.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from relay_svc.operations import Format

Members = dict[str, Any]
"""A body's top-level members, undecoded where nothing has touched them."""

_BETWEEN: Final = "\n\n"
_SYSTEMS: Final = frozenset({"system", "developer"})


def put_prompt(members: Members, written: Format, prompt: str, *, prepends: bool) -> Members:
    """Give the members with the prompt in them; the same ones when it is not given."""
    place = _PLACES.get(written)
    return place(members, prompt, prepends) if place is not None and prompt else members


def _in_messages(members: Members, prompt: str, prepends: bool) -> Members:  # noqa: FBT001 - one of a table of equals
    messages = opened(members.get("messages"))
    if not isinstance(messages, list):
        return members
    if not any(map(_is_system, messages)):
        return {**members, "messages": [{"role": "system", "content": prompt}, *messages]}
    if not prepends:
        return members
    first = messages[0]
    if _is_system(first) and (joined := _joined(prompt, first.get("content"), "text")) is not None:
        # Joined: some models take one system message, and only as the first.
        return {**members, "messages": [{**first, "content": joined}, *messages[1:]]}
    return {**members, "messages": [{"role": "system", "content": prompt}, *messages]}


def _in_instructions(members: Members, prompt: str, prepends: bool) -> Members:  # noqa: FBT001
    instructions = opened(members.get("instructions"))
    given = opened(members.get("input"))
    has_own = bool(instructions) or (isinstance(given, list) and any(map(_is_system, given)))
    if has_own and not prepends:
        return members
    if instructions is not None and not isinstance(instructions, str):
        return members
    return {**members, "instructions": prompt + _BETWEEN + instructions if instructions else prompt}


def _in_system(members: Members, prompt: str, prepends: bool) -> Members:  # noqa: FBT001
    system = opened(members.get("system"))
    if not system:
        return {**members, "system": prompt}
    joined = _joined(prompt, system, "text") if prepends else None
    return members if joined is None else {**members, "system": joined}


def _in_instruction(members: Members, prompt: str, prepends: bool) -> Members:  # noqa: FBT001
    name = "system_instruction" if "system_instruction" in members else "systemInstruction"
    instruction = opened(members.get(name))
    part = {"text": prompt}
    if not instruction:
        return {**members, name: {"parts": [part]}}
    parts = instruction.get("parts") if isinstance(instruction, dict) else None
    if not prepends or not isinstance(parts, list | dict):
        return members
    others = parts if isinstance(parts, list) else [parts]
    return {**members, name: {**instruction, "parts": [part, *others]}}


def _joined(prompt: str, content: object, kind: str) -> object:
    """Put the prompt before content that is a text or a list of parts; None when it is neither."""
    if isinstance(content, str):
        return prompt + _BETWEEN + content if content else prompt
    return [{"type": kind, "text": prompt}, *content] if isinstance(content, list) else None


def _is_system(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") in _SYSTEMS


def opened(value: object) -> Any:
    """Decode a member that nothing has touched yet."""
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value


_PLACES: Final[Mapping[Format, Callable[[Members, str, bool], Members]]] = {
    Format.OPENAI_CHAT: _in_messages,
    Format.OPENAI_RESPONSES: _in_instructions,
    Format.ANTHROPIC: _in_system,
    Format.GEMINI: _in_instruction,
}
