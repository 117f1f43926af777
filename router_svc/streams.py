"""What all streams here have in common: how they are read, how they end on a drain, how their faults come out.

The law: on a drain a stream is read no further, but a message already taken is answered first. A refusal raised in a task
of a stream leaves it as that refusal, not as a group. A caller that leaves while it is written to ends its stream, and
that is no fault of anybody's; a write that fails while the caller is still there is one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar

import grpc

from trunkline.errors import Refused
from trunkline.telemetry import get_logger

log = get_logger()

T = TypeVar("T")

NOTICED: Final = 5.0
"""Seconds within which gRPC notices that a caller has gone, after a write to it failed."""
_LOOK: Final = 0.01
Left = Callable[[], bool]
"""Tells whether gRPC knows that the caller has gone: a context's `done`, within a handler."""


async def take_each(
    requests: AsyncIterator[T],
    take: Callable[[T, asyncio.TaskGroup], Awaitable[None]],
    drain: asyncio.Event,
    left: Left,
) -> None:
    """Take each message of a stream until it ends or the service drains, then wait for the tasks that were begun."""
    taking = asyncio.Lock()

    async def read() -> None:
        async for message in requests:
            async with taking:
                await take(message, tasks)

    async def end_on_drain() -> None:
        await drain.wait()
        async with taking:
            reading.cancel()

    async with refusals_alone(left), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read(), name="read stream")
        watching = tasks.create_task(end_on_drain(), name="watch drain")
        await asyncio.wait({reading})
        watching.cancel()


@asynccontextmanager
async def refusals_alone(left: Left) -> AsyncIterator[None]:
    """Raise a refusal that comes out of a task group by itself; end quietly when all that failed was a write to nobody.

    gRPC says `InternalError` of a write to a caller that has gone, and of one that failed for reasons of its own. That the
    caller has gone it finds out by itself, a moment later: what it has not found out in a while is a fault.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        refused: BaseException | None = group.subgroup(Refused)
        while isinstance(refused, BaseExceptionGroup):
            refused = refused.exceptions[0]
        if refused is not None:
            raise refused from None
        if group.split(grpc.aio.InternalError)[1] is not None or not await _has_left(left):
            raise
        log.debug("a caller left while it was answered")


async def _has_left(left: Left) -> bool:
    """See whether the caller has gone, or is known to have within a while; gRPC may as well cancel this wait by that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(NOTICED):
            while not left():  # noqa: ASYNC110 - gRPC has no event for it while the handler runs
                await asyncio.sleep(_LOOK)
    return left()
