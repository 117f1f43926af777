"""Coze behind OpenAI's chat format: golden requests and streams, and what breaks."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.plan import Usage
from relay_svc.providers import Target
from relay_svc.providers.coze import calls, workflow
from relay_svc.providers.coze.chat import to_coze
from relay_svc.providers.coze.steps import BotReader, Done, Failed, Text, WorkflowReader, failure_in
from relay_svc.providers.coze.written import ChunkWriter, Collector, Stamp
from relay_svc.providers.faults import AdapterFault

STAMP = Stamp("1", 1_700_000_000, "client-name")


def event(name: str, **data: Any) -> bytes:
    """One event as Coze writes it."""
    return f"event:{name}\ndata:{json.dumps(data, ensure_ascii=False)}\n\n".encode()


ANSWER = {"id": "7", "role": "assistant", "type": "answer", "content_type": "text"}
STREAM = (
    event("conversation.chat.created", id="1", status="created", last_error={"code": 0, "msg": ""})
    + event("conversation.message.delta", **ANSWER, content="", reasoning_content="hm")
    + event("conversation.message.delta", **ANSWER, content="星期")
    + event("conversation.message.delta", **ANSWER, content="三。")
    + event("conversation.message.completed", **ANSWER, content="星期三。")
    + event("conversation.message.completed", **{**ANSWER, "id": "8", "type": "verbose"}, content="{}")
    + event("conversation.message.completed", **{**ANSWER, "id": "9", "type": "follow_up"}, content="And Tuesday?")
    + event(
        "conversation.chat.completed", status="completed", usage={"token_count": 9, "output_count": 2, "input_count": 7}
    )
    + b'event:done\ndata:"[DONE]"\n\n'
)
STEPS = [Text("hm", reasoning=True), Text("星期"), Text("三。"), Done(Usage(7, 2))]


# ---------------------------------------------------------------- requests


def sent(request: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What Coze is sent for a chat request, and what was lost."""
    body, lost = to_coze(json.dumps({"model": "m", **request}).encode(), "738", 42)
    return json.loads(body), lost


def test_a_conversation_becomes_messages_and_the_system_speaks_before_the_user() -> None:
    """Bots know two roles."""
    body, lost = sent(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
                {"role": "user", "content": [{"type": "text", "text": "Which day?"}]},
            ],
            "temperature": 0.2,
            "tools": [],
            "user": "ann",
            "custom_variables": {"city": "Beijing"},
        }
    )
    assert body == {
        "bot_id": "738",
        "user_id": "key-42-ann",
        "stream": True,
        "auto_save_history": False,
        "custom_variables": {"city": "Beijing"},
        "additional_messages": [
            {"role": "user", "type": "question", "content": "Be brief.\n\nHello", "content_type": "text"},
            {"role": "assistant", "type": "answer", "content": "Hi", "content_type": "text"},
            {"role": "user", "type": "question", "content": "Which day?", "content_type": "text"},
        ],
    }
    assert lost == ("temperature",)


def test_pictures_go_by_their_address() -> None:
    """As Coze's object strings."""
    url = "https://example.com/a.png"
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}]
    body, _ = sent({"messages": [{"role": "user", "content": parts}]})
    message = body["additional_messages"][0]
    assert message["content_type"] == "object_string"
    assert json.loads(message["content"]) == [{"type": "text", "text": "What?"}, {"type": "image", "file_url": url}]


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        (None, "messages"),
        ([], "messages"),
        (["x"], "messages[0]"),
        ([{"role": "tool", "content": "x"}], "messages[0].role"),
        ([{"role": "assistant", "tool_calls": [{}]}], "messages[0].tool_calls"),
        ([{"role": "user", "content": [{"type": "video"}]}], "messages[0].content[0].type"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}],
            "messages[0].content[0].image_url",
        ),
        ([{"role": "system", "content": 1}], "messages[0].content"),
        ([{"role": "user", "content": "x"}] * 101, "messages"),
    ],
)
def test_what_a_bot_cannot_be_given_is_refused_by_its_member(messages: Any, path: str) -> None:
    """Not dropped: the answer would mean something else."""
    with pytest.raises(AdapterFault) as fault:
        sent({"messages": messages})
    assert fault.value.path == path


def test_users_of_two_api_keys_are_never_one() -> None:
    """Coze keeps a memory for each."""
    body = json.dumps({"messages": [{"role": "user", "content": "x"}], "user": "ann"}).encode()
    assert json.loads(to_coze(body, "1", 1)[0])["user_id"] != json.loads(to_coze(body, "1", 2)[0])["user_id"]
    assert calls.bot_of(Target("coze", "", "7")) == "7"
    assert calls.bot_of(Target("coze", "", "7", options={"bot_id": "8"})) == "8"


# ---------------------------------------------------------------- streams


