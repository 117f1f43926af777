"""What the official SDKs make of the relay's refusals: how often they repeat a request, and which id they show for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import anthropic
import openai
import pytest
from google import genai
from google.genai import types as google

from tests.harness.waiting import PATIENCE
from tests.integration.relay_svc.conftest import Bench
from tests.integration.relay_svc.routers import API_KEY, candidate
from tests.integration.relay_svc.test_embeddings_and_counts import behind
from tests.integration.relay_svc.upstreams import answers
from trunkline.errors import Reason
from trunkline.v1 import router_pb2 as pb

RETRIES = 2
MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]
Ask = Callable[[Bench, str], Awaitable[Any]]


def refusal(reason: Reason) -> pb.Refusal:
    """Make a router's refusal of a reason."""
    return pb.Refusal(reason=cast("Any", f"ERROR_REASON_{reason}"), message="no")


def anthropics(bench: Bench, api_key: str = API_KEY) -> anthropic.AsyncAnthropic:
    """Make Anthropic's SDK, which repeats what it thinks can be mended so."""
    return anthropic.AsyncAnthropic(base_url=bench.relay.url, api_key=api_key, max_retries=RETRIES, timeout=PATIENCE)


async def by_anthropic(bench: Bench, api_key: str) -> Any:
    """Ask as Anthropic's clients do."""
    async with anthropics(bench, api_key) as client:
        return await client.messages.create(model="m", max_tokens=5, messages=MESSAGES)


async def by_chat(bench: Bench, api_key: str) -> Any:
    """Ask as OpenAI's clients do."""
    async with bench.relay.openai(api_key).with_options(max_retries=RETRIES) as client:
        return await client.chat.completions.create(model="m", messages=MESSAGES)


async def by_responses(bench: Bench, api_key: str) -> Any:
    """Ask as Codex does."""
    async with bench.relay.openai(api_key).with_options(max_retries=RETRIES) as client:
        return await client.responses.create(model="m", input="hi")


ASKS: dict[str, Ask] = {"anthropic": by_anthropic, "chat": by_chat, "responses": by_responses}
FLAT = {
    Reason.API_KEY_DISABLED: 401,
    Reason.API_KEY_EXPIRED: 401,
    Reason.MODEL_NOT_ALLOWED: 403,
    Reason.ADDRESS_NOT_ALLOWED: 403,
    Reason.MODEL_NOT_IN_GROUP: 404,
    Reason.NO_CHANNEL: 503,
}
AGAIN = {Reason.UNVERIFIED: 503, Reason.NOT_READY: 503}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("reason", [*FLAT, *AGAIN])
async def test_sdks_repeat_what_can_be_mended_so_and_nothing_else(bench: Bench, ask: Ask, reason: Reason) -> None:
    """One request for a flat no; as many as the SDK was told for what cannot be proven now."""
    bench.router.refuses["m"] = refusal(reason)
    before = len(bench.router.picks)
    with pytest.raises((anthropic.APIStatusError, openai.APIStatusError)) as caught:
        await ask(bench, API_KEY)
    assert cast("Any", caught.value).status_code == (FLAT | AGAIN)[reason]
    assert len(bench.router.picks) - before == (1 if reason in FLAT else 1 + RETRIES)


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
async def test_a_wrong_key_is_tried_once(bench: Bench, ask: Ask) -> None:
    """The SDKs are told so, whatever they make of a 401 otherwise."""
    before = len(bench.router.picks)
    with pytest.raises((anthropic.AuthenticationError, openai.AuthenticationError)) as caught:
        await ask(bench, "sk-wrong")
    assert cast("Any", caught.value).response.headers["x-should-retry"] == "false"
    assert len(bench.router.picks) - before == 1


async def test_googles_clients_are_told_too(bench: Bench) -> None:
    """Their SDK repeats only when asked to; the header is there for those who write their own."""
    bench.router.refuses["m"] = refusal(Reason.NO_CHANNEL)
    client = genai.Client(
        api_key=API_KEY, http_options=google.HttpOptions(base_url=bench.relay.url, timeout=1000 * PATIENCE)
    )
    with pytest.raises(genai.errors.ServerError) as caught:
        await client.aio.models.generate_content(model="m", contents="hi")
    await client.aio.aclose()
    assert caught.value.code == 503
    async with bench.relay.http() as http:
        answer = await http.post("/v1beta/models/m:generateContent", json={"contents": []})
    assert answer.headers["x-should-retry"] == "false"


MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"ho"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}'
)


async def test_anthropics_clients_find_the_request_id_where_they_look(bench: Bench) -> None:
    """Of answers, of errors and of lists; an upstream's own id is not mistaken for it."""
    upstream = await bench.upstream(answers(200, MESSAGE, request_id="req_upstreams"))
    bench.router.plans["m"] = [candidate(1, upstream.base_url, provider="anthropic")]
    async with anthropics(bench) as client:
        answer = await client.messages.with_raw_response.create(model="m", max_tokens=5, messages=MESSAGES)
        assert answer.headers.get_list("request-id") == [answer.headers["x-request-id"]]
        assert (await answer.parse())._request_id == answer.headers["x-request-id"]
        with pytest.raises(anthropic.NotFoundError) as caught:
            await client.messages.create(model="nobody", max_tokens=5, messages=MESSAGES)
        assert caught.value.request_id == caught.value.response.headers["x-request-id"]
        assert caught.value.request_id == caught.value.body["request_id"]  # type: ignore[index]  # Anthropic's envelope
        listed = await client.models.with_raw_response.list()
        assert listed.headers["request-id"] == listed.headers["x-request-id"]
    async with bench.relay.http() as http:
        assert "request-id" not in (await http.get("/v1/models")).headers


async def test_a_count_by_another_familys_rules_is_marked_as_an_estimate(bench: Bench) -> None:
    """Its own is none."""
    await behind(bench, "gemini", b'{"totalTokens": 7}')
    async with anthropics(bench) as client:
        counted = await client.messages.with_raw_response.count_tokens(model="m", messages=MESSAGES)
        assert counted.headers["x-trunkline-estimated"] == "input_tokens"
        await behind(bench, "anthropic", b'{"input_tokens": 7}')
        counted = await client.messages.with_raw_response.count_tokens(model="m", messages=MESSAGES)
        assert "x-trunkline-estimated" not in counted.headers
    async with bench.relay.http() as http:
        contents = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        answer = await http.post("/v1beta/models/m:countTokens", json=contents)
    assert answer.headers["x-trunkline-estimated"] == "totalTokens"


async def test_anthropics_tool_runner_goes_on_without_a_thread_that_nobody_keeps(bench: Bench) -> None:
    """Its first request has a thread, is told in the SDK's own word that there is none, and comes again without."""
    [upstream] = await bench.plan(answers(200))
    thread = {"thread": {"type": "create"}}
    async with anthropics(bench) as client:
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.messages.create(model="m", max_tokens=5, messages=MESSAGES, extra_body=thread)
        assert type(caught.value).__name__ == "ThreadUnsupportedRequestError"
        assert not upstream.calls

        @anthropic.beta_async_tool
        async def weather(city: str) -> str:
            """Tell the weather of a city."""
            return f"rain in {city}"

        runner = client.beta.messages.tool_runner(model="m", max_tokens=5, messages=MESSAGES, tools=[weather])
        said = await runner.until_done()
    assert said.content[0].type == "text"
    assert len(upstream.calls) == 1
    assert b"thread" not in upstream.calls[0].body
