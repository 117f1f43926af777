"""What becomes of every member of every dialect's requests: carried, lost by name, or refused."""

import json
from typing import Any, Final

import pytest
from anthropic.types import beta as anthropic
from google.genai import types as google
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params as responses_params

from relay_svc.dialects import CannotCarry, Dialect, Losses, read_request
from relay_svc.dialects.dropped import CONFIG_HARMLESS, CONFIG_REFUSED, HARMLESS, REFUSED
from tests.unit.relay_svc.dialects.features import ANTHROPIC, CHAT, GEMINI, RESPONSES, chat, claude, gemini, responses

CARRIED: Final[dict[Dialect, str]] = {
    CHAT: """
        frequency_penalty logprobs max_completion_tokens max_tokens messages metadata model n parallel_tool_calls
        presence_penalty prompt_cache_key reasoning_effort response_format safety_identifier seed service_tier stop
        stream_options temperature tool_choice tools top_logprobs top_p user verbosity
    """,
    RESPONSES: """
        include input instructions max_output_tokens metadata model parallel_tool_calls prompt_cache_key reasoning
        safety_identifier service_tier temperature text tool_choice tools top_logprobs top_p truncation user
    """,
    ANTHROPIC: """
        max_tokens messages metadata model output_config service_tier stop_sequences system thinking tool_choice tools
    """,
    GEMINI: """
        cachedContent candidateCount frequencyPenalty logprobs maxOutputTokens presencePenalty responseJsonSchema
        responseLogprobs responseMimeType responseSchema seed serviceTier stopSequences systemInstruction temperature
        thinkingConfig toolConfig tools topK topP
    """,
}
"""Members that are read, whatever each upstream's format makes of them."""
OF_THE_SDK: Final = {"automaticFunctionCalling", "httpOptions", "shouldReturnHttpResponse"}
"""What Google's SDK keeps to itself."""
BODIES: Final[dict[Dialect, Any]] = {CHAT: chat, RESPONSES: responses, ANTHROPIC: claude, GEMINI: gemini}


def camel(name: str) -> str:
    """Spell a name as Google's JSON does."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


MEMBERS: Final[dict[Dialect, set[str]]] = {
    CHAT: set(chat_params.CompletionCreateParamsBase.__annotations__),
    RESPONSES: set(responses_params.ResponseCreateParamsBase.__annotations__),
    ANTHROPIC: set(anthropic.message_create_params.MessageCreateParamsBase.__annotations__),
    GEMINI: {
        camel(name) for shape in (google.GenerateContentConfig, google.GenerationConfig) for name in shape.model_fields
    },
}
"""Every member that the official SDKs send."""


@pytest.mark.parametrize("dialect", Dialect)
def test_every_member_that_an_sdk_sends_is_carried_or_stands_in_a_table(dialect: Dialect) -> None:
    """A member that an SDK learns must be judged before the SDK's new version is in force here."""
    harmless, refused = set(HARMLESS[dialect]), set(REFUSED[dialect])
    if dialect is GEMINI:
        harmless, refused = harmless | CONFIG_HARMLESS, refused | CONFIG_REFUSED.keys()
    assert not harmless & refused
    assert not (harmless | refused) & (set(CARRIED[dialect].split()) - {"cachedContent"})
    assert MEMBERS[dialect] - OF_THE_SDK - set(CARRIED[dialect].split()) <= harmless | refused


def read(dialect: Dialect, body: dict[str, Any], *, strict: bool = False) -> Losses:
    """Read a request."""
    losses = Losses(strict=strict)
    read_request(dialect, json.dumps(body).encode(), losses, model="m")
    return losses


@pytest.mark.parametrize(
    ("dialect", "name"), [(dialect, name) for dialect in Dialect for name in sorted(HARMLESS[dialect])]
)
def test_what_does_not_change_the_meaning_is_lost_by_name(dialect: Dialect, name: str) -> None:
    """A strict caller gets an error instead."""
    body = BODIES[dialect](**{name: {"a": 1}})
    assert read(dialect, body).names == (name,)
    with pytest.raises(CannotCarry):
        read(dialect, body, strict=True)


@pytest.mark.parametrize(("dialect", "name"), [(dialect, name) for dialect in Dialect for name in REFUSED[dialect]])
def test_what_changes_the_meaning_is_refused_by_name(dialect: Dialect, name: str) -> None:
    """Before anything else of the request is found at fault; null and empty ask for nothing."""
    for body in (BODIES[dialect](**{name: {"a": 1}}), {name: "x"}):
        with pytest.raises(CannotCarry) as caught:
            read(dialect, body)
        assert caught.value.name == name
    empty: tuple[Any, ...] = (None, "", [], False)
    for nothing in empty:
        assert not read(dialect, BODIES[dialect](**{name: nothing})).names


@pytest.mark.parametrize("name", [*sorted(CONFIG_HARMLESS), *CONFIG_REFUSED])
def test_geminis_config_is_judged_alike(name: str) -> None:
    """Under the names it has there."""
    body = gemini(config={name: {"a": 1}})
    if name in CONFIG_HARMLESS:
        assert read(GEMINI, body).names == (f"generation_config.{name}",)
    else:
        with pytest.raises(CannotCarry) as caught:
            read(GEMINI, body)
        assert caught.value.name == f"generationConfig.{name}"


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (CHAT, chat(modalities=["text"])),
        (ANTHROPIC, claude(inference_geo="global")),
        (GEMINI, gemini(config={"responseModalities": ["TEXT"]})),
    ],
)
def test_what_asks_for_no_more_than_every_answer_is_is_no_loss(dialect: Dialect, body: dict[str, Any]) -> None:
    """SDKs and frameworks send it all the time."""
    assert not read(dialect, body, strict=True).names
