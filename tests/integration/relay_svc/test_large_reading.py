"""Large bodies are read in a process of their own, and as if they were read here."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from relay_svc.errors import HttpRefusal
from relay_svc.large_bodies import LARGE, LargeBodies
from relay_svc.payload import PayloadFault, parse
from tests.harness.waiting import eventually_async
from tests.integration.relay_svc.conftest import Bench
from tests.integration.relay_svc.upstreams import answers

COUNT = LARGE // 4
MANY = {
    "a long string": b'{"model":"m","x":"' + b"a" * LARGE + b'"}',
    "escapes": b'{"x":"' + rb"\u00e9" * COUNT + b'","model":"m"}',
    "surrogates": b'{"x":"' + rb"\ud83d\ude00" * COUNT + b'","model":"m","stream":true}',
    "lone surrogates": b'{"x":"' + rb"\ud83d" * COUNT + b'","model":"m"}',
    "empty arrays": b'{"model":"m","x":[' + b"[]," * COUNT + b"1]}",
    "deep": b'{"model":"m","x":' + b"[" * COUNT + b"]" * COUNT + b"}",
    "numbers": b'{"model":"m","x":[' + b"1," * COUNT + b"1]}",
    "a huge number": b'{"model":"m","x":' + b"1" * LARGE + b"}",
    "keys": b'{"model":"m"' + b"".join(b',"k%d":1' % number for number in range(COUNT)) + b"}",
    "one key again and again": b'{"model":"m"' + b',"k":1' * COUNT + b"}",
    "mentions": b'{"x":[' + b'"model",' * 9_000 + b'1],"model":"m","y":"' + b"a" * LARGE + b'"}',
    "too many mentions": b'{"model":"m","x":[' + b'"model",' * COUNT + b"1]}",
    "two models": b'{"model":"m","x":"' + b"a" * LARGE + rb'","\u006dodel":"n"}',
    "no UTF-8": b'{"model":"m","x":"' + b"\xff" * LARGE + b'"}',
    "no JSON": b"{" * LARGE,
    "nothing": b" " * LARGE,
}


def here(body: bytes) -> object:
    """What is found in this process."""
    try:
        return parse(body)
    except PayloadFault as fault:
        return str(fault), fault.param


async def there(large: LargeBodies, body: bytes) -> object:
    """What is found in the other."""
    try:
        return await large.parse(body)
    except PayloadFault as fault:
        return str(fault), fault.param


def child_of(large: LargeBodies) -> int:
    """The process that reads."""
    child = vars(large)["_child"]
    assert child is not None
    return int(child.pid)


async def test_what_is_found_there_is_what_would_be_found_here() -> None:
    """The same model, place and stream, or the same fault, by one process for all."""
    large = LargeBodies(60.0)
    try:
        pids = set()
        for kind, body in MANY.items():
            assert await there(large, body) == here(body), kind
            pids.add(child_of(large))
        assert len(pids) == 1
        assert pids != {os.getpid()}
    finally:
        await large.aclose()


async def test_the_event_loop_turns_while_a_large_body_is_read() -> None:
    """Many turns, since what takes long is done elsewhere; read here it would be one."""
    large = LargeBodies(60.0)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    try:
        await large.parse(MANY["numbers"])
        async with asyncio.TaskGroup() as tasks:
            turning = tasks.create_task(turn())
            await large.parse(MANY["numbers"])
            turning.cancel()
        assert turns > 4
    finally:
        await large.aclose()


async def test_a_process_that_ended_is_replaced_and_one_that_was_cut_off_too() -> None:
    """A client that leaves, or the kernel that wants memory, costs the next body a start and no more."""
    large = LargeBodies(60.0)
    body = MANY["a long string"]
    try:
        await large.parse(body)
        first = child_of(large)
        os.kill(first, signal.SIGKILL)
        await eventually_async(lambda: is_replaced(large, first))
        assert await large.parse(body) == parse(body)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(large.parse(MANY["numbers"]))
            await asyncio.sleep(0)
            reading.cancel()
        assert await large.parse(body) == parse(body)
    finally:
        await large.aclose()


async def is_replaced(large: LargeBodies, first: int) -> bool:
    """Whether a body is read by another process; the one that noticed the end may be told to come again."""
    try:
        await large.parse(MANY["a long string"])
    except HttpRefusal:
        return False
    return child_of(large) != first


async def test_a_body_that_takes_too_long_is_told_to_come_again() -> None:
    """503, and the process that was at it is ended."""
    large = LargeBodies(0.001)
    with pytest.raises(HttpRefusal) as caught:
        await large.parse(MANY["numbers"])
    assert (caught.value.reason, caught.value.retry) == ("OVERLOADED", True)
    await large.aclose()


@pytest.mark.parametrize("kind", ["mentions", "a long string", "surrogates"])
async def test_a_large_body_goes_up_byte_for_byte(bench: Bench, kind: str) -> None:
    """Read elsewhere, sent on from here."""
    (upstream,) = await bench.plan(answers())
    assert (await bench.chat(MANY[kind])).status_code == 200
    sent = upstream.calls[0].body
    assert sent.endswith(MANY[kind][1:])


@pytest.mark.parametrize("kind", ["too many mentions", "two models", "no UTF-8", "deep"])
async def test_a_large_body_that_cannot_be_routed_is_the_clients_fault(bench: Bench, kind: str) -> None:
    """400 with the fault that a small one of its kind gets."""
    response = await bench.chat(MANY[kind])
    assert (response.status_code, response.json()["error"]["reason"]) == (400, "INVALID_BODY")
    assert not bench.router.picks
