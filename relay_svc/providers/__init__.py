"""How each kind of upstream is asked for each operation.

The law: pure. A channel, its key and what a client wants go in; the HTTP call comes out, with the format that the upstream
speaks, or a typed word for why there is none. A provider that is not known by name counts as compatible with OpenAI.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from relay_svc.providers.anthropic import anthropic
from relay_svc.providers.azure import azure
from relay_svc.providers.call import Adapter, Answer, Asked, Call, NotOffered, Target, Unusable
from relay_svc.providers.coze import calls as coze
from relay_svc.providers.gemini import gemini
from relay_svc.providers.openai import compatible, openai
from relay_svc.providers.rerankers import cohere, jina
from trunkline.providers import provider_named

_PROVIDERS: Final[Mapping[str, Callable[[Target, Asked], Answer]]] = {
    "openai": openai,
    "azure-openai": azure,
    "anthropic": anthropic,
    "gemini": gemini,
    "cohere": cohere,
    "jina": jina,
    "coze": coze.chat,
    "coze-workflow": coze.workflow,
    "coze-workflow-async": coze.workflow_async,
}

__all__ = ["Adapter", "Answer", "Asked", "Call", "NotOffered", "Target", "Unusable", "how_to_ask"]


def how_to_ask(target: Target, asked: Asked) -> Answer:
    """Tell how an upstream is asked; one without an address of its own is asked at its provider's."""
    if not target.base_url:
        base_url = provider_named(target.provider).base_url
        if not base_url:
            return Unusable(target.provider, "the channel has no base URL")
        target = replace(target, base_url=base_url)
    return _PROVIDERS.get(target.provider, compatible)(target, asked)
