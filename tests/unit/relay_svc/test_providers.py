"""How each kind of upstream is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.operations import GENERATIONS, Format, Operation
from relay_svc.providers import Adapter, Answer, Asked, Call, NotOffered, Target, Unusable, how_to_ask
from relay_svc.providers.coze.calls import history, missing_for_run
from relay_svc.providers.vendors import VENDORS, recognised
from trunkline.providers import VENDORS as OFFERED
from trunkline.providers import option_faults
from trunkline.secret import Secret

CHAT = Asked(Operation.CHAT, Format.OPENAI_CHAT)
MESSAGES = Asked(Operation.MESSAGES, Format.ANTHROPIC, stream=True)
RESPONSES = Asked(Operation.RESPONSES, Format.OPENAI_RESPONSES)
GENERATE = Asked(Operation.GENERATE, Format.GEMINI)
EMBED = Asked(Operation.EMBED, Format.OPENAI)
RERANK = Asked(Operation.RERANK, Format.RERANK)
SPEECH = Asked(Operation.SPEECH, Format.OPENAI)
KEY = Secret("sk-very-secret")


def ask(provider: str, base_url: str, asked: Asked = CHAT, model: str = "m", **options: str) -> Answer:
    """Ask an upstream with a key."""
    return how_to_ask(Target(provider, base_url, model, KEY, options), asked)


def call(provider: str, base_url: str, asked: Asked = CHAT, model: str = "m", **options: str) -> Call:
    """Ask one that can be asked."""
    answer = ask(provider, base_url, asked, model, **options)
    assert isinstance(answer, Call)
    return answer


@pytest.mark.parametrize(
    ("provider", "base_url", "asked", "url"),
    [
        ("openai", "https://api.openai.com/v1", CHAT, "https://api.openai.com/v1/chat/completions"),
        ("openai", "https://api.openai.com", RESPONSES, "https://api.openai.com/v1/responses"),
        ("openai", "https://proxy.example/x/v1/", EMBED, "https://proxy.example/x/v1/embeddings"),
        ("openai-compatible", "http://10.0.0.1:8000", CHAT, "http://10.0.0.1:8000/chat/completions"),
        ("openai-compatible", "http://10.0.0.1:8000/v1", MESSAGES, "http://10.0.0.1:8000/v1/chat/completions"),
        ("nobody-knows", "http://10.0.0.1/v1", SPEECH, "http://10.0.0.1/v1/audio/speech"),
        ("vllm", "http://10.0.0.1/v1", RESPONSES, "http://10.0.0.1/v1/responses"),
        ("openai-compatible", "https://api.deepseek.com/v1", RESPONSES, "https://api.deepseek.com/v1/chat/completions"),
        (
            "openai-compatible",
            "https://open.bigmodel.cn",
            CHAT,
            "https://open.bigmodel.cn/api/paas/v4/chat/completions",
        ),
        ("deepseek", "https://api.deepseek.com", MESSAGES, "https://api.deepseek.com/anthropic/v1/messages"),
        (
            "openai-compatible",
            "https://dashscope-intl.aliyuncs.com",
            CHAT,
            "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions",
        ),
        (
            "openai-compatible",
            "https://ark.cn-beijing.volces.com/api/v3",
            RESPONSES,
            "https://ark.cn-beijing.volces.com/api/v3/responses",
        ),
        ("anthropic", "https://api.anthropic.com", CHAT, "https://api.anthropic.com/v1/messages"),
        ("anthropic", "https://api.anthropic.com/v1", MESSAGES, "https://api.anthropic.com/v1/messages"),
        (
            "anthropic",
            "https://proxy.example/a/",
            Asked(Operation.COUNT_TOKENS, Format.ANTHROPIC),
            "https://proxy.example/a/v1/messages/count_tokens",
        ),
        ("gemini", "https://g.example/v1beta", GENERATE, "https://g.example/v1beta/models/m:generateContent"),
        ("gemini", "https://g.example", MESSAGES, "https://g.example/v1beta/models/m:streamGenerateContent?alt=sse"),
        ("gemini", "https://g.example/v1beta/openai/", CHAT, "https://g.example/v1beta/models/m:generateContent"),
        (
            "gemini",
            "https://g.example/v1",
            Asked(Operation.STREAM_GENERATE, Format.GEMINI, stream=True, events=False),
            "https://g.example/v1/models/m:streamGenerateContent",
        ),
        (
            "gemini",
            "https://g.example",
            Asked(Operation.BATCH_EMBED, Format.GEMINI),
            "https://g.example/v1beta/models/m:batchEmbedContents",
        ),
        ("cohere", "https://api.cohere.com/v2", RERANK, "https://api.cohere.com/v2/rerank"),
        ("cohere", "https://api.cohere.com", CHAT, "https://api.cohere.com/compatibility/v1/chat/completions"),
        ("jina", "https://api.jina.ai/v1", RERANK, "https://api.jina.ai/v1/rerank"),
        ("jina", "https://api.jina.ai", EMBED, "https://api.jina.ai/v1/embeddings"),
        ("coze", "https://api.coze.cn", CHAT, "https://api.coze.cn/v3/chat"),
        ("coze", "", GENERATE, "https://api.coze.com/v3/chat"),
        ("coze-workflow", "https://api.coze.cn/v1", CHAT, "https://api.coze.cn/v1/workflow/run"),
        (
            "coze-workflow",
            "https://api.coze.cn",
            Asked(Operation.CHAT, Format.OPENAI_CHAT, stream=True),
            "https://api.coze.cn/v1/workflow/stream_run",
        ),
        ("coze-workflow-async", "https://api.coze.cn", CHAT, "https://api.coze.cn/v1/workflow/run"),
    ],
)
def test_every_operation_has_its_url(provider: str, base_url: str, asked: Asked, url: str) -> None:
    """Whether the base URL ends in the version or not."""
    assert call(provider, base_url, asked).url == url


@pytest.mark.parametrize(
    ("version", "asked", "url"),
    [
        ("2024-10-21", CHAT, "/openai/deployments/m/chat/completions?api-version=2024-10-21"),
        ("2024-10-21", RESPONSES, "/openai/deployments/m/chat/completions?api-version=2024-10-21"),
        ("2025-04-01-preview", RESPONSES, "/openai/responses?api-version=2025-04-01-preview"),
        ("2024-10-21", EMBED, "/openai/deployments/m/embeddings?api-version=2024-10-21"),
        ("preview", CHAT, "/openai/v1/chat/completions?api-version=preview"),
        ("latest", RESPONSES, "/openai/v1/responses"),
    ],
)
@pytest.mark.parametrize("ending", ["", "/", "/openai", "/openai/v1"])
def test_azure_has_deployments_in_its_path_or_openais_own_api(
    version: str, asked: Asked, url: str, ending: str
) -> None:
    """By `api_version`, however the base URL was written."""
    made = call("azure-openai", "https://r.openai.azure.com" + ending, asked, api_version=version)
    assert made.url == "https://r.openai.azure.com" + url
    assert made.credentials == ((b"api-key", b"sk-very-secret"),)


def test_a_channel_may_say_by_which_api_conversations_are_asked_for() -> None:
    """Some models know responses alone; an API that the upstream does not have is not asked."""
    for provider, options in (("openai", {}), ("azure-openai", {"api_version": "latest"})):
        for asked in (CHAT, MESSAGES, GENERATE, RESPONSES):
            by_responses = call(provider, "https://x.example", asked, api="responses", **options)
            assert by_responses.url.endswith("/v1/responses")
            assert by_responses.format is Format.OPENAI_RESPONSES
            assert call(provider, "https://x.example", asked, api="chat", **options).format is Format.OPENAI_CHAT
        assert call(provider, "https://x.example", EMBED, api="responses", **options).url.endswith("/embeddings")
    old = call("azure-openai", "https://x.example", MESSAGES, api="responses", api_version="2024-06-01")
    assert old.format is Format.OPENAI_CHAT


def test_azure_knows_newer_members_only_in_newer_versions() -> None:
    """`stream_options` came with the preview of September 2024."""
    for version, knows in [("2024-06-01", False), ("2024-09-01-preview", True), ("2024-10-21", True), ("latest", True)]:
        made = call("azure-openai", "https://r", api_version=version)
        assert (made.vendor.stream_options, made.vendor.max_completion_tokens) == (knows, knows)
    assert isinstance(ask("azure-openai", "https://r"), Unusable)
    assert call("azure-openai", "https://r", api_version="latest", deployment="d").model == "d"


def test_an_upstream_is_asked_in_its_own_format() -> None:
    """What differs from the client's is translated; what does not goes as it is."""
    for provider, expected in [
        ("openai", Format.OPENAI_CHAT),
        ("openai-compatible", Format.OPENAI_CHAT),
        ("anthropic", Format.ANTHROPIC),
        ("gemini", Format.GEMINI),
        ("cohere", Format.OPENAI_CHAT),
        ("coze", Format.OPENAI_CHAT),
    ]:
        assert call(provider, "https://u.example").format is expected
    assert call("openai", "https://u.example", RESPONSES).format is Format.OPENAI_RESPONSES
    assert call("openai-compatible", "https://openrouter.ai/api/v1", MESSAGES).format is Format.ANTHROPIC


