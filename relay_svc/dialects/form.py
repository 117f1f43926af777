"""The internal form of a request: what all dialects say, in one set of words.

The law: plain values. Readers of dialects make them, writers take them; nobody else looks inside. Arguments of tool calls
are JSON text as the model wrote it, schemas are JSON values, media are base64 text or an address.

Roles are `system`, `developer`, `user` and `assistant`. Results of tools are parts of a user message and come first in it.
"""

from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct, field


class Dialect(StrEnum):
    """A wire format."""

    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    ANTHROPIC = "anthropic-messages"
    GEMINI = "gemini"


class Signature(Struct, frozen=True):
    """An opaque proof of reasoning, which only the provider that made it can read: `home` is its dialect."""

    home: Dialect
    value: str


class TokenLogprob(Struct, frozen=True):
    """A token, its log-probability, and those that were nearly chosen."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class Text(Struct):
    """Text; `cache` is the lifetime asked for a cache up to here (empty: the default), None for no mark."""

    text: str
    cache: str | None = None
    logprobs: list[TokenLogprob] | None = None


class Media(Struct):
    """An image, a sound or a file: base64 `data`, a `url`, or a `file_id` at the provider whose dialect is `home`."""

    kind: Literal["image", "audio", "file"]
    mime: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    home: Dialect | None = None
    name: str = ""
    detail: str = ""
    cache: str | None = None


class Call(Struct):
    """A tool call."""

    id: str
    name: str
    arguments: str
    signature: Signature | None = None
    cache: str | None = None


class Result(Struct):
    """What a tool gave."""

    call_id: str
    name: str
    parts: "list[Text | Media]"
    is_error: bool = False
    cache: str | None = None


class Thinking(Struct):
    """Reasoning; one that is kept secret has only its signature."""

    text: str
    signature: Signature | None = None


class Refusal(Struct):
    """The model's own words for not answering."""

    text: str


Part = Text | Media | Call | Result | Thinking | Refusal
Role = Literal["system", "developer", "user", "assistant"]


class Message(Struct):
    """One turn."""

    role: Role
    parts: list[Part]


class Tool(Struct):
    """A function the model may call; `schema` is the JSON schema of its arguments."""

    name: str
    description: str = ""
    schema: Any = None
    strict: bool | None = None
    cache: str | None = None


class ToolChoice(Struct):
    """Whether tools are called; `names` are those allowed, all when empty."""

    mode: Literal["auto", "none", "required"]
    names: list[str] = []


class Format(Struct):
    """Structured output: any JSON, or one that fits `schema`."""

    kind: Literal["json", "schema"]
    schema: Any = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


class Reasoning(Struct):
    """How much to think: an `effort` (`none` for not at all), or a `budget` in tokens; `show` asks to see it."""

    effort: str | None = None
    budget: int | None = None
    show: bool | None = None


class Request(Struct, kw_only=True):
    """A request for one answer."""

    model: str
    messages: list[Message]
    stream: bool = False
    include_usage: bool = True
    """Whether the stream's client wants the tokens told in it."""
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    format: Format | None = None
    reasoning: Reasoning | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    logprobs: bool = False
    top_logprobs: int | None = None
    verbosity: str = ""
    user: str = ""
    safety_identifier: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    service_tier: str = ""
    prompt_cache_key: str = ""


class Target(Struct, frozen=True):
    """What an upstream needs to be told beside the request."""

    model: str
    default_max_tokens: int = 8192
    """For dialects that insist on a bound (Anthropic) when the client named none."""
    max_completion_tokens: bool = False
    """Whether a chat upstream wants the bound under its newer name, as OpenAI's own reasoning models do."""
    adaptive_thinking: bool = True
    """Whether an Anthropic model decides itself how much to think; older ones want a budget."""
    xhigh: bool = True
    """Whether such a model knows that effort, which is `high` elsewhere."""
    sampling: bool = True
    """Whether an Anthropic model takes temperature, top_p and top_k."""
    one_sampling: bool = False
    """Whether temperature and top_p exclude each other there."""
