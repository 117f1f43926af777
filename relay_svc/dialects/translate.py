"""Reads and writes requests and whole answers by the name of their dialect.

The law: pure. Whatever the bytes, only DialectFault and CannotCarry are raised. What a request costs here goes by the number
of its values, so there is a bound on that, which is looked to before any of them is made.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from relay_svc.dialects.answer import Answer, Failure, Stamp
from relay_svc.dialects.anthropic import answers as anthropic_answers
from relay_svc.dialects.anthropic import reading as anthropic_reading
from relay_svc.dialects.anthropic import writing as anthropic_writing
from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Call, Dialect, Media, Refusal, Request, Result, Target, Text, Thinking
from relay_svc.dialects.gemini import answers as gemini_answers
from relay_svc.dialects.gemini import reading as gemini_reading
from relay_svc.dialects.gemini import writing as gemini_writing
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.openai_chat import answers as chat_answers
from relay_svc.dialects.openai_chat import reading as chat_reading
from relay_svc.dialects.openai_chat import writing as chat_writing
from relay_svc.dialects.openai_responses import answers as responses_answers
from relay_svc.dialects.openai_responses import reading as responses_reading
from relay_svc.dialects.openai_responses import writing as responses_writing

_T = TypeVar("_T")


def _bounded(call: Callable[[], _T]) -> _T:
    try:
        return call()
    except RecursionError:
        raise DialectFault("", "is nested too deeply") from None


MOST_VALUES: Final = 1 << 16
"""Most strings and commas between values of a request that is translated: no conversation has a tenth of them."""
_NOT_MARKS: Final = bytes(set(range(256)) - set(b'",'))


def _check_size(body: bytes) -> None:
    """Count a text's values before any of them is made, by searches in C. Raises DialectFault."""
    if body.count(b'"') + body.count(b",") <= MOST_VALUES:  # nearly always
        return
    marks = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_MARKS)
    between = marks.split(b'"', 2 * MOST_VALUES)[::2]  # every other piece is outside of the strings
    if len(between) - 1 + sum(map(len, between)) > MOST_VALUES:
        raise DialectFault("", f"holds more than {MOST_VALUES} values, which is more than is translated")


def read_request(dialect: Dialect, body: bytes, losses: Losses, *, model: str = "", stream: bool = False) -> Request:
    """Read a client's request; `model` and `stream` are what Gemini's path says. Raises DialectFault, CannotCarry."""
    _check_size(body)
    if dialect is Dialect.GEMINI:
        request = _bounded(lambda: gemini_reading.read(body, model, losses, stream=stream))
    else:
        request = _bounded(lambda: _REQUEST_READERS[dialect](body, losses))
    _check_roles(request)
    _check_tools(request, losses)
    return request


def _check_tools(request: Request, losses: Losses) -> None:
    """Refuse where none of the tools offered is carried, or not the one that must be called. Raises CannotCarry.

    A provider's own tool beside others is an offer, and is lost by name; alone it is what the request is about.
    """
    lost = [name for name in losses.names if name.startswith(_TOOLS)]
    if lost and not request.tools:
        losses.essential(lost[0])
    choice = request.tool_choice
    if choice is not None and choice.mode == "required":
        carried = {tool.name for tool in request.tools}
        if not carried or (choice.names and carried.isdisjoint(choice.names)):
            losses.essential("tool_choice")


def _check_roles(request: Request) -> None:
    """Hold the form's own law, whatever the dialect let pass. Raises DialectFault."""
    for place, message in enumerate(request.messages):
        allowed = _ALLOWED[message.role]
        for part in message.parts:
            if not isinstance(part, allowed):
                what = type(part).__name__.lower()
                raise DialectFault(f"messages[{place}]", f"must not hold a {what} as {message.role}")


_TOOLS: Final = "tools."
"""How the names of lost tools begin."""
_ALLOWED: Final[dict[str, tuple[type, ...]]] = {
    "system": (Text, Media),
    "developer": (Text, Media),
    "user": (Text, Media, Result),
    "assistant": (Text, Media, Call, Thinking, Refusal),
}


def write_request(dialect: Dialect, request: Request, target: Target, losses: Losses) -> bytes:
    """Write a request for an upstream. Raises DialectFault, CannotCarry."""
    if dialect is Dialect.GEMINI:
        return _bounded(lambda: gemini_writing.write(request, losses))
    return _bounded(lambda: _REQUEST_WRITERS[dialect](request, target, losses))


def read_answer(dialect: Dialect, body: bytes, losses: Losses) -> Answer | Failure:
    """Read an upstream's whole answer of status 200, which may still be a failure. Raises DialectFault."""
    return _bounded(lambda: _ANSWER_READERS[dialect](body, losses))


def write_answer(dialect: Dialect, answer: Answer, stamp: Stamp, losses: Losses) -> bytes:
    """Write a whole answer for a client. Raises DialectFault."""
    return _bounded(lambda: _ANSWER_WRITERS[dialect](answer, stamp, losses))


_REQUEST_READERS: Final = {
    Dialect.OPENAI_CHAT: chat_reading.read,
    Dialect.OPENAI_RESPONSES: responses_reading.read,
    Dialect.ANTHROPIC: anthropic_reading.read,
}
_REQUEST_WRITERS: Final = {
    Dialect.OPENAI_CHAT: chat_writing.write,
    Dialect.OPENAI_RESPONSES: responses_writing.write,
    Dialect.ANTHROPIC: anthropic_writing.write,
}
_ANSWER_READERS: Final = {
    Dialect.OPENAI_CHAT: chat_answers.read,
    Dialect.OPENAI_RESPONSES: responses_answers.read,
    Dialect.ANTHROPIC: anthropic_answers.read,
    Dialect.GEMINI: gemini_answers.read,
}
_ANSWER_WRITERS: Final = {
    Dialect.OPENAI_CHAT: chat_answers.write,
    Dialect.OPENAI_RESPONSES: responses_answers.write,
    Dialect.ANTHROPIC: anthropic_answers.write,
    Dialect.GEMINI: gemini_answers.write,
}
