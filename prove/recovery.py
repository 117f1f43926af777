"""Measures recovery: how long after a fault's end a fresh change is in force on every router, answered unmarked.

The law: every admin is tried at once and again and again, each with changes of its own, in a group that nobody else touches;
the first change that is called visible on all routers, and that all of them answer by, ends the measurement.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

import grpc

from prove.cluster import ADMIN_TOKEN, SERVICE_TOKEN, Cluster
from prove.picks import Router, pick_of
from prove.truth import PLAN, Ask
from prove.world import FRESH_GROUP
from trunkline.rpc import Dialled, dial, read_error
from trunkline.v1 import admin_pb2, admin_pb2_grpc, catalog_pb2, revision_pb2, router_pb2_grpc

PATIENCE: Final = 20.0
"""Seconds that a recovery is waited for before it is given up."""
_PATIENT: Final = 90.0
"""Seconds that a recovery is waited for where the machine may be busy."""
_DEADLINE: Final = 0.8  # seconds of one call to an admin
_LONGEST: Final = 10.0  # ... where the machine may be busy
_WAIT: Final = 0.6  # of that, for routers
_AGAIN: Final = 0.05  # seconds after a call that failed


class Recovery:
    """Measures recoveries of one cluster."""

    def __init__(self, cluster: Cluster, clients: Sequence[Router], rng: random.Random) -> None:
        """Take the cluster, its routers' clients, and randomness for request ids."""
        self._cluster = cluster
        self._clients = clients
        self._rng = rng
        self._count = 0
        self._recovered_at = 0.0
        self._patient = False
        self.tries: list[str] = []
        """What came of the changes of the last measurement that did not end it."""

    async def measure(self, since: float, *, patient: bool = False) -> float | None:
        """Wait for the recovery; tell how many seconds after `since` (of the epoch) it was, None when it never was.

        `patient`: the machine may be busy, so that calls which take long are given more time by and by.
        """
        self.tries = []
        self._patient = patient
        admins = [dial(member.address, ADMIN_TOKEN) for member in self._cluster.admins]
        routers = [dial(member.address, SERVICE_TOKEN) for member in self._cluster.routers]
        seen = asyncio.Event()
        try:
            async with asyncio.timeout(_PATIENT if patient else PATIENCE), asyncio.TaskGroup() as tasks:
                for admin in admins:
                    tasks.create_task(self._changes(admin, routers, seen))
        except TimeoutError:
            return None
        finally:
            for each in (*admins, *routers):
                await each.channel.close()
        return self._recovered_at - since

    async def _changes(self, admin: Dialled, routers: Sequence[Dialled], seen: asyncio.Event) -> None:
        """Make one change after another at one admin, until one of anybody's is in force everywhere."""
        while not seen.is_set():
            begun = time.time()
            fault = await self._change(admin, routers)
            if fault:
                self.tries.append(f"{begun:.3f}: {fault}")
                await asyncio.sleep(_AGAIN)
            elif not seen.is_set():
                self._recovered_at = time.time()
                seen.set()

    async def _change(self, admin: Dialled, routers: Sequence[Dialled]) -> str:
        """Make a change; tell why it is not in force everywhere, empty when it is."""
        self._count += 1
        ask = Ask(f"fresh-{self._count}", FRESH_GROUP)
        stub: Any = admin_pb2_grpc.AdminServiceStub(admin.channel)
        seconds = min(_LONGEST, _DEADLINE * 1.2 ** len(self.tries)) if self._patient else _DEADLINE
        try:
            answer = await stub.CreateChannel(self._request(ask, seconds), metadata=admin.metadata, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            return str(read_error(error).reason or error.code().name)
        for client, dialled in zip(self._clients, routers, strict=True):
            stub = router_pb2_grpc.RouterServiceStub(dialled.channel)
            got = await client.call(stub, dialled.metadata, ask, pick_of(ask), None)
            if got.reason != PLAN or got.marked:
                return f"{client.name} says {got.reason or 'a marked plan'}"
        seen = answer.visibility
        whole = seen.visible_on == seen.of == len(routers)
        return "" if whole else f"visible on {seen.visible_on} of {seen.of}, lagging {list(seen.lagging)}"

    def _request(self, ask: Ask, seconds: float) -> admin_pb2.CreateChannelRequest:
        channel = catalog_pb2.Channel(
            name=f"{ask.model}-{self._rng.getrandbits(32):08x}",
            provider="openai",
            base_url="http://127.0.0.1:9",
            models=[ask.model],
            groups=[ask.group],
        )
        wait = revision_pb2.Wait(mode=revision_pb2.WAIT_MODE_ALL)
        wait.timeout.FromMilliseconds(round(1000 * _WAIT * seconds))
        request_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        return admin_pb2.CreateChannelRequest(channel=channel, request_id=request_id, wait=wait)
