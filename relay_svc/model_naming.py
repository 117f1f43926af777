"""The table of all members by which a body can name a model beside the one that routes it, or stand for one.

    checked    a model's name: the key must be allowed to use it, and the channel asked must serve it under that name
    refused    what stands for a model, or for what was begun with one, and cannot be looked into: an id, a stored prompt

Law: pure data. Upstreams differ in which of these they know, and in how strictly they read names, so the table's names are
plain: small letters, without underscores; `plain_name` brings a body's to them.
"""

from collections.abc import Mapping
from enum import Enum, auto
from functools import lru_cache
from typing import Final

_LONGEST_NAME: Final = 64
"""Characters of a member's name that is looked up; none in the tables is as long."""


class Rule(Enum):
    """What a member's value is."""

    MODELS = auto()
    """Names of models: one, a list, or objects that hold some."""
    STORED = auto()
    """Something that the upstream remembers."""
    STORED_OBJECT = auto()
    """The same if it is an object; a text is something else."""
    ROUTE = auto()
    """How `models` are gone through: it names none unless it is not the one known way."""


Table = Mapping[str, "Rule | Table"]

_MODELS, _STORED = Rule.MODELS, Rule.STORED
_NAMING: Final[dict[str, "Rule | Table"]] = {
    # OpenRouter, Vercel, Perplexity, LiteLLM, Anthropic: who is asked when the routed model fails.
    "models": _MODELS,
    "fallbacks": _MODELS,
    "fallbackmodels": _MODELS,
    "route": Rule.ROUTE,
    "provider": {"model": _MODELS, "models": _MODELS},
    "provideroptions": {"gateway": {"model": _MODELS, "models": _MODELS}},
    "contextwindowfallbackdict": _STORED,
    "contextwindowfallbacks": _STORED,
    "contentpolicyfallbacks": _STORED,
    "defaultfallbacks": _STORED,
    "modellist": _STORED,
    "userconfig": _STORED,
    # Other names for the model, and for what it is built from.
    "modelid": _MODELS,
    "modelname": _MODELS,
    "engine": _MODELS,
    "deployment": _MODELS,
    "deploymentid": _MODELS,
    "deploymentname": _MODELS,
    "adapterid": _MODELS,
    "lorapath": _MODELS,
    "draftmodel": _MODELS,
    # Models at work within a request.
    "tools": {"model": _MODELS},
    "plugins": {"model": _MODELS, "models": _MODELS, "allowedmodels": _STORED},
    "compoundcustom": {"models": _MODELS},
    "datasources": {"parameters": {"embeddingdependency": {"deploymentname": _MODELS, "modelid": _MODELS}}},
    "websearchoptions": {"model": _MODELS},
    "searchparameters": {"model": _MODELS},
    "transcription": {"model": _MODELS},
    "inputaudiotranscription": {"model": _MODELS},
    "session": {"model": _MODELS},
    # What the upstream remembers, with the model that it was begun with or stands for.
    "previousresponseid": _STORED,
    "conversation": _STORED,
    "conversationid": _STORED,
    "prompt": Rule.STORED_OBJECT,
    "preset": _STORED,
    "assistant": _STORED,
    "assistantid": _STORED,
    "agent": _STORED,
    "agentid": _STORED,
    "agentreference": _STORED,
    "thread": _STORED,
    "threadid": _STORED,
    "containerid": _STORED,
    "cachedcontent": _STORED,
}
# A text is a container's id; an object may describe a new one.
_NAMING["container"] = {"": _STORED, "id": _STORED, "containerid": _STORED}
_NAMING["extrabody"] = {**_NAMING, "model": _MODELS}

BODY: Final[Table] = _NAMING
"""Of bodies whose member `model` routes them."""
GEMINI: Final[Table] = {
    **_NAMING,
    "model": _MODELS,
    "generatecontentrequest": {**_NAMING, "model": _MODELS},
    "requests": {**_NAMING, "model": _MODELS},
}
"""Of bodies whose path routes them."""
FIELDS: Final = frozenset(
    {name for name, rule in _NAMING.items() if rule in (_MODELS, _STORED)} | {"model", "container", "extrabody"}
)
"""Fields of forms that are refused, but for `model` spelled so."""
_WORDS: Final = """
    messages input stream stream_options temperature top_p top_k max_tokens max_completion_tokens max_output_tokens stop
    stop_sequences n seed user metadata store tool_choice parallel_tool_calls response_format reasoning reasoning_effort
    instructions include text truncation system thinking presence_penalty frequency_penalty logit_bias logprobs top_logprobs
    service_tier encoding_format dimensions contents generationConfig systemInstruction safetySettings toolConfig content
    taskType title outputDimensionality prompt_cache_key safety_identifier size quality voice speed query documents top_n
    return_documents output_config context_management cache_control
"""
COMMON: Final = frozenset(_WORDS.split())
"""Members of nearly every body, which are in no table."""
COMMON_BESIDE_MODEL: Final = COMMON | {"model"}


@lru_cache(maxsize=4096)
def plain_name(name: str) -> str:
    """Return a member's name as the most lenient reader has it."""
    return name.strip().casefold().replace("_", "").replace("-", "") if len(name) <= _LONGEST_NAME else ""


def is_refused_field(name: str) -> bool:
    """Whether a form's field names a model, or stands for one, and is not the one that routes the form."""
    return name != "model" and plain_name(name.removesuffix("[]")) in FIELDS
