"""Gemini: the model and the method in the path.

The law: pure. Its own API is used, never the one that imitates OpenAI's, which knows less. The key goes in a header, where no
log of URLs sees it.
"""

from collections.abc import Mapping
from typing import Final

from relay_svc.operations import Format, Operation
from relay_svc.providers.call import (
    Adapter,
    Answer,
    Asked,
    Call,
    NotOffered,
    Target,
    Unusable,
    asks_for_generation,
    named,
    rooted,
    segment,
)

_METHODS: Final[Mapping[Operation, str]] = {
    Operation.GENERATE: "generateContent",
    Operation.STREAM_GENERATE: "streamGenerateContent",
    Operation.COUNT_TOKENS: "countTokens",
    Operation.EMBED: "embedContent",
    Operation.BATCH_EMBED: "batchEmbedContents",
}
_ADAPTERS: Final = {
    (Operation.EMBED, Format.OPENAI): Adapter.GEMINI_EMBEDDINGS,
    (Operation.COUNT_TOKENS, Format.ANTHROPIC): Adapter.GEMINI_COUNT,
}
"""What stands before Gemini for what is asked in words of others, and is no conversation."""
_ADAPTED: Final = {
    Adapter.GEMINI_EMBEDDINGS: Operation.BATCH_EMBED,
    Adapter.GEMINI_COUNT: Operation.COUNT_TOKENS,
}
_VERSIONS: Final = ("/v1beta", "/v1alpha", "/v1")
_IMITATION: Final = "/openai"


def gemini(target: Target, asked: Asked) -> Answer:
    """Ask Gemini."""
    adapter = _ADAPTERS.get((asked.operation, asked.format), Adapter.NONE)
    operation = _ADAPTED.get(adapter) or _served(asked)
    if operation is None:
        return NotOffered(target.provider, asked.operation)
    kind, slash, name = target.model.rpartition("/")
    place = segment(name)
    if place is None or kind not in ("", "models", "tunedModels"):
        return Unusable(target.provider, "the model's name cannot be part of a URL")
    base = target.base_url.rstrip("/").removesuffix(_IMITATION)
    if not base.endswith(_VERSIONS):
        base = rooted(base, "/v1beta")
    url = f"{base}/{kind if slash else 'models'}/{place}:{_METHODS[operation]}"
    streams = operation is Operation.STREAM_GENERATE
    return Call(
        url + "?alt=sse" if streams and asked.events else url,
        operation,
        Format.GEMINI if adapter is Adapter.NONE else asked.format,
        named(b"x-goog-api-key", target.key),
        events=streams,
        adapter=adapter,
        errors=Format.GEMINI,
    )


def _served(asked: Asked) -> Operation | None:
    if asks_for_generation(asked):
        streams = asked.stream or asked.operation is Operation.STREAM_GENERATE
        return Operation.STREAM_GENERATE if streams else Operation.GENERATE
    return asked.operation if asked.format is Format.GEMINI and asked.operation in _METHODS else None
