"""Bots and workflows of Coze's behind OpenAI's and every other format, through a running relay.

Law: what Coze says with status 200 is judged by its code; a run that goes on by itself is started whole or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest

from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.conftest import Bench, open_bench
from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.test_shaped import REQUESTS
from tests.integration.relay_svc.test_streaming import read_all
from tests.integration.relay_svc.upstreams import LAST_CHUNK, SSE_HEAD, Call, Script, Upstream, answers
from tests.unit.relay_svc.test_coze import ANSWER, STREAM
from tests.unit.relay_svc.test_coze import event as told
from trunkline.v1 import router_pb2 as pb

USER: list[Any] = [{"role": "user", "content": "Which day?"}]
RUN = "7398"
RUN_STREAM = (
    told("Message", content="star", node_title="one", node_is_finish=False)
    + told("Message", content="ted", node_title="one", node_is_finish=True, usage={"input_count": 3, "output_count": 2})
    + told("Done", debug_url="https://www.coze.com/secret")
)
STARTED = b'{"code":0,"msg":"","execute_id":"exec-1","debug_url":"https://www.coze.com/secret"}'


@pytest.fixture(scope="module")
async def shared_bench() -> AsyncIterator[Bench]:
    """A relay that can sign the ids of runs: without a secret for that none is started."""
    async with open_bench(TRUNKLINE_RELAY_RUN_SECRET="s" * 32) as started:
        yield started


def says(stream: bytes) -> Script:
    """A script that answers with a stream."""

    async def script(call: Call) -> None:
        await call.send(SSE_HEAD)
        await call.chunk(stream)
        await call.send(LAST_CHUNK)

    return script


async def coze(bench: Bench, provider: str, *scripts: Script, model: str = "738", **fields: Any) -> list[Upstream]:
    """Plan the model over channels of Coze's."""
    served = [await bench.upstream(script) for script in scripts]
    bench.router.plans["m"] = [
        candidate(number, each.base_url.removesuffix("/v1"), provider=provider, upstream_model=model, **fields)
        for number, each in enumerate(served, 1)
    ]
    return served


async def ask(bench: Bench, **members: Any) -> httpx2.Response:
    """Post a chat request."""
    return await bench.chat(json.dumps({"model": "m", "messages": USER, **members}).encode())


# ---------------------------------------------------------------- bots


async def test_a_bot_answers_whole_and_streamed(bench: Bench) -> None:
    """Through the official SDK; its reasoning, its answer and its tokens, and nothing of its tools or suggestions."""
    (upstream,) = await coze(bench, "coze", says(STREAM))
    asked: Any = {"model": "m", "messages": USER, "temperature": 0.2}
    async with bench.relay.openai() as client:
        raw = await client.chat.completions.with_raw_response.create(**asked)
        whole = raw.parse()
        async with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            async for _ in stream:
                pass
            streamed = await stream.get_final_completion()
    for completion in (whole, streamed):
        assert completion.choices[0].message.content == "星期三。"
        assert completion.usage is not None
        assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (7, 2)
    assert raw.headers["x-trunkline-lost"] == "temperature"
    for call in upstream.calls:
        assert call.line == "POST /v3/chat HTTP/1.1"
        assert call.headers["authorization"] == "Bearer sk-channel-1"
        sent = json.loads(call.body)
        assert (sent["bot_id"], sent["user_id"], sent["stream"]) == ("738", "key-5", True)
    await eventually_async(lambda: len(bench.outcomes) == 2)
    assert {(each.input_tokens, each.output_tokens) for each in bench.outcomes} == {(7, 2)}


