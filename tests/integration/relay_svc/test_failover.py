"""What a client gets when upstreams fail before a byte was sent to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.conftest import CHAT, Bench, open_bench
from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.upstreams import SSE_HEAD, Call, Script, answers, completion, error, response, streams
from trunkline.v1 import router_pb2 as pb


async def breaks_at_once(call: Call) -> None:
    """Closes without an answer."""
    call.writer.close()


async def talks_nonsense(call: Call) -> None:
    """Answers with what is no HTTP."""
    await call.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    call.writer.close()


async def breaks_after_its_head(call: Call) -> None:
    """Promises an answer and closes."""
    await call.send(SSE_HEAD)
    call.writer.close()


async def never_ends_its_head(call: Call) -> None:
    """Sends headers for as long as anyone reads."""
    await call.send(b"HTTP/1.1 200 OK\r\n")
    while not call.writer.is_closing():
        await call.send(b"x-more: " + b"y" * 1000 + b"\r\n")


async def promises_two_lengths(call: Call) -> None:
    """Answers with framing that can be read in two ways."""
    await call.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 50\r\n\r\nhello")


async def says_nothing(call: Call) -> None:
    """Takes the request and waits."""
    await call.until_gone()


async def test_a_dead_first_channel_is_passed_over(bench: Bench) -> None:
    """The second candidate serves, the answer says so, and the router is told of both."""
    await bench.plan(None, answers())
    answer = await bench.chat()
    assert answer.status_code == 200
    assert answer.content == completion()
    assert answer.headers["x-trunkline-channel-id"] == "2"
    assert answer.headers["x-trunkline-attempts"] == "2"
    assert answer.headers["x-trunkline-revision"] == "7"
    assert float(answer.headers["x-trunkline-overhead-ms"]) >= 0
    await eventually_async(lambda: len(bench.outcomes) == 2)
    first, second = bench.outcomes
    assert first.result == pb.OUTCOME_RESULT_CONNECT_FAILED
    assert (second.result, second.channel_id, second.key_id, second.attempt) == (pb.OUTCOME_RESULT_SUCCESS, 2, 20, 2)
    assert (second.http_status, second.input_tokens, second.output_tokens) == (200, 11, 5)
    assert second.request_id == answer.headers["x-request-id"]


PASSED_OVER = {
    "429": error(429, "rate_limit_exceeded"),
    "500": error(500),
    "503": error(503),
    "408": error(408),
    "its key is refused": error(401, "invalid_api_key"),
    "its key is refused as a bad request": error(400, "invalid_api_key"),
    "it lacks the model": error(404, "model_not_found"),
    "it redirects": answers(302, b"", location="http://127.0.0.1:1/elsewhere"),
    "it breaks at once": breaks_at_once,
    "it talks nonsense": talks_nonsense,
    "it breaks after its head": breaks_after_its_head,
    "its head never ends": never_ends_its_head,
    "it promises two lengths": promises_two_lengths,
}


@pytest.mark.parametrize("script", PASSED_OVER.values(), ids=PASSED_OVER.keys())
async def test_what_another_upstream_may_do_better_is_given_to_another(bench: Bench, script: Script) -> None:
    """Whatever went wrong before the first byte, the client sees one good answer."""
    first, second = await bench.plan(script, answers())
    answer = await bench.chat()
    assert (answer.status_code, answer.content) == (200, completion())
    assert len(first.calls) == len(second.calls) == 1
    assert first.calls[0].body == second.calls[0].body


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "context_length_exceeded"),
        (400, None),
        (422, None),
        (404, "invalid_value"),
        (403, "content_policy_violation"),
    ],
)
async def test_the_callers_own_fault_stops_the_walk(bench: Bench, status: int, code: str | None) -> None:
    """Every upstream would say the same: the first one's words are the client's."""
    _, second = await bench.plan(error(status, code), answers())
    answer = await bench.chat()
    assert answer.status_code == status
    assert answer.json() == {"error": {"message": "no", "code": code, "type": ""}}
    assert answer.headers["x-trunkline-attempts"] == "1"
    assert not second.calls


async def test_when_all_failed_the_client_gets_the_last_upstreams_error_as_it_was(bench: Bench) -> None:
    """Status, body and content type; not a made-up one."""
    last = answers(529, b"<busy/>", retry_after="9", set_cookie="a=b", server="up")

    async def busy(call: Call) -> None:
        await last(call)

    await bench.plan(error(500), busy)
    answer = await bench.chat()
    assert (answer.status_code, answer.content) == (529, b"<busy/>")
    assert answer.headers["retry-after"] == "9"
    assert "set-cookie" not in answer.headers
    assert "server" not in answer.headers
    assert answer.headers["x-trunkline-channel-id"] == "2"


@pytest.mark.parametrize("last", [None, answers(302, b"")], ids=["unreachable", "redirects"])
async def test_an_upstreams_answer_is_kept_when_the_last_gave_none(bench: Bench, last: Script | None) -> None:
    """A real error says more than `unreachable`."""
    await bench.plan(error(429, "rate_limit_exceeded"), last)
    answer = await bench.chat()
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        (None, 502, "UPSTREAM_UNREACHABLE"),
        (breaks_at_once, 502, "UPSTREAM_BROKEN"),
        (answers(302, b"", location="http://127.0.0.1:1/"), 502, "UPSTREAM_REDIRECTS"),
    ],
    ids=["unreachable", "broken", "redirects"],
)
async def test_when_no_upstream_answered_the_relay_says_why(
    bench: Bench, script: Script | None, status: int, reason: str
) -> None:
    """In OpenAI's shape."""
    await bench.plan(script)
    answer = await bench.chat()
    error_ = answer.json()["error"]
    assert (answer.status_code, error_["reason"]) == (status, reason)
    assert error_["request_id"] == answer.headers["x-request-id"]
    assert "location" not in answer.headers


