"""Large bodies over real sockets: identity before memory, room for a bounded number of bytes, a bound for each path."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from relay_svc.model_member import MOST_AT_ONCE
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.relay_svc.conftest import CHAT, HEADERS, Bench, open_bench
from tests.integration.relay_svc.upstreams import answers

SIZE = 30 << 20
OFFERED = 8 << 20
"""Bytes that a hostile client sends at most: all that the relay does not keep out it would hold."""
CLIENTS = 40
OF_ONE_PEER = 2
"""Made-up keys of one address that routers are asked about at a time."""
PAGE = os.sysconf("SC_PAGE_SIZE")


def head_of(key: str, length: int, path: str = CHAT) -> bytes:
    """A request's head that promises a body."""
    return (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n".encode()
    )


CHUNKED = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-made-up\r\ntransfer-encoding: chunked\r\n\r\n"
FORM = (
    "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-made-up\r\n"
    f"content-type: multipart/form-data; boundary=b\r\ncontent-length: {SIZE}\r\n\r\n"
)


def held() -> int:
    """Bytes that this process, and so the relay within it, holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


async def pour(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send as much as is taken of what is offered."""
    for _ in range(OFFERED // len(piece)):
        writer.write(piece)
        await writer.drain()


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (head_of("sk-made-up", SIZE), b" " * 65536),
        (CHUNKED.encode(), b"10000\r\n" + b" " * 65536 + b"\r\n"),
        (FORM.encode(), b" " * 65536),
    ],
    ids=["length", "chunked", "form"],
)
async def test_bodies_with_made_up_keys_hold_next_to_nothing_while_no_router_knows_them(
    head: bytes, piece: bytes
) -> None:
    """Not while routers are asked either; and a caller who is known is served meanwhile."""
    async with open_bench() as bench:
        await bench.plan(answers(), answers())
        assert (await bench.chat()).status_code == 200
        bench.router.withholds_models = True
        before = held()
        clients = [await bench.relay.connect() for _ in range(CLIENTS)]
        async with asyncio.TaskGroup() as tasks:
            pouring = []
            for _, writer in clients:
                writer.write(head)
                pouring.append(tasks.create_task(pour(writer, piece)))
            await eventually_async(lambda: _all_asked(bench))
            assert (await bench.chat()).status_code == 200
            assert held() - before < 64 << 20
            assert bench.router.listings == OF_ONE_PEER
            for each in pouring:
                each.cancel()
        for _, writer in clients:
            writer.transport.abort()


async def _all_asked(bench: Bench) -> bool:
    return bench.router.listings >= OF_ONE_PEER


async def test_a_made_up_key_is_refused_before_its_body_has_come() -> None:
    """401 as a router proved it, after one small part of the body; nothing is picked for."""
    async with open_bench() as bench:
        reader, writer = await bench.relay.connect()
        writer.write(head_of("sk-made-up", SIZE) + b'{"x":"')
        assert await answer_of(reader) == (401, "API_KEY_UNKNOWN")
        assert not bench.router.picks
        writer.close()


async def test_a_known_key_is_asked_about_once() -> None:
    """Its later large bodies cost no call; small ones never do."""
    async with open_bench() as bench:
        (upstream,) = await bench.plan(answers())
        large = b'{"model":"m","messages":[],"x":"' + b"a" * (1 << 20) + b'"}'
        assert (await bench.chat()).status_code == 200
        assert bench.router.listings == 0
        for _ in range(3):
            assert (await bench.chat(large)).status_code == 200
        assert bench.router.listings == 1
        assert upstream.calls[-1].body == large


async def test_when_no_router_can_say_who_it_is_the_client_may_come_again() -> None:
    """503, retryable: what cannot be proven is no flat no."""
    async with open_bench(TRUNKLINE_RELAY_PICK_TIMEOUT="300ms") as bench:
        bench.router.withholds_models = True
        reader, writer = await bench.relay.connect()
        writer.write(head_of("sk-made-up", SIZE))
        assert await answer_of(reader) == (503, "ROUTER_UNREACHABLE")
        writer.close()


async def test_made_up_keys_of_one_address_wait_for_each_other_and_for_so_long() -> None:
    """Those whose turn does not come are told to come again; the line is empty afterwards."""
    async with open_bench(TRUNKLINE_RELAY_PICK_TIMEOUT="500ms") as bench:
        bench.router.withholds_models = True
        clients = [await bench.relay.connect() for _ in range(6)]
        for number, (_, writer) in enumerate(clients):
            writer.write(head_of(f"sk-made-up-{number}", SIZE))
        reasons = sorted([(await answer_of(reader))[1] for reader, _ in clients])
        # The turns of the first may end in the very moment in which the wait of the others does.
        assert set(reasons) == {"OVERLOADED", "ROUTER_UNREACHABLE"}
        assert OF_ONE_PEER <= bench.router.listings < len(clients)
        bench.router.withholds_models = False
        reader, writer = await bench.relay.connect()
        writer.write(head_of("sk-made-up", SIZE))
        assert await answer_of(reader) == (401, "API_KEY_UNKNOWN")
        for _, each in clients:
            each.close()
        writer.close()


