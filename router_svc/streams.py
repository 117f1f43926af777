"""What all streams here have in common: how they are read, how they end on a drain, how their faults come out.

The law: on a drain a stream is read no further, but a message already taken is answered first. A refusal raised in a task
of a stream leaves it as that refusal, not as a group. A caller that leaves while it is written to ends its stream, and
that is no fault of anybody's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc

from trunkline.errors import Refused
from trunkline.telemetry import get_logger

log = get_logger()

T = TypeVar("T")


async def take_each(
    requests: AsyncIterator[T], take: Callable[[T, asyncio.TaskGroup], Awaitable[None]], drain: asyncio.Event
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

    with refusals_alone():
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(read(), name="read stream")
            watching = tasks.create_task(end_on_drain(), name="watch drain")
            await asyncio.wait({reading})
            watching.cancel()


@contextmanager
def refusals_alone() -> Iterator[None]:
    """Raise a refusal that comes out of a task group by itself; end quietly when all that failed was a write.

    gRPC says `InternalError` of a write to a caller that has gone, unless it happens to cancel the handler first.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        refused: BaseException | None = group.subgroup(Refused)
        while isinstance(refused, BaseExceptionGroup):
            refused = refused.exceptions[0]
        if refused is not None:
            raise refused from None
        if group.split(grpc.aio.InternalError)[1] is not None:
            raise
        log.debug("a caller left while it was answered")
