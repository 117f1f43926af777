"""What is known of an upstream, what is asked of it, and the HTTP call that comes of the two.

The law: plain values, and a key shows in none of them. A model becomes part of a URL in one place, where nothing of it can
become more than one segment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import quote, urlsplit

from relay_svc.operations import CONVERSATIONS, GENERATIONS, Format, Operation
from relay_svc.providers.vendors import ORDINARY, Vendor
from trunkline.secret import Secret

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream, as a plan names it."""

    provider: str
    base_url: str
    model: str
    """The model's name at the upstream."""
    key: Secret | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """What this provider wants to know besides."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants, as `endpoints` read it."""

    operation: Operation
    format: Format
    stream: bool = False
    events: bool = True
    """Whether a stream is wanted as events; Gemini's clients may want a JSON array."""


class Adapter(StrEnum):
    """What stands before an upstream that speaks no format of ours."""

    NONE = "none"
    COHERE_RERANK = "cohere-rerank"
    GEMINI_EMBEDDINGS = "gemini-embeddings"
    OPENAI_EMBEDDINGS = "openai-embeddings"
    GEMINI_COUNT = "gemini-count"
    ANTHROPIC_COUNT = "anthropic-count"
    COZE_CHAT = "coze-chat"
    COZE_WORKFLOW = "coze-workflow"
    COZE_WORKFLOW_ASYNC = "coze-workflow-async"


@dataclass(frozen=True, slots=True)
class Call:
    """How to ask an upstream."""

    url: str
    operation: Operation
    """The operation as the upstream knows it."""
    format: Format
    """How its body is written; where that is not the client's format, it is translated."""
    credentials: Headers = field(default=(), repr=False)
    """Headers that say who pays: they replace whatever the client sent."""
    defaults: Headers = ()
    """Headers for where the client sent none of that name."""
    model: str = ""
    """The model that the body names; empty when the URL does."""
    events: bool = False
    """Whether the upstream answers with a stream of events, whatever the client asked for."""
    vendor: Vendor = ORDINARY
    adapter: Adapter = Adapter.NONE
    method: str = "POST"
    errors: Format | None = None
    """How the upstream writes its errors, where an adapter stands before it and that is one of ours."""

    @property
    def errors_in(self) -> Format:
        """How the upstream writes its errors."""
        return self.errors or self.format


@dataclass(frozen=True, slots=True)
class NotOffered:
    """An operation that an upstream does not know, nor anything that it could be translated to."""

    provider: str
    operation: Operation

    @property
    def sentence(self) -> str:
        """Say it to people."""
        return f"{self.provider} does not offer {self.operation.replace('_', ' ')}"


@dataclass(frozen=True, slots=True)
class Unusable:
    """An upstream that cannot be asked for a fault of its channel; the sentence names what is wrong, never a value."""

    provider: str
    sentence: str


Answer = Call | NotOffered | Unusable

_DOTS: Final = frozenset({"", ".", ".."})


def bearer(key: Secret | None) -> Headers:
    """Give the credentials of most providers."""
    return ((b"authorization", b"Bearer " + key.reveal().encode()),) if key else ()


def named(name: bytes, key: Secret | None) -> Headers:
    """Give credentials in a header of the provider's own."""
    return ((name, key.reveal().encode()),) if key else ()


def segment(name: str) -> str | None:
    """Write a name as one segment of a URL's path; None for what a server would take as a step up or for none."""
    return None if name in _DOTS else quote(name, safe="")


def rooted(base_url: str, path: str, *endings: str) -> str:
    """Give a base URL that ends in `path`; what it may end in already is listed, the longest first."""
    base = base_url.rstrip("/")
    for ending in endings:
        if base.endswith(ending):
            return base.removesuffix(ending) + path
    return base + path


def has_path(base_url: str) -> bool:
    """Tell whether a base URL names more than a host. A broken one counts as if it did: dialling it will say why."""
    try:
        return urlsplit(base_url).path not in ("", "/")
    except ValueError:
        return True


def asks_for_generation(asked: Asked) -> bool:
    """Tell whether it is one of the operations that can be translated into each other."""
    return asked.operation in GENERATIONS and asked.format in CONVERSATIONS
