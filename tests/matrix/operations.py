"""The requests that are no conversations: which kinds of upstream take each, and what becomes of it.

Law: a table, of which the tests and the page of what is compatible are made. What is not in it is refused before anything is
sent.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    "gemini-embed": ("/v1beta/models/m:embedContent", {"content": {"parts": [{"text": "x"}]}}),
    "gemini-batch_embed": ("/v1beta/models/m:batchEmbedContents", {"requests": []}),
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
WRITTEN_ANEW: Final[Mapping[str, Mapping[str, str]]] = {"cohere": {"rerank": "/v2/rerank"}}
"""Where it is asked in a form of its own."""


def fate(endpoint: str, provider: str) -> str:
    """Tell what becomes of a request: `as it is`, `written anew` or `refused`."""
    if endpoint in AS_IT_IS.get(provider, {}):
        return "as it is"
    return "written anew" if endpoint in WRITTEN_ANEW.get(provider, {}) else "refused"


CASES: Final = tuple((endpoint, provider) for endpoint in REQUESTS for provider in PROVIDERS)
