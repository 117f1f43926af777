"""Cohere and Jina.

The law: pure. Jina speaks the common form of rerank requests, Cohere a narrower one of its own (see `rerank_form`). Cohere's
conversations and embeddings go through its imitation of OpenAI's API.
"""

from dataclasses import replace
from typing import Final

from relay_svc.operations import Format, Operation
from relay_svc.providers.call import (
    Adapter,
    Answer,
    Asked,
    Call,
    NotOffered,
    Target,
    asks_for_generation,
    bearer,
    rooted,
)
from relay_svc.providers.openai import call
from relay_svc.providers.vendors import Vendor

_COHERE: Final = Vendor("cohere", prefix="")
_JINA_PATHS: Final = {Operation.RERANK: "/rerank", Operation.EMBED: "/embeddings"}
_COHERE_ENDINGS: Final = ("/compatibility/v1", "/v2", "/v1")


def cohere(target: Target, asked: Asked) -> Answer:
    """Ask Cohere."""
    if asked.operation is Operation.RERANK:
        return Call(
            rooted(target.base_url, "/v2/rerank", *_COHERE_ENDINGS),
            Operation.RERANK,
            Format.RERANK,
            bearer(target.key),
            model=target.model,
            adapter=Adapter.COHERE_RERANK,
        )
    if asks_for_generation(asked) or (asked.operation is Operation.EMBED and asked.format is Format.OPENAI):
        imitation = replace(target, base_url=rooted(target.base_url, "/compatibility/v1", *_COHERE_ENDINGS))
        return call(imitation, asked, _COHERE, bearer(target.key))
    return NotOffered(target.provider, asked.operation)


def jina(target: Target, asked: Asked) -> Answer:
    """Ask Jina."""
    path = _JINA_PATHS.get(asked.operation)
    if path is None or asked.format not in (Format.RERANK, Format.OPENAI):
        return NotOffered(target.provider, asked.operation)
    url = rooted(target.base_url, "/v1" + path, "/v1")
    return Call(url, asked.operation, asked.format, bearer(target.key), model=target.model)
