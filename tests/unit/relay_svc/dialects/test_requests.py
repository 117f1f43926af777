"""Requests, from each dialect to each."""

import json
from typing import Any

import pytest

from relay_svc.dialects import (
    CannotCarry,
    Dialect,
    DialectFault,
    Losses,
    Target,
    read_request,
    write_request,
)
from tests.unit.relay_svc.dialects import sdk
from tests.unit.relay_svc.dialects.features import (
    ANTHROPIC,
    CHAT,
    FEATURES,
    GEMINI,
    RESPONSES,
    SCHEMA,
    Feature,
    chat,
    claude,
    gemini,
    item,
    responses,
    says,
    text,
    turn,
)

PAIRS = [
    pytest.param(feature, client, upstream, id=f"{feature.name}: {client.value} to {upstream.value}")
    for feature in FEATURES
    for client, upstream in feature.pairs()
]


def translated(
    client: Dialect, upstream: Dialect, body: dict[str, Any], target: Target | None = None, *, strict: bool = False
) -> tuple[dict[str, Any], Losses]:
    """Translate a request."""
    losses = Losses(strict=strict)
    request = read_request(client, json.dumps(body).encode(), losses, model="m")
    return json.loads(write_request(upstream, request, target or Target("m"), losses)), losses


@pytest.mark.parametrize(("feature", "client", "upstream"), PAIRS)
def test_one_meaning_reads_the_same_in_every_dialect(feature: Feature, client: Dialect, upstream: Dialect) -> None:
    """Translating a request gives exactly what would be written by hand in the other dialect, and loses nothing."""
    written, losses = translated(client, upstream, feature.bodies[client], strict=True)
    assert written == feature.bodies[upstream]
    assert not losses.names
    sdk.check_request(upstream, written)


OWN = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
CLAUDES = {"name": "f", "input_schema": {"type": "object"}}
LOST = [
    (CHAT, ANTHROPIC, chat(logprobs=True, seed=1, n=2), ("n", "seed", "logprobs")),
    (CHAT, ANTHROPIC, chat(temperature=1.5), ("temperature",)),
    (CHAT, ANTHROPIC, chat(response_format={"type": "json_object"}), ("response_format.json_object",)),
    (CHAT, RESPONSES, chat(seed=1, logit_bias={"1": 2}), ("logit_bias", "seed")),
    (CHAT, GEMINI, chat(user="u", store=True, verbosity="low"), ("store", "verbosity", "user")),
    (CHAT, GEMINI, chat(says("user", "Hi", name="Ann")), ("messages.name",)),
    (CHAT, GEMINI, chat(brand_new=1), ("brand_new",)),
    (RESPONSES, CHAT, responses(tools=[{"type": "web_search"}, OWN]), ("tools.web_search",)),
    (RESPONSES, CHAT, responses(truncation="auto", max_tool_calls=3), ("truncation", "max_tool_calls")),
    (ANTHROPIC, CHAT, claude(top_k=5), ("top_k",)),
    (ANTHROPIC, CHAT, claude(thinking={"type": "adaptive"}), ("reasoning",)),
    (ANTHROPIC, RESPONSES, claude(thinking={"type": "adaptive"}), ("reasoning",)),
    (ANTHROPIC, CHAT, claude(system=[text("x", cache_control={"type": "ephemeral"})]), ("cache_control",)),
    (ANTHROPIC, CHAT, claude(tools=[{"type": "bash_20250124", "name": "bash"}, CLAUDES]), ("tools.bash_20250124",)),
    (ANTHROPIC, GEMINI, claude(says("user", "a"), says("system", "b"), says("user", "c")), ("system.position",)),
    (GEMINI, CHAT, gemini(safetySettings=[{"category": "X", "threshold": "Y"}]), ("safetySettings",)),
    (
        GEMINI,
        CHAT,
        gemini(tools=[{"googleSearch": {}, "codeExecution": {"a": 1}, "functionDeclarations": [{"name": "f"}]}]),
        ("tools.googleSearch", "tools.codeExecution"),
    ),
    (GEMINI, CHAT, gemini(config={"candidateCount": 2}), ("n",)),
]


