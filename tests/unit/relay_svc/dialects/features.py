"""One meaning in each dialect's own words: requests, written by hand from the API references.

Each feature is a request in every dialect that has it; translating any of them into any other must give exactly that other.
`skip` names the pairs that are not exact, and why is said beside them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from relay_svc.dialects import Dialect

CHAT, RESPONSES, ANTHROPIC, GEMINI = (
    Dialect.OPENAI_CHAT,
    Dialect.OPENAI_RESPONSES,
    Dialect.ANTHROPIC,
    Dialect.GEMINI,
)
PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQK"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SKIP_SIGNATURE = {"thoughtSignature": "skip_thought_signature_validator"}


@dataclass
class Feature:
    """One meaning."""

    name: str
    bodies: dict[Dialect, dict[str, Any]]
    skip: set[tuple[Dialect, Dialect]] = field(default_factory=set)

    def pairs(self) -> Iterator[tuple[Dialect, Dialect]]:
        """Give all pairs of client and upstream that are exact."""
        return ((a, b) for a in self.bodies for b in self.bodies if (a, b) not in self.skip)


def chat(*messages: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Write a chat completions request."""
    return {"model": "m", "max_tokens": 100, "messages": list(messages) or [says("user", "Hi")], **members}


def says(role: str, content: Any, **members: Any) -> dict[str, Any]:
    """Write a message."""
    return {"role": role, "content": content, **members}