@pytest.mark.parametrize("provider", ["openai", "openai-compatible", "anthropic", "gemini", "cohere", "coze"])
@pytest.mark.parametrize(
    ("operation", "written"),
    [
        (Operation.CHAT, Format.OPENAI_CHAT),
        (Operation.RESPONSES, Format.OPENAI_RESPONSES),
        (Operation.MESSAGES, Format.ANTHROPIC),
        (Operation.GENERATE, Format.GEMINI),
        (Operation.STREAM_GENERATE, Format.GEMINI),
    ],
)
def test_every_conversation_can_be_served_by_every_provider_of_conversations(
    provider: str, operation: Operation, written: Format
) -> None:
    """Any format to any."""
    made = call(provider, "https://u.example", Asked(operation, written, stream=True))
    assert made.operation in GENERATIONS
    assert made.events


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        ("anthropic", EMBED),
        ("anthropic", RERANK),
        ("anthropic", Asked(Operation.BATCH_EMBED, Format.GEMINI)),
        ("gemini", SPEECH),
        ("openai", RERANK),
        ("openai", Asked(Operation.COUNT_TOKENS, Format.ANTHROPIC)),
        ("openai", Asked(Operation.COUNT_TOKENS, Format.GEMINI)),
        ("deepseek", Asked(Operation.EMBED, Format.GEMINI)),
        ("deepseek", EMBED),
        ("jina", CHAT),
        ("cohere", SPEECH),
        ("coze", EMBED),
        ("coze-workflow", MESSAGES),
        ("coze-workflow-async", GENERATE),
    ],
)
def test_what_an_upstream_does_not_offer_is_said_by_name(provider: str, asked: Asked) -> None:
    """So that the walk passes it over instead of learning it from a 404."""
    answer = ask(provider, "https://u.example", asked)
    assert answer == NotOffered(provider, asked.operation)
    assert isinstance(answer, NotOffered)
    assert answer.sentence.startswith(provider)


