"""OpenAI, and whatever calls itself compatible with it.

The law: pure. The base URL is where the API begins, so paths are put behind it as they are; one that names only a vendor's
host gets that vendor's prefix. What the vendor does not serve itself is translated to its chat, if it is a conversation.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from relay_svc.operations import CONVERSATIONS, Format, Operation
from relay_svc.providers.call import (
    Adapter,
    Answer,
    Asked,
    Call,
    Headers,
    NotOffered,
    Target,
    Unusable,
    asks_for_generation,
    bearer,
    has_path,
    named,
)
from relay_svc.providers.vendors import OPENAI, Vendor, recognised

PATHS: Final[Mapping[Operation, str]] = {
    Operation.CHAT: "/chat/completions",
    Operation.COMPLETIONS: "/completions",
    Operation.RESPONSES: "/responses",
    Operation.EMBED: "/embeddings",
    Operation.IMAGES: "/images/generations",
    Operation.SPEECH: "/audio/speech",
    Operation.TRANSCRIPTIONS: "/audio/transcriptions",
    Operation.TRANSLATIONS: "/audio/translations",
    Operation.MODERATIONS: "/moderations",
    Operation.RERANK: "/rerank",
}
_FORMATS: Final[Mapping[Operation, Format]] = {
    Operation.CHAT: Format.OPENAI_CHAT,
    Operation.RESPONSES: Format.OPENAI_RESPONSES,
    Operation.RERANK: Format.RERANK,
}
_EMBEDDINGS: Final = frozenset({Operation.EMBED, Operation.BATCH_EMBED})
_PAYERS: Final = (("organization", b"openai-organization"), ("project", b"openai-project"))
ANTHROPIC_VERSION: Final = b"2023-06-01"


def openai(target: Target, asked: Asked) -> Answer:
    """Ask OpenAI."""
    payers = tuple((name, target.options[option].encode()) for option, name in _PAYERS if target.options.get(option))
    return call(target, asked, by_api(OPENAI, target.options), bearer(target.key) + payers)


def compatible(target: Target, asked: Asked) -> Answer:
    """Ask an upstream that is compatible with OpenAI."""
    vendor = recognised(target.provider, target.base_url, target.options)
    if asked.operation is Operation.MESSAGES and vendor.messages:
        return _as_anthropic(target, asked, vendor)
    return call(target, asked, vendor, bearer(target.key))


def call(target: Target, asked: Asked, vendor: Vendor, credentials: Headers) -> Answer:
    """Ask at the paths that OpenAI's API has."""
    embeds = asked.format is Format.GEMINI and asked.operation in _EMBEDDINGS
    operation = served(replace(asked, operation=Operation.EMBED, format=Format.OPENAI) if embeds else asked, vendor)
    if operation is None:
        return NotOffered(target.provider, asked.operation)
    base = target.base_url.rstrip("/")
    if vendor.prefix and not has_path(base):
        base += vendor.prefix
    return Call(
        base + PATHS[operation],
        operation,
        asked.format if embeds else _FORMATS.get(operation, Format.OPENAI),
        credentials,
        model=target.model,
        events=asked.stream,
        vendor=vendor,
        adapter=Adapter.OPENAI_EMBEDDINGS if embeds else Adapter.NONE,
        errors=Format.OPENAI if embeds else None,
    )


def by_api(vendor: Vendor, options: Mapping[str, str]) -> Vendor:
    """Give a vendor that is asked for conversations in the one way that a channel wants, if it wants one."""
    match options.get("api"):
        case "chat":
            return replace(vendor, responses=False)
        case "responses" if vendor.responses:
            return replace(vendor, chat=False)
    return vendor


def served(asked: Asked, vendor: Vendor) -> Operation | None:
    """Tell which of a vendor's operations does what is asked; None when none does."""
    if asks_for_generation(asked):
        native = vendor.responses and (asked.operation is Operation.RESPONSES or not vendor.chat)
        return Operation.RESPONSES if native else Operation.CHAT
    # What is written in a conversation's format and is no conversation (counting tokens, Gemini's embeddings) stays there.
    if asked.operation in vendor.lacks or asked.operation not in PATHS or asked.format in CONVERSATIONS:
        return None
    return asked.operation


def _as_anthropic(target: Target, asked: Asked, vendor: Vendor) -> Answer:
    """Ask at the vendor's own copy of Anthropic's API: nothing has to be translated."""
    try:
        address = urlsplit(target.base_url)
    except ValueError:
        return Unusable(target.provider, "the base URL is none")
    return Call(
        urlunsplit((address.scheme, address.netloc, vendor.messages, "", "")),
        Operation.MESSAGES,
        Format.ANTHROPIC,
        bearer(target.key) + named(b"x-api-key", target.key),
        ((b"anthropic-version", ANTHROPIC_VERSION),),
        target.model,
        events=asked.stream,
        vendor=vendor,
    )
