"""Picks on their stream, over a call that the test answers: an ask ends with an answer or a fault, never in silence."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from relay_svc.plan import Asked
from relay_svc.router_client.call import CallEnded
from relay_svc.router_client.picks import MAX_BATCH, ROUTERS_LIMIT, Answer, PickStream, StreamBroke
from relay_svc.router_client.wire import duration, pick_of
from tests.harness.waiting import eventually_async, turns
from trunkline.secret import Secret
from trunkline.v1 import error_reason_pb2
from trunkline.v1 import router_pb2 as pb

PICK = pick_of(Asked(Secret("k"), "m", "::1", 3))


class Call:
    """A call whose messages the test reads and answers."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.written: list[list[int]] = []
        """The numbers of each message's picks."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, hear: Callable[[bytes], None]) -> Call:
        """Open it."""
        self._hear = hear
        return self

    def write(self, message: bytes) -> None:
        """Keep it."""
        self.written.append([item.id for item in pb.PickChannelsRequest.FromString(message).items])

    def answer(self, *numbers: int, senseless: pb.PickChannelsResponse.Result | None = None) -> None:
        """Answer the message in flight, with a plan for each of these, after what makes no sense."""
        response = pb.PickChannelsResponse(answers_request=True, results=[senseless] if senseless else [])
        for number in numbers:
            response.results.add(id=number).plan.decision_id = f"d{number}"
        self._hear(response.SerializeToString())

    def cancel(self, why: str) -> None:
        """End it."""
        if not self.ended.done():
            self.ended.set_exception(CallEnded(why))
            self.ended.exception()


@contextlib.asynccontextmanager
async def running(answer_limit: float = 5.0) -> AsyncIterator[tuple[PickStream, Call]]:
    """A stream that is open; no future of it is left with a fault that nobody was told."""
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    stream, call, opened = PickStream("r", answer_limit), Call(), asyncio.Event()
    task = asyncio.get_running_loop().create_task(stream.run(call.connect, opened.set))
    await turns()
    call.answer()
    await opened.wait()
    try:
        yield stream, call
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
        gc.collect()
        await turns()
        assert not unheard


def ask(stream: PickStream, seconds: float = 5.0) -> Answer:
    """Ask, as the client does."""
    return stream.ask(PICK, ROUTERS_LIMIT, asyncio.get_running_loop().time() + seconds)


async def test_picks_behind_a_batch_that_everyone_gave_up_are_asked() -> None:
    """However many left while the router was busy, the next is asked, and so is every one after it."""
    async with running() as (stream, call):
        first = ask(stream)
        await eventually_async(lambda: len(call.written) == 2)
        given_up = [ask(stream) for _ in range(2 * MAX_BATCH)]
        behind = [ask(stream) for _ in range(2)]
        for answer in given_up:
            answer.cancel()
        call.answer(1)
        assert (await first).decision_id == "d1"
        numbers = [2 * MAX_BATCH + 2, 2 * MAX_BATCH + 3]
        await eventually_async(lambda: call.written[2:] == [numbers])
        call.answer(*numbers)
        assert [(await answer).decision_id for answer in behind] == [f"d{number}" for number in numbers]
        assert not stream.in_flight


async def test_a_pick_ends_at_its_deadline_and_is_forgotten() -> None:
    """Its answer, if it comes after all, is nobody's."""
    async with running() as (stream, call):
        answer = ask(stream, 0.02)
        with pytest.raises(TimeoutError):
            await answer
        assert not stream.in_flight
        call.answer(1)
        other = ask(stream)
        await eventually_async(lambda: call.written[-1] == [2])
        call.answer(2)
        assert (await other).decision_id == "d2"


async def test_a_message_that_goes_unanswered_breaks_the_stream_under_all_its_picks() -> None:
    """Those in it and those behind it; and nothing more can be asked there."""
    async with running(0.05) as (stream, _):
        first, second = ask(stream), ask(stream)
        for answer in (first, second):
            with pytest.raises(StreamBroke):
                await answer
        with pytest.raises(StreamBroke):
            ask(stream)


async def test_a_pick_whose_asker_leaves_as_the_stream_breaks_leaves_no_fault_behind() -> None:
    """Neither unheard nor in the way of the others."""
    async with running(0.05) as (stream, _):

        async def wait() -> None:
            await ask(stream)

        tasks = [asyncio.get_running_loop().create_task(wait()) for _ in range(3)]
        await turns()
        tasks[0].cancel()
        await eventually_async(lambda: stream.broken)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert tasks[0].cancelled()
        assert isinstance(tasks[2].exception(), StreamBroke)
        assert tasks[1].cancelled() or isinstance(tasks[1].exception(), StreamBroke)


async def test_an_answer_that_makes_no_sense_is_its_askers_fault_and_nobody_elses() -> None:
    """A delay that no clock can hold: those in the same message get their plans, and the stream goes on."""
    refusal = pb.Refusal(reason=error_reason_pb2.ERROR_REASON_UNVERIFIED, retry_delay=duration(1e15))
    async with running() as (stream, call):
        senseless, others = ask(stream), [ask(stream) for _ in range(2)]
        await eventually_async(lambda: call.written[-1] == [1, 2, 3])
        call.answer(2, 3, senseless=pb.PickChannelsResponse.Result(id=1, refusal=refusal))
        with pytest.raises(OverflowError):
            await senseless
        assert [(await answer).decision_id for answer in others] == ["d2", "d3"]
        later = ask(stream)
        await eventually_async(lambda: call.written[-1] == [4])
        call.answer(4)
        assert (await later).decision_id == "d4"
        assert not stream.in_flight
        assert not stream.broken
