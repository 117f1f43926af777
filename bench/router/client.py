"""A caller of one router in a process of its own: `python -m bench.router.client ADDRESS CHANNELS MODE IN_FLIGHT SECONDS`.

MODE is `unary`, `stream` or `paced`. Prints how many picks it had answered, and their times, as JSON. On the stream it keeps
so many picks in flight as a relay does: what was answered is asked anew, all in one message, one message at a time; and it
reports one outcome a pick, gathered over a tenth of a second. Paced, it asks on the stream IN_FLIGHT times a second, one pick
at a time, each counted from when it was due, until its time is over or it is asked to end (SIGTERM).
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from typing import Any, Final

import grpc

from bench.router.catalogs import API_KEY, EACH, served
from trunkline.rpc import dial
from trunkline.secret import Secret
from trunkline.v1 import router_pb2 as pb
from trunkline.v1 import router_pb2_grpc

TOKEN: Final = "the-service-token"  # noqa: S105 - of this benchmark
_GATHER: Final = 0.1  # seconds, as the relay


class Caller:
    """Asks until its time is over."""

    def __init__(self, stub: Any, metadata: Any, channels: int, end: float) -> None:
        """Take a stub, how many channels the router has, and when to end (monotonic)."""
        self._stub, self._metadata, self._channels, self._end = stub, metadata, channels, end
        self.picks = 0
        self.ended = False
        self.seconds: list[float] = []
        """Time of each call or message."""
        self._done: list[pb.Outcome] = []

    async def unary(self) -> None:
        """Pick one by one."""
        while time.monotonic() < self._end:
            began = time.monotonic()
            await self._stub.PickChannel(
                pb.PickChannelRequest(pick=self._pick()), metadata=self._metadata, timeout=10.0
            )
            self.seconds.append(time.monotonic() - began)
            self.picks += 1

    async def stream(self, in_flight: int) -> None:
        """Pick in messages."""
        call = self._stub.PickChannels(metadata=self._metadata)
        async with asyncio.TaskGroup() as tasks:
            reporting = tasks.create_task(self._report())
            while time.monotonic() < self._end:
                began = time.monotonic()
                items = [pb.PickChannelsRequest.Item(id=number, pick=self._pick()) for number in range(in_flight)]
                await call.write(pb.PickChannelsRequest(items=items))
                answer = await call.read()
                self.seconds.append(time.monotonic() - began)
                if len(answer.results) != in_flight or not answer.results[0].HasField("plan"):
                    raise RuntimeError("the router did not answer every pick by a plan")
                self.picks += in_flight
                self._done += [_outcome(result.plan) for result in answer.results]
            reporting.cancel()
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass

    async def paced(self, each_second: int) -> None:
        """Pick at a pace, as a relay does: one message is under way, and what is due meanwhile goes together in the next."""
        call = self._stub.PickChannels(metadata=self._metadata)
        due = time.monotonic()
        while time.monotonic() < self._end and not self.ended:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            dues = [due]
            while (due := due + 1 / each_second) <= time.monotonic():
                dues.append(due)
            items = [pb.PickChannelsRequest.Item(id=number, pick=self._pick()) for number in range(1, len(dues) + 1)]
            await call.write(pb.PickChannelsRequest(items=items))
            answer = await call.read()
            self.seconds += [time.monotonic() - due for due in dues]
            if answer is grpc.aio.EOF or [result.HasField("plan") for result in answer.results] != [True] * len(dues):
                raise RuntimeError("the router did not answer every pick by a plan")
            self.picks += len(dues)
        await call.done_writing()

    def _pick(self) -> pb.Pick:
        name = served(random.randint(1, self._channels), random.randrange(EACH))
        return pb.Pick(api_key=API_KEY, model=name, client_address="10.0.0.1")

    async def _report(self) -> None:
        call = self._stub.ReportOutcomes(metadata=self._metadata)
        while True:
            await asyncio.sleep(_GATHER)
            while self._done:
                batch, self._done = self._done[:1024], self._done[1024:]
                await call.write(pb.ReportOutcomesRequest(outcomes=batch))
                await call.read()


def _outcome(plan: pb.Plan) -> pb.Outcome:
    chosen = plan.candidates[0]
    return pb.Outcome(
        decision_id=plan.decision_id,
        request_id=plan.decision_id,
        attempt=1,
        channel_id=chosen.channel_id,
        key_id=chosen.key_id,
        result=pb.OUTCOME_RESULT_SUCCESS,
        http_status=200,
    )


async def run(address: str, channels: int, mode: str, in_flight: int, seconds: float) -> dict[str, Any]:
    """Call, and tell what came of it."""
    dialled = dial(address, Secret(TOKEN))
    stub: Any = router_pb2_grpc.RouterServiceStub(dialled.channel)
    caller = Caller(stub, dialled.metadata, channels, time.monotonic() + seconds)
    if mode == "unary":
        async with asyncio.TaskGroup() as tasks:
            for _ in range(in_flight):
                tasks.create_task(caller.unary())
    elif mode == "paced":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, setattr, caller, "ended", True)  # noqa: FBT003
        await caller.paced(in_flight)
    else:
        await caller.stream(in_flight)
    await dialled.channel.close()
    times = sorted(caller.seconds)
    return {
        "picks": caller.picks,
        "messages": len(times),
        "p50_ms": times[len(times) // 2] * 1e3,
        "p99_ms": times[len(times) * 99 // 100] * 1e3,
        "p999_ms": times[len(times) * 999 // 1000] * 1e3,
        "longest_ms": times[-1] * 1e3,
        "waits_ms": [seconds * 1e3 for seconds in times] if mode == "paced" else [],
    }


if __name__ == "__main__":
    _, where, held, way, at_once, until = sys.argv
    print(json.dumps(asyncio.run(run(where, int(held), way, int(at_once), float(until)))))