async def test_a_request_that_times_out_after_it_was_sent_is_not_sent_again() -> None:
    """It may be under way: 504, and SDKs are told not to retry."""
    async with open_bench(TRUNKLINE_RELAY_FIRST_BYTE_TIMEOUT="150ms") as bench:
        _, second = await bench.plan(says_nothing, answers())
        answer = await bench.chat()
        assert (answer.status_code, answer.json()["error"]["reason"]) == (504, "UPSTREAM_TIMEOUT")
        assert answer.headers["x-should-retry"] == "false"
        assert not second.calls
        await eventually_async(lambda: bench.outcomes)
        assert bench.outcomes[0].result == pb.OUTCOME_RESULT_READ_TIMEOUT


async def test_a_channels_own_limits_hold_before_the_relays(bench: Bench) -> None:
    """A channel may be given less time than others."""
    await bench.plan(says_nothing)
    timeouts = bench.router.plans["m"][0].timeouts
    timeouts.first_byte.FromMilliseconds(100)
    assert (await bench.chat()).status_code == 504


async def test_no_further_candidate_is_tried_after_the_retry_window() -> None:
    """A client that has waited long enough is told."""
    async with open_bench(TRUNKLINE_RELAY_RETRY_WINDOW="1ms") as bench:
        _, second = await bench.plan(error(500), answers())
        assert (await bench.chat()).status_code == 500
        assert not second.calls


async def test_the_total_deadline_ends_a_request_whatever_is_tried() -> None:
    """Before the first byte as 504."""
    async with open_bench(TRUNKLINE_RELAY_TOTAL_TIMEOUT="200ms") as bench:
        (upstream,) = await bench.plan(says_nothing)
        answer = await bench.chat()
        assert (answer.status_code, answer.json()["error"]["reason"]) == (504, "DEADLINE_EXCEEDED")
        assert len(upstream.calls) == 1
        await eventually_async(lambda: bench.outcomes)
        assert bench.outcomes[0].result == pb.OUTCOME_RESULT_ABANDONED


async def test_a_pooled_connection_gone_stale_is_no_failure(bench: Bench) -> None:
    """An upstream may close an idle connection at any time: the request goes out again on a fresh one."""
    served = answers()

    async def once_a_connection(call: Call) -> None:
        if upstream.connections == 1 and len(upstream.calls) == 2:
            call.writer.close()
        else:
            await served(call)

    (upstream,) = await bench.plan(once_a_connection)
    assert (await bench.chat()).status_code == 200
    answer = await bench.chat()
    assert (answer.status_code, answer.headers["x-trunkline-attempts"]) == (200, "1")
    assert (upstream.connections, len(upstream.calls)) == (2, 3)


async def test_an_endless_error_is_cut(bench: Bench) -> None:
    """The relay keeps a bounded part of an error, and moves on."""

    async def endless(call: Call) -> None:
        await call.send(b"HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n")
        while not call.writer.is_closing():
            await call.chunk(b"e" * 60000)

    await bench.plan(endless)
    answer = await bench.chat()
    assert (answer.status_code, len(answer.content)) == (500, 256 << 10)


async def test_only_what_is_the_upstreams_business_reaches_it(bench: Bench) -> None:
    """The channel's key instead of the client's, the request id, the client's bytes."""
    (upstream,) = await bench.plan(answers(), header_overrides={"X-Extra": "1"})
    body = b' {"model" : "m" , "messages":[], "x": 1.0e2}'
    await bench.chat(body, {"cookie": "a=b", "x-request-id": "mine-1", "openai-beta": "b"})
    (call,) = upstream.calls
    assert call.line == "POST /v1/chat/completions HTTP/1.1"
    assert call.body == body
    assert call.headers["authorization"] == "Bearer sk-channel-1"
    assert call.headers["x-request-id"] == "mine-1"
    assert call.headers["x-extra"] == "1"
    assert call.headers["openai-beta"] == "b"
    assert "cookie" not in call.headers
    assert "sk-client" not in json.dumps(call.headers)


