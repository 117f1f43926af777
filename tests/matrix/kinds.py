"""The kinds of upstreams that hold conversations: how a channel names each, and in which format each is asked.

Law: a table, of which the tests and the page of what is compatible are made. Who answers is the golden upstream, or an
independent mock of the providers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from relay_svc.dialects import Dialect
from tests.matrix.clients import CLIENTS

CHAT, RESPONSES, ANTHROPIC, GEMINI = (
    Dialect.OPENAI_CHAT,
    Dialect.OPENAI_RESPONSES,
    Dialect.ANTHROPIC,
    Dialect.GEMINI,
)
OWN: Final[Mapping[str, Dialect]] = dict(zip(CLIENTS, (CHAT, RESPONSES, ANTHROPIC, GEMINI), strict=True))
"""What each client speaks."""
FEATURES: Final = ("text", "stream", "calls", "streamed-calls", "results", "image", "structured", "error")
_NEITHER_SEES_NOR_CALLS: Final = {
    "calls": "lost",
    "streamed-calls": "lost",
    "results": "refused",
    "image": "refused",
    "structured": "lost",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of upstream."""

    name: str
    provider: str
    dialect: Dialect | None
    """The format that it is asked in; None where an adapter stands before it."""
    path: str = "/v1"
    """Of its base URL."""
    options: Mapping[str, str] = field(default_factory=dict)
    natively: Mapping[str, Dialect] = field(default_factory=dict)
    """Clients that are asked for in another format, their own."""
    model: str = "u"
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Features that it has not, and what becomes of them: `lost` by name, or the request `refused`."""
    clients: tuple[str, ...] = CLIENTS
    """Those that can be served; others are refused."""
    runs: bool = False
    """Whether the answer is the id of a run that goes on, whatever was asked."""
    loses: tuple[str, ...] = ()
    """What it has no place for, whatever is asked."""
    mock: bool = False
    """Whether the independent mock answers."""

    def fate(self, client: str, feature: str) -> str:
        """Tell what becomes of a feature: `lost`, `refused`, or nothing of the kind."""
        return self.lacks.get(feature, "") if client in self.clients else "refused"

    def spoken_to(self, client: str) -> Dialect | None:
        """Tell in which format it is asked for a client."""
        return self.natively.get(client, self.dialect)


_RESPONSES_TOO: Final = {"openai-responses": RESPONSES}
_DATED: Final = {"api_version": "2024-10-21"}

_RUN: Final[dict[str, Any]] = {
    "model": "738",
    "lacks": dict.fromkeys(("calls", "streamed-calls", "results", "image", "structured"), "lost"),
    "clients": ("openai-chat",),
    "loses": ("max_tokens",),
}

KINDS: Final = (
    Kind("openai", "openai", CHAT, natively=_RESPONSES_TOO),
    Kind("openai-by-responses", "openai", RESPONSES, options={"api": "responses"}),
    Kind("openai-compatible", "openai-compatible", CHAT),
    Kind("openrouter", "openrouter", CHAT, "/api/v1", natively={**_RESPONSES_TOO, "anthropic": ANTHROPIC}),
    Kind("azure-openai", "azure-openai", CHAT, "", {"api_version": "latest"}, natively=_RESPONSES_TOO),
    Kind("azure-openai-dated", "azure-openai", CHAT, "", _DATED),
    Kind("anthropic", "anthropic", ANTHROPIC),
    Kind("gemini", "gemini", GEMINI, "/v1beta"),
    Kind("cohere", "cohere", CHAT, "/v2"),
    Kind("coze", "coze", None, "", model="738", lacks=_NEITHER_SEES_NOR_CALLS, loses=("max_tokens",)),
    Kind("coze-workflow", "coze-workflow", None, "", **_RUN),
    Kind("coze-workflow-async", "coze-workflow-async", None, "", runs=True, **_RUN),
    Kind("jina", "jina", None, clients=()),
    Kind("mock-openai", "openai", CHAT, natively=_RESPONSES_TOO, mock=True),
    Kind("mock-openai-by-responses", "openai", RESPONSES, options={"api": "responses"}, mock=True),
    Kind("mock-azure-openai", "azure-openai", CHAT, "", _DATED, mock=True),
    Kind("mock-anthropic", "anthropic", ANTHROPIC, mock=True),
    Kind("mock-gemini", "gemini", GEMINI, "/v1beta", mock=True),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A client asks for a feature of an upstream."""

    client: str
    kind: Kind
    feature: str
    whole_only: bool

    @property
    def name(self) -> str:
        """Name it, as its test is named."""
        return f"{self.client}-on-{self.kind.name}-{self.feature}"


def _cases() -> tuple[Case, ...]:
    # A selection in which each pair of two of the three is there: clients are dealt out over (kind, feature) as in a Latin
    # square, so that each kind and each feature meets each client.
    return tuple(
        Case(client, kind, feature, whole_only=(row + column) % len(CLIENTS) != number)
        for number, client in enumerate(CLIENTS)
        for row, kind in enumerate(KINDS)
        for column, feature in enumerate(FEATURES)
    )


CASES: Final = _cases()
