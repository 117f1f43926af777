"""The relay's own gRPC call, against peers that keep to HTTP/2 and peers that do not.

Law: whatever a peer does, the call goes on, or it ends once, with words that say why; its connection is gone then.
"""

from __future__ import annotations

import asyncio
import contextlib

import h2.errors
import h2.events
import h2.settings
import pytest
from hyperframe import frame as frames

from relay_svc.router_client.call import CallEnded, open_call
from relay_svc.router_client.call import Peer as Called
from relay_svc.router_client.picks import PickStream, StreamBroke
from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.clients import Line, Peer
from tests.integration.relay_svc.pick_endings import ENDINGS, answers
from tests.integration.relay_svc.pick_peers import (
    HEAD,
    PATH,
    TOKEN_TEXT,
    Far,
    calling,
    framed,
    nothing_left,
    on_each_loop,
    whom,
)
from trunkline.secret import Secret
from trunkline.v1 import router_pb2 as pb


@pytest.mark.parametrize("ending", ENDINGS)
@on_each_loop
async def test_a_call_ends_once_with_words_that_say_why(ending: str) -> None:
    """And closes the connection; what is written later goes nowhere."""
    act, words = ENDINGS[ending]
    gone = asyncio.Event()

    async def manner(line: Line) -> None:
        far = await Far(line).begin()
        await act(far)
        await far.until_gone()
        gone.set()

    async with calling(manner) as call:
        with pytest.raises(CallEnded) as ended:
            await call.ended
        assert str(ended.value) == words
        await gone.wait()
        call.write(b"more")
        call.cancel("again")


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("phase", range(4))
@on_each_loop
async def test_a_connection_that_is_lost_ends_the_call(phase: int, reset: bool) -> None:
    """As it is made, before and after its settings, in the middle of a message."""

    async def manner(line: Line) -> None:
        if phase == 1:
            await line.reader.read(1)
        far = await Far(line).begin() if phase > 1 else None
        if far and phase == 3:
            await answers(far, framed(b"message")[:7])
        if reset:
            line.reset()

    with contextlib.suppress(CallEnded):  # so early that it was not made
        async with calling(manner) as call:
            with pytest.raises(CallEnded, match="the connection was lost"):
                await call.ended


@on_each_loop
async def test_what_a_hearer_raises_ends_the_call() -> None:
    """Without a word of the message."""

    def hear(message: bytes) -> None:
        raise KeyError(message)

    async def manner(line: Line) -> None:
        far = await Far(line).begin()
        await far.answer(b"secret", b"never heard")
        await far.until_gone()

    async with calling(manner, hear) as call:
        with pytest.raises(CallEnded, match=r"^a message could not be read: KeyError$"):
            await call.ended


@on_each_loop
async def test_the_call_is_grpcs() -> None:
    """What a gRPC server looks at, and what a peer may and may not do."""
    asked: dict[str, str] = {}
    wants: dict[int, int] = {}

    async def manner(line: Line) -> None:
        far = await Far(line).begin()
        asked.update(far.asked)
        wants.update(far.http.remote_settings)
        await far.until_gone()

    async with calling(manner):
        await eventually_async(lambda: wants)
        assert asked.pop(":authority").startswith("127.0.0.1:")
        assert asked == {
            ":method": "POST",
            ":scheme": "http",
            ":path": PATH,
            "te": "trailers",
            "content-type": "application/grpc",
            "user-agent": "trunkline-relay",
            "authorization": f"Bearer {TOKEN_TEXT}",
        }
        codes = h2.settings.SettingCodes
        assert (wants[codes.ENABLE_PUSH], wants[codes.MAX_CONCURRENT_STREAMS]) == (0, 0)


@on_each_loop
async def test_what_http2_has_besides_does_not_disturb_a_call() -> None:
    """Pings are answered; early heads, priorities, unknown frames and others' resets are passed over."""
    heard: list[bytes] = []
    pong: list[bytes] = []

    async def manner(line: Line) -> None:
        far = await Far(line).begin()
        far.http.send_headers(1, [(":status", "103")])
        far.http.ping(b"12345678")
        await far.send(
            frames.PriorityFrame(1, depends_on=3).serialize()
            + frames.RstStreamFrame(3, error_code=2).serialize()
            + b"\0\0\3\xfa\0\0\0\0\1abc"
        )
        pong.append((await far.until(h2.events.PingAckReceived)).ping_data)
        await far.answer(b"", b"1")
        await far.until_gone()

    async with calling(manner, heard.append) as call:
        await eventually_async(lambda: heard == [b"", b"1"])
        assert pong == [b"12345678"]
        assert not call.ended.done()


