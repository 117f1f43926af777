"""What Coze says while it answers, one thing at a time.

    Text* ─ Done      the answer is whole
          └ Failed    at any point, and nothing after it

The law: pure, and never raises: what cannot be read is a failure. A stream that ends without `Done` was cut short. Only
answers are text: what a bot tells of its tools, its plans and the questions it suggests is not, and neither is anything
about the account behind it.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from relay_svc.dialects.sse import EventCutter
from relay_svc.plan import Usage

_PARAGRAPH: Final = "\n\n"
_LONGEST: Final = 1024
"""Longest message of a failure passed on, in characters."""


class Text(msgspec.Struct, frozen=True):
    """More of the answer, or of the reasoning before it."""

    text: str
    reasoning: bool = False


class Done(msgspec.Struct, frozen=True):
    """The answer is whole."""

    usage: Usage | None = None


class Failed(msgspec.Struct, frozen=True):
    """It failed; `code` is Coze's number as `provider_error` writes it."""

    code: str
    message: str


Step = Text | Done | Failed
UNREADABLE: Final = Failed("coze_unreadable", "Coze's answer could not be read")
_NEEDS_ACTION: Final = Failed(
    "coze_requires_action", "the bot waits for the result of a tool, which cannot be given here"
)
_INTERRUPTED: Final = Failed(
    "coze_interrupt", "the workflow waits for an answer to its question, which cannot be given here"
)


def code_of(number: object) -> str:
    """Write one of Coze's numbers as a code."""
    return f"coze_{number}" if isinstance(number, int) and not isinstance(number, bool) else "coze_unreadable"


def failure_in(answer: object) -> Failed | None:
    """Find the failure in an answer's envelope: Coze says 200 and means the number in `code`."""
    if not isinstance(answer, dict):
        return UNREADABLE
    number = answer.get("code", 0)
    return None if number == 0 else failed(number, answer.get("msg"))


def read_failure(body: bytes) -> Failed:
    """Read the failure in an answer that should have been a stream."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = None
    return failure_in(answer) or UNREADABLE


def failed(number: object, message: object) -> Failed:
    """Write a failure."""
    text = message[:_LONGEST] if isinstance(message, str) and message else "Coze gave no reason"
    return Failed(code_of(number), text)


def usage_of(value: object) -> Usage | None:
    """Read the tokens used."""
    if not isinstance(value, dict):
        return None
    return Usage(_count(value.get("input_count")), _count(value.get("output_count")))


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else 0


class _Reader:
    """Reads the events of one stream; what they mean is the subclass's."""

    __slots__ = ("_cutter", "_ended", "_events")

    def __init__(self, events: dict[str, Callable[[dict[str, Any]], Iterator[Step]]]) -> None:
        """Take what each event means."""
        self._cutter = EventCutter()
        self._events = events
        self._ended = False

    def feed(self, chunk: bytes) -> list[Step]:
        """Give what is said in this chunk; nothing once it is over."""
        events = self._cutter.feed(chunk)
        if self._cutter.fault:
            return self._only([UNREADABLE])
        return self._only(step for name, data in events for step in self._read(name, data))

    def _only(self, steps: "Iterator[Step] | list[Step]") -> list[Step]:
        kept: list[Step] = []
        for step in steps:
            if self._ended:
                break
            kept.append(step)
            self._ended = not isinstance(step, Text)
        return kept

    def _read(self, name: str, data: bytes) -> Iterator[Step]:
        reading = self._events.get(name)
        if reading is None:
            return
        try:
            value: Any = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = None
        if isinstance(value, dict):
            yield from reading(value)
        elif name != "done":  # its data is the text "[DONE]"
            yield UNREADABLE


class BotReader(_Reader):
    """Reads a bot's stream."""

    __slots__ = ("_answers", "_last", "_said")

    def __init__(self) -> None:
        """Begin with nothing said."""
        super().__init__(
            {
                "conversation.message.delta": self._delta,
                "conversation.message.completed": self._message,
                "conversation.chat.completed": self._completed,
                "conversation.chat.failed": self._failed,
                "conversation.chat.canceled": self._failed,
                "conversation.chat.requires_action": lambda _: iter([_NEEDS_ACTION]),
                "error": lambda value: iter([failed(value.get("code"), value.get("msg"))]),
            }
        )
        self._answers: set[str] = set()
        """Messages of which something was said piece by piece."""
        self._last = ""
        self._said = False

    def _delta(self, message: dict[str, Any]) -> Iterator[Step]:
        if message.get("type") != "answer":
            return
        reasoning = message.get("reasoning_content")
        if isinstance(reasoning, str) and reasoning:
            yield Text(reasoning, reasoning=True)
        yield from self._answer(message)

    def _message(self, message: dict[str, Any]) -> Iterator[Step]:
        # The whole of what came piece by piece, or the only piece.
        if message.get("type") == "answer" and str(message.get("id", "")) not in self._answers:
            yield from self._answer(message)

    def _answer(self, message: dict[str, Any]) -> Iterator[Step]:
        content, name = message.get("content"), str(message.get("id", ""))
        if not isinstance(content, str) or not content:
            return
        between = _PARAGRAPH if self._said and name != self._last else ""
        self._answers.add(name)
        self._last, self._said = name, True
        yield Text(between + content)

    def _completed(self, chat: dict[str, Any]) -> Iterator[Step]:
        yield Done(usage_of(chat.get("usage")))

    def _failed(self, chat: dict[str, Any]) -> Iterator[Step]:
        error = chat.get("last_error")
        error = error if isinstance(error, dict) else {}
        yield failed(error.get("code", 5000), error.get("msg"))


class WorkflowReader(_Reader):
    """Reads a workflow's stream."""

    __slots__ = ("_node", "_usage")

    def __init__(self) -> None:
        """Begin with nothing said."""
        super().__init__(
            {
                "Message": self._message,
                "Error": lambda value: iter([failed(value.get("error_code"), value.get("error_message"))]),
                "Interrupt": lambda _: iter([_INTERRUPTED]),
                "Done": lambda _: iter([Done(self._usage)]),
            }
        )
        self._node: object = None
        self._usage: Usage | None = None

    def _message(self, message: dict[str, Any]) -> Iterator[Step]:
        self._usage = usage_of(message.get("usage")) or self._usage
        content, node = message.get("content"), message.get("node_title")
        if not isinstance(content, str) or not content:
            return
        between = _PARAGRAPH if self._node is not None and node != self._node else ""
        self._node = node
        yield Text(between + content)
