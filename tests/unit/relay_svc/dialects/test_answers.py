"""Whole answers, from each dialect to each."""

import json
from typing import Any

import pytest

from relay_svc.dialects import (
    Answer,
    Dialect,
    DialectFault,
    Failure,
    Kind,
    Losses,
    Usage,
    read_answer,
    write_answer,
)
from relay_svc.dialects.answer import Finish
from relay_svc.dialects.form import Call, Refusal, Text, Thinking, TokenLogprob
from tests.unit.relay_svc.dialects import sdk
from tests.unit.relay_svc.dialects.samples import ANSWERS, ANTHROPIC, CHAT, GEMINI, OSLO, RESPONSES, ROME, STAMP

PAIRS = [
    pytest.param(upstream, client, id=f"{upstream.value} to {client.value}")
    for upstream in Dialect
    for client in Dialect
    if upstream is not client
]
TOLD = Answer(
    "m-1",
    [Thinking("Two towns."), Text("Let me see. ☂"), Call("c1", "weather", OSLO), Call("c2", "weather", ROME)],
    Finish.TOOLS,
    Usage(30, 20, 10, 0, 5),
)


def read(dialect: Dialect, body: Any) -> Answer:
    """Read an answer that is no failure."""
    answer = read_answer(dialect, json.dumps(body).encode(), Losses())
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize("dialect", Dialect)
def test_every_dialect_tells_the_same_answer(dialect: Dialect) -> None:
    """Reasoning, text, parallel calls, the reason it ended, and tokens by kind mean the same everywhere."""
    assert read(dialect, ANSWERS[dialect]) == TOLD


@pytest.mark.parametrize(("upstream", "client"), PAIRS)
def test_an_answer_keeps_its_meaning(upstream: Dialect, client: Dialect) -> None:
    """What is written for the client reads the same again, and is what the provider's own SDK expects."""
    losses = Losses(strict=True)
    answer = read_answer(upstream, json.dumps(ANSWERS[upstream]).encode(), losses)
    assert isinstance(answer, Answer)
    written = write_answer(client, answer, STAMP, losses)
    sdk.check_answer(client, written)
    assert read(client, json.loads(written)) == TOLD
    assert not losses.names


def ended(dialect: Dialect, word: str) -> Finish:
    """Read an answer that ended with a dialect's word."""
    bodies: dict[Dialect, dict[str, Any]] = {
        CHAT: {"choices": [{"message": {"content": "x"}, "finish_reason": word}]},
        ANTHROPIC: {"content": [], "stop_reason": word},
        GEMINI: {"candidates": [{"content": {}, "finishReason": word}]},
        RESPONSES: {"output": [], "status": "incomplete", "incomplete_details": {"reason": word}},
    }
    return read(dialect, bodies[dialect]).finish


@pytest.mark.parametrize(
    ("finish", "words"),
    [
        (Finish.STOP, {CHAT: "stop", ANTHROPIC: "end_turn", GEMINI: "STOP"}),
        (
            Finish.LENGTH,
            {CHAT: "length", ANTHROPIC: "max_tokens", GEMINI: "MAX_TOKENS", RESPONSES: "max_output_tokens"},
        ),
        (Finish.FILTER, {CHAT: "content_filter", GEMINI: "SAFETY", RESPONSES: "content_filter"}),
        (Finish.REFUSAL, {ANTHROPIC: "refusal"}),
        (Finish.STOP_SEQUENCE, {ANTHROPIC: "stop_sequence"}),
        (Finish.CONTEXT, {ANTHROPIC: "model_context_window_exceeded"}),
        (Finish.PAUSE, {ANTHROPIC: "pause_turn"}),
    ],
)
def test_why_it_ended_has_a_word_in_each_dialect(finish: Finish, words: dict[Dialect, str]) -> None:
    """A dialect's own word reads as the reason, and every reason can be said in every dialect."""
    for dialect, word in words.items():
        assert ended(dialect, word) is finish
    for client in Dialect:
        written = write_answer(client, Answer("m", [Text("x")], finish, Usage()), STAMP, Losses())
        sdk.check_answer(client, written)
        if client in words:
            assert words[client].encode() in written


def test_a_server_that_imitates_gemini_may_end_with_the_call() -> None:
    """A word that Gemini itself has not; other words that are unknown say that the answer is no good."""
    call = {"functionCall": {"name": "weather", "args": {}}}
    body = {"candidates": [{"content": {"parts": [call]}, "finishReason": "FUNCTION_CALL"}]}
    assert read(GEMINI, body).finish is Finish.TOOLS


@pytest.mark.parametrize("client", Dialect)
def test_a_refusal_is_told_as_one(client: Dialect) -> None:
    """The model's own refusal is never taken for a plain answer."""
    written = write_answer(client, Answer("m", [Refusal("No.")], Finish.STOP, Usage()), STAMP, Losses())
    sdk.check_answer(client, written)
    sign = {CHAT: b'"refusal":"No."', RESPONSES: b'"refusal":"No."', ANTHROPIC: b'"refusal"', GEMINI: b"SAFETY"}
    assert sign[client] in written
    assert b"No." in written


