"""An upstream that reads and answers as the providers' API references say: OpenAI, Anthropic, Gemini, Coze.

Law: a request is read strictly, by the provider's own types and by its own members, and what was read is kept for the test to
compare. A request that cannot be read so is answered with what was wrong. The answer follows from the words that were said.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from relay_svc.dialects import Dialect
from tests.integration.relay_svc.upstreams import LAST_CHUNK, SSE_HEAD, Call, response
from tests.matrix.answers import (
    COZE_ERRORS,
    ERRORS,
    coze_run,
    coze_run_stream,
    coze_stream,
    streamed,
    whole,
)
from tests.unit.relay_svc.dialects.samples import ANSWERS, STREAMS
from tests.unit.relay_svc.dialects.sdk import check_request

HELLO: Final = "Say hello."
WEATHER: Final = "What is the weather in Oslo and in Rome?"
PICTURE: Final = "What is in the picture?"
TOWN: Final = "Name a town."
LIMITED: Final = "Be limited."
WRONG: Final = "Be wrong."
CAME: Final = "Rain here, sun there."
"""What is answered to the results of calls."""
TEXTS: Final = {
    HELLO: "Hello, ☂ and all.",
    PICTURE: "One dot.",
    TOWN: '{"city": "Oslo"}',
    WEATHER: "I cannot know.",
}
"""What is answered to what, in words alone."""


@dataclass(slots=True)
class Seen:
    """What a request said."""

    dialect: Dialect | None
    model: str
    words: str = ""
    images: list[tuple[str, bytes]] = field(default_factory=list)
    """Media type and data."""
    tools: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Name and schema of the arguments."""
    results: list[tuple[str, str]] = field(default_factory=list)
    """The city that a call was for, and what came of it."""
    schema: dict[str, Any] | None = None
    stream: bool = False


@dataclass
class Golden:
    """One such upstream's memory; `script` is what it does."""

    seen: list[Seen] = field(default_factory=list)

    async def script(self, call: Call) -> None:
        """Read one request and answer it."""
        try:
            seen = read(call)
        except Exception as fault:  # noqa: BLE001 - told to the test through the SDK, which shows the answer's body
            await call.send(response(500, json.dumps({"error": {"message": f"not readable: {fault!r}"}}).encode()))
            return
        self.seen.append(seen)
        await answer(call, seen)


async def answer(call: Call, seen: Seen) -> None:
    """Answer what was read."""
    if seen.dialect is None:
        await _coze(call, seen)
        return
    for words, status in ((LIMITED, 429), (WRONG, 400)):
        if seen.words == words:
            await call.send(response(status, json.dumps(ERRORS[seen.dialect][status]).encode()))
            return
    calls = seen.words == WEATHER and not seen.results
    text = CAME if seen.results else TEXTS[seen.words]
    if not seen.stream:
        body = ANSWERS[seen.dialect] if calls else whole(seen.dialect, text)
        await call.send(response(200, json.dumps(body).encode()))
        return
    await call.send(SSE_HEAD)
    await call.chunk(STREAMS[seen.dialect] if calls else streamed(seen.dialect, text))
    await call.send(LAST_CHUNK)


async def _coze(call: Call, seen: Seen) -> None:
    for words, status in ((LIMITED, 429), (WRONG, 400)):
        if seen.words == words:
            await call.send(response(200, json.dumps(COZE_ERRORS[status]).encode()))
            return
    path = call.line.split(" ")[1]
    if path == "/v1/workflow/run":
        run = json.loads(call.body)
        await call.send(response(200, json.dumps(coze_run(TEXTS[seen.words], goes_on="is_async" in run)).encode()))
        return
    await call.send(SSE_HEAD)
    await call.chunk((coze_stream if path == "/v3/chat" else coze_run_stream)(TEXTS[seen.words]))
    await call.send(LAST_CHUNK)


# ---------------------------------------------------------------- reading


def read(call: Call) -> Seen:
    """Read a request by its path."""
    path = call.line.split(" ")[1]
    body: dict[str, Any] = json.loads(call.body)
    for end, dialect, reader in _READERS:
        if end in path:
            seen = reader(body)
            check_request(dialect, {name: value for name, value in body.items() if name != "stream"})
            return seen
    if path == "/v3/chat":
        return _read_coze(body)
    if path.startswith("/v1/workflow/"):
        return Seen(None, body["workflow_id"], body["parameters"]["input"], stream="stream" in path)
    assert ":generateContent" in path or path.endswith(":streamGenerateContent?alt=sse"), path
    check_request(Dialect.GEMINI, body)
    seen = _read_gemini(_camel(body))
    seen.model = path.partition("/models/")[2].partition(":")[0]
    seen.stream = ":stream" in path
    return seen


def _data_url(url: str) -> tuple[str, bytes]:
    head, _, data = url.partition(";base64,")
    return head.removeprefix("data:"), base64.b64decode(data, validate=True)


def _texts(content: Any, kind: str) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == kind)


