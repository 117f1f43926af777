"""How streams end: refusals by themselves, callers that have gone in silence, faults as faults."""

from __future__ import annotations

import grpc
import pytest

from router_svc import streams
from router_svc.streams import refusals_alone
from trunkline.errors import Draining


async def fail(*failures: Exception, gone_after: int | None = 0) -> None:
    """End a stream by failures of its tasks; the caller is known to have gone when that was looked at so many times."""
    looks = 0

    def left() -> bool:
        nonlocal looks
        looks += 1
        return gone_after is not None and looks > gone_after

    async with refusals_alone(left):
        raise ExceptionGroup("", failures)


async def test_a_write_to_a_caller_that_has_gone_is_no_fault() -> None:
    """Whether that is known at once, or a moment later."""
    await fail(grpc.aio.InternalError())
    await fail(grpc.aio.InternalError(), ExceptionGroup("", [grpc.aio.InternalError()]), gone_after=3)


async def test_a_write_that_fails_while_the_caller_is_there_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not kept quiet, or nobody would ever hear of it."""
    monkeypatch.setattr(streams, "NOTICED", 0.02)
    with pytest.raises(ExceptionGroup):
        await fail(grpc.aio.InternalError(), gone_after=None)


async def test_any_other_fault_is_told_whoever_has_gone() -> None:
    """Only the write is excused by a caller that left."""
    with pytest.raises(ExceptionGroup):
        await fail(grpc.aio.InternalError(), ValueError())


async def test_a_refusal_comes_out_by_itself() -> None:
    """As what it is, not as a group."""
    with pytest.raises(Draining):
        await fail(grpc.aio.InternalError(), Draining())
