"""How long an upstream is waited for, and who is asked next: stalls, waits, other keys, the budget of retries."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.conftest import Bench, open_bench
from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.upstreams import SSE_HEAD, Call, Script, answers, completion, error, response, streams
from trunkline.v1 import router_pb2 as pb

STREAM = b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}'
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
ANNOUNCED = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"x","type":"message","role":"assistant",'
    b'"model":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
    b'event: ping\ndata: {"type":"ping"}\n\n'
)


def stalls(beginning: bytes) -> Script:
    """Begins a stream, and says no more."""

    async def script(call: Call) -> None:
        await call.send(SSE_HEAD)
        if beginning:
            await call.chunk(beginning)
        await call.until_gone()

    return script


def in_turn(*scripts: Script) -> Script:
    """Answers each request by the next script; the last one serves the rest."""
    left = list(scripts)

    async def script(call: Call) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(call)

    return script


def busy(**headers: str) -> Script:
    """A rate limit."""
    return answers(429, b'{"error":{"message":"no","code":"rate_limit_exceeded"}}', **headers)


# ---------------------------------------------------------------- streams that begin and say nothing

STALLED = {
    "its head": ("openai-compatible", b""),
    "its role": ("openai-compatible", ROLE),
    "a comment": ("openai-compatible", b": waiting\n\n"),
    "half an event": ("openai-compatible", ROLE[:40]),
    "its announcement, and is translated": ("anthropic", ANNOUNCED),
    "its head, and is translated": ("anthropic", b""),
}


@pytest.mark.parametrize(("provider", "beginning"), STALLED.values(), ids=STALLED.keys())
async def test_a_stream_that_sends_no_more_than(bench: Bench, provider: str, beginning: bytes) -> None:
    """Is given up after the channel's limit for the first byte, and the next candidate's answer is all the client sees."""
    stalled, good = await bench.upstream(stalls(beginning)), await bench.upstream(streams)
    first = candidate(1, stalled.base_url, provider=provider)
    first.timeouts.first_byte.FromMilliseconds(150)
    bench.router.plans["m"] = [first, candidate(2, good.base_url)]
    answer = await bench.chat(STREAM)
    assert (answer.status_code, answer.headers["x-trunkline-channel-id"]) == (200, "2")
    assert answer.content.startswith(b'data: {"id": "x"')
    assert answer.content.endswith(b"data: [DONE]\n\n")
    await eventually_async(lambda: len(bench.outcomes) == 2)
    assert [told.result for told in bench.outcomes] == [pb.OUTCOME_RESULT_READ_TIMEOUT, pb.OUTCOME_RESULT_SUCCESS]


@pytest.mark.parametrize("beginning", [b"", ROLE], ids=["head", "role"])
async def test_a_stream_idle_before_its_content_has_stalled_too(bench: Bench, beginning: bytes) -> None:
    """Whichever limit is the shorter: hanging up ends a stream's work."""
    await bench.plan(stalls(beginning), streams)
    bench.router.plans["m"][0].timeouts.idle.FromMilliseconds(150)
    answer = await bench.chat(STREAM)
    assert (answer.status_code, answer.headers["x-trunkline-channel-id"]) == (200, "2")


async def test_when_every_stream_stalls_the_client_is_told_before_any_byte(bench: Bench) -> None:
    """A status, not a stream that is broken off."""
    await bench.plan(stalls(ROLE), stalls(b""))
    for each in bench.router.plans["m"]:
        each.timeouts.first_byte.FromMilliseconds(100)
    answer = await bench.chat(STREAM)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (504, "UPSTREAM_TIMEOUT")
    assert answer.headers["x-trunkline-attempts"] == "2"


# ---------------------------------------------------------------- waiting


async def test_the_only_channel_is_waited_for_as_long_as_it_asks(bench: Bench) -> None:
    """Once, when that is short; then it is asked again, and it is the same channel."""
    asked_at: list[float] = []
    served = in_turn(busy(retry_after_ms="300"), answers())

    async def timed(call: Call) -> None:
        asked_at.append(time.monotonic())
        await served(call)

    await bench.plan(timed)
    started = time.monotonic()
    answer = await bench.chat()
    took = time.monotonic() - started
    assert (answer.status_code, answer.content) == (200, completion())
    assert answer.headers["x-trunkline-attempts"] == "2"
    assert asked_at[1] - asked_at[0] >= 0.3
    # What the upstream asked for is not the relay's own.
    assert float(answer.headers["x-trunkline-overhead-ms"]) / 1000 <= took - 0.3


async def test_a_channel_that_asks_for_longer_than_anyone_waits_is_not_waited_for(bench: Bench) -> None:
    """Its own error is the client's, with the time that it asked for."""
    (upstream,) = await bench.plan(busy(retry_after="30"))
    answer = await bench.chat()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
    assert len(upstream.calls) == 1


async def test_another_channel_comes_before_any_wait(bench: Bench) -> None:
    """However short it would be."""
    first, second = await bench.plan(busy(retry_after_ms="1"), answers())
    assert (await bench.chat()).headers["x-trunkline-channel-id"] == "2"
    assert (len(first.calls), len(second.calls)) == (1, 1)