async def test_bodies_beyond_the_room_wait_and_are_told_to_come_again() -> None:
    """Room is given back when a request ends, however it ends."""
    key = HEADERS["authorization"].removeprefix("Bearer ")
    settings = {
        "TRUNKLINE_RELAY_MAX_BODY_BYTES_IN_FLIGHT": str(1 << 20),
        "TRUNKLINE_RELAY_BODY_ROOM_TIMEOUT": "300ms",
    }
    async with open_bench(**settings) as bench:
        await bench.plan(answers())
        _, first = await bench.relay.connect()
        first.write(head_of(key, 900_000) + b"{")
        await eventually_async(lambda: _asked(bench, 1))
        reader, second = await bench.relay.connect()
        second.write(head_of(key, 900_000) + b"{")
        assert await answer_of(reader) == (503, "OVERLOADED")
        assert (await bench.chat()).status_code == 200  # a small body needs no room
        first.transport.abort()
        body = b'{"model":"m","x":"' + b"a" * 900_000 + b'"}'

        async def served() -> bool:
            return (await bench.chat(body)).status_code == 200

        await eventually_async(served)
        second.close()


async def _asked(bench: Bench, times: int) -> bool:
    return bench.router.listings >= times


@pytest.mark.parametrize(
    ("path", "largest", "reason"),
    [
        (CHAT, 32 << 20, lambda said: said["error"]["reason"]),
        ("/v1/embeddings", 16 << 20, lambda said: said["error"]["reason"]),
        ("/v1/audio/speech", 1 << 20, lambda said: said["error"]["reason"]),
        ("/v1/messages", 32 << 20, lambda said: said["error"]["reason"]),
        ("/v1beta/models/m:generateContent", 32 << 20, lambda said: said["error"]["details"][0]["reason"]),
    ],
)
async def test_each_path_has_a_largest_body_and_says_so(
    bench: Bench, path: str, largest: int, reason: Callable[[object], str]
) -> None:
    """413 in the words of the path's clients, with the bound and the setting in it."""
    reader, writer = await bench.relay.connect()
    writer.write(head_of("sk-any", largest + 1, path))
    status, said = await json_of(reader)
    assert (status, reason(said)) == (413, "BODY_TOO_LARGE")
    assert f"{largest} bytes" in str(said)
    assert "TRUNKLINE_RELAY_MAX_BODY_BYTES" in str(said)
    writer.close()


async def json_of(reader: asyncio.StreamReader) -> tuple[int, object]:
    """Read one response: its status and its JSON."""
    async with asyncio.timeout(PATIENCE):
        line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        length = next(int(field.split(":")[1]) for field in fields if field.lower().startswith("content-length"))
        return int(line.split()[1]), json.loads(await reader.readexactly(length))


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Read one refusal: its status and reason."""
    status, said = await json_of(reader)
    assert isinstance(said, dict)
    return status, said["error"]["reason"]


def mentioning(times: int) -> bytes:
    """A body that says "model" so often."""
    return b'{"model":"m","messages":[],"x":[' + b'"model",' * (times - 2) + b'{"model":1}]}'


async def test_a_body_that_is_long_to_read_is_not_read_for_a_made_up_key() -> None:
    """Ten thousand mentions of `model` held the event loop as long as a hundred requests; a router says first who asks."""
    async with open_bench() as bench:
        reader, writer = await bench.relay.connect()
        body = mentioning(MOST_AT_ONCE + 1)
        writer.write(head_of("sk-made-up", len(body)) + body)
        assert await answer_of(reader) == (401, "API_KEY_UNKNOWN")
        assert not bench.router.picks
        writer.close()


@pytest.mark.parametrize("times", [MOST_AT_ONCE, MOST_AT_ONCE + 1, 5000])
async def test_a_known_key_may_mention_models_as_often_as_it_likes(times: int) -> None:
    """Such a body is read in another process, and goes up as it came."""
    async with open_bench() as bench:
        (upstream,) = await bench.plan(answers())
        assert (await bench.chat(mentioning(times))).status_code == 200
        assert upstream.calls[-1].body == mentioning(times)
        assert bench.router.listings == (times > MOST_AT_ONCE)
