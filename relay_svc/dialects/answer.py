"""The internal form of an answer: whole, or as the events of a stream.

    Begin ─ (PartBegin ─ Delta* ─ PartEnd)* ─ Finished
                                            └ or Failure, at any point, and nothing after it

The law: plain values. Parts are numbered from 0 in the order they begin; those of parallel tool calls may be open at the
same time. `Finished` comes once, last, and only from an upstream that said that it is done.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from relay_svc.dialects.form import Call, Refusal, Signature, Text, Thinking, TokenLogprob

AnswerPart = Text | Refusal | Thinking | Call


class Finish(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    CONTEXT = "context"
    """The context window was full."""
    TOOLS = "tools"
    FILTER = "filter"
    """The provider's filter cut it."""
    REFUSAL = "refusal"
    """The model would not."""
    PAUSE = "pause"
    """A long turn paused; to be sent back as it is."""


class Usage(Struct, frozen=True):
    """Tokens. `input` counts the cached ones and those written to a cache, `output` those of reasoning."""

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0


class Kind(StrEnum):
    """What kind of error it is; each dialect has its own words for these."""

    INVALID = "invalid"
    AUTHENTICATION = "authentication"
    BILLING = "billing"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    RATE_LIMIT = "rate_limit"
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    UPSTREAM = "upstream"


class Failure(Struct, frozen=True):
    """An error: whole answers and streams may both end in one. `status` is 0 when it came without."""

    kind: Kind
    message: str
    code: str = ""
    """The provider's own word for it."""
    status: int = 0
    param: str = ""
    how: str = ""
    """What the answer did where it broke, as a verb and its phrase; empty for any other error."""
    reason: str = ""
    """The relay's own reason; empty when the upstream itself said the error."""

    @classmethod
    def broken(cls, how: str, kind: Kind = Kind.UPSTREAM) -> "Failure":
        """An answer that is not whole, or cannot be read: the relay's own word, not the upstream's."""
        code = "upstream_timeout" if kind is Kind.TIMEOUT else "upstream_broken"
        return cls(kind, f"the upstream's answer {how}", code=code, how=how, reason=code.upper())

    @classmethod
    def cut_short(cls, *, clean: bool) -> "Failure":
        """A stream that ended before its upstream said so; `clean` says that HTTP's own framing was whole."""
        return cls.broken(UNFINISHED if clean else BROKE_OFF)

    def placed(self, channel_id: int, sent: int) -> "Failure":
        """The same with words that say where it broke; what the upstream itself said stays as it is."""
        return replace(self, message=broken_words(channel_id, self.how, sent)) if self.how else self


BROKE_OFF: Final = "broke off"
FELL_SILENT: Final = "fell silent"
UNFINISHED: Final = "ended without a word that it was whole"


def broken_words(channel_id: int, how: str, sent: int) -> str:
    """Says where a stream broke, `sent` bytes of which may be with the client."""
    where = f"after {sent} bytes of it" if sent else "before any of it was passed on"
    return f"the answer of channel {channel_id} {how}, {where}: it is not whole"


class Answer(Struct):
    """A whole answer."""

    model: str
    parts: list[AnswerPart]
    finish: Finish
    usage: Usage | None = None
    stop_sequence: str = ""


class Stamp(Struct, frozen=True):
    """What a writer cannot make up itself: an id (letters and digits), the time in seconds since the epoch, a model."""

    id: str
    created: int
    model: str = ""
    """Said when the upstream names none."""
    request_id: str = ""
    """As the client finds it in the answer's headers; an error says it."""


class PartKind(StrEnum):
    """What a part of a stream is."""

    TEXT = "text"
    REFUSAL = "refusal"
    THINKING = "thinking"
    CALL = "call"


class Begin(Struct, frozen=True):
    """The answer begins; `usage` is what is known of it by then."""

    model: str
    usage: Usage | None = None


class PartBegin(Struct, frozen=True):
    """A part begins; `id` and `name` are a call's."""

    index: int
    kind: PartKind
    id: str = ""
    name: str = ""
    signature: Signature | None = None


class Delta(Struct, frozen=True):
    """More text of a part; of a call, more of its arguments."""

    index: int
    text: str
    logprobs: list[TokenLogprob] | None = None


class PartEnd(Struct, frozen=True):
    """A part ends; `signature` proves its reasoning."""

    index: int
    signature: Signature | None = None


class Finished(Struct, frozen=True):
    """The answer is whole."""

    finish: Finish
    usage: Usage | None = None
    stop_sequence: str = ""


Event = Begin | PartBegin | Delta | PartEnd | Finished | Failure