def test_a_bots_stream_says_its_answer_once_and_nothing_else() -> None:
    """Neither the whole after the pieces, nor what it suggests, nor what it tells of itself."""
    assert BotReader().feed(STREAM) == STEPS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_however_a_stream_is_cut_it_says_the_same(cuts: list[int]) -> None:
    """Chunks end in the middle of characters."""
    edges = [0, *sorted(cuts), len(STREAM)]
    reader = BotReader()
    said = [step for start, end in itertools.pairwise(edges) for step in reader.feed(STREAM[start:end])]
    assert said == STEPS


def test_an_answer_that_came_in_one_piece_is_said_and_a_second_one_is_a_paragraph() -> None:
    """Workflows that bots call may answer several times."""
    reader = BotReader()
    first = event("conversation.message.completed", **ANSWER, content="one")
    second = event("conversation.message.completed", **{**ANSWER, "id": "8"}, content="two")
    assert reader.feed(first + second) == [Text("one"), Text("\n\ntwo")]


def test_chunks_are_openais_and_end_in_done() -> None:
    """Role first, finish reason and usage last."""
    writer = ChunkWriter(STAMP, include_usage=True)
    lines = writer.write(BotReader().feed(STREAM)).decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "reasoning_content": "hm"}
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks[1:3]] == ["星期", "三。"]
    assert chunks[3]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert chunks[4]["choices"] == []
    assert chunks[4]["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    assert {chunk["model"] for chunk in chunks} == {"client-name"}
    assert (writer.ended, writer.failure, writer.usage) == (True, None, Usage(7, 2))


def test_a_client_that_did_not_ask_for_usage_is_not_sent_it() -> None:
    """OpenAI's clients index `choices[0]`."""
    writer = ChunkWriter(STAMP, include_usage=False)
    assert b"usage" not in writer.write(BotReader().feed(STREAM))
    assert writer.usage == Usage(7, 2)


def test_a_client_that_wants_no_stream_gets_one_answer() -> None:
    """Bots are always asked for a stream."""
    collector = Collector(STAMP)
    collector.take(BotReader().feed(STREAM))
    answer = json.loads(collector.answer())
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "星期三。", "reasoning_content": "hm"}
    assert answer["usage"]["total_tokens"] == 9
    cut = Collector(STAMP)
    cut.take(BotReader().feed(STREAM[: len(STREAM) // 2]))
    assert cut.outcome is None
    large = Collector(STAMP, limit=1)
    large.take(BotReader().feed(STREAM))
    assert isinstance(large.outcome, Failed)


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (event("error", code=4011, msg="no balance"), "coze_4011"),
        (event("error"), "coze_unreadable"),
        (event("conversation.chat.failed", last_error={"code": 5000, "msg": "x"}), "coze_5000"),
        (event("conversation.chat.failed"), "coze_5000"),
        (event("conversation.chat.requires_action"), "coze_requires_action"),
        (b"event:conversation.message.delta\ndata:{\n\n", "coze_unreadable"),
    ],
)
def test_a_failure_is_told_once_and_nothing_follows_it(stream: bytes, code: str) -> None:
    """Not a false `[DONE]`."""
    reader, writer = BotReader(), ChunkWriter(STAMP, include_usage=True)
    sent = writer.write(reader.feed(stream + STREAM))
    assert writer.failure is not None
    assert writer.failure.code == code
    assert b"[DONE]" not in sent
    assert json.loads(sent.split(b"data: ")[-1])["error"]["code"] == code
    assert reader.feed(STREAM) == []


@given(st.binary(max_size=300))
def test_no_stream_makes_a_reader_raise(stream: bytes) -> None:
    """An upstream may say anything."""
    for name in (b"conversation.message.delta", b"conversation.chat.failed", b"Message", b"Error", b"error"):
        line = b"event:" + name + b"\ndata:" + stream + b"\n\n"
        BotReader().feed(line)
        WorkflowReader().feed(line)


def test_an_envelope_that_says_200_and_means_an_error_is_found() -> None:
    """Coze's own status is the number in `code`."""
    assert failure_in({"code": 0, "data": {}}) is None
    assert failure_in({"code": 4100, "msg": "authentication is invalid"}) == Failed(
        "coze_4100", "authentication is invalid"
    )
    assert isinstance(failure_in(None), Failed)


# ---------------------------------------------------------------- workflows

RUN = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "Hello"}]}


def read(model: str = "m", options: dict[str, str] | None = None, **members: Any) -> workflow.Run:
    """The run that a request asks for."""
    return workflow.read(
        json.dumps({**RUN, **members}).encode(), Target("coze-workflow", "", model, None, options or {})
    )


