"""Upstreams that speak no format of ours, behind one face."""

import json
from typing import Any

import pytest

from relay_svc.failover import Failure, Kind, shown_status
from relay_svc.operations import Format, Operation
from relay_svc.plan import NO_USAGE, Usage
from relay_svc.provider_error import read
from relay_svc.providers import Asked, Call, Target, how_to_ask
from relay_svc.providers.adapters import EVENTS, JSON, MAX_WHOLE, Adapted, Asking, adapt
from relay_svc.providers.coze.runs import Execution, RunIds
from relay_svc.providers.coze.written import Stamp
from relay_svc.providers.faults import AdapterFault, RunIncomplete
from trunkline.secret import Secret

STAMP = Stamp("1", 1_700_000_000, "client-name")
IDS = RunIds([Secret("s")])
CHAT = {"model": "client-name", "messages": [{"role": "user", "content": "Hello"}], "top_k": 3}
BOT = (
    b'event:conversation.message.delta\ndata:{"id":"7","type":"answer","content":"Hi"}\n\n'
    b'event:conversation.chat.completed\ndata:{"usage":{"input_count":7,"output_count":2}}\n\n'
)
REFUSED = b'{"code":4100,"msg":"authentication is invalid"}'


def adapted(
    provider: str, request: dict[str, Any], *, stream: bool = False, key: str = "sk", run_ids: RunIds | None = IDS
) -> Adapted:
    """A request behind a provider's adapter."""
    target = Target(provider, "https://u.example", "75", Secret(key) if key else None)
    rerank = provider == "cohere"
    operation, written = (Operation.RERANK, Format.RERANK) if rerank else (Operation.CHAT, Format.OPENAI_CHAT)
    call = how_to_ask(target, Asked(operation, written, stream))
    assert isinstance(call, Call)
    asking = Asking(STAMP, 9, 42, stream=stream, include_usage=True, run_ids=run_ids)
    return adapt(call, target, json.dumps(request).encode(), asking)


def test_a_bots_stream_goes_to_a_client_that_wants_one_piece_by_piece() -> None:
    """And the tokens are known at the end."""
    bot = adapted("coze", CHAT, stream=True)
    assert (bot.lost, bot.content_type) == (("top_k",), EVENTS)
    assert json.loads(bot.body)["bot_id"] == "75"
    bot.begin(b"text/event-stream; charset=utf-8")
    sent = b"".join(bot.feed(BOT[place : place + 1]) for place in range(len(BOT)))
    assert sent.endswith(b"data: [DONE]\n\n")
    ending = bot.end(clean=True)
    assert (ending.rest, ending.whole, ending.told) == (b"", True, False)
    assert bot.usage() == Usage(7, 2)


def test_a_bots_stream_is_collected_for_a_client_that_wants_none() -> None:
    """Nothing is sent before it is whole."""
    bot = adapted("coze", CHAT)
    assert bot.content_type == JSON
    bot.begin(EVENTS)
    assert bot.feed(BOT) == b""
    assert json.loads(bot.end(clean=True).rest)["choices"][0]["message"]["content"] == "Hi"
    assert bot.usage() == Usage(7, 2)


@pytest.mark.parametrize("stream", [True, False])
def test_a_stream_that_was_cut_short_is_not_whole(stream: bool) -> None:
    """However clean HTTP's framing was."""
    bot = adapted("coze", CHAT, stream=stream)
    bot.begin(EVENTS)
    bot.feed(BOT[:90])
    assert not bot.end(clean=True).whole
    assert bot.usage() == NO_USAGE