@pytest.mark.parametrize(("client", "upstream", "body", "names"), LOST)
def test_what_is_lost_is_named(
    client: Dialect, upstream: Dialect, body: dict[str, Any], names: tuple[str, ...]
) -> None:
    """What the other dialect has no place for is named, and raises when the caller is strict."""
    written, losses = translated(client, upstream, body)
    assert losses.names == names
    assert losses.header() == ", ".join(names).encode()
    sdk.check_request(upstream, written)
    with pytest.raises(CannotCarry) as caught:
        translated(client, upstream, body, strict=True)
    assert caught.value.name in names


AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
ESSENTIAL = [
    (RESPONSES, CHAT, responses(previous_response_id="resp_1"), "previous_response_id"),
    (RESPONSES, CHAT, responses({"type": "item_reference", "id": "msg_1"}), "input"),
    (
        RESPONSES,
        CHAT,
        responses(item("user", {"type": "input_image", "file_id": "f", "detail": "auto"})),
        "image.file_id",
    ),
    (CHAT, ANTHROPIC, chat(says("user", [AUDIO])), "audio"),
    (CHAT, ANTHROPIC, chat(says("user", [{"type": "file", "file": {"file_id": "f"}}])), "file.file_id"),
    (CHAT, GEMINI, chat(functions=[{"name": "f"}]), "functions"),
    (CHAT, GEMINI, chat(says("system", "x")), "messages"),
    (CHAT, ANTHROPIC, chat(says("system", "x")), "messages"),
    (ANTHROPIC, CHAT, claude(says("user", [{"type": "search_result", "source": "s"}])), "messages.content"),
    (ANTHROPIC, CHAT, claude(container="c"), "container"),
    (ANTHROPIC, CHAT, {"model": "m", "max_tokens": 1, "messages": [], "thread": {"type": "continue"}}, "thread"),
    (CHAT, RESPONSES, chat(stop="x"), "stop"),
    (RESPONSES, CHAT, responses(tools=[{"type": "web_search"}]), "tools.web_search"),
    (GEMINI, CHAT, gemini(tools=[{"googleSearch": {}}]), "tools.googleSearch"),
    (ANTHROPIC, CHAT, claude(tools=[{"type": "bash_20250124", "name": "bash"}]), "tools.bash_20250124"),
    (
        ANTHROPIC,
        CHAT,
        claude(
            tools=[{"type": "web_search_20250305", "name": "web_search"}, CLAUDES],
            tool_choice={"type": "tool", "name": "web_search"},
        ),
        "tool_choice",
    ),
    (RESPONSES, CHAT, responses(tools=[OWN], tool_choice={"type": "web_search"}), "tool_choice"),
    (CHAT, ANTHROPIC, chat(tool_choice="required"), "tool_choice"),
    (GEMINI, CHAT, gemini(config={"responseModalities": ["IMAGE"]}), "generationConfig.responseModalities"),
    (GEMINI, CHAT, gemini(config={"responseMimeType": "text/x.enum"}), "response_mime_type"),
    (GEMINI, CHAT, gemini(cachedContent="cachedContents/1"), "cachedContent"),
    (GEMINI, CHAT, gemini(turn("user", {"fileData": {"fileUri": "gs://b/a.pdf"}})), "file.file_id"),
]


@pytest.mark.parametrize(("client", "upstream", "body", "name"), ESSENTIAL)
def test_what_a_request_cannot_do_without_is_refused(
    client: Dialect, upstream: Dialect, body: dict[str, Any], name: str
) -> None:
    """A request that would mean something else without it is not translated at all."""
    with pytest.raises(CannotCarry) as caught:
        translated(client, upstream, body)
    assert caught.value.name == name


