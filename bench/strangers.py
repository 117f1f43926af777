"""Clients without a key, and all that they can do to a relay. `python -m bench.strangers PORT COUNT`.

They speak to the loopback alone; their number and their pace are bounded. Each takes one of `WAYS` in turn and begins
anew, after a while, where the relay hangs up. The process gives way to all others (`nice 19`): on a machine of few cores it
would take the relay's own share of them, as no client elsewhere can. What the relay does for them is not bounded so.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

PACE: Final = 2.0  # seconds between two things that a stranger does
_HOST: Final = "127.0.0.1"
_GIVES_WAY: Final = 19
_DECLARED: Final = 30 << 20  # bytes of a body that is never finished
_SENT: Final = 4 << 20  # as many of them as its sender would send
_PIECE: Final = 64 << 10
_MENTIONS: Final = 10_000

Way = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_OFFER: Final = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n"


async def offers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send many offers of another protocol ahead, in one piece."""
    while True:
        writer.write(_OFFER * 50)
        await writer.drain()
        await asyncio.sleep(PACE)


async def slow_heads(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a head a byte at a time, and never the end of it."""
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(PACE)


async def garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send what is no HTTP, as often as the server lets one."""
    while True:
        writer.write(b"\x16\x03\x01" + b"\0" * 200)
        await writer.drain()
        await asyncio.sleep(PACE)


async def unfinished(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Promise a large body under a made-up key, and send some of it, as it is taken."""
    writer.write(_head(_DECLARED))
    for _piece in range(_SENT // _PIECE):
        writer.write(b" " * _PIECE)
        await writer.drain()


async def mentions(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send whole bodies that say "model" as often as any may, each under a made-up key."""
    body = b'{"model":"none","x":[' + b'"model",' * (_MENTIONS - 2) + b"1]}"
    while True:
        writer.write(_head(len(body)) + body)
        await writer.drain()
        await asyncio.sleep(PACE)


def _head(length: int) -> bytes:
    key = f"sk-{os.urandom(16).hex()}"
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


WAYS: Final[Mapping[str, Way]] = {
    "offers": offers,
    "slow heads": slow_heads,
    "garbage": garbage,
    "unfinished bodies": unfinished,
    "mentions": mentions,
}
"""What strangers do, each on its share of the connections."""


async def _stranger(port: int, way: Way, delay: float) -> None:
    await asyncio.sleep(delay)
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(_HOST, port)
            try:
                async with asyncio.TaskGroup() as tasks:
                    doing = tasks.create_task(_quietly(way, reader, writer))
                    while await reader.read(1 << 16):
                        pass
                    doing.cancel()
            finally:
                writer.close()
        await asyncio.sleep(PACE)


async def _quietly(way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await way(reader, writer)


async def attack(port: int, count: int, names: list[str]) -> None:
    """Be so many strangers, until cancelled."""
    ways = itertools.cycle(WAYS[name] for name in names or WAYS)
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(_stranger(port, next(ways), PACE * number / count))


if __name__ == "__main__":
    os.setpriority(os.PRIO_PROCESS, 0, _GIVES_WAY)
    asyncio.run(attack(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
