"""The process that storms: `python -m bench.storm.rain ADDRESS --picks N --seconds S`.

It says "ready", and at each line that it reads, "served" or anything else, sends all picks and says what came of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.followers import ENVIRONMENT
from trunkline.errors import Reason
from trunkline.rpc import dial, read_refusal
from trunkline.secret import Secret
from trunkline.v1 import router_pb2, router_pb2_grpc

STREAMS: Final = 10
"""Each holds at most 1,024 picks that wait."""
MESSAGE: Final = 100
TOKEN: Final = Secret(ENVIRONMENT["TRUNKLINE_SERVICE_TOKEN"])
_PRIORITY: Final = 5
"""In the real-time class, where the rest of the bench is in it."""
_NICE: Final = 10
"""How far the storm gives way elsewhere: more would end it, where other programs want all cores."""


async def storm(address: str, picks: int, seconds: float) -> None:
    """Be the storm: at each line send all picks, for served models or not as it says, and say what came of them."""
    _give_way()
    streams = [await _open(address) for _ in range(STREAMS)]
    say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        rains = [_items(picks // STREAMS, place, served=line.strip() == "served") for place in range(STREAMS)]
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            counts = [
                tasks.create_task(_rain(call, items, seconds, place / STREAMS))
                for place, (call, items) in enumerate(zip(streams, rains, strict=True))
            ]
        took, proven = time.perf_counter() - began, sum(count.result() for count in counts)
        say(json.dumps({"seconds": took, "proven": proven, "put off": picks - proven}))


def _give_way() -> None:
    """Let every other process of the bench go first."""
    if os.sched_getscheduler(0) == os.SCHED_RR:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
        return
    os.nice(_NICE)
    with suppress(OSError):  # where each session has a share of its own, being nice counts only within it
        Path("/proc/self/autogroup").write_text(str(_NICE))


async def _open(address: str) -> Any:
    dialled = dial(address, TOKEN)
    await dialled.channel.channel_ready()
    return router_pb2_grpc.RouterServiceStub(dialled.channel).PickChannels(metadata=dialled.metadata)


def _items(count: int, place: int, *, served: bool) -> list[router_pb2.PickChannelsRequest.Item]:
    models = (f"model {number % 50}" if served else f"nobody serves {place}-{number}" for number in range(count))
    return [
        router_pb2.PickChannelsRequest.Item(id=number, pick=router_pb2.Pick(model=model, group="default"))
        for number, model in enumerate(models, 1)
    ]


async def _rain(call: Any, items: list[router_pb2.PickChannelsRequest.Item], seconds: float, late: float) -> int:
    """Send picks on one stream over some seconds and read all answers; give how many were answered for good.

    Streams do not send in step: each is late by its part of the time between two messages.
    """

    async def send() -> None:
        began, count = time.perf_counter(), len(items)
        for start in range(0, count, MESSAGE):
            await asyncio.sleep(began + seconds * (start + MESSAGE * late) / count - time.perf_counter())
            await call.write(router_pb2.PickChannelsRequest(items=items[start : start + MESSAGE]))

    left, settled = len(items), 0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        while left:
            for result in (await call.read()).results:
                left -= 1
                proven = not result.HasField("refusal") or read_refusal(result.refusal).reason is Reason.MODEL_UNKNOWN
                settled += proven
    return settled


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Storm until there are no more lines."""
    parser = argparse.ArgumentParser(prog="python -m bench.storm.rain")
    parser.add_argument("address")
    parser.add_argument("--picks", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(storm(given.address, given.picks, given.seconds))


if __name__ == "__main__":
    main()
