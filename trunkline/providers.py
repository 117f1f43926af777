"""The kinds of upstream that are known by name: which wire format each speaks, where it lives, and what it wants to know.

The law: a table and nothing else, and pure. A provider that is not in it counts as `openai-compatible` and its options are
nobody's business here. How each authenticates, and what becomes of an option on the wire, is the relay's.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct


class Option(Struct, frozen=True):
    """Something that a provider wants to know besides the address and the key."""

    name: str
    pattern: str
    """A regular expression that the whole value must match."""
    sentence: str
    """What a value must be: it follows the option's name in a fault."""
    required: bool = False


class Provider(Struct, frozen=True):
    """One kind of upstream."""

    name: str
    dialect: str
    """The wire format that it speaks."""
    base_url: str = ""
    """Where its API begins; empty when every account has an address of its own."""
    options: tuple[Option, ...] = ()


# Values go into URLs and headers: none may hold what either could not carry.
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_DIGITS: Final = r"[0-9]{1,32}"
FORWARD_HEADERS: Final = "forward_headers"
COMMON_OPTIONS: Final = (
    Option(
        FORWARD_HEADERS,
        r"[A-Za-z0-9_-]+( *, *[A-Za-z0-9_-]+)*",
        "names, separated by commas, what of a client's headers goes up beside those that always do",
    ),
)
"""Options of every provider."""
_API: Final = Option(
    "api",
    r"chat|responses",
    "is the API that conversations go to: chat, or responses for models that know no other; the client's when absent",
)
_WORKFLOW: Final = Option("workflow_id", _DIGITS, "is the number of the workflow to run for models that name none")

VENDORS: Final = (
    "cerebras",
    "dashscope",
    "deepinfra",
    "deepseek",
    "fireworks",
    "groq",
    "hunyuan",
    "llama-cpp",
    "minimax",
    "mistral",
    "moonshot",
    "nvidia",
    "ollama",
    "openrouter",
    "perplexity",
    "qianfan",
    "siliconflow",
    "stepfun",
    "together",
    "vllm",
    "volcengine",
    "xai",
    "zhipu",
)
"""The vendors of APIs compatible with OpenAI's whose ways the relay knows; each is a provider's name, too."""

_DECLARED: Final = (
    Provider(
        "openai",
        "openai-chat",
        "https://api.openai.com/v1",
        (
            Option("organization", _NAME, "is the organization that pays, such as org-…"),
            Option("project", _NAME, "is the project that pays, such as proj_…"),
            _API,
        ),
    ),
    Provider(
        "openai-compatible",
        "openai-chat",
        "",
        (
            Option(
                "vendor",
                "|".join(VENDORS),
                f"is the vendor whose ways it has, which its address may not tell: {', '.join(VENDORS)}",
            ),
        ),
    ),
    Provider(
        "azure-openai",
        "openai-chat",
        "",
        (
            Option(
                "api_version",
                r"[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?|preview|latest",
                "is the API's version, such as 2024-10-21, preview or latest",
                required=True,
            ),
            Option("deployment", _NAME, "is the deployment that serves every model; the upstream's model when absent"),
            _API,
        ),
    ),
    Provider(
        "anthropic",
        "anthropic-messages",
        "https://api.anthropic.com/v1",
        (Option("api_version", r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "is the API's version, such as 2023-06-01"),),
    ),
    Provider("gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta"),
    Provider("cohere", "cohere-chat", "https://api.cohere.com/v2"),
    Provider("jina", "jina", "https://api.jina.ai/v1"),
    Provider(
        "coze",
        "coze-chat",
        "https://api.coze.com",
        (Option("bot_id", _DIGITS, "is the number of the bot that answers; the upstream's model when absent"),),
    ),
    Provider("coze-workflow", "coze-workflow", "https://api.coze.com", (_WORKFLOW,)),
    Provider("coze-workflow-async", "coze-workflow-async", "https://api.coze.com", (_WORKFLOW,)),
)
PROVIDERS: Final[Mapping[str, Provider]] = {provider.name: provider for provider in _DECLARED}
COMPATIBLE: Final = PROVIDERS["openai-compatible"]
"""What a provider that is not in the table counts as."""


def provider_named(name: str) -> Provider:
    """Give a provider by its name; what an unknown one counts as."""
    return PROVIDERS.get(name, COMPATIBLE)


def option_faults(name: str, options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Find what is wrong with a provider's options: each fault with its option's name. An unknown provider may have any."""
    provider = PROVIDERS.get(name)
    if provider is None:
        return
    declared = {option.name: option for option in (*provider.options, *COMMON_OPTIONS)}
    for option in declared.values():
        value = options.get(option.name)
        if value is None and option.required:
            yield option.name, f"must be given for {name}: it {option.sentence}"
        elif value is not None and not re.fullmatch(option.pattern, value):
            yield option.name, f"is not what {name} takes: it {option.sentence}"
    for other in sorted(options.keys() - declared.keys()):
        taken = f"which takes {', '.join(declared)}" if declared else "which takes none"
        yield other, f"is not an option of {name}, {taken}"