def test_a_workflow_is_named_by_the_model_then_the_request_then_the_channel() -> None:
    """A model that is a workflow's number lets no other be run through it."""
    assert read("75").workflow_id == "75"
    assert read("75", workflow_id="75").workflow_id == "75"
    assert read(workflow_id="76", options={"workflow_id": "77"}).workflow_id == "76"
    assert read(options={"workflow_id": "77"}).workflow_id == "77"
    assert read().workflow_id == ""
    for model, workflow_id in [("75", "76"), ("m", "../x"), ("m", 76), ("m", "")]:
        with pytest.raises(AdapterFault):
            read(model, workflow_id=workflow_id)


def test_parameters_are_the_requests_or_what_the_user_said_last() -> None:
    """As the input of the first node."""
    assert read(workflow_parameters={"city": "Beijing"}).parameters == {"city": "Beijing"}
    assert read().parameters == {"input": "Hello"}
    assert read(messages=[]).parameters == {}
    with pytest.raises(AdapterFault):
        read(workflow_parameters=[1])
    body = json.loads(workflow.to_coze(read("75"), is_async=True))
    assert body == {"workflow_id": "75", "parameters": {"input": "Hello"}, "is_async": True}
    assert "is_async" not in json.loads(workflow.to_coze(read("75"), is_async=False))


def test_what_a_workflow_has_no_place_for_is_named() -> None:
    """Members, and what was said before; parameters of the client's own stand for all that was said."""
    said = [{"role": "user", "content": "Hello"}]
    picture = [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {}}]}]
    assert read("75", messages=said).lost == ()
    assert read("75", messages=said, tools=[{}], user="ann", n=1).lost == ("tools", "user")
    assert read("75", messages=[*said, *said]).lost == ("messages",)
    assert read("75", messages=picture).lost == ("messages",)
    assert read("75", messages=picture, workflow_parameters={"a": 1}).lost == ()


def test_a_workflows_stream_says_what_its_nodes_say() -> None:
    """Each node a paragraph."""
    stream = (
        event("Message", content="为", node_title="Message", node_seq_id="0", node_is_finish=False)
        + event("Message", content="什么", node_title="Message", node_seq_id="1", node_is_finish=True)
        + event("Message", content='{"output":1}', node_title="End", usage={"input_count": 3, "output_count": 4})
        + event("Done")
    )
    assert WorkflowReader().feed(stream) == [Text("为"), Text("什么"), Text('\n\n{"output":1}'), Done(Usage(3, 4))]
    failing = event("Error", error_code=4000, error_message="Request parameter error")
    assert WorkflowReader().feed(failing) == [Failed("coze_4000", "Request parameter error")]
    assert isinstance(WorkflowReader().feed(event("Interrupt", interrupt_data={}))[0], Failed)


def test_a_runs_answer_shows_nothing_of_the_account_behind_it() -> None:
    """The page where the vendor shows the run is its owner's."""
    said = {"code": 0, "data": '{"o":1}', "debug_url": "https://www.coze.cn/secret", "usage": {"input_count": 1}}
    answer = workflow.answer_of(json.dumps(said).encode(), STAMP)
    assert not isinstance(answer, Failed)
    body = json.loads(answer[0])
    assert body["choices"][0]["message"]["content"] == '{"o":1}'
    assert b"secret" not in answer[0]
    refused = workflow.answer_of(b'{"code":4200,"msg":"not published"}', STAMP)
    assert refused == Failed("coze_4200", "not published")
    assert isinstance(workflow.answer_of(b"<html>", STAMP), Failed)


def test_a_run_that_goes_on_is_answered_with_its_id_at_once() -> None:
    """Where OpenAI's clients find it: as a member, and as the text."""
    assert workflow.execution_of(b'{"code":0,"execute_id":"743"}') == "743"
    assert isinstance(workflow.execution_of(b'{"code":0}'), Failed)
    answer = json.loads(workflow.started(STAMP, "run_x"))
    assert (answer["execute_id"], answer["status"]) == ("run_x", "running")
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"execute_id": "run_x"}


def test_a_runs_state_is_told_under_the_clients_own_id() -> None:
    """Running, succeeded, failed."""
    run: dict[str, Any] = {
        "execute_id": "743",
        "execute_status": "Success",
        "output": "{}",
        "error_code": "",
        "debug_url": "u",
    }
    state = workflow.state_of(json.dumps({"code": 0, "data": [run]}).encode(), "run_x")
    assert isinstance(state, bytes)
    shown = json.loads(state)
    assert (shown["execute_id"], shown["status"], shown["output"], shown["error"]) == ("run_x", "succeeded", "{}", None)
    assert b"743" not in state
    run |= {"execute_status": "Fail", "error_code": "4000", "error_message": "no"}
    state = workflow.state_of(json.dumps({"code": 0, "data": [run]}).encode(), "run_x")
    assert isinstance(state, bytes)
    assert json.loads(state)["error"] == {"code": "coze_4000", "message": "no"}
    assert workflow.state_of(b'{"code":4314,"msg":"none"}', "run_x") == Failed("coze_4314", "none")
    assert isinstance(workflow.state_of(b'{"code":0,"data":[]}', "run_x"), Failed)
