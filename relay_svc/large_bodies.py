"""Reads large JSON bodies in a process of its own: C code that parses tens of megabytes holds this one's event loop.

    relay ── 8 bytes of length, body ──▶ child ── payload.parse ──▶ 4 bytes of length, what was found ──▶ relay

The law: one body at a time, and each wait has a limit, the turn included. The child gets no environment and no secret but
what a body holds; it ends when its standard input does, so it outlives no relay. Whatever cuts an exchange off ends the
child, which would be out of step, and the next body gets a new one.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from typing import Final

import msgspec

from relay_svc import errors
from relay_svc.large_bodies_child import Fault, Found
from relay_svc.payload import Payload, PayloadFault

LARGE: Final = 1 << 20
"""Bytes from which a body is read there: parsing so many takes a few milliseconds, whatever they are."""
_SLICE: Final = 256 << 10
_CODE: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from relay_svc.large_bodies_child import main; main()"
)
_FOUND: Final = msgspec.json.Decoder(Found | Fault)


class LargeBodies:
    """Reads large bodies."""

    def __init__(self, time_limit: float) -> None:
        """Take the longest wait for a body to be read, in seconds. The process is started when it is first wanted."""
        self._time_limit = time_limit
        self._turn = asyncio.Lock()
        self._child: Process | None = None

    async def parse(self, body: bytes) -> Payload:
        """Read what routing needs, as `payload.parse` does. Raises PayloadFault, HttpRefusal."""
        try:
            async with asyncio.timeout(self._time_limit), self._turn:
                found = await self._asked(body)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            raise errors.overloaded("large bodies are being read") from None
        if isinstance(found, Fault):
            raise PayloadFault(found.message, found.param)
        return Payload(body, found.model, found.span, found.stream, found.beside)

    async def aclose(self) -> None:
        """End the process."""
        if self._child is not None:
            child, self._child = self._child, None
            _end(child)
            await child.wait()

    async def _asked(self, body: bytes) -> Found | Fault:
        child, self._child = self._child, None
        if child is None or child.returncode is not None:
            child = await _start()
        try:
            found = await _exchange(child, body)
        except BaseException:
            _end(child)
            raise
        self._child = child
        return found


async def _start() -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CODE, json.dumps(sys.path), stdin=PIPE, stdout=PIPE, env={}, start_new_session=True
    )


async def _exchange(child: Process, body: bytes) -> Found | Fault:
    into, out = child.stdin, child.stdout
    assert into is not None  # noqa: S101 - both were asked for
    assert out is not None  # noqa: S101
    into.write(len(body).to_bytes(8, "big"))
    view = memoryview(body)
    for start in range(0, len(body), _SLICE):
        into.write(view[start : start + _SLICE])
        await into.drain()
    size = int.from_bytes(await out.readexactly(4), "big")
    found: Found | Fault = _FOUND.decode(await out.readexactly(size))
    return found


def _end(child: Process) -> None:
    if child.returncode is None:
        child.kill()
