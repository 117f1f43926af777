"""How upstreams that call themselves compatible with OpenAI differ from it: a table.

The law: data. A vendor is known by the channel's provider, by the option `vendor`, or by the host; one that is not in the
table is sent what the client sent. A row renames or leaves out rather too much than too little: to rename a member that would
have been understood loses nothing, to send one that is refused loses the request.

How well each row is known, looked up in November 2026:

    the vendor's own documentation       DashScope's and Moonshot's copies of Anthropic's API; Perplexity's path; Ollama's
                                         members
    a mirror of its documentation        Ollama's speech and transcriptions
    inferred                             Ollama's images
    refusals reported by users           Mistral (`stream_options` and `max_completion_tokens`: 422, extra_forbidden)
    the sources or documentation of      Zhipu (`stream_options` left out, `max_tokens` alone); NVIDIA, DeepInfra, Fireworks,
    other clients and gateways           Moonshot (`max_tokens` alone); Groq (takes `max_completion_tokens`); most prefixes
    nobody here, so softly held          the other rows' names for `max_tokens`, and what they lack
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from relay_svc.operations import Operation


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's ways."""

    name: str
    hosts: tuple[str, ...] = ()
    """Its hosts; their subdomains count too."""
    prefix: str = "/v1"
    """Where its API begins, for base URLs that name only the host."""
    stream_options: bool = True
    """Whether it takes `stream_options`; one that does not tells the tokens unasked."""
    max_completion_tokens: bool = True
    """Whether it knows that name for `max_tokens`."""
    developer_role: bool = False
    """Whether it knows the role `developer`, which is `system` elsewhere."""
    responses: bool = False
    """Whether it serves `/responses`."""
    chat: bool = True
    """Whether it serves `/chat/completions`."""
    messages: str = ""
    """Where it serves Anthropic's `/v1/messages`, from the root of its host; empty when it does not."""
    lacks: frozenset[Operation] = frozenset()
    """Operations that it is known not to serve."""


ORDINARY: Final = Vendor("", prefix="", developer_role=True)
"""One that nothing is known of."""
OPENAI: Final = Vendor(
    "openai",
    ("api.openai.com",),
    developer_role=True,
    responses=True,
    lacks=frozenset({Operation.RERANK}),
)

_SOUND: Final = frozenset({Operation.SPEECH, Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS})
_ONLY_CHAT: Final = _SOUND | {
    Operation.COMPLETIONS,
    Operation.EMBED,
    Operation.IMAGES,
    Operation.MODERATIONS,
    Operation.RERANK,
}
_LOCAL: Final = frozenset({Operation.MODERATIONS, Operation.IMAGES}) | _SOUND

VENDORS: Final = (
    OPENAI,
    Vendor(
        "deepseek",
        ("api.deepseek.com",),
        max_completion_tokens=False,
        messages="/anthropic/v1/messages",
        lacks=_ONLY_CHAT,
    ),
    Vendor(
        "dashscope",
        ("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"),
        "/compatible-mode/v1",
        max_completion_tokens=False,
        messages="/apps/anthropic/v1/messages",
        lacks=_SOUND | {Operation.IMAGES, Operation.MODERATIONS, Operation.RERANK},
    ),
    Vendor(
        "moonshot",
        ("api.moonshot.cn", "api.moonshot.ai"),
        max_completion_tokens=False,
        messages="/anthropic/v1/messages",
        lacks=_ONLY_CHAT,
    ),
    Vendor(
        "zhipu",
        ("open.bigmodel.cn", "api.z.ai"),
        "/api/paas/v4",
        stream_options=False,
        max_completion_tokens=False,
        messages="/api/anthropic/v1/messages",
        lacks=frozenset({Operation.COMPLETIONS}),
    ),
    Vendor("volcengine", ("volces.com", "ark.ap-southeast.bytepluses.com"), "/api/v3", responses=True, lacks=_SOUND),
    Vendor("siliconflow", ("api.siliconflow.cn", "api.siliconflow.com"), max_completion_tokens=False),
    Vendor("minimax", ("api.minimax.io", "api.minimaxi.com", "api.minimax.chat")),
    Vendor("hunyuan", ("api.hunyuan.cloud.tencent.com",), max_completion_tokens=False),
    Vendor("qianfan", ("qianfan.baidubce.com",), "/v2"),
    Vendor("stepfun", ("api.stepfun.com",), max_completion_tokens=False),
    Vendor(
        "mistral",
        ("api.mistral.ai",),
        stream_options=False,
        max_completion_tokens=False,
        lacks=frozenset({Operation.SPEECH, Operation.TRANSLATIONS, Operation.IMAGES, Operation.RERANK}),
    ),
    Vendor("groq", ("api.groq.com",), "/openai/v1", responses=True, lacks=frozenset({Operation.IMAGES})),
    Vendor("together", ("api.together.xyz", "api.together.ai"), max_completion_tokens=False),
    Vendor("fireworks", ("api.fireworks.ai",), "/inference/v1", max_completion_tokens=False, responses=True),
    Vendor("xai", ("api.x.ai",), responses=True, lacks=_SOUND | {Operation.MODERATIONS, Operation.RERANK}),
    Vendor("openrouter", ("openrouter.ai",), "/api/v1", responses=True, messages="/api/v1/messages"),
    Vendor("deepinfra", ("api.deepinfra.com",), "/v1/openai", max_completion_tokens=False),
    Vendor("cerebras", ("api.cerebras.ai",), lacks=_ONLY_CHAT - {Operation.COMPLETIONS}),
    Vendor("nvidia", ("integrate.api.nvidia.com",), max_completion_tokens=False),
    Vendor("perplexity", ("api.perplexity.ai",), "", max_completion_tokens=False, lacks=_ONLY_CHAT),
    Vendor(
        "ollama",
        max_completion_tokens=False,
        lacks=frozenset({Operation.MODERATIONS, Operation.RERANK, Operation.TRANSLATIONS}),
    ),
    Vendor("vllm", responses=True),
    # Its own responses leave the schema out of sight, and their stream lacks the indices that OpenAI's SDK reads.
    Vendor("llama-cpp", lacks=_LOCAL),
)
BY_NAME: Final[Mapping[str, Vendor]] = {vendor.name: vendor for vendor in VENDORS}
_BY_HOST: Final[Mapping[str, Vendor]] = {host: vendor for vendor in VENDORS for host in vendor.hosts}
_BY_PORT: Final[Mapping[int, Vendor]] = {11434: BY_NAME["ollama"]}
_MOST_LABELS: Final = 8  # of a host that are looked at


def recognised(provider: str, base_url: str, options: Mapping[str, str]) -> Vendor:
    """Tell which vendor an upstream is."""
    for name in (provider, options.get("vendor", "")):
        if name in BY_NAME and name != OPENAI.name:
            return BY_NAME[name]
    try:
        address = urlsplit(base_url)
        labels, port = (address.hostname or "").split(".")[-_MOST_LABELS:], address.port
    except ValueError:
        return ORDINARY
    for start in range(len(labels)):
        if (vendor := _BY_HOST.get(".".join(labels[start:]))) is not None:
            return vendor
    return _BY_PORT.get(port, ORDINARY) if port else ORDINARY