def responses(*items: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Write a responses request."""
    items = items or (item("user", {"type": "input_text", "text": "Hi"}),)
    return {"model": "m", "max_output_tokens": 100, "store": False, "input": list(items), **members}


def item(role: str, *content: dict[str, Any]) -> dict[str, Any]:
    """Write a message item."""
    return {"type": "message", "role": role, "content": list(content)}


def answered(words: str) -> dict[str, Any]:
    """Write an item of what the model said before."""
    return {"type": "message", "role": "assistant", "content": words}


def claude(*messages: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Write a messages request."""
    messages = messages or (says("user", [text("Hi")]),)
    return {"model": "m", "max_tokens": 100, "messages": list(messages), **members}


def text(words: str, **members: Any) -> dict[str, Any]:
    """Write a text block."""
    return {"type": "text", "text": words, **members}


def gemini(*contents: dict[str, Any], config: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """Write a generateContent request."""
    contents = contents or (turn("user", {"text": "Hi"}),)
    return {"contents": list(contents), "generationConfig": {"maxOutputTokens": 100, **(config or {})}, **members}


def turn(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    """Write a turn."""
    return {"role": role, "parts": list(parts)}


def _tools(**members: Any) -> dict[Dialect, dict[str, Any]]:
    function = {"name": "weather", "description": "Tells it.", "parameters": SCHEMA}
    declared = {"name": "weather", "description": "Tells it.", "parametersJsonSchema": SCHEMA}
    choice = members.get
    bodies = {
        CHAT: chat(tools=[{"type": "function", "function": function}]),
        RESPONSES: responses(tools=[{"type": "function", "strict": None, **function}]),
        ANTHROPIC: claude(tools=[{"name": "weather", "description": "Tells it.", "input_schema": SCHEMA}]),
        GEMINI: gemini(tools=[{"functionDeclarations": [declared]}]),
    }
    if choice("openai"):
        bodies[CHAT]["tool_choice"] = choice("openai")
        bodies[RESPONSES]["tool_choice"] = choice("responses", choice("openai"))
        bodies[ANTHROPIC]["tool_choice"] = choice("anthropic")
        bodies[GEMINI]["toolConfig"] = {"functionCallingConfig": choice("gemini")}
    return bodies


def _conversation() -> dict[Dialect, dict[str, Any]]:
    return {
        CHAT: chat(
            says("system", "Be brief."), says("user", "Hi"), says("assistant", "Hello."), says("user", "Who is it?")
        ),
        RESPONSES: responses(
            item("system", {"type": "input_text", "text": "Be brief."}),
            item("user", {"type": "input_text", "text": "Hi"}),
            answered("Hello."),
            item("user", {"type": "input_text", "text": "Who is it?"}),
        ),
        ANTHROPIC: claude(
            says("user", [text("Hi")]),
            says("assistant", [text("Hello.")]),
            says("user", [text("Who is it?")]),
            system=[text("Be brief.")],
        ),
        GEMINI: gemini(
            turn("user", {"text": "Hi"}),
            turn("model", {"text": "Hello."}),
            turn("user", {"text": "Who is it?"}),
            systemInstruction={"parts": [{"text": "Be brief."}]},
        ),
    }


def _image(source: str) -> dict[Dialect, dict[str, Any]]:
    url = f"data:image/png;base64,{PNG}" if source == "data" else "https://example.com/a.png"
    claudes = (
        {"type": "base64", "media_type": "image/png", "data": PNG} if source == "data" else {"type": "url", "url": url}
    )
    geminis = (
        {"inlineData": {"mimeType": "image/png", "data": PNG}}
        if source == "data"
        else {"fileData": {"fileUri": url, "mimeType": "image/png"}}
    )
    return {
        CHAT: chat(says("user", [text("What?"), {"type": "image_url", "image_url": {"url": url}}])),
        RESPONSES: responses(
            item(
                "user",
                {"type": "input_text", "text": "What?"},
                {"type": "input_image", "detail": "auto", "image_url": url},
            )
        ),
        ANTHROPIC: claude(says("user", [text("What?"), {"type": "image", "source": claudes}])),
        GEMINI: gemini(turn("user", {"text": "What?"}, geminis)),
    }


def _pdf() -> dict[Dialect, dict[str, Any]]:
    file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    return {
        CHAT: chat(says("user", [{"type": "file", "file": file}, text("Read it.")])),
        RESPONSES: responses(item("user", {"type": "input_file", **file}, {"type": "input_text", "text": "Read it."})),
        ANTHROPIC: claude(says("user", [{"type": "document", "source": source, "title": "a.pdf"}, text("Read it.")])),
        GEMINI: gemini(
            turn("user", {"inlineData": {"mimeType": "application/pdf", "data": PDF}}, {"text": "Read it."})
        ),
    }


def _calls() -> dict[Dialect, dict[str, Any]]:
    """Two calls at once, answered in the same order, and the user goes on."""
    one, two = '{"city":"Oslo"}', '{"city":"Rome"}'
    return {
        CHAT: chat(
            says("user", "Weather?"),
            says(
                "assistant",
                "Let me see.",
                tool_calls=[
                    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": one}},
                    {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": two}},
                ],
            ),
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            {"role": "tool", "tool_call_id": "call_2", "content": '{"sky":"blue"}'},
            says("user", "And?"),
        ),
        RESPONSES: responses(
            item("user", {"type": "input_text", "text": "Weather?"}),
            answered("Let me see."),
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": one},
            {"type": "function_call", "call_id": "call_2", "name": "weather", "arguments": two},
            {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
            {"type": "function_call_output", "call_id": "call_2", "output": '{"sky":"blue"}'},
            item("user", {"type": "input_text", "text": "And?"}),
        ),
        ANTHROPIC: claude(
            says("user", [text("Weather?")]),
            says(
                "assistant",
                [
                    text("Let me see."),
                    {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Oslo"}},
                    {"type": "tool_use", "id": "call_2", "name": "weather", "input": {"city": "Rome"}},
                ],
            ),
            says(
                "user",
                [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "rain"},
                    {"type": "tool_result", "tool_use_id": "call_2", "content": '{"sky":"blue"}'},
                    text("And?"),
                ],
            ),
        ),
        GEMINI: gemini(
            turn("user", {"text": "Weather?"}),
            turn(
                "model",
                {"text": "Let me see."},
                {"functionCall": {"id": "call_1", "name": "weather", "args": {"city": "Oslo"}}, **SKIP_SIGNATURE},
                {"functionCall": {"id": "call_2", "name": "weather", "args": {"city": "Rome"}}},
            ),
            turn(
                "user",
                {"functionResponse": {"id": "call_1", "name": "weather", "response": {"output": "rain"}}},
                {"functionResponse": {"id": "call_2", "name": "weather", "response": {"sky": "blue"}}},
                {"text": "And?"},
            ),
        ),
    }


def _structured() -> dict[Dialect, dict[str, Any]]:
    return {
        CHAT: chat(
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "response", "schema": SCHEMA, "strict": True},
            }
        ),
        RESPONSES: responses(
            text={"format": {"type": "json_schema", "name": "response", "schema": SCHEMA, "strict": True}}
        ),
        ANTHROPIC: claude(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
        GEMINI: gemini(config={"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}),
    }


def _reasoning() -> dict[Dialect, dict[str, Any]]:
    return {
        CHAT: chat(reasoning_effort="medium"),
        RESPONSES: responses(reasoning={"effort": "medium"}, include=["reasoning.encrypted_content"]),
        ANTHROPIC: claude(thinking={"type": "adaptive"}, output_config={"effort": "medium"}),
        GEMINI: gemini(config={"thinkingConfig": {"thinkingBudget": 8192}}),
    }


_ANY_CHOICE = {"openai": "required", "anthropic": {"type": "any"}, "gemini": {"mode": "ANY"}}
_ONE_CHOICE = {
    "openai": {"type": "function", "function": {"name": "weather"}},
    "responses": {"type": "function", "name": "weather"},
    "anthropic": {"type": "tool", "name": "weather"},
    "gemini": {"mode": "ANY", "allowedFunctionNames": ["weather"]},
}
# Gemini's schema has no `strict`, and its files no names.
_FROM_GEMINI = {(GEMINI, other) for other in (CHAT, RESPONSES, ANTHROPIC)}

FEATURES = [
    Feature("a conversation", _conversation()),
    Feature("an image by data", _image("data")),
    Feature("an image by address", _image("url")),
    Feature("a file", _pdf(), skip=_FROM_GEMINI),
    Feature("parallel calls and their results", _calls()),
    Feature("tools", _tools()),
    Feature("tools, as it likes", _tools(openai="auto", anthropic={"type": "auto"}, gemini={"mode": "AUTO"})),
    Feature("tools, one must be called", _tools(**_ANY_CHOICE)),
    Feature("tools, none called", _tools(openai="none", anthropic={"type": "none"}, gemini={"mode": "NONE"})),
    Feature("tools, this one", _tools(**_ONE_CHOICE)),
    Feature("structured output", _structured(), skip=_FROM_GEMINI - {(GEMINI, ANTHROPIC)}),
    Feature("reasoning", _reasoning()),
    Feature(
        "no reasoning",
        {
            CHAT: chat(reasoning_effort="none"),
            RESPONSES: responses(reasoning={"effort": "none"}),
            ANTHROPIC: claude(thinking={"type": "disabled"}),
            GEMINI: gemini(config={"thinkingConfig": {"thinkingBudget": 0}}),
        },
    ),
    Feature(
        "any JSON",
        {
            CHAT: chat(response_format={"type": "json_object"}),
            RESPONSES: responses(text={"format": {"type": "json_object"}}),
            GEMINI: gemini(config={"responseMimeType": "application/json"}),
        },
    ),
    Feature(
        "temperature and top_p",
        {
            CHAT: chat(temperature=0.5, top_p=0.9),
            RESPONSES: responses(temperature=0.5, top_p=0.9),
            ANTHROPIC: claude(temperature=0.5, top_p=0.9),
            GEMINI: gemini(config={"temperature": 0.5, "topP": 0.9}),
        },
    ),
    Feature(
        "stop sequences",
        {
            CHAT: chat(stop=["END"]),
            ANTHROPIC: claude(stop_sequences=["END"]),
            GEMINI: gemini(config={"stopSequences": ["END"]}),
        },
    ),
    Feature(
        "seed and penalties",
        {
            CHAT: chat(seed=7, presence_penalty=0.5, frequency_penalty=-0.5),
            GEMINI: gemini(config={"seed": 7, "presencePenalty": 0.5, "frequencyPenalty": -0.5}),
        },
    ),
    Feature("top_k", {ANTHROPIC: claude(top_k=5), GEMINI: gemini(config={"topK": 5})}),
    Feature(
        "logprobs",
        {
            CHAT: chat(logprobs=True, top_logprobs=3),
            RESPONSES: responses(include=["message.output_text.logprobs"], top_logprobs=3),
            GEMINI: gemini(config={"responseLogprobs": True, "logprobs": 3}),
        },
    ),
    Feature(
        "one call at a time",
        {
            CHAT: {**_tools()[CHAT], "parallel_tool_calls": False},
            RESPONSES: {**_tools()[RESPONSES], "parallel_tool_calls": False},
            ANTHROPIC: {**_tools()[ANTHROPIC], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        },
        skip={(ANTHROPIC, CHAT), (ANTHROPIC, RESPONSES)},
    ),  # Anthropic says it only along with a choice
    Feature(
        "the user",
        {
            CHAT: chat(user="u-1"),
            RESPONSES: responses(user="u-1"),
            ANTHROPIC: claude(metadata={"user_id": "u-1"}),
        },
    ),
    Feature(
        "what OpenAI's two formats share",
        {
            CHAT: chat(
                metadata={"a": "b"}, safety_identifier="s", prompt_cache_key="k", service_tier="flex", verbosity="low"
            ),
            RESPONSES: responses(
                metadata={"a": "b"},
                safety_identifier="s",
                prompt_cache_key="k",
                service_tier="flex",
                text={"verbosity": "low"},
            ),
        },
    ),
    Feature(
        "a stream",
        {
            CHAT: chat(stream=True, stream_options={"include_usage": True}),
            RESPONSES: responses(stream=True),
            ANTHROPIC: claude(stream=True),
        },
    ),
    Feature(
        "marks for the cache",
        {
            ANTHROPIC: claude(
                says("user", [text("Hi", cache_control={"type": "ephemeral", "ttl": "1h"})]),
                system=[text("Be brief.", cache_control={"type": "ephemeral"})],
            )
        },
    ),
    Feature(
        "reasoning with its proof",
        {
            RESPONSES: responses(
                item("user", {"type": "input_text", "text": "Hi"}),
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "Hm."}],
                    "encrypted_content": "gAAA",
                },
                answered("Hello."),
            ),
            ANTHROPIC: claude(
                says("user", [text("Hi")]),
                says(
                    "assistant",
                    [
                        {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
                        {"type": "redacted_thinking", "data": "EmwK"},
                        text("Hello."),
                    ],
                ),
            ),
            GEMINI: gemini(
                turn("user", {"text": "Hi"}),
                turn(
                    "model",
                    {"text": "Hm.", "thought": True, "thoughtSignature": "CtAB"},
                    {"functionCall": {"id": "c1", "name": "f", "args": {}}, "thoughtSignature": "CtAC"},
                ),
            ),
        },
        skip={(a, b) for a in Dialect for b in Dialect if a is not b},  # only the provider that made it can read it
    ),
]