FAULTS = [
    (CHAT, {"messages": [says("user", "x")]}, "model"),
    (CHAT, chat(says("king", "x")), "messages[0].role"),
    (CHAT, chat(says("user", [{"type": "text", "text": 3}])), "messages[0].content[0].text"),
    (
        CHAT,
        chat(says("user", [{"type": "image_url", "image_url": {"url": "data:x"}}])),
        "messages[0].content[0].image_url.url",
    ),
    (CHAT, chat(max_tokens=0), "max_tokens"),
    (CHAT, chat(max_tokens=10**30), "max_tokens"),
    (CHAT, chat(temperature="hot"), "temperature"),
    (CHAT, chat(stream="yes"), "stream"),
    (CHAT, chat(stop=["a", 1]), "stop[1]"),
    (CHAT, chat(tool_choice="perhaps"), "tool_choice"),
    (
        CHAT,
        chat(tools=[{"type": "function", "function": {"name": "f", "parameters": []}}]),
        "tools[0].function.parameters",
    ),
    (CHAT, chat(metadata={"a": 1}), "metadata"),
    (CHAT, {"model": "m", "messages": []}, "messages"),
    (GEMINI, gemini(turn("user", {"functionCall": {"name": "f"}})), "messages[0]"),
    (ANTHROPIC, claude(says("user", [{"type": "thinking", "thinking": "x", "signature": "y"}])), "messages[0]"),
    (CHAT, chat(says("user", [{"type": "refusal", "refusal": "x"}])), "messages[0]"),
    (RESPONSES, responses(item("user", {"type": "video"})), "input[0].content[0].type"),
    (
        ANTHROPIC,
        claude(says("user", [{"type": "image", "source": {"type": "magic"}}])),
        "messages[0].content[0].source.type",
    ),
    (ANTHROPIC, claude(thinking={"type": "enabled", "budget_tokens": -1}), "thinking.budget_tokens"),
    (GEMINI, gemini(turn("queen", {"text": "x"})), "contents[0].role"),
    (GEMINI, gemini(config={"topP": "x"}), "generationConfig.topP"),
    (
        GEMINI,
        gemini(turn("user", {"functionResponse": {"name": "f", "response": {}}})),
        "contents[0].parts[0].functionResponse.name",
    ),
]


@pytest.mark.parametrize(("client", "body", "path"), FAULTS)
def test_a_fault_names_its_member(client: Dialect, body: dict[str, Any], path: str) -> None:
    """What is not of the dialect is refused with the path of the member at fault."""
    with pytest.raises(DialectFault) as caught:
        read_request(client, json.dumps(body).encode(), Losses(), model="m")
    assert caught.value.path == path
    assert path in str(caught.value)


def test_arguments_that_are_no_object_are_a_fault_where_the_upstream_wants_one() -> None:
    """OpenAI takes any text for arguments, Anthropic and Gemini do not."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "[1"}}
    body = chat(
        says("user", "x"),
        says("assistant", None, tool_calls=[call]),
        {"role": "tool", "tool_call_id": "1", "content": ""},
    )
    assert translated(CHAT, RESPONSES, body)[0]["input"][1]["arguments"] == "[1"
    for upstream in (ANTHROPIC, GEMINI):
        with pytest.raises(DialectFault):
            translated(CHAT, upstream, body)


def test_thinking_gives_way_to_a_forced_tool_and_temperature_to_thinking() -> None:
    """What Anthropic refuses together is not sent together, and what gave way is named."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
    written, losses = translated(CHAT, ANTHROPIC, chat(reasoning_effort="high", tools=tools, tool_choice="required"))
    assert "thinking" not in written
    assert losses.names == ("reasoning",)
    written, losses = translated(CHAT, ANTHROPIC, chat(reasoning_effort="high", temperature=0.2))
    assert written["thinking"] == {"type": "adaptive"}
    assert losses.names == ("temperature",)


def test_an_older_anthropic_model_is_given_a_budget_that_it_takes() -> None:
    """The budget is at least 1,024 and less than all tokens; where there is no room, there is no thinking."""
    older = Target("m", adaptive_thinking=False)
    body = {**chat(reasoning_effort="high"), "max_tokens": 5000}
    written, _ = translated(CHAT, ANTHROPIC, body, older)
    assert written["thinking"] == {"type": "enabled", "budget_tokens": 4999}
    _, losses = translated(CHAT, ANTHROPIC, chat(reasoning_effort="high"), older)
    assert losses.names == ("reasoning",)


def test_anthropic_is_always_given_a_bound() -> None:
    """A client that names no bound gets the target's."""
    body = {"model": "m", "messages": [says("user", "x")]}
    assert translated(CHAT, ANTHROPIC, body, Target("m", default_max_tokens=77))[0]["max_tokens"] == 77


def test_a_chat_upstream_is_told_the_bound_under_the_name_it_knows() -> None:
    """OpenAI's own newer models want `max_completion_tokens`, others only know `max_tokens`."""
    newer = Target("m", max_completion_tokens=True)
    assert translated(ANTHROPIC, CHAT, claude(), newer)[0]["max_completion_tokens"] == 100


