"""The official SDKs in the four formats that clients speak, each behind one face.

Law: a request is made with the SDK's own helpers (its parsing of structured output, its reading of streams), as its users
make it; what came is told in words that all formats share. Nothing is retried, so that a test sees each answer.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import anthropic
import httpx2
import openai
from google import genai
from google.genai import errors as google_errors
from google.genai import types as google
from pydantic import BaseModel, ConfigDict

from tests.harness.waiting import PATIENCE

PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PARAMETERS: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Town(BaseModel):
    """What structured output is asked for; made by the SDKs into a schema."""

    model_config = ConfigDict(extra="forbid")
    city: Literal["Oslo", "Rome"]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that was called."""

    name: str
    arguments: dict[str, Any]
    id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user wants."""

    words: str
    tools: bool = False
    image: bool = False
    results: tuple[tuple[Call, str], ...] = ()
    """Calls that the model made after these words, and what came of each."""
    schema: bool = False
    stream: bool = False
    most: int = 200
    """Tokens."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the model said, as the SDK read it."""

    text: str
    calls: tuple[Call, ...] = ()
    town: Town | None = None
    """Structured output, as the SDK parsed it."""
    tokens: tuple[int, int] = (0, 0)
    """In and out."""
    pieces: int = 1
    """How many pieces of a stream held text."""


class Client(Protocol):
    """One SDK in one format."""

    async def ask(self, model: str, asked: Asked) -> Said:
        """Ask a model."""
        ...

    def status_of(self, error: BaseException) -> int:
        """Tell the status of an error of this SDK's own kind; 0 of any other."""
        ...


@dataclass(frozen=True, slots=True)
class OpenAiChat:
    """Chat completions."""

    sdk: openai.AsyncOpenAI

    async def ask(self, model: str, asked: Asked) -> Said:
        """Ask a model."""
        request = {"model": model, "max_tokens": asked.most, **self._request(asked)}
        if not asked.stream:
            whole = self.sdk.chat.completions.parse if asked.schema else self.sdk.chat.completions.create
            return self._said(await whole(**request))
        pieces = 0
        async with self.sdk.chat.completions.stream(**request, stream_options={"include_usage": True}) as stream:
            async for event in stream:
                pieces += event.type == "content.delta"
            # Not the final completion: the helper makes an exception of one that was cut at its bound of tokens.
            return self._said(stream.current_completion_snapshot, pieces)

    def _request(self, asked: Asked) -> dict[str, Any]:
        content: Any = asked.words
        if asked.image:
            url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
            content = [{"type": "text", "text": asked.words}, {"type": "image_url", "image_url": {"url": url}}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if asked.results:
            functions = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _json(call)}}
                for call, _ in asked.results
            ]
            messages.append({"role": "assistant", "tool_calls": functions})
            messages += [{"role": "tool", "tool_call_id": call.id, "content": came} for call, came in asked.results]
        function = {"name": "weather", "description": "Tells the weather.", "parameters": PARAMETERS}
        return {
            "messages": messages,
            **({"tools": [{"type": "function", "function": function}]} if asked.tools else {}),
            **({"response_format": Town} if asked.schema else {}),
        }

    @staticmethod
    def _said(completion: Any, pieces: int = 1) -> Said:
        message, usage = completion.choices[0].message, completion.usage
        calls = [
            Call(each.function.name, json.loads(each.function.arguments), each.id) for each in message.tool_calls or ()
        ]
        assert (completion.choices[0].finish_reason == "tool_calls") is bool(calls)
        tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        return Said(message.content or "", tuple(calls), getattr(message, "parsed", None), tokens, pieces)

    def status_of(self, error: BaseException) -> int:
        """Tell the status of an error."""
        return error.status_code if isinstance(error, openai.APIStatusError) else 0