@pytest.mark.parametrize("client", REQUESTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_bot_answers_clients_of_every_format(bench: Bench, client: Any, stream: bool) -> None:
    """Translated to chat, and from there to the bot."""
    await coze(bench, "coze", says(STREAM))
    path, body = REQUESTS[client]
    if stream and "generateContent" in path:
        path = path.replace("generateContent", "streamGenerateContent?alt=sse")
    elif stream:
        body = {**body, "stream": True}
    async with bench.relay.http() as http:
        answer = await http.post(path, json=body)
    assert answer.status_code == 200
    said = answer.text.encode().decode("unicode_escape") if "\\u" in answer.text else answer.text
    assert "星期" in said
    assert "三。" in said
    assert "And Tuesday?" not in said


REFUSED = {
    "in JSON": answers(200, b'{"code":4100,"msg":"authentication is invalid"}'),
    "in an event": says(told("conversation.chat.created", id="1") + told("error", code=4100, msg="no")),
    "as a failed chat": says(told("conversation.chat.failed", last_error={"code": 4100, "msg": "no"})),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("script", REFUSED.values(), ids=REFUSED.keys())
async def test_an_error_that_coze_tells_with_status_200(bench: Bench, script: Script, stream: bool) -> None:
    """Is a failed attempt: the next candidate is asked, and the router learns the code."""
    await coze(bench, "coze", script, says(STREAM))
    answer = await ask(bench, stream=stream)
    assert (answer.status_code, answer.headers["x-trunkline-channel-id"]) == (200, "2")
    await eventually_async(lambda: len(bench.outcomes) == 2)
    assert bench.outcomes[0].error_code == "coze_4100"
    assert bench.outcomes[0].result == pb.OUTCOME_RESULT_UPSTREAM_ERROR


@pytest.mark.parametrize(
    ("code", "status"), [(4000, 400), (4100, 401), (4200, 404), (4028, 402), (4013, 429), (5000, 502)]
)
async def test_the_last_error_of_coze_has_the_status_that_its_code_means(bench: Bench, code: int, status: int) -> None:
    """With Coze's own words."""
    await coze(bench, "coze", answers(200, json.dumps({"code": code, "msg": "so it is"}).encode()))
    answer = await ask(bench)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["message"]) == (status, f"coze_{code}", "so it is")


async def test_a_bots_stream_that_is_cut_ends_in_an_error(bench: Bench) -> None:
    """It said nothing of its end."""
    beginning = told("conversation.message.delta", **ANSWER, content="half")
    await coze(bench, "coze", says(beginning))
    events, whole_transfer = await read_all(
        bench, json.dumps({"model": "m", "messages": USER, "stream": True}).encode()
    )
    assert b"half" in events[0]
    assert json.loads(events[-1].removeprefix(b"data: "))["error"]["reason"] == "UPSTREAM_BROKEN"
    assert not whole_transfer
    whole = await ask(bench)
    assert (whole.status_code, whole.json()["error"]["reason"]) == (502, "UPSTREAM_BROKEN")


async def test_what_a_bot_cannot_be_given_is_the_clients_fault(bench: Bench) -> None:
    """And no attempt is made."""
    (upstream,) = await coze(bench, "coze", says(STREAM))
    answer = await ask(bench, messages=[{"role": "tool", "tool_call_id": "1", "content": "x"}])
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "messages[0].role")
    assert not upstream.calls


# ---------------------------------------------------------------- workflows


async def test_a_workflow_runs_whole_and_streamed(bench: Bench) -> None:
    """The request names it, and its parameters."""

    async def runs(call: Call) -> None:
        streamed = "stream_run" in call.line
        await (says(RUN_STREAM) if streamed else answers(200, b'{"code":0,"data":"started","msg":""}'))(call)

    (upstream,) = await coze(bench, "coze-workflow", runs, model="flow")
    asked = {"workflow_id": RUN, "workflow_parameters": {"day": 3}}
    whole, streamed = await ask(bench, **asked), await ask(bench, **asked, stream=True)
    assert whole.json()["choices"][0]["message"]["content"] == "started"
    texts = re.findall(r'"content":"(\w+)"', streamed.text)
    assert "".join(texts) == "started"
    assert streamed.content.endswith(b"data: [DONE]\n\n")
    assert [call.line.split()[1] for call in upstream.calls] == ["/v1/workflow/run", "/v1/workflow/stream_run"]
    for call in upstream.calls:
        assert json.loads(call.body) == {"workflow_id": RUN, "parameters": {"day": 3}}
    assert "coze.com/secret" not in whole.text + streamed.text


async def test_a_model_that_is_a_workflow_runs_no_other(bench: Bench) -> None:
    """What an API key may use is said by models."""
    (upstream,) = await coze(bench, "coze-workflow", answers(200, b'{"code":0,"data":"ok"}'), model=RUN)
    assert (await ask(bench)).status_code == 200
    assert json.loads(upstream.calls[0].body) == {"workflow_id": RUN, "parameters": {"input": "Which day?"}}
    answer = await ask(bench, workflow_id="1")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "workflow_id")
    assert len(upstream.calls) == 1


# ---------------------------------------------------------------- workflows that go on by themselves