def test_ids_of_calls_fit_where_they_are_sent() -> None:
    """Anthropic takes fewer characters in ids: call and result are changed alike."""
    call = {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = chat(
        says("user", "x"),
        says("assistant", None, tool_calls=[call]),
        {"role": "tool", "tool_call_id": "functions.f:0", "content": "r"},
    )
    written, _ = translated(CHAT, ANTHROPIC, body)
    assert written["messages"][1]["content"][0]["id"] == "functions_f_0"
    assert written["messages"][2]["content"][0]["tool_use_id"] == "functions_f_0"


def test_what_a_tool_showed_follows_its_text() -> None:
    """Chat and Gemini take text from tools only: an image comes after it, as if the user had shown it."""
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [text("seen"), image], "is_error": True}
    body = claude(
        says("user", "x"),
        says("assistant", [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]),
        says("user", [result]),
    )
    written, losses = translated(ANTHROPIC, CHAT, body)
    assert [message["role"] for message in written["messages"]] == ["user", "assistant", "tool", "user"]
    assert written["messages"][3]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    ]
    assert losses.names == ("tool_result.is_error", "tool_result.media")
    written, losses = translated(ANTHROPIC, GEMINI, body)
    assert written["contents"][2]["parts"][0]["functionResponse"]["response"] == {"error": "seen"}
    assert losses.names == ("tool_result.media",)


def test_geminis_own_spellings_are_read() -> None:
    """Underscores, a single content, a plain instruction, its own schemas, and calls without ids."""
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}, "property_ordering": ["a"]}
    body = {
        "contents": [
            turn("user", {"text": "x"}),
            turn(
                "model", {"functionCall": {"name": "f", "args": {}}}, {"functionCall": {"name": "f", "args": {"a": 1}}}
            ),
            turn(
                "function",
                {"functionResponse": {"name": "f", "response": {"result": "r1"}}},
                {"function_response": {"name": "f", "response": {"result": "r2"}}},
            ),
        ],
        "system_instruction": "Be brief.",
        "generation_config": {
            "max_output_tokens": 5,
            "response_mime_type": "application/json",
            "response_schema": schema,
        },
        "tools": [{"function_declarations": [{"name": "f", "parameters": schema}]}],
    }
    written, losses = translated(GEMINI, CHAT, body)
    assert not losses
    assert [message["role"] for message in written["messages"]] == ["system", "user", "assistant", "tool", "tool"]
    ids = [call["id"] for call in written["messages"][2]["tool_calls"]]
    assert [message["tool_call_id"] for message in written["messages"][3:]] == ids
    assert len(set(ids)) == 2
    found = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
    assert written["tools"][0]["function"]["parameters"] == found
    assert written["response_format"]["json_schema"]["schema"] == found
    assert translated(GEMINI, CHAT, {"contents": turn("user", {"text": "x"})})[0]["messages"] == [says("user", "x")]


def test_googles_alphabet_for_data_becomes_everybodys() -> None:
    """Google's SDK writes base64 as for URLs, which nobody else reads; padding may be missing."""
    for data in ("-_-_AA", "-_-_AA==", "+/+/AA=="):
        body = gemini(turn("user", {"inlineData": {"mimeType": "image/png", "data": data}}))
        written, _ = translated(GEMINI, CHAT, body)
        url = written["messages"][0]["content"][0]["image_url"]["url"]
        assert url == "data:image/png;base64,+/+/AA=="


def test_a_choice_among_some_tools_is_kept_everywhere() -> None:
    """Anthropic has no list of allowed tools, so the others stay at home; Gemini leaves it open with a mode of its own."""
    tools = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": None} for name in ("a", "b", "c")]
    some = [{"type": "function", "name": name} for name in ("a", "b")]
    body = responses(tools=tools, tool_choice={"type": "allowed_tools", "mode": "auto", "tools": some})
    assert translated(RESPONSES, RESPONSES, body, strict=True)[0]["tool_choice"] == body["tool_choice"]
    chosen = translated(RESPONSES, CHAT, body, strict=True)[0]["tool_choice"]["allowed_tools"]
    assert [tool["function"]["name"] for tool in chosen["tools"]] == ["a", "b"]
    written = translated(RESPONSES, ANTHROPIC, body, strict=True)[0]
    assert ([tool["name"] for tool in written["tools"]], written["tool_choice"]) == (["a", "b"], {"type": "auto"})
    config = translated(RESPONSES, GEMINI, body, strict=True)[0]["toolConfig"]["functionCallingConfig"]
    assert config == {"mode": "VALIDATED", "allowedFunctionNames": ["a", "b"]}