def test_each_provider_is_paid_in_its_own_header_and_no_key_shows() -> None:
    """Bearer, x-api-key, api-key, x-goog-api-key."""
    for provider, name in [
        ("openai", b"authorization"),
        ("anthropic", b"x-api-key"),
        ("gemini", b"x-goog-api-key"),
        ("jina", b"authorization"),
        ("coze", b"authorization"),
    ]:
        asked = RERANK if provider == "jina" else CHAT
        made = call(provider, "https://u.example", asked)
        assert [header for header, _ in made.credentials] == [name]
        assert "very-secret" not in repr(made) + made.url
        bare = how_to_ask(Target(provider, "https://u.example", "m"), asked)
        assert isinstance(bare, Call)
        assert bare.credentials == ()
    made = call("openai", "https://u.example", organization="org-1", project="proj_1")
    assert made.credentials[1:] == ((b"openai-organization", b"org-1"), (b"openai-project", b"proj_1"))
    made = call("anthropic", "https://u.example", api_version="2024-01-01")
    assert made.defaults == ((b"anthropic-version", b"2024-01-01"),)


@pytest.mark.parametrize("model", ["..", ".", "", "models/..", "a/b/../c"])
def test_a_models_name_cannot_walk_through_a_url(model: str) -> None:
    """It comes from clients, where a channel declares wildcards."""
    assert isinstance(ask("gemini", "https://g.example", model=model), Unusable)
    azure = ask("azure-openai", "https://r", model=model, api_version="2024-10-21")
    assert isinstance(azure, Unusable) or "%2F" in azure.url  # type: ignore[union-attr]


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(list(Operation)), st.sampled_from(list(Format)))
def test_nothing_that_a_client_or_an_operator_writes_makes_it_raise(
    base: str, model: str, operation: Operation, written: Format
) -> None:
    """And a model is one segment of the URL."""
    for provider in (
        "openai",
        "azure-openai",
        "anthropic",
        "gemini",
        "cohere",
        "jina",
        "coze",
        "coze-workflow",
        "deepseek",
        "x",
    ):
        answer = ask(provider, "http://" + base, Asked(operation, written), model, api_version="2024-10-21")
        assert isinstance(answer, Call | NotOffered | Unusable)
    answer = ask("gemini", "https://g", GENERATE, model)
    if isinstance(answer, Call):
        assert answer.url.isascii()
        assert answer.url.count("/") == 5