async def test_a_mapped_model_and_overridden_parameters_are_all_that_changes(bench: Bench) -> None:
    """A mapped model is spliced; overrides replace members."""
    (upstream,) = await bench.plan(answers(), upstream_model="up/ü")
    await bench.chat(b'{"model": "m", "temperature": 1, "big": 12345678901234567890.0 }')
    assert upstream.calls[0].body == '{"model": "up/ü", "temperature": 1, "big": 12345678901234567890.0 }'.encode()
    bench.router.plans["m"][0].parameter_overrides_json = '{"temperature": 0.5, "seed": 3}'
    await bench.chat(b'{"model": "m", "temperature": 1, "n": 2}')
    assert json.loads(upstream.calls[1].body) == {"model": "up/ü", "temperature": 0.5, "n": 2, "seed": 3}


async def test_a_channel_without_a_key_is_sent_none(bench: Bench) -> None:
    """Some upstreams need no credentials."""
    (upstream,) = await bench.plan(answers(), key_id=0, key="")
    assert (await bench.chat()).status_code == 200
    assert "authorization" not in upstream.calls[0].headers


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": "http://[broken"},
        {"base_url": "ftp://127.0.0.1/v1"},
        {"base_url": "http://nowhere.invalid/v1"},
        {"header_overrides": {"x-bad": "a\r\nb: c"}},
        {"header_overrides": {"x bad": "a"}},
        {"key": "sk-\n"},
        {"parameter_overrides_json": "3"},
    ],
    ids=["no url", "not http", "no such host", "line end in header", "no header name", "line end in key", "no object"],
)
async def test_a_channel_that_cannot_be_called_is_passed_over(bench: Bench, fields: dict[str, Any]) -> None:
    """A channel set up wrongly fails alone, and puts nothing of its own making on the wire."""
    first, _ = await bench.plan(answers(), answers())
    broken = bench.router.plans["m"][0]
    bench.router.plans["m"][0] = candidate(1, **({"base_url": broken.base_url} | fields))
    answer = await bench.chat()
    assert (answer.status_code, answer.headers["x-trunkline-channel-id"]) == (200, "2")
    assert not first.calls


async def test_a_key_that_was_withheld_is_the_relays_fault_not_the_channels(bench: Bench) -> None:
    """A relay whose token lacks `credentials` says 500 instead of calling upstreams without a key."""
    (upstream,) = await bench.plan(answers(), key="")
    assert (await bench.chat()).status_code == 500
    assert not upstream.calls


async def test_connections_are_kept_and_used_again(bench: Bench) -> None:
    """An answer read to its end leaves its connection to the next request; so does a stream."""
    (upstream,) = await bench.plan(answers())
    (streaming,) = await bench.plan(streams, model="s")
    for _ in range(3):
        await bench.chat()
        await bench.chat(b'{"model":"s"}')
    assert (upstream.connections, streaming.connections) == (1, 1)


async def test_an_empty_good_answer_is_a_good_answer(bench: Bench) -> None:
    """Nothing is as whole as anything."""

    async def empty(call: Call) -> None:
        await call.send(response(200, b""))

    await bench.plan(empty)
    answer = await bench.chat()
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("cut", [False, True], ids=["at once", "in two pieces"])
async def test_a_key_that_an_upstream_repeats_is_masked(bench: Bench, cut: bool) -> None:
    """In its error's body and headers, however the body is cut on its way; and in the headers of a success."""
    key = b"sk-channel-1"

    async def script(call: Call) -> None:
        body = b'{"error":{"message":"Incorrect API key provided: sk-channel-1","code":"sk-channel-1"}}'
        whole = response(401, body, extra="x-debug: sk-channel-1\r\n")
        middle = whole.rindex(key) + 4 if cut else len(whole)
        await call.send(whole[:middle])
        await call.send(whole[middle:])

    await bench.plan(script)
    async with bench.relay.http() as client:
        refused = await client.post(CHAT, content=b'{"model":"m"}')
        assert refused.status_code == 401
        assert b"Incorrect API key provided: ***" in refused.content
        assert key not in refused.content
        assert key.decode() not in str(refused.headers)
        await bench.plan(answers(x_debug="the key is sk-channel-1"))
        served = await client.post(CHAT, content=b'{"model":"m"}')
        assert served.status_code == 200
        assert key.decode() not in str(served.headers)
    await eventually_async(lambda: is_told(bench))
    assert all("sk-channel" not in outcome.error_code for outcome in bench.outcomes)


async def is_told(bench: Bench) -> bool:
    """Whether the router was told of anything."""
    return bool(bench.outcomes)