@pytest.mark.parametrize("provider", ["coze", "coze-workflow", "coze-workflow-async"])
@pytest.mark.parametrize("stream", [True, False])
def test_an_error_that_came_with_status_200_is_found_before_anything_is_sent(provider: str, stream: bool) -> None:
    """Its code says what follows, and which status it should have had."""
    upstream = adapted(provider, CHAT, stream=stream)
    upstream.begin(b"application/json")
    assert upstream.feed(REFUSED) == b""
    ending = upstream.end(clean=True)
    assert (ending.rest, ending.told) == (b"", True)
    assert upstream.failure is not None
    assert upstream.failure.code == "coze_4100" == read(REFUSED)[0]
    assert shown_status(Failure(Kind.ANSWERED, 200, upstream.failure.code)) == 401


def test_a_failure_within_a_stream_is_told() -> None:
    """To the client that has been sent something; before that to the relay alone, which may try another candidate."""
    failing = b'event:error\ndata:{"code":4011,"msg":"no balance"}\n\n'
    bot = adapted("coze", CHAT, stream=True)
    bot.begin(EVENTS)
    bot.feed(BOT[: BOT.index(b"event:conversation.chat")])
    assert b"coze_4011" in bot.feed(failing)
    assert bot.end(clean=True).told
    early = adapted("coze", CHAT, stream=True)
    early.begin(EVENTS)
    assert early.feed(failing + BOT) == early.feed(BOT) == b""
    assert early.failure is not None
    assert early.end(clean=True).told
    collected = adapted("coze", CHAT)
    collected.begin(EVENTS)
    collected.feed(failing)
    assert collected.end(clean=True).rest == b""
    assert collected.failure is not None


def test_a_run_that_goes_on_is_answered_with_an_id_that_says_whose_it_is() -> None:
    """Whole or as a stream."""
    for stream in (False, True):
        run = adapted("coze-workflow-async", CHAT, stream=stream)
        assert json.loads(run.body) == {"workflow_id": "75", "parameters": {"input": "Hello"}, "is_async": True}
        run.begin(JSON)
        run.feed(b'{"code":0,"execute_id":"743","debug_url":"u"}')
        answer = run.end(clean=True).rest
        first = json.loads(answer.split(b"\n\n")[0].removeprefix(b"data: "))["choices"][0]
        run_id = json.loads(first["delta" if stream else "message"]["content"])["execute_id"]
        assert IDS.read(run_id) == Execution(9, 42, "75", "743", STAMP.model)


def test_a_run_that_lacks_anything_is_not_started() -> None:
    """Everything that is missing is named at once."""
    with pytest.raises(RunIncomplete) as fault:
        adapted("coze-workflow-async", CHAT, key="")
    assert fault.value.missing == ("key",)
    with pytest.raises(RunIncomplete):
        adapted("coze-workflow-async", CHAT, run_ids=None)
    with pytest.raises(AdapterFault):
        adapted("coze-workflow", {**CHAT, "workflow_id": "76"})


def test_a_workflows_answer_is_a_chats() -> None:
    """With its tokens; an answer too large to be held is none."""
    run = adapted("coze-workflow", CHAT)
    run.feed(b'{"code":0,"data":"D","usage":{"input_count":1,"output_count":2}}')
    assert json.loads(run.end(clean=True).rest)["choices"][0]["message"]["content"] == "D"
    assert run.usage() == Usage(1, 2)
    large = adapted("coze-workflow", CHAT)
    for _ in range(2):
        large.feed(bytes(MAX_WHOLE))
    assert large.end(clean=True).told
    broken = adapted("coze-workflow", CHAT)
    assert not broken.end(clean=False).whole


def test_cohere_stands_behind_one_too() -> None:
    """The model is the upstream's on the way up, and the client's on the way down."""
    rerank = adapted("cohere", {"query": "q", "documents": ["a"], "return_documents": True})
    assert json.loads(rerank.body) == {"model": "75", "query": "q", "documents": ["a"]}
    rerank.begin(JSON)
    rerank.feed(b'{"results":[{"index":0,"relevance_score":0.5}]}')
    shown = json.loads(rerank.end(clean=True).rest)
    assert shown["model"] == "client-name"
    assert shown["results"][0]["document"] == {"text": "a"}
