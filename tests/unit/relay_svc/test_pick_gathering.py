"""When picks go out: together or alone, at once or a moment later, by a clock that passes only when all else is done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relay_svc.plan import Asked
from relay_svc.router_client.picks import (
    _SURELY_SMALL,
    CROWD,
    GATHER,
    MAX_BATCH,
    MOST_BYTES,
    ROUTERS_LIMIT,
    WELL_FILLED,
    Answer,
    PickStream,
    StreamBroke,
)
from relay_svc.router_client.wire import pick_of
from tests.harness.waiting import pace, turns
from tests.unit.relay_svc.test_relay_pick_stream import ask, running
from tests.unit.relay_svc.timed import by_the_clock
from trunkline.secret import Secret

FIRST = range(1, CROWD + 1)


def several(stream: PickStream, count: int) -> list[Answer]:
    """Ask some in one turn."""
    answers = [ask(stream) for _ in range(count)]
    for answer in answers:
        answer.add_done_callback(
            lambda over: over.cancelled() or over.exception()
        )  # what becomes of it is not the question
    return answers


def now() -> float:
    """What the clock says."""
    return asyncio.get_running_loop().time()


@by_the_clock
async def test_picks_of_one_turn_travel_together_and_one_message_is_in_flight() -> None:
    """What comes while it is, waits for its answer."""
    async with running() as (stream, call):
        began = now()
        several(stream, 3)
        await turns(1)
        assert call.written[1:] == [[1, 2, 3]]
        several(stream, 2)
        await turns()
        assert len(call.written) == 2
        assert now() == began
        call.answer(1, 2, 3)
        await pace(GATHER)
        await turns()
        assert call.written[2:] == [[4, 5]]


@pytest.mark.parametrize("few", [1, CROWD - 1])
@by_the_clock
async def test_a_pick_behind_a_message_of_few_never_waits(few: int) -> None:
    """Whether it was there before the answer or came later."""
    async with running() as (stream, call):
        began = now()
        several(stream, few)
        await turns()
        several(stream, few)
        call.answer()
        await turns(1)
        assert list(map(len, call.written)) == [0, few, few]
        call.answer()
        await turns()
        several(stream, 1)
        await turns(1)
        assert len(call.written[3]) == 1
        assert now() == began


@by_the_clock
async def test_behind_a_crowd_picks_are_gathered_for_a_moment() -> None:
    """And never beyond it; a moment in which none came is over, too."""
    async with running() as (stream, call):
        several(stream, CROWD)
        await turns()
        call.answer(*FIRST)
        await turns()
        several(stream, 1)
        await pace(GATHER * 0.75)
        several(stream, 1)
        await turns()
        assert len(call.written) == 2
        await pace(GATHER * 0.25)
        await turns()
        assert call.written[2:] == [[CROWD + 1, CROWD + 2]]
        call.answer()
        await pace(GATHER)
        await turns()
        began = now()
        several(stream, 1)
        await turns(1)
        assert (call.written[3:], now()) == ([[CROWD + 3]], began)


@by_the_clock
async def test_a_message_that_is_well_filled_goes_at_once() -> None:
    """With whatever else the turn asks; whether it fills before the answer, just behind it, or while picks are gathered."""
    async with running() as (stream, call):
        began = now()
        several(stream, CROWD)
        await turns()
        several(stream, WELL_FILLED)
        call.answer(*FIRST)
        await turns()
        assert list(map(len, call.written)) == [0, CROWD, WELL_FILLED]
        call.answer()
        several(stream, WELL_FILLED + 1)
        await turns()
        assert len(call.written[3]) == WELL_FILLED + 1
        call.answer()
        await turns()
        several(stream, WELL_FILLED - 1)
        await turns()
        assert len(call.written) == 4
        several(stream, 2)
        await turns()
        assert len(call.written[4]) == WELL_FILLED + 1
        assert now() == began


@by_the_clock
async def test_more_than_a_message_holds_goes_in_two() -> None:
    """The second as soon as the first is answered."""
    async with running() as (stream, call):
        several(stream, MAX_BATCH + WELL_FILLED)
        began = now()
        await turns()
        call.answer()
        await turns()
        assert list(map(len, call.written)) == [0, MAX_BATCH, WELL_FILLED]
        assert now() == began


@by_the_clock
async def test_picks_that_are_large_together_go_in_several_messages() -> None:
    """None of which a router finds too large: that would end the stream for everybody. None is left out."""
    excluded = tuple(range(1 << 40, (1 << 40) + 4096))
    large = pick_of(Asked(Secret("k" * 256), "\U0001f600" * 1024, "::1", 16, 0, excluded))
    assert len(large) * MAX_BATCH > MOST_BYTES
    assert len(large) * _SURELY_SMALL < MOST_BYTES
    async with running() as (stream, call):
        sizes: list[int] = []
        write = call.write

        def weigh(message: bytes) -> None:
            sizes.append(len(message))
            write(message)

        call.write = weigh  # type: ignore[method-assign]
        answers = [stream.ask(large, ROUTERS_LIMIT, now() + 5) for _ in range(MAX_BATCH)]
        await turns()
        while sum(map(len, call.written)) < MAX_BATCH:
            before = len(call.written)
            call.answer(*call.written[-1])
            await pace(GATHER)  # the last ones are few
            await turns()
            assert len(call.written) > before
        assert max(sizes) <= MOST_BYTES
        assert sorted(number for message in call.written for number in message) == [answer.number for answer in answers]
        call.answer(*call.written[-1])
        await turns()
        assert all(answer.done() for answer in answers)


@by_the_clock
async def test_a_stream_that_breaks_while_picks_are_gathered_leaves_nothing_behind() -> None:
    """No timer, no pick, no message."""
    loop: Any = asyncio.get_running_loop()
    async with running() as (stream, call):
        several(stream, CROWD)
        await turns()
        call.answer(*FIRST)
        await turns()
        answer = ask(stream)
        assert [handle for handle in loop._scheduled if handle._callback == stream._send]
        call.cancel("broken on purpose")
        with pytest.raises(StreamBroke):
            await answer
        await pace(GATHER * 2)
        assert not [handle for handle in loop._scheduled if handle._callback == stream._send and not handle.cancelled()]
        assert len(call.written) == 2
        assert not stream.in_flight


@by_the_clock
async def test_an_answer_to_nothing_changes_nothing() -> None:
    """A router that says twice that it has answered does not get two messages at once."""
    async with running() as (stream, call):
        several(stream, CROWD)
        await turns()
        call.answer(*FIRST)
        call.answer()
        await turns()
        several(stream, 1)
        call.answer()
        await pace(GATHER)
        await turns()
        several(stream, 1)
        await pace(GATHER * 2)
        assert call.written[2:] == [[CROWD + 1]]
