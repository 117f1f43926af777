"""Members of each dialect that no other has a place for: which are lost by name, and which a request cannot do without.

Law: what changes the meaning of a request is refused; only what does not is lost by name. State that a provider keeps (the
rest of the conversation), work that it does itself (tools, compaction, another kind of answer) and promises that it makes
(where) change the meaning. How fast, how dear, how it is cached, counted, stored, labelled or filtered does not.

Members that stand in no table here are newer than it, or a server's own: they are lost under the name the client gave them.
"""

from collections.abc import Mapping
from typing import Any, Final

from relay_svc.dialects.form import Dialect
from relay_svc.dialects.losses import Losses
from relay_svc.dialects.members import Members

HARMLESS: Final[Mapping[Dialect, frozenset[str]]] = {
    Dialect.OPENAI_CHAT: frozenset(
        {"logit_bias", "prediction", "audio", "store", "moderation", "prompt_cache_options", "prompt_cache_retention"}
    ),
    Dialect.OPENAI_RESPONSES: frozenset(
        {"store", "max_tool_calls", "moderation", "prompt_cache_options", "prompt_cache_retention", "image"}
        | {"access_programs", "context_management", "stream_options", "background_options"}
    ),
    Dialect.ANTHROPIC: frozenset(
        {"cache_control", "diagnostics", "speed", "user_profile_id", "workspace_id", "context_management", "betas"}
        | {"billing_policy", "fallbacks", "fallback_credit_token"}
    ),
    Dialect.GEMINI: frozenset(
        {"safetySettings", "labels", "store", "modelArmorConfig", "generationOutputConfig", "automaticContinuation"}
    ),
}
"""Lost by name. `audio` is how speech sounds that `modalities` asks for; what needs `background` is nothing without it."""
REFUSED: Final[Mapping[Dialect, Mapping[str, str]]] = {
    Dialect.OPENAI_CHAT: {
        "functions": "tools as they were called before 2023",
        "function_call": "the same",
        "modalities": "an answer that is not text",
        "web_search_options": "a search of the provider's own",
    },
    Dialect.OPENAI_RESPONSES: {
        "previous_response_id": "what OpenAI would have to remember",
        "conversation": "the same",
        "prompt": "a prompt stored with OpenAI",
        "background": "an answer that is fetched later",
    },
    Dialect.ANTHROPIC: {
        "thread": "what Anthropic would have to remember",
        "container": "a place of Anthropic's for files and code",
        "mcp_servers": "tools that Anthropic would call",
        "compaction": "a summary in place of an answer",
        "inference_geo": "where the request is worked on",
    },
    Dialect.GEMINI: {
        "cachedContent": "what Google would have to remember",
        "continuationToken": "the same",
    },
}
"""Refused, and what each asks for."""
CONFIG_HARMLESS: Final = frozenset(
    {"mediaResolution", "speechConfig", "imageConfig", "enableEnhancedCivicAnswers", "enableAffectiveDialog"}
    | {"audioTranscriptionConfig", "modelConfig", "modelSelectionConfig", "routingConfig", "audioTimestamp"}
)
"""The same of Gemini's `generationConfig`."""
CONFIG_REFUSED: Final[Mapping[str, str]] = {
    "responseModalities": "an answer that is not text",
    "responseFormat": "the form of the answer",
    "translationConfig": "a translation of speech",
}
_SAY_NOTHING: Final[Mapping[str, tuple[Any, ...]]] = {
    "modalities": (["text"],),
    "responseModalities": (["TEXT"], ["text"]),
    "inference_geo": ("global",),
}
"""What asks for no more than every answer is."""


def refuse(top: Members, dialect: Dialect, losses: Losses) -> None:
    """Refuse a request for what it cannot do without. Raises CannotCarry.

    Before anything else is read: what it leaves out, because a provider remembers it, would be the fault that is told.
    """
    _refuse(top, REFUSED[dialect], losses)


def refuse_config(config: Members, losses: Losses) -> None:
    """Do so for Gemini's `generationConfig`. Raises CannotCarry."""
    _refuse(config, CONFIG_REFUSED, losses)


def _refuse(members: Members, table: Mapping[str, str], losses: Losses) -> None:
    for name in table:
        value = members.peek(name)
        if not value:
            continue
        if value not in _SAY_NOTHING.get(name, ()):
            losses.essential(members.path(name))
        members.take(name)
