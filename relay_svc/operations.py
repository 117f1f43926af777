"""The words for what is asked of a model and how it is written: operations and formats.

The law: words only. `endpoints` says which of them a client's request is, `providers` which of them an upstream knows.
"""

from enum import StrEnum
from typing import Final


class Operation(StrEnum):
    """What is asked."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    GENERATE = "generate"
    STREAM_GENERATE = "stream_generate"
    EMBED = "embed"
    BATCH_EMBED = "batch_embed"
    """Several embeddings in one request, which only Gemini tells from one."""
    IMAGES = "images"
    SPEECH = "speech"
    TRANSCRIPTIONS = "transcriptions"
    TRANSLATIONS = "translations"
    MODERATIONS = "moderations"
    RERANK = "rerank"
    MODELS = "models"
    RUN = "run"
    """The state of a workflow's run that was started earlier."""


class Format(StrEnum):
    """How a body is written. Between the first four there is a translation; the others go as they are, or not at all."""

    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    ANTHROPIC = "anthropic-messages"
    GEMINI = "gemini"
    OPENAI = "openai"
    """OpenAI's other operations, each with a shape of its own."""
    RERANK = "rerank"
    """The form of rerank requests that Jina, Cohere's first version, vLLM and others share."""


CONVERSATIONS: Final = frozenset({Format.OPENAI_CHAT, Format.OPENAI_RESPONSES, Format.ANTHROPIC, Format.GEMINI})
"""Formats of which any can be translated into any."""
GENERATIONS: Final = frozenset(
    {Operation.CHAT, Operation.RESPONSES, Operation.MESSAGES, Operation.GENERATE, Operation.STREAM_GENERATE}
)
"""Operations that ask for an answer to a conversation, and are one operation in several formats."""