async def test_a_request_waits_once(bench: Bench) -> None:
    """An upstream that goes on asking is believed."""
    (upstream,) = await bench.plan(busy(retry_after_ms="1"))
    assert (await bench.chat()).status_code == 429
    assert len(upstream.calls) == 2


# ---------------------------------------------------------------- other keys


async def keyed(bench: Bench, refused: Script) -> list[Call]:
    """Plan a channel with two keys of which the first is refused, and another channel between the two; the calls made."""
    calls: list[Call] = []
    served = answers()

    async def script(call: Call) -> None:
        calls.append(call)
        await (refused if call.headers["authorization"].endswith("first") else served)(call)

    upstream = await bench.upstream(script)
    bench.router.plans["m"] = [
        candidate(1, upstream.base_url, key_id=11, key="sk-first"),
        candidate(2, upstream.base_url, key_id=21, key="sk-other-channel"),
        candidate(1, upstream.base_url, key_id=12, key="sk-second"),
    ]
    return calls


@pytest.mark.parametrize(
    "refused",
    [error(401, "invalid_api_key"), error(402, "insufficient_quota"), error(429, "rate_limit_exceeded")],
    ids=["credential", "quota", "rate limit"],
)
async def test_what_is_a_keys_own_is_tried_with_the_channels_other_key_first(bench: Bench, refused: Script) -> None:
    """Where the plan names one: the same channel at the same price."""
    calls = await keyed(bench, refused)
    assert (await bench.chat()).status_code == 200
    assert [call.headers["authorization"] for call in calls] == ["Bearer sk-first", "Bearer sk-second"]
    await eventually_async(lambda: len(bench.outcomes) == 2)
    assert [(told.channel_id, told.key_id) for told in bench.outcomes] == [(1, 11), (1, 12)]


@pytest.mark.parametrize("refused", [error(404, "model_not_found"), error(500)], ids=["model", "trouble"])
async def test_what_is_the_channels_own_is_not_tried_with_its_other_key(bench: Bench, refused: Script) -> None:
    """It would say the same again."""
    calls = await keyed(bench, refused)
    assert (await bench.chat()).status_code == 200
    assert [call.headers["authorization"] for call in calls] == ["Bearer sk-first", "Bearer sk-other-channel"]


# ---------------------------------------------------------------- the budgets of retries


async def test_a_dead_model_spends_its_own_retries_and_no_other_models() -> None:
    """Of 50 models on the same channels one is dead: its retries end at a share, and whoever else needs one has it."""
    async with open_bench() as bench:
        upstreams = await bench.plan(*[error(404, "model_not_found")] * 3, model="dead", upstream_model="dead")
        flaky, good = await bench.upstream(error(500)), await bench.upstream(answers())
        for number in range(49):
            fields = {"upstream_model": f"up-{number}"}
            bench.router.plans[f"m{number}"] = [
                candidate(1, flaky.base_url, **fields),
                candidate(2, good.base_url, **fields),
            ]
        attempts: list[str] = []
        for number in range(49):
            dead = [await bench.chat(b'{"model":"dead"}') for _ in range(6)]
            attempts += [answer.headers["x-trunkline-attempts"] for answer in dead]
            answer = await bench.chat(b'{"model":"m%d"}' % number)
            assert (answer.status_code, answer.headers["x-trunkline-attempts"]) == (200, "2")
        assert attempts[:10] == ["3"] * 10
        assert "1" in attempts
        assert sum(len(upstream.calls) for upstream in upstreams) < 3 * len(attempts)


async def test_a_request_that_is_too_large_for_all_takes_no_retry_from_those_that_are_not() -> None:
    """It is the caller's doing: the same channel's failure under another's request is mended as ever."""
    async with open_bench() as bench:
        too_large = error(413)

        async def script(call: Call) -> None:
            await (too_large if b"large" in call.body else error(500))(call)

        async def second(call: Call) -> None:
            await (too_large if b"large" in call.body else answers())(call)

        await bench.plan(script, second)
        for _ in range(60):
            assert (await bench.chat(b'{"model":"m","large":1}')).status_code == 413
        assert (await bench.chat()).status_code == 200


async def test_a_wait_ends_with_the_request(bench: Bench) -> None:
    """A client that leaves while its upstream is waited for is let go, and nothing is asked again."""
    arrived: list[Any] = []

    async def script(call: Call) -> None:
        arrived.append(call)
        await call.send(response(429, b"{}", extra="retry-after-ms: 1500\r\n"))

    (upstream,) = await bench.plan(script)
    _, writer = await bench.relay.connect()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-client\r\n"
        b'content-length: 13\r\n\r\n{"model":"m"}'
    )
    await eventually_async(lambda: bool(bench.outcomes))
    writer.transport.abort()

    async def none_left() -> bool:
        async with bench.relay.http() as client:
            return "trunkline_relay_in_flight_requests 0.0" in (await client.get("/metrics")).text

    await eventually_async(none_left)
    assert len(upstream.calls) == 1
