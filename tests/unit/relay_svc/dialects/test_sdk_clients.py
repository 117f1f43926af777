"""The providers' own clients, talking to an upstream of another dialect through a translation, without a network."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as google_errors
from google.genai import types as google

from relay_svc.dialects import (
    Answer,
    Dialect,
    Failure,
    Kind,
    Losses,
    StreamReader,
    Target,
    Translation,
    read_answer,
    read_request,
    stream_writer,
    write_answer,
    write_error,
    write_request,
)
from relay_svc.endpoints import Route, match
from relay_svc.inbound import DIALECTS, Inbound
from tests.unit.relay_svc.dialects import sdk
from tests.unit.relay_svc.dialects.samples import ANSWERS, ANTHROPIC, CHAT, GEMINI, RESPONSES, STAMP, STREAMS

TEXT = "Let me see. ☂"
TOOL: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}


class Gateway:
    """Stands where the relay will: reads what the client sent, answers what an upstream of another dialect would."""

    def __init__(self, upstream: Dialect, *, cut: int | None = None, failure: Failure | None = None) -> None:
        """Answer from the samples; `cut` breaks the stream after so many bytes, `failure` answers with an error."""
        self.upstream, self.cut, self.failure = upstream, cut, failure
        self.sent: dict[str, Any] = {}
        self.http = httpx2.Client(transport=httpx2.MockTransport(self.serve))

    def serve(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        path = request.url.path
        route = match(request.method, request.url.raw_path.partition(b"?")[0])
        assert isinstance(route, Route)
        facts = Inbound(route, request.content, path, request.url.query, b"application/json")
        client = DIALECTS[facts.written]
        losses = Losses()
        asked = read_request(client, request.content, losses, model=facts.model, stream=facts.stream)
        assert asked.stream is facts.stream
        self.sent = json.loads(write_request(self.upstream, asked, Target("upstream-model"), losses))
        sdk.check_request(self.upstream, self.sent)
        if self.failure is not None:
            status, body = write_error(client, self.failure, "req_1")
            return httpx2.Response(status, content=body, headers={"content-type": "application/json"})
        if not facts.stream:
            answer = read_answer(self.upstream, json.dumps(ANSWERS[self.upstream]).encode(), losses)
            assert isinstance(answer, Answer)
            body = write_answer(client, answer, STAMP, losses)
            return httpx2.Response(200, content=body, headers={"content-type": "application/json"})
        writer = stream_writer(client, STAMP, losses, include_usage=asked.include_usage, array=facts.array)
        way = Translation(StreamReader(self.upstream, losses), writer)
        body = way.feed(STREAMS[self.upstream][: self.cut]) + way.end(clean=self.cut is None)
        return httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})


def chat_client(gateway: Gateway) -> openai.OpenAI:
    """Give OpenAI's client."""
    return openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=gateway.http, max_retries=0)


def claude_client(gateway: Gateway) -> anthropic.Anthropic:
    """Give Anthropic's client."""
    return anthropic.Anthropic(api_key="k", base_url="http://x", http_client=gateway.http, max_retries=0)


def gemini_client(gateway: Gateway) -> genai.Client:
    """Give Google's client."""
    options = google.HttpOptions(base_url="http://x", httpx_client=gateway.http)
    return genai.Client(api_key="k", http_options=options)


def others(client: Dialect) -> list[Dialect]:
    """Give the dialects of upstreams for which a client needs a translation."""
    return [dialect for dialect in Dialect if dialect is not client]


@pytest.mark.parametrize("upstream", others(CHAT))
def test_openais_client_chats_with_any_upstream(upstream: Dialect) -> None:
    """Streamed and not; its helpers put calls and tokens together."""
    gateway = Gateway(upstream)
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}]
    messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}]
    completions = chat_client(gateway).chat.completions
    whole = completions.create(model="m", messages=messages, tools=tools)
    with completions.stream(
        model="m", messages=messages, tools=tools, stream_options={"include_usage": True}
    ) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_completion()
    for completion in (whole, streamed):
        message = completion.choices[0].message
        assert message.content == TEXT
        assert [call.id for call in message.tool_calls or ()] == ["c1", "c2"]
        assert completion.choices[0].finish_reason == "tool_calls"
        assert completion.usage is not None
        assert completion.usage.total_tokens == 50


