"""How much is under way on the relay's own gRPC call: windows of any size, readers of any slowness.

Law: messages arrive whole and in order; nobody's slowness makes the other keep more than a bound.
"""

from __future__ import annotations

import asyncio
import socket

import h2.events
import h2.settings
import pytest
from hyperframe import frame as frames

from relay_svc.router_client.call import MOST_BYTES, Call
from tests.harness.waiting import eventually_async, turns
from tests.integration.relay_svc.clients import Line
from tests.integration.relay_svc.pick_peers import PATH, Far, calling, framed, nothing_left, on_each_loop, whom

GO = b"go"


@on_each_loop
async def test_messages_larger_than_every_window_come_whole() -> None:
    """One as large as can be, and many small ones behind it in one read."""
    sent = [bytes(range(256)) * (MOST_BYTES // 256), *(b"%d" % number for number in range(3000))]
    heard: list[bytes] = []

    async def manner(line: Line) -> None:
        far = await Far(line).begin()
        await far.answer(*sent)
        await far.until_gone()

    async with calling(manner, heard.append) as call:
        await eventually_async(lambda: len(heard) == len(sent))
        assert heard == sent
        assert not call._unread


@pytest.mark.parametrize(("window", "size"), [(1, 300), (65_535, 3 << 20), (1 << 24, 3 << 20)])
@on_each_loop
async def test_messages_go_as_fast_as_the_peer_reads(window: int, size: int) -> None:
    """And never faster; `h2` at the far end ends a connection whose windows are not heeded."""
    sent = [b"a" * size, b"", b"b" * 7]
    got: list[bytes] = []

    async def manner(line: Line) -> None:
        far = await Far(line).begin(INITIAL_WINDOW_SIZE=window)
        await far.answer(GO)
        while len(far.body) < len(framed(*sent)):
            read = (await far.until(h2.events.DataReceived)).flow_controlled_length
            if read:
                far.http.increment_flow_control_window(read)
                far.http.increment_flow_control_window(read, 1)
            await turns(1)
            await far.send()
        got.append(bytes(far.body))
        await far.until_gone()

    heard: list[bytes] = []
    async with calling(manner, heard.append) as call:
        await eventually_async(lambda: heard)
        for message in sent:
            call.write(message)
        await eventually_async(lambda: got)
        assert got == [framed(*sent)]
        assert not call._unsent


@on_each_loop
async def test_windows_that_change_midway_are_heeded() -> None:
    """Smaller than what is under way already, and then larger; frames of another size, too."""
    codes = h2.settings.SettingCodes
    message = b"x" * 300_000
    got: list[bytes] = []

    async def manner(line: Line) -> None:
        far = await Far(line).begin()
        await far.answer(GO)
        while len(far.body) < 65_535:
            await far.read()
        far.http.update_settings({codes.INITIAL_WINDOW_SIZE: 10, codes.MAX_FRAME_SIZE: 1 << 20})
        far.http.increment_flow_control_window(1 << 20)
        await far.send()
        await far.until(h2.events.SettingsAcknowledged)
        far.http.increment_flow_control_window(65_525, 1)  # so that nothing may go: the window was below zero
        far.http.ping(b"nothing?")
        await far.send()
        await far.until(h2.events.PingAckReceived)
        assert len(far.body) == 65_535
        far.http.update_settings({codes.INITIAL_WINDOW_SIZE: 1 << 20})
        await far.send()
        while len(far.body) < len(framed(message)):
            await far.read()
        got.append(bytes(far.body))
        await far.until_gone()

    heard: list[bytes] = []
    async with calling(manner, heard.append) as call:
        await eventually_async(lambda: heard)
        call.write(message)
        await eventually_async(lambda: got)
        assert got == [framed(message)]


@on_each_loop
async def test_a_peer_that_asks_without_reading_is_read_no_more() -> None:
    """What it asks for does not pile up; once it reads, all goes on."""
    heard, loop = list[bytes](), asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)  # what the kernel keeps
    async with nothing_left():
        call = Call(whom("router.test:1"), PATH, heard.append, secure=False)
        transport, _ = await loop.create_unix_connection(lambda: call, sock=ours)
        reader, writer = await asyncio.open_unix_connection(sock=theirs)
        far = await Far(Line(reader, writer, 1)).begin()
        asked = 0
        while transport.is_reading() or not writer.transport.get_write_buffer_size():
            assert transport.get_write_buffer_size() < 1 << 19
            if not writer.transport.get_write_buffer_size():
                writer.write(frames.PingFrame(0, opaque_data=b"are you?").serialize() * 100)
                asked += 100
            await turns()
        while sum(isinstance(event, h2.events.PingAckReceived) for event in far.seen) < asked:
            await far.read()
        await far.answer(GO)
        await eventually_async(lambda: heard == [GO])
        call.cancel("the test is over")
        await far.until_gone()
        writer.close()