def test_probabilities_of_tokens_are_carried_where_there_is_a_place() -> None:
    """Between OpenAI's two formats and Gemini; Anthropic's answers have none."""
    said = [TokenLogprob("Hi", -0.5, (("Hi", -0.5), ("He", -1.5)))]
    answer = Answer("m", [Text("Hi", logprobs=said)], Finish.STOP, Usage())
    for client in (CHAT, RESPONSES, GEMINI):
        written = write_answer(client, answer, STAMP, Losses())
        sdk.check_answer(client, written)
        assert read(client, json.loads(written)).parts == answer.parts
    losses = Losses()
    write_answer(ANTHROPIC, answer, STAMP, losses)
    assert losses.names == ("logprobs",)


def test_calls_without_ids_get_them() -> None:
    """Ids come from the stamp, and are the call's own where it has one."""
    answer = Answer("m", [Call("", "f", "{}"), Call("", "f", "{}"), Call("own", "f", "{}")], Finish.TOOLS, Usage())
    message = json.loads(write_answer(CHAT, answer, STAMP, Losses()))["choices"][0]["message"]
    assert [call["id"] for call in message["tool_calls"]] == ["call_0a1b_0", "call_0a1b_1", "own"]
    blocks = json.loads(write_answer(ANTHROPIC, answer, STAMP, Losses()))["content"]
    assert [block["id"] for block in blocks] == ["toolu_0a1b_0", "toolu_0a1b_1", "own"]


def test_a_call_cut_short_is_left_out_and_named() -> None:
    """Where arguments are an object, half of one cannot be said; that it was cut is told by the reason it ended."""
    answer = Answer("m", [Text("x"), Call("1", "f", '{"a":')], Finish.LENGTH, Usage())
    for client in (ANTHROPIC, GEMINI):
        losses = Losses()
        written = write_answer(client, answer, STAMP, losses)
        sdk.check_answer(client, written)
        assert losses.names == ("tool_call.arguments",)
        assert read(client, json.loads(written)).finish is Finish.LENGTH


def test_arguments_that_are_no_object_are_no_good_answer() -> None:
    """A model that writes no JSON is the upstream's fault, and Gemini has a word for it."""
    answer = Answer("m", [Call("1", "f", "oops")], Finish.TOOLS, Usage())
    with pytest.raises(DialectFault):
        write_answer(ANTHROPIC, answer, STAMP, Losses())
    assert b"MALFORMED_FUNCTION_CALL" in write_answer(GEMINI, answer, STAMP, Losses())


FAILURES = [
    (CHAT, {"error": {"message": "too many", "code": "rate_limit_exceeded"}}, Kind.RATE_LIMIT, "too many"),
    (RESPONSES, {"status": "failed", "error": {"code": "server_error", "message": "oh"}}, Kind.UPSTREAM, "oh"),
    (ANTHROPIC, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, Kind.OVERLOADED, "busy"),
    (
        GEMINI,
        {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "bad"}]},
        Kind.UPSTREAM,
        "bad",
    ),
    (GEMINI, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "later"}}, Kind.RATE_LIMIT, "later"),
]


@pytest.mark.parametrize(("dialect", "body", "kind", "message"), FAILURES)
def test_an_answer_may_be_a_failure_all_the_same(
    dialect: Dialect, body: dict[str, Any], kind: Kind, message: str
) -> None:
    """A status of 200 does not make it a good answer."""
    failure = read_answer(dialect, json.dumps(body).encode(), Losses())
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.message) == (kind, message)


def test_a_refused_prompt_is_an_answer_that_the_filter_ended() -> None:
    """Gemini gives no candidates then."""
    assert read(GEMINI, {"promptFeedback": {"blockReason": "SAFETY"}}).finish is Finish.FILTER


def test_what_no_other_dialect_has_is_named() -> None:
    """Citations, sounds, searches."""
    for dialect, body, name in [
        (
            CHAT,
            {"choices": [{"message": {"content": "x", "annotations": [{}]}, "finish_reason": "stop"}]},
            "annotations",
        ),
        (
            ANTHROPIC,
            {"content": [{"type": "server_tool_use", "id": "1"}], "stop_reason": "end_turn"},
            "content.server_tool_use",
        ),
        (
            GEMINI,
            {"candidates": [{"content": {"parts": [{"inlineData": {"data": "x"}}]}, "finishReason": "STOP"}]},
            "content.inline_data",
        ),
        (CHAT, {"choices": [{"message": {"content": "x"}, "finish_reason": "eos"}]}, "finish_reason"),
    ]:
        losses = Losses()
        read_answer(dialect, json.dumps(body).encode(), losses)
        assert losses.names == (name,)
