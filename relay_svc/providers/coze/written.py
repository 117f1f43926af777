"""What Coze said, written as OpenAI's clients read it: a stream of chunks, or one answer.

The law: pure. A stream ends in `[DONE]` only when Coze said that it was done, in an error event when it said that it
failed, and in neither when it was cut short.
"""

from typing import Any, Final

import msgspec

from relay_svc.plan import Usage
from relay_svc.providers.coze.steps import UNREADABLE, Done, Failed, Step, Text

END: Final = b"data: [DONE]\n\n"


class Stamp(msgspec.Struct, frozen=True):
    """What an answer is stamped with: its id, the time in seconds since the epoch, the model as the client named it."""

    id: str
    created: int
    model: str


def usage_members(usage: Usage) -> dict[str, int]:
    """Write the tokens used."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def error_members(failure: Failed, request_id: str) -> dict[str, Any]:
    """Write a failure."""
    error = {"message": failure.message, "type": "upstream_error", "param": None, "code": failure.code}
    return {"error": {**error, "request_id": request_id}}


def completion(stamp: Stamp, text: str, reasoning: str = "", usage: Usage | None = None, **more: Any) -> bytes:
    """Write a whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if reasoning:
        message["reasoning_content"] = reasoning
    body: dict[str, Any] = {
        "id": f"chatcmpl-{stamp.id}",
        "object": "chat.completion",
        "created": stamp.created,
        "model": stamp.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    if usage is not None:
        body["usage"] = usage_members(usage)
    return msgspec.json.encode(body | more)


class ChunkWriter:
    """Writes steps as chunks."""

    __slots__ = ("_begun", "_include_usage", "_stamp", "ended", "failure", "usage")

    def __init__(self, stamp: Stamp, *, include_usage: bool) -> None:
        """Take the stamp, and whether the client asked for the tokens."""
        self._stamp = stamp
        self._include_usage = include_usage
        self._begun = False
        self.ended = False
        """Whether Coze said that it is over, well or not."""
        self.failure: Failed | None = None
        """What Coze said went wrong."""
        self.usage: Usage | None = None
        """The tokens used, once they were told."""

    def write(self, steps: list[Step]) -> bytes:
        """Give the bytes for the client."""
        return b"".join(map(self._step, steps))

    def _step(self, step: Step) -> bytes:
        match step:
            case Text(text, reasoning):
                return self._delta({"reasoning_content" if reasoning else "content": text})
            case Done(usage):
                self.ended, self.usage = True, usage
                last = self._delta({}, "stop")
                return last + (self._tokens(usage) if self._include_usage else b"") + END
            case Failed():
                self.ended, self.failure = True, step
                return b"data: " + msgspec.json.encode(error_members(step, self._stamp.id)) + b"\n\n"

    def _delta(self, delta: dict[str, str], finish: str | None = None) -> bytes:
        first = {} if self._begun else {"role": "assistant"}
        self._begun = True
        return self._chunk([{"index": 0, "delta": first | delta, "finish_reason": finish}])

    def _tokens(self, usage: Usage | None) -> bytes:
        return self._chunk([], usage=usage_members(usage or Usage()))

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        body = {
            "id": f"chatcmpl-{self._stamp.id}",
            "object": "chat.completion.chunk",
            "created": self._stamp.created,
            "model": self._stamp.model,
            "choices": choices,
        }
        return b"data: " + msgspec.json.encode(body | more) + b"\n\n"


class Collector:
    """Collects steps into one answer, at most `limit` characters of it."""

    __slots__ = ("_limit", "_parts", "_size", "_stamp", "_thoughts", "outcome")

    def __init__(self, stamp: Stamp, limit: int = 8 << 20) -> None:
        """Take the stamp and the bound."""
        self._stamp, self._limit = stamp, limit
        self._parts: list[str] = []
        self._thoughts: list[str] = []
        self._size = 0
        self.outcome: Done | Failed | None = None
        """How it ended; None while it has not, and for good when it was cut short."""

    def take(self, steps: list[Step]) -> None:
        """Take what was said."""
        for step in steps:
            if self.outcome is not None:
                return
            if isinstance(step, Text):
                (self._thoughts if step.reasoning else self._parts).append(step.text)
                self._size += len(step.text)
                self.outcome = UNREADABLE if self._size > self._limit else None
            else:
                self.outcome = step

    def answer(self) -> bytes:
        """Write the whole answer, or what went wrong; only after it ended."""
        if isinstance(self.outcome, Failed):
            return msgspec.json.encode(error_members(self.outcome, self._stamp.id))
        usage = self.outcome.usage if self.outcome else None
        return completion(self._stamp, "".join(self._parts), "".join(self._thoughts), usage)
