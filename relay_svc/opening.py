"""Tells from the bytes of an event stream whether its content has begun.

The law: pure, whatever the format. A role, a ping, a comment, an empty piece and the announcement of an answer are no
content: an upstream that sends them and nothing else has not begun. Text, reasoning, a tool call and the reason why there
is none of them are. An error before any content is an answer that failed, and another candidate may do better. Only the
beginning is read; what follows the first content costs nothing.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from relay_svc.dialects.sse import EventCutter

_PLAINLY: Final = re.compile(
    rb'data: ?\{(?:"(?:id|object|model|system_fingerprint|service_tier|provider)": ?"[^"\\]*", ?|"created": ?\d+, ?)*'
    rb'"choices": ?\[\{"index": ?\d+, ?"delta": ?\{(?:"role": ?"assistant", ?)?"content": ?"[^"]'
)
"""How most chat streams say their first words: known without reading the event, for a tenth of the time."""


class Begun(StrEnum):
    """How far a stream has come."""

    NOT_YET = "not_yet"
    CONTENT = "content"
    """Content is here, or the stream ended as it should without any."""
    FAILED = "failed"
    """An error came first."""


class Opening:
    """Watches the beginning of one stream."""

    __slots__ = ("_cutter", "error", "state")

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._cutter = EventCutter()
        self.state = Begun.NOT_YET
        self.error = b""
        """The error's JSON, once it failed."""

    def feed(self, chunk: bytes) -> Begun:
        """Take more of the stream."""
        if self.state is not Begun.NOT_YET:
            return self.state
        # Only of whole events: one that has begun may stall, and another candidate can still do better then.
        if chunk.endswith(b"\n\n") and _PLAINLY.match(chunk) and b'"error"' not in chunk and self._cutter.between:
            self.state = Begun.CONTENT
            return self.state
        events = self._cutter.feed(chunk)
        if self._cutter.fault:
            self.state = Begun.CONTENT  # whatever it is, it is a lot of it
            return self.state
        for name, data in events:
            self.state = _read(name, data)
            if self.state is Begun.FAILED:
                self.error = data
            if self.state is not Begun.NOT_YET:
                break
        return self.state


def _read(name: str, data: bytes) -> Begun:
    if data.strip() == b"[DONE]":
        return Begun.CONTENT
    try:
        value: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Begun.CONTENT  # not for us to judge: the client will
    if not isinstance(value, dict):
        return Begun.CONTENT
    kind = value.get("type") if isinstance(value.get("type"), str) else name
    if value.get("error") or kind in ("error", "response.failed"):
        return Begun.FAILED
    return Begun.CONTENT if _has_content(str(kind), value) else Begun.NOT_YET


def _has_content(kind: str, value: dict[str, Any]) -> bool:
    if isinstance(value.get("choices"), list):
        return any(map(_of_choice, value["choices"]))
    if isinstance(value.get("candidates"), list):
        return any(map(_of_candidate, value["candidates"]))
    if value.get("promptFeedback"):
        return True  # Gemini's refusal of the prompt: it is the answer
    if "usageMetadata" in value:
        return False
    reading = _BY_TYPE.get(kind)
    if reading is not None:
        return reading(value)
    return kind.endswith(".delta") and bool(value.get("delta"))


def _of_choice(choice: object) -> bool:
    if not isinstance(choice, dict):
        return False
    delta = choice.get("delta")
    said = delta if isinstance(delta, dict) else {"text": choice.get("text")}
    return bool(choice.get("finish_reason")) or any(value for name, value in said.items() if name != "role")


def _of_candidate(candidate: object) -> bool:
    if not isinstance(candidate, dict):
        return False
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    filled = isinstance(parts, list) and any(isinstance(part, dict) and any(part.values()) for part in parts)
    return filled or bool(candidate.get("finishReason"))


def _of_block(value: dict[str, Any]) -> bool:
    block = value.get("content_block")
    return isinstance(block, dict) and block.get("type") not in ("text", "thinking")


def _of_piece(value: dict[str, Any]) -> bool:
    delta = value.get("delta")
    return isinstance(delta, dict) and any(text for name, text in delta.items() if name != "type")


def _of_item(value: dict[str, Any]) -> bool:
    item = value.get("item")
    return isinstance(item, dict) and item.get("type") not in ("message", "reasoning")


def _yes(_: dict[str, Any]) -> bool:
    return True


_BY_TYPE: Final[Mapping[str, Callable[[dict[str, Any]], bool]]] = {
    # Anthropic's; `message_start`, `ping` and `content_block_stop` are none of them.
    "content_block_start": _of_block,
    "content_block_delta": _of_piece,
    "message_delta": _yes,
    "message_stop": _yes,
    # OpenAI's responses; `response.created`, `.in_progress` and `.queued` are none of them.
    "response.output_item.added": _of_item,
    "response.completed": _yes,
    "response.incomplete": _yes,
}
