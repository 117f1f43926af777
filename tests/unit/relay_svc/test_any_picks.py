"""Picks in any order of asking, answering, deferring, giving up, lateness and breaking, by a clock that the test turns.

Law: every ask ends exactly once, by its deadline at the latest; one message is in flight; a pick waits for its message no
longer than GATHER while the router is idle, and not at all behind a message of few.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from relay_svc.plan import PickRefused, Plan
from relay_svc.router_client.call import CallEnded
from relay_svc.router_client.picks import (
    CROWD,
    GATHER,
    MAX_BATCH,
    ROUTERS_LIMIT,
    WELL_FILLED,
    Answer,
    PickStream,
    StreamBroke,
)
from tests.harness.fuzz import examples
from tests.unit.relay_svc.test_relay_pick_stream import PICK, Call
from tests.unit.relay_svc.timed import Timed
from trunkline.v1 import router_pb2 as pb

ANSWER_LIMIT = 0.05
TICK = 1e-6


@dataclass
class Asked:
    """A pick: when, and until when; how often its end was told."""

    answer: Answer
    at: float
    until: float
    told: int = 0


class Picks(RuleBasedStateMachine):
    """One stream after another."""

    def __init__(self) -> None:
        """Open the first."""
        super().__init__()
        self.loop = Timed()
        self.faults: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self.open()

    def open(self) -> None:
        """Open a stream; the router's first answer is there."""
        self.asked: dict[int, Asked] = {}
        self.unanswered: list[int] | None = None
        """The picks of the message in flight."""
        self.deferred: list[int] = []
        self.sent_at, self.few, self.idle_since = 0.0, True, self.loop.time()
        self.written: set[int] = set()
        self.loop.run_until_complete(self._open())
        self.call.write, self.unanswered = self.take, []  # type: ignore[method-assign]  # the double's
        self.answer_it(lambda _: True)

    async def _open(self) -> None:
        self.stream, self.call = PickStream("r", ANSWER_LIMIT), Call()
        self.running = self.loop.create_task(self.stream.run(self.call.connect, lambda: None))
        await asyncio.sleep(0)

    def take(self, message: bytes) -> None:
        """Look at a message that goes out."""
        numbers = [item.id for item in pb.PickChannelsRequest.FromString(message).items]
        assert self.unanswered is None
        assert 0 < len(numbers) <= MAX_BATCH
        assert not self.written & set(numbers)
        assert not any(self.asked[number].answer.done() for number in numbers)
        self.written |= set(numbers)
        self.unanswered, self.sent_at, self.few = numbers, self.loop.time(), len(numbers) < CROWD
        began = [max(self.asked[number].at, self.idle_since) for number in numbers]
        assert self.loop.time() - min(began) <= GATHER + TICK

    def answer_it(self, now: Callable[[int], bool]) -> None:
        """Answer the message in flight, some of its picks now."""
        assert self.unanswered is not None
        numbers, self.unanswered, self.idle_since = self.unanswered, None, self.loop.time()
        self.deferred += [number for number in numbers if not now(number)]
        self.call.answer(*(number for number in numbers if now(number)))

    # ------------------------------------------------------------ what happens

    @rule(
        count=st.sampled_from([1, 1, 2, CROWD - 1, CROWD, WELL_FILLED, WELL_FILLED + 1, MAX_BATCH + 3]),
        seconds=st.sampled_from([1.0, 0.01, GATHER / 2, 0.0]),
    )
    def ask(self, count: int, seconds: float) -> None:
        """Ask some picks in one turn."""
        if self.stream.broken:
            self.judge()
            self.open()
        for _ in range(count):
            self._ask(seconds)

    def _ask(self, seconds: float) -> None:
        now = self.loop.time()
        answer = self.stream.ask(PICK, ROUTERS_LIMIT, now + seconds)
        asked = self.asked[len(self.asked) + 1] = Asked(answer, now, now + seconds)

        def tell(_: object) -> None:
            asked.told += 1

        answer.add_done_callback(tell)

    @precondition(lambda self: self.unanswered is not None and not self.stream.broken)
    @rule(part=st.sampled_from([1, 1, 1, 2, 3, 1000]))
    def answer(self, part: int) -> None:
        """Answer the message in flight; only every so-many-th pick now."""
        self.answer_it(lambda number: number % part == 0)

    @precondition(lambda self: self.deferred and not self.stream.broken)
    @rule(count=st.integers(1, 300), refused=st.booleans())
    def answer_later(self, count: int, refused: bool) -> None:
        """Decide deferred picks, some of which nobody wants any more."""
        response = pb.PickChannelsResponse()
        for number in self.deferred[:count]:
            result = response.results.add(id=number)
            if refused:
                result.refusal.message = "no"
            else:
                result.plan.decision_id = f"d{number}"
        del self.deferred[:count]
        self.call._hear(response.SerializeToString())

    @precondition(lambda self: self.unanswered is None and not self.stream.broken)
    @rule()
    def answer_nothing(self) -> None:
        """Answer a message that was never sent."""
        self.call.answer()

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), count=st.integers(1, 40))
    def give_up(self, data: st.DataObject, count: int) -> None:
        """Cancel picks, whatever became of them."""
        first = data.draw(st.integers(1, len(self.asked)))
        for number in range(first, min(first + count, len(self.asked) + 1)):
            self.asked[number].answer.cancel()

    @rule(seconds=st.sampled_from([0.0, 0.0, GATHER / 3, GATHER, 0.02, ANSWER_LIMIT, 2.0]))
    def go_on(self, seconds: float) -> None:
        """Let time pass; only a message that goes unanswered breaks a stream."""
        stood = not self.stream.broken
        self.loop.go_on(seconds)
        if stood and self.stream.broken:
            assert self.unanswered is not None
            assert self.loop.time() >= self.sent_at + ANSWER_LIMIT - TICK
        self.look()

    @precondition(lambda self: not self.stream.broken)
    @rule(turned=st.booleans())
    def break_it(self, turned: bool) -> None:
        """End the call, or whoever runs the stream."""
        if turned:
            self.running.cancel()
        else:
            self.call.cancel("broken on purpose")
        self.loop.go_on()
        assert self.stream.broken
        self.look()

    # ------------------------------------------------------------ what holds

    def look(self) -> None:
        """Look at every ask, once all is done that was to be done."""
        now = self.loop.time()
        for number, asked in self.asked.items():
            assert asked.told == asked.answer.done()
            assert asked.answer.done() or (now < asked.until + TICK and not self.stream.broken)
            waits = not asked.answer.done() and number not in self.written
            if waits and self.unanswered is None:
                assert now - max(asked.at, self.idle_since) <= GATHER + TICK
                assert not self.few
        waiting = sum(not asked.answer.done() for asked in self.asked.values())
        assert self.stream.in_flight == waiting
        if self.stream.broken:
            left = [handle for handle in self.loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
            assert not [handle for handle in left if getattr(handle._callback, "__self__", None) is self.stream]
        if self.unanswered is not None and not self.stream.broken:
            assert now <= self.sent_at + ANSWER_LIMIT + TICK

    def judge(self) -> None:
        """Look at how all of a stream ended."""
        assert self.running.cancelled() or isinstance(self.running.exception(), CallEnded)
        for asked in self.asked.values():
            if not asked.answer.cancelled():
                end = asked.answer.exception() or asked.answer.result()
                assert isinstance(end, Plan | PickRefused | StreamBroke | TimeoutError)

    @invariant()
    def nobody_is_blamed(self) -> None:
        """No fault reaches the event loop."""
        assert not self.faults

    def teardown(self) -> None:
        """In the end, every ask has ended as one can."""
        self.loop.go_on(3.0)
        self.look()
        self.running.cancel()
        self.loop.go_on()
        self.judge()
        self.loop.close()
        assert not self.faults


def test_every_ask_ends_once_whatever_happens_in_any_order() -> None:
    """With what it ends with, by the clock."""
    run_state_machine_as_test(Picks, settings=settings(examples(150), stateful_step_count=30))