@on_each_loop
async def test_a_router_that_goes_away_finishes_what_it_began() -> None:
    """GOAWAY says that no new calls are taken; what came before it in the same read, and what comes after, counts."""
    heard: list[bytes] = []

    async def manner(line: Line) -> None:
        far = await Far(line).begin()
        far.http.send_headers(1, HEAD)
        far.http.send_data(1, framed(b"before"))
        leaving = frames.GoAwayFrame(0, last_stream_id=(1 << 31) - 1).serialize()
        await far.send(leaving + frames.PingFrame(0, opaque_data=b"leaving!").serialize())
        await far.until(h2.events.PingAckReceived)
        await far.send(frames.GoAwayFrame(0, last_stream_id=1).serialize())
        await far.pour(framed(b"after"))
        while far.body != framed(b"more"):
            await far.read()
        far.http.send_headers(1, [("grpc-status", "0")], end_stream=True)
        await far.send()
        await far.until_gone()

    async with calling(manner, heard.append) as call:
        await eventually_async(lambda: heard == [b"before", b"after"])
        call.write(b"more")
        with pytest.raises(CallEnded, match=r"^OK: $"):
            await call.ended


@on_each_loop
async def test_a_peer_that_never_answers_is_given_up() -> None:
    """After the answer limit; the stream opens no link."""
    opened = False

    async def manner(line: Line) -> None:
        await line.until_gone()

    def note() -> None:
        nonlocal opened
        opened = True

    async with nothing_left(), Peer(manner).serving() as peer:
        stream = PickStream("r", 0.05)
        address = peer.url.split("/")[2]
        with pytest.raises(CallEnded, match="a message went unanswered"):
            await stream.run(lambda hear: open_call(whom(address), PATH, hear), note)
        assert not opened
        await eventually_async(lambda: not peer.open)


@pytest.mark.parametrize(
    "address",
    ["", "host", "[::1", "::1:1", "fd:3", "a b:1", "\0:1", f"{'a' * 70}:1", "..:1", "127.0.0.1:0", "127.0.0.1:65536"],
)
@on_each_loop
async def test_an_address_that_is_none_is_not_reached(address: str) -> None:
    """Whoever named it."""
    async with nothing_left():
        with pytest.raises(CallEnded, match="not connected: "):
            await open_call(whom(address), PATH, lambda _: None)


@on_each_loop
async def test_a_token_that_cannot_be_written_is_not_told() -> None:
    """Bytes of the environment that are no text."""
    async with nothing_left():
        with pytest.raises(CallEnded) as ended:
            await open_call(Called("127.0.0.1:1", Secret("t\udc80k")), PATH, lambda _: None)
        assert str(ended.value) == "not connected: UnicodeEncodeError"
        assert ended.value.__cause__ is None
        assert ended.value.__suppress_context__


@on_each_loop
async def test_a_pick_stream_over_a_raw_peer_answers_and_breaks() -> None:
    """One answer, and then the end: every pick is told."""

    async def manner(line: Line) -> None:
        far = await Far(line).begin()
        await far.answer(pb.PickChannelsResponse(answers_request=True).SerializeToString())
        await far.until_gone()

    async with nothing_left(), Peer(manner).serving() as peer:
        address = peer.url.split("/")[2]
        loop = asyncio.get_running_loop()
        opened = asyncio.Event()
        stream = PickStream("r", 0.1)
        running = loop.create_task(stream.run(lambda hear: open_call(whom(address), PATH, hear), opened.set))
        await opened.wait()
        answer = stream.ask(b"", 1, loop.time() + 5)
        with pytest.raises(CallEnded, match="a message went unanswered"):
            await running
        with pytest.raises(StreamBroke):
            await answer
        assert not stream.in_flight