@dataclass(frozen=True, slots=True)
class OpenAiResponses:
    """Responses."""

    sdk: openai.AsyncOpenAI

    async def ask(self, model: str, asked: Asked) -> Said:
        """Ask a model."""
        request = {"model": model, "max_output_tokens": asked.most, "store": False, **self._request(asked)}
        if not asked.stream:
            whole = self.sdk.responses.parse if asked.schema else self.sdk.responses.create
            return self._said(await whole(**request))
        pieces, last = 0, None
        async with self.sdk.responses.stream(**request) as stream:
            async for event in stream:
                pieces += event.type == "response.output_text.delta"
                last = event
        # Not the final response: the helper makes an exception of one that was cut at its bound of tokens.
        assert last is not None
        assert last.type in ("response.completed", "response.incomplete")
        return self._said(last.response, pieces)

    def _request(self, asked: Asked) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "input_text", "text": asked.words}]
        if asked.image:
            url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
            content.append({"type": "input_image", "detail": "auto", "image_url": url})
        items: list[dict[str, Any]] = [{"role": "user", "content": content}]
        for call, _ in asked.results:
            items.append({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": _json(call)})
        items += [{"type": "function_call_output", "call_id": call.id, "output": came} for call, came in asked.results]
        tool = {"name": "weather", "description": "Tells the weather.", "parameters": PARAMETERS, "strict": False}
        return {
            "input": items,
            **({"tools": [{"type": "function", **tool}]} if asked.tools else {}),
            **({"text_format": Town} if asked.schema else {}),
        }

    @staticmethod
    def _said(response: Any, pieces: int = 1) -> Said:
        assert response.status in ("completed", "incomplete")
        calls = [
            Call(item.name, json.loads(item.arguments), item.call_id)
            for item in response.output
            if item.type == "function_call"
        ]
        tokens = (response.usage.input_tokens, response.usage.output_tokens)
        parsed = getattr(response, "output_parsed", None)
        return Said(response.output_text, tuple(calls), parsed, tokens, pieces)

    def status_of(self, error: BaseException) -> int:
        """Tell the status of an error."""
        return error.status_code if isinstance(error, openai.APIStatusError) else 0


@dataclass(frozen=True, slots=True)
class Anthropic:
    """Messages."""

    sdk: anthropic.AsyncAnthropic

    async def ask(self, model: str, asked: Asked) -> Said:
        """Ask a model."""
        request = {"model": model, "max_tokens": asked.most, **self._request(asked)}
        if not asked.stream:
            whole: Any = self.sdk.messages.parse if asked.schema else self.sdk.messages.create
            return self._said(await whole(**request))
        pieces = 0
        async with self.sdk.messages.stream(**request) as stream:
            async for event in stream:
                pieces += event.type == "text"
            return self._said(await stream.get_final_message(), pieces)

    def _request(self, asked: Asked) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": asked.words}]
        if asked.image:
            source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
            content.append({"type": "image", "source": source})
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if asked.results:
            used = [
                {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
                for call, _ in asked.results
            ]
            came = [{"type": "tool_result", "tool_use_id": call.id, "content": came} for call, came in asked.results]
            messages += [{"role": "assistant", "content": used}, {"role": "user", "content": came}]
        tool = {"name": "weather", "description": "Tells the weather.", "input_schema": PARAMETERS}
        return {
            "messages": messages,
            **({"tools": [tool]} if asked.tools else {}),
            **({"output_format": Town} if asked.schema else {}),
        }

    @staticmethod
    def _said(message: Any, pieces: int = 1) -> Said:
        calls = [Call(block.name, block.input, block.id) for block in message.content if block.type == "tool_use"]
        assert (message.stop_reason == "tool_use") is bool(calls)
        text = "".join(block.text for block in message.content if block.type == "text")
        usage = message.usage
        read = usage.input_tokens + (usage.cache_read_input_tokens or 0)
        parsed = getattr(message, "parsed_output", None)
        return Said(text, tuple(calls), parsed, (read, usage.output_tokens), pieces)

    def status_of(self, error: BaseException) -> int:
        """Tell the status of an error."""
        return error.status_code if isinstance(error, anthropic.APIStatusError) else 0


@dataclass(frozen=True, slots=True)
class Google:
    """generateContent."""

    sdk: genai.Client

    async def ask(self, model: str, asked: Asked) -> Said:
        """Ask a model."""
        request: dict[str, Any] = {"model": model, "contents": self._contents(asked), "config": self._config(asked)}
        if not asked.stream:
            return self._said([await self.sdk.aio.models.generate_content(**request)])
        return self._said([piece async for piece in await self.sdk.aio.models.generate_content_stream(**request)])

    @staticmethod
    def _contents(asked: Asked) -> list[google.Content]:
        parts = [google.Part.from_text(text=asked.words)]
        if asked.image:
            parts.append(google.Part.from_bytes(data=PNG, mime_type="image/png"))
        contents = [google.Content(role="user", parts=parts)]
        if asked.results:
            calls = [google.FunctionCall(id=call.id, name=call.name, args=call.arguments) for call, _ in asked.results]
            came = [
                google.FunctionResponse(id=call.id, name=call.name, response={"output": came})
                for call, came in asked.results
            ]
            contents += [
                google.Content(role="model", parts=[google.Part(function_call=call) for call in calls]),
                google.Content(role="user", parts=[google.Part(function_response=each) for each in came]),
            ]
        return contents

    @staticmethod
    def _config(asked: Asked) -> google.GenerateContentConfig:
        declared = google.FunctionDeclaration(
            name="weather", description="Tells the weather.", parameters_json_schema=PARAMETERS
        )
        return google.GenerateContentConfig(
            max_output_tokens=asked.most,
            tools=[google.Tool(function_declarations=[declared])] if asked.tools else None,
            automatic_function_calling=google.AutomaticFunctionCallingConfig(disable=True),
            response_mime_type="application/json" if asked.schema else None,
            response_json_schema=Town.model_json_schema() if asked.schema else None,
        )

    @staticmethod
    def _said(answers: list[google.GenerateContentResponse]) -> Said:
        parts = [part for answer in answers for part in _parts(answer)]
        texts = [part.text for part in parts if part.text and not part.thought]
        calls = [
            Call(part.function_call.name or "", dict(part.function_call.args or {}), part.function_call.id or "")
            for part in parts
            if part.function_call
        ]
        usage = answers[-1].usage_metadata
        assert usage is not None
        tokens = (
            usage.prompt_token_count or 0,
            (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
        )
        text = "".join(texts)
        town = None
        with contextlib.suppress(ValueError):  # google's parsing of a JSON schema gives plain JSON
            town = Town.model_validate_json(text)
        return Said(text, tuple(calls), town, tokens, len(texts))

    def status_of(self, error: BaseException) -> int:
        """Tell the status of an error."""
        return error.code if isinstance(error, google_errors.APIError) else 0


def _parts(answer: google.GenerateContentResponse) -> Iterable[google.Part]:
    for candidate in answer.candidates or ():
        yield from (candidate.content.parts if candidate.content else None) or ()


def _json(call: Call) -> str:
    return json.dumps(call.arguments)


CLIENTS: Final = ("openai-chat", "openai-responses", "anthropic", "google")


@contextlib.asynccontextmanager
async def clients(url: str, api_key: str, heads: list[httpx2.Headers]) -> AsyncIterator[dict[str, Client]]:
    """The SDKs, pointed at a relay; the head of each answer is added to `heads`."""

    async def answered(response: httpx2.Response) -> None:
        heads.append(response.headers)

    watched: dict[str, Any] = {"event_hooks": {"response": [answered]}, "trust_env": False}
    options = google.HttpOptions(base_url=url, timeout=1000 * PATIENCE, async_client_args=watched)
    of_google = genai.Client(api_key=api_key, http_options=options)
    patience: dict[str, Any] = {"max_retries": 0, "timeout": PATIENCE}
    http = httpx2.AsyncClient(timeout=PATIENCE, **watched)
    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=api_key, http_client=http, **patience) as of_openai,
        anthropic.AsyncAnthropic(base_url=url, api_key=api_key, http_client=http, **patience) as of_anthropic,
    ):
        try:
            yield {
                "openai-chat": OpenAiChat(of_openai),
                "openai-responses": OpenAiResponses(of_openai),
                "anthropic": Anthropic(of_anthropic),
                "google": Google(of_google),
            }
        finally:
            await of_google.aio.aclose()