async def lines_with(capfd: pytest.CaptureFixture[str], word: str) -> list[str]:
    """Wait for log lines that hold a word."""
    seen: list[str] = []

    def found() -> list[str]:
        seen.extend("".join(capfd.readouterr()).splitlines())
        return [line for line in seen if word in line]

    return await eventually_async(found)


async def test_a_run_that_goes_on_is_answered_with_its_id(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """Status 200 and `execute_id`, ours and not Coze's; one `[Async]` line says so."""
    (upstream,) = await coze(bench, "coze-workflow-async", answers(200, STARTED), model="flow")
    answer = await ask(bench, workflow_id=RUN, workflow_parameters={"day": 3})
    said = answer.json()
    assert (answer.status_code, said["status"], said["object"]) == (200, "running", "chat.completion")
    assert said["execute_id"].startswith("run_")
    assert json.loads(said["choices"][0]["message"]["content"]) == {"execute_id": said["execute_id"]}
    assert "exec-1" not in answer.text
    assert "coze.com/secret" not in answer.text
    (call,) = upstream.calls
    assert call.line.split()[1] == "/v1/workflow/run"
    assert json.loads(call.body) == {"workflow_id": RUN, "parameters": {"day": 3}, "is_async": True}
    (line,) = await lines_with(capfd, "[Async]")
    assert answer.headers["x-request-id"] in line


async def test_a_run_that_goes_on_is_told_to_a_client_that_wants_a_stream(bench: Bench) -> None:
    """As a stream, which is over at once."""
    await coze(bench, "coze-workflow-async", answers(200, STARTED), model=RUN)
    async with bench.relay.openai() as client:
        stream = await client.chat.completions.create(model="m", messages=USER, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert json.loads(text)["execute_id"].startswith("run_")


INCOMPLETE: dict[str, tuple[dict[str, Any], str]] = {
    "no workflow": ({}, "workflow_id"),
    "no key": ({"key_id": 0, "key": "", "shaping": {"provider_options": {"workflow_id": RUN}}}, "key"),
    "no address": ({"base_url": "", "shaping": {"provider_options": {"workflow_id": RUN}}}, "base_url"),
    "nothing": ({"key_id": 0, "key": "", "base_url": ""}, "workflow_id, base_url, key"),
}


@pytest.mark.parametrize(("fields", "missing"), INCOMPLETE.values(), ids=INCOMPLETE.keys())
async def test_a_run_is_not_started_by_a_channel_that_lacks(
    bench: Bench, fields: dict[str, Any], missing: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Everything that is missing is named at once, to the client and in an `[Async]` line; nothing was sent."""
    (upstream,) = await coze(bench, "coze-workflow-async", answers(200, STARTED), model="flow")
    given = {"base_url": upstream.base_url.removesuffix("/v1"), "upstream_model": "flow", **fields}
    bench.router.plans["m"] = [candidate(1, given.pop("base_url"), provider="coze-workflow-async", **given)]
    answer = await ask(bench)
    error = answer.json()["error"]
    assert (answer.status_code, error["reason"]) == (400, "RUN_INCOMPLETE")
    assert error["message"].startswith(f"the workflow cannot be run without: {missing} (")
    assert not upstream.calls
    (line,) = await lines_with(capfd, "[Async]")
    assert "not started" in line
    assert answer.headers["x-request-id"] in line


async def test_a_run_that_coze_refuses_was_not_started(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """Coze's own error, under the status that its code means, and no line that says otherwise."""
    await coze(bench, "coze-workflow-async", answers(200, b'{"code":4200,"msg":"no such workflow"}'), model=RUN)
    async with bench.relay.openai() as client:
        with pytest.raises(openai.NotFoundError, match="no such workflow"):
            await client.chat.completions.create(model="m", messages=USER)
    assert not [line for line in await lines_with(capfd, "[Distributor]") if "[Async]" in line]


async def test_a_run_is_asked_for_by_chat_alone(bench: Bench) -> None:
    """No other format can name a workflow; a channel that answers in its format is asked instead."""
    await coze(bench, "coze-workflow-async", answers(200, STARTED), model=RUN)
    path, body = REQUESTS[next(each for each in REQUESTS if "anthropic" in each.value)]
    async with bench.relay.http() as http:
        alone = await http.post(path, json=body)
        assert (alone.status_code, alone.json()["error"]["reason"]) == (400, "OPERATION_NOT_OFFERED")
        bench.router.plans["m"].append(candidate(2, (await bench.upstream(answers())).base_url))
        assert (await http.post(path, json=body)).headers["x-trunkline-channel-id"] == "2"