@pytest.mark.parametrize("upstream", others(RESPONSES))
def test_openais_client_has_responses_of_any_upstream(upstream: Dialect) -> None:
    """Streamed and not."""
    gateway = Gateway(upstream)
    tools: Any = [{"type": "function", "name": "weather", "parameters": TOOL, "strict": False}]
    client = chat_client(gateway).responses
    whole = client.create(model="m", input="Weather?", instructions="Be brief.", tools=tools)
    with client.stream(model="m", input="Weather?", tools=tools) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_response()
    for response in (whole, streamed):
        assert response.output_text == TEXT
        assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "function_call"]
        assert response.usage is not None
        assert response.usage.total_tokens == 50


@pytest.mark.parametrize("upstream", others(ANTHROPIC))
def test_anthropics_client_talks_with_any_upstream(upstream: Dialect) -> None:
    """Streamed and not."""
    gateway = Gateway(upstream)
    asked: Any = {
        "model": "m",
        "max_tokens": 100,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [{"name": "weather", "input_schema": TOOL}],
    }
    client = claude_client(gateway).messages
    whole = client.create(**asked)
    with client.stream(**asked) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
        calls = [block.input for block in message.content if isinstance(block, anthropic.types.ToolUseBlock)]
        assert calls == [{"city": "Oslo"}, {"city": "Rome"}]
        assert message.stop_reason == "tool_use"
        assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (20, 10)


@pytest.mark.parametrize("upstream", others(GEMINI))
def test_googles_client_talks_with_any_upstream(upstream: Dialect) -> None:
    """Streamed and not."""
    gateway = Gateway(upstream)
    declared = google.FunctionDeclaration(name="weather", parameters_json_schema=TOOL)
    config = google.GenerateContentConfig(
        system_instruction="Be brief.",
        max_output_tokens=100,
        tools=[google.Tool(function_declarations=[declared])],
        automatic_function_calling=google.AutomaticFunctionCallingConfig(disable=True),
    )
    models = gemini_client(gateway).models
    whole = models.generate_content(model="m", contents="Weather?", config=config)
    chunks = list(models.generate_content_stream(model="m", contents="Weather?", config=config))
    for answers in ([whole], chunks):
        parts = [part for answer in answers for part in said(answer)]
        assert "".join(part.text or "" for part in parts if not part.thought) == TEXT
        assert [part.function_call.args for part in parts if part.function_call] == [{"city": "Oslo"}, {"city": "Rome"}]
        assert answers[-1].usage_metadata is not None
        assert answers[-1].usage_metadata.total_token_count == 50


def said(answer: google.GenerateContentResponse) -> Iterator[google.Part]:
    """Give the parts of an answer."""
    for candidate in answer.candidates or ():
        if candidate.content is not None:
            yield from candidate.content.parts or ()


def test_a_stream_that_breaks_is_an_exception_in_every_client() -> None:
    """Nobody takes half an answer for a whole one."""
    broken = Gateway(ANTHROPIC, cut=2000)
    with pytest.raises(openai.APIError, match="broke off"):
        list(
            chat_client(broken).chat.completions.create(
                model="m", messages=[{"role": "user", "content": "x"}], stream=True
            )
        )
    with pytest.raises(openai.APIError, match="broke off"):
        list(chat_client(broken).responses.create(model="m", input="x", stream=True))
    broken = Gateway(CHAT, cut=900)
    with (
        pytest.raises(anthropic.APIError, match="broke off"),
        claude_client(broken).messages.stream(
            model="m", max_tokens=5, messages=[{"role": "user", "content": "x"}]
        ) as stream,
    ):
        stream.get_final_message()
    with pytest.raises(google_errors.APIError, match="broke off"):
        list(gemini_client(broken).models.generate_content_stream(model="m", contents="x"))


def test_an_error_is_the_right_exception_in_every_client() -> None:
    """By its status and its envelope."""
    gateway = Gateway(CHAT, failure=Failure(Kind.RATE_LIMIT, "slow down"))
    with pytest.raises(anthropic.RateLimitError, match="slow down"):
        claude_client(gateway).messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "x"}])
    with pytest.raises(google_errors.ClientError, match="slow down") as caught:
        gemini_client(gateway).models.generate_content(model="m", contents="x")
    assert caught.value.code == 429
    gateway = Gateway(ANTHROPIC, failure=Failure(Kind.NOT_FOUND, "no such model", code="model_not_found"))
    with pytest.raises(openai.NotFoundError, match="no such model") as missing:
        chat_client(gateway).chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert missing.value.code == "model_not_found"