def _read_chat(body: dict[str, Any]) -> Seen:
    user = next(message for message in body["messages"] if message["role"] == "user")
    seen = Seen(Dialect.OPENAI_CHAT, body["model"], _texts(user["content"], "text"), stream=body.get("stream") is True)
    for part in user["content"] if isinstance(user["content"], list) else ():
        if part["type"] == "image_url":
            seen.images.append(_data_url(part["image_url"]["url"]))
    seen.tools = [(tool["function"]["name"], tool["function"]["parameters"]) for tool in body.get("tools", ())]
    called = {
        call["id"]: json.loads(call["function"]["arguments"])["city"]
        for message in body["messages"]
        for call in message.get("tool_calls") or ()
    }
    for message in body["messages"]:
        if message["role"] == "tool":
            seen.results.append((called[message["tool_call_id"]], _texts(message["content"], "text")))
    if "response_format" in body:
        assert body["response_format"]["type"] == "json_schema"
        seen.schema = body["response_format"]["json_schema"]["schema"]
    return seen


def _read_responses(body: dict[str, Any]) -> Seen:
    items = [{"role": "user", "content": body["input"]}] if isinstance(body["input"], str) else body["input"]
    user = next(item for item in items if item.get("role") == "user")
    seen = Seen(Dialect.OPENAI_RESPONSES, body["model"], _texts(user["content"], "input_text"))
    seen.stream = body.get("stream") is True
    for part in user["content"] if isinstance(user["content"], list) else ():
        if part["type"] == "input_image":
            seen.images.append(_data_url(part["image_url"]))
    for tool in body.get("tools", ()):
        assert tool["type"] == "function"
        seen.tools.append((tool["name"], tool["parameters"]))
    called: dict[str, str] = {}
    for item in items:
        if item.get("type") == "function_call":
            called[item["call_id"]] = json.loads(item["arguments"])["city"]
        if item.get("type") == "function_call_output":
            seen.results.append((called[item["call_id"]], _texts(item["output"], "input_text")))
    if "format" in (wanted := body.get("text") or {}):
        assert wanted["format"]["type"] == "json_schema"
        seen.schema = wanted["format"]["schema"]
    return seen


def _read_anthropic(body: dict[str, Any]) -> Seen:
    assert body["max_tokens"] > 0
    first = body["messages"][0]
    assert first["role"] == "user"
    seen = Seen(Dialect.ANTHROPIC, body["model"], _texts(first["content"], "text"), stream=body.get("stream") is True)
    seen.tools = [(tool["name"], tool["input_schema"]) for tool in body.get("tools", ())]
    called: dict[str, str] = {}
    for block in _blocks(body["messages"]):
        match block["type"]:
            case "image":
                source = block["source"]
                assert source["type"] == "base64"
                seen.images.append((source["media_type"], base64.b64decode(source["data"], validate=True)))
            case "tool_use":
                called[block["id"]] = block["input"]["city"]
            case "tool_result":
                seen.results.append((called[block["tool_use_id"]], _texts(block["content"], "text")))
    wanted = (body.get("output_config") or {}).get("format")
    if wanted is not None:
        assert wanted["type"] == "json_schema"
        seen.schema = wanted["schema"]
    return seen


def _blocks(messages: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for message in messages:
        if isinstance(message["content"], list):
            yield from message["content"]


def _read_gemini(body: dict[str, Any]) -> Seen:
    assert body["contents"][0]["role"] == "user"
    parts = [part for content in body["contents"] for part in content["parts"]]
    seen = Seen(Dialect.GEMINI, "", "".join(part.get("text", "") for part in body["contents"][0]["parts"]))
    for tool in body.get("tools", ()):
        for declared in tool["functionDeclarations"]:
            seen.tools.append((declared["name"], declared.get("parametersJsonSchema") or declared["parameters"]))
    called: list[tuple[str, str]] = []  # answered in their order, or by their ids
    for part in parts:
        if "inlineData" in part:
            data = part["inlineData"]
            seen.images.append(
                (data["mimeType"], base64.urlsafe_b64decode(data["data"].replace("+", "-").replace("/", "_")))
            )
        if "functionCall" in part:
            called.append((part["functionCall"].get("id", ""), part["functionCall"]["args"]["city"]))
        if "functionResponse" in part:
            came = part["functionResponse"]
            place = next((at for at, (id_, _) in enumerate(called) if id_ == came.get("id", "")), 0)
            seen.results.append((called.pop(place)[1], came["response"]["output"]))
    config = body.get("generationConfig") or {}
    seen.schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if seen.schema is not None:
        assert config["responseMimeType"] == "application/json"
    return seen


def _camel(value: Any) -> Any:
    # Protocol buffers' JSON knows members by both spellings, and bytes in both alphabets; Google's SDK uses all of them.
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub("_([a-z])", lambda found: found[1].upper(), name): each if name in _AS_THEY_ARE else _camel(each)
        for name, each in value.items()
    }


_AS_THEY_ARE: Final = ("parametersJsonSchema", "parameters_json_schema", "responseJsonSchema", "args", "response")


def _read_coze(body: dict[str, Any]) -> Seen:
    assert body["stream"] is True
    assert body["user_id"]
    (message,) = body["additional_messages"]
    assert (message["role"], message["type"], message["content_type"]) == ("user", "question", "text")
    return Seen(None, body["bot_id"], message["content"], stream=True)


_READERS: Final[tuple[tuple[str, Dialect, Callable[[dict[str, Any]], Seen]], ...]] = (
    ("/chat/completions", Dialect.OPENAI_CHAT, _read_chat),
    ("/responses", Dialect.OPENAI_RESPONSES, _read_responses),
    ("/messages", Dialect.ANTHROPIC, _read_anthropic),
)