def test_vendors_are_known_by_name_option_host_and_port() -> None:
    """In that order; a stranger is sent what the client sent."""
    assert recognised("groq", "https://x", {}).name == "groq"
    assert recognised("x", "https://x", {"vendor": "mistral"}).name == "mistral"
    assert recognised("x", "https://ark.cn-beijing.volces.com/api/v3", {}).name == "volcengine"
    assert recognised("x", "http://127.0.0.1:11434/v1", {}).name == "ollama"
    assert recognised("x", "https://api.openai.com.evil.example", {}).name == ""
    assert recognised("x", "http://[broken", {}).name == ""
    stranger = recognised("x", "https://x", {})
    assert (stranger.stream_options, stranger.max_completion_tokens, stranger.developer_role) == (True, True, True)
    assert len({vendor.name for vendor in VENDORS}) == len(VENDORS)


def test_coze_stands_behind_adapters() -> None:
    """It speaks no format of ours."""
    adapters = {name: call(name, "https://c").adapter for name in ("coze", "coze-workflow", "coze-workflow-async")}
    assert list(adapters.values()) == [Adapter.COZE_CHAT, Adapter.COZE_WORKFLOW, Adapter.COZE_WORKFLOW_ASYNC]
    made = history(Target("coze-workflow-async", "https://api.coze.cn", "m", KEY), "75", "9")
    assert made is not None
    assert (made.method, made.url) == ("GET", "https://api.coze.cn/v1/workflows/75/run_histories/9")
    assert history(Target("coze-workflow-async", "https://api.coze.cn", "m"), "..", "9") is None


def test_a_run_that_lacks_anything_names_all_of_it() -> None:
    """Afterwards nobody waits for it."""
    assert missing_for_run(Target("coze-workflow-async", "", "m"), "") == ("workflow_id", "base_url", "key")
    assert missing_for_run(Target("coze-workflow-async", "https://api.coze.cn", "m", KEY), "75") == ()
    assert missing_for_run(Target("coze-workflow-async", "https://api.coze.cn", "m", Secret("")), "x") == (
        "workflow_id",
        "key",
    )


def test_every_vendor_can_be_named_by_a_channels_option() -> None:
    """The catalog's list and the relay's table are the same; OpenAI itself is a provider."""
    named = {vendor.name for vendor in VENDORS} - {"openai"}
    assert set(OFFERED) == named
    assert not list(option_faults("openai-compatible", {"vendor": "mistral"}))
    assert [name for name, _ in option_faults("openai-compatible", {"vendor": "mistral-ai"})] == ["vendor"]
    made = how_to_ask(Target("openai-compatible", "https://gateway.example/v1", "m", None, {"vendor": "zhipu"}), CHAT)
    assert isinstance(made, Call)
    assert made.vendor.name == "zhipu"
