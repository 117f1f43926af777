"""The requests that are no conversations: which kinds of upstream take each, and what becomes of it.

Law: a table, of which the tests and the page of what is compatible are made. What is not in it is refused before anything is
sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PROVIDERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "openai": {"path": "/v1"},
    "openai-compatible": {"path": "/v1"},
    "azure-openai": {"options": {"api_version": "2024-10-21"}},
    "anthropic": {"path": "/v1"},
    "gemini": {"path": "/v1beta"},
    "cohere": {"path": "/v2"},
    "jina": {"path": "/v1"},
    "coze": {},
    "coze-workflow": {},
    "coze-workflow-async": {},
}
"""Every provider of the catalog: the path of its base URL, and its options."""

REQUESTS: Final[Mapping[str, tuple[str, Any]]] = {
    "openai-completions": ("/v1/completions", {"model": "m", "prompt": "x"}),
    "openai-embed": ("/v1/embeddings", {"model": "m", "input": "x"}),
    "openai-images": ("/v1/images/generations", {"model": "m", "prompt": "x"}),
    "openai-speech": ("/v1/audio/speech", {"model": "m", "input": "x", "voice": "y"}),
    "openai-transcriptions": ("/v1/audio/transcriptions", None),
    "openai-translations": ("/v1/audio/translations", None),
    "openai-moderations": ("/v1/moderations", {"model": "m", "input": "x"}),
    "rerank": ("/v1/rerank", {"model": "m", "query": "x", "documents": ["y"]}),
    "anthropic-count_tokens": (
        "/v1/messages/count_tokens",
        {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    ),
    "gemini-count_tokens": ("/v1beta/models/m:countTokens", {"contents": [{"parts": [{"text": "x"}]}]}),
    "gemini-embed": (
        "/v1beta/models/m:embedContent",
        {"model": "models/m", "content": {"parts": [{"text": "x"}]}},
    ),
    "gemini-batch_embed": (
        "/v1beta/models/m:batchEmbedContents",
        {"requests": [{"model": "models/m", "content": {"parts": [{"text": "x"}]}}]},
    ),
}
"""A request of each; None is a form with a sound."""

_OPENAIS: Final = {
    "openai-completions": "/completions",
    "openai-embed": "/embeddings",
    "openai-images": "/images/generations",
    "openai-speech": "/audio/speech",
    "openai-transcriptions": "/audio/transcriptions",
    "openai-translations": "/audio/translations",
}
_AZURE: Final = {name: f"/openai/deployments/u{path}?api-version=2024-10-21" for name, path in _OPENAIS.items()}
AS_IT_IS: Final[Mapping[str, Mapping[str, str]]] = {
    "openai": {**{name: "/v1" + path for name, path in _OPENAIS.items()}, "openai-moderations": "/v1/moderations"},
    "openai-compatible": {
        **{name: "/v1" + path for name, path in _OPENAIS.items()},
        "openai-moderations": "/v1/moderations",
        "rerank": "/v1/rerank",
    },
    "azure-openai": _AZURE,
    "anthropic": {"anthropic-count_tokens": "/v1/messages/count_tokens"},
    "gemini": {
        "gemini-count_tokens": "/v1beta/models/u:countTokens",
        "gemini-embed": "/v1beta/models/u:embedContent",
        "gemini-batch_embed": "/v1beta/models/u:batchEmbedContents",
    },
    "cohere": {"openai-embed": "/compatibility/v1/embeddings"},
    "jina": {"rerank": "/v1/rerank", "openai-embed": "/v1/embeddings"},
}
"""Where each upstream is asked with the client's own bytes, but for the model's name."""


@dataclass(frozen=True, slots=True)
class Anew:
    """A request that is written in another form, and its answer."""

    path: str
    sent: Mapping[str, Any]
    """What the upstream is asked."""
    answered: Mapping[str, Any]
    """What it says."""
    told: Mapping[str, Any]
    """What the client reads."""


_ASKS_OPENAI: Final = {"model": "u", "input": ["x"], "encoding_format": "float"}
_OPENAI_SAYS: Final = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}],
    "model": "u",
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}
_BY_OPENAI: Final = {
    "gemini-embed": Anew("/v1/embeddings", _ASKS_OPENAI, _OPENAI_SAYS, {"embedding": {"values": [0.5, -1.0]}}),
    "gemini-batch_embed": Anew("/v1/embeddings", _ASKS_OPENAI, _OPENAI_SAYS, {"embeddings": [{"values": [0.5, -1.0]}]}),
}
_BY_ANTHROPIC: Final = {
    "gemini-count_tokens": Anew(
        "/v1/messages/count_tokens",
        {"model": "u", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"input_tokens": 9},
        {"totalTokens": 9},
    )
}
_BY_GEMINI: Final = {
    "openai-embed": Anew(
        "/v1beta/models/u:batchEmbedContents",
        {"requests": [{"model": "models/u", "content": {"parts": [{"text": "x"}]}}]},
        {"embeddings": [{"values": [0.5, -1.0]}]},
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}],
            "model": "m",
            "usage": {"prompt_tokens": 0, "total_tokens": 0},
        },
    ),
    "anthropic-count_tokens": Anew(
        "/v1beta/models/u:countTokens",
        {
            "generateContentRequest": {
                "model": "models/u",
                "contents": [{"role": "user", "parts": [{"text": "x"}]}],
            }
        },
        {"totalTokens": 9},
        {"input_tokens": 9},
    ),
}
_BY_COHERE: Final = {
    "rerank": Anew(
        "/v2/rerank",
        {"model": "u", "query": "x", "documents": ["y"]},
        {"id": "r", "results": [{"index": 0, "relevance_score": 0.5}]},
        {
            "id": "r",
            "object": "list",
            "model": "m",
            "results": [{"index": 0, "relevance_score": 0.5}],
            "usage": {"prompt_tokens": 0, "total_tokens": 0},
        },
    )
}
WRITTEN_ANEW: Final[Mapping[str, Mapping[str, Anew]]] = {
    "openai": _BY_OPENAI,
    "openai-compatible": _BY_OPENAI,
    "anthropic": _BY_ANTHROPIC,
    "gemini": _BY_GEMINI,
    "cohere": _BY_COHERE,
}
"""What each upstream is asked in a form that is not the client's."""


def fate(endpoint: str, provider: str) -> str:
    """Tell what becomes of a request: `as it is`, `written anew` or `refused`."""
    if endpoint in AS_IT_IS.get(provider, {}):
        return "as it is"
    return "written anew" if endpoint in WRITTEN_ANEW.get(provider, {}) else "refused"


CASES: Final = tuple((endpoint, provider) for endpoint in REQUESTS for provider in PROVIDERS)
