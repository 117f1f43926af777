"""Those who change the catalog, through every admin and by hand, and remember what they were told.

The law: a change is asked for under one request id until its outcome is known: acknowledged with a token, refused before
anything was committed, or unknown, which then nothing is concluded from. The asks it is about are hot from before it is sent
until a moment after it was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import psycopg
from google.protobuf import duration_pb2

from prove.checks import NEAR
from prove.cluster import ADMIN_TOKEN, Cluster
from prove.history import Token
from prove.picks import Asked
from prove.records import Ack
from prove.view import ChannelView, KeyView, Step, View
from prove.world import FRESH_GROUP, World
from trunkline.rpc import Dialled, dial, read_error
from trunkline.v1 import admin_pb2_grpc, revision_pb2

_DEADLINE: Final = 6.0  # seconds of one call
_TRIES: Final = 12
_TRY_AGAIN: Final = 0.4  # seconds
_LOOK: Final = 0.1  # seconds between two looks at the catalog
_WAITS: Final = (
    (revision_pb2.WAIT_MODE_ALL, 45),
    (revision_pb2.WAIT_MODE_QUORUM, 15),
    (revision_pb2.WAIT_MODE_NONE, 40),
)
_UNKNOWN: Final = frozenset({"COMMIT_UNKNOWN", "INTERNAL"})
_VIEW_CHANNELS: Final = "SELECT id, status, models, groups, keys FROM router_channels WHERE %s <> ALL (groups)"
_SERVED: Final = """
SELECT DISTINCT a."group", a.model FROM abilities AS a WHERE a.effective AND (
    NOT EXISTS (SELECT FROM channel_keys AS k WHERE k.channel_id = a.channel_id)
    OR EXISTS (SELECT FROM channel_keys AS k WHERE k.channel_id = a.channel_id AND k.status = 'ENABLED')
)
"""
_VIEW_KEYS: Final = "SELECT id, encode(hash, 'hex'), status FROM api_keys"


@dataclass(slots=True)
class Ledger:
    """What became of every change."""

    acks: list[Ack] = field(default_factory=list)
    refused: dict[str, float] = field(default_factory=dict)
    """Request ids that were refused for sure, and when."""
    counts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """From call to answer of changes that waited for every router and were told that all have it."""


class Mutators:
    """Several who change the catalog at once."""

    def __init__(self, cluster: Cluster, world: World, asked: Asked, rng: random.Random) -> None:
        """Take whom to call, what to change, whom to tell what is hot."""
        self._cluster = cluster
        self._world = world
        self._asked = asked
        self._rng = rng
        self._view = View()
        self.ledger = Ledger()
        self.rate = 0.0
        """Changes a second, of all together."""
        self.spared: set[str] = set()
        """Admins that are not called."""

    async def run(self, stop: asyncio.Event, *, workers: int = 4) -> None:
        """Change the catalog until `stop`, then see every change under way to its end."""
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._look())
            try:
                async with asyncio.TaskGroup() as working:
                    for _ in range(workers):
                        working.create_task(self._work(stop, workers))
            finally:
                looking.cancel()

    async def furnish(self, changes: int) -> None:
        """Make the first changes, one after another, so that there is something to take away."""
        dialled = {member.name: dial(member.address, ADMIN_TOKEN) for member in self._cluster.admins}
        connection = await psycopg.AsyncConnection.connect(self._cluster.dsn, autocommit=True)
        try:
            for _ in range(changes):
                self._view = await _view(connection)
                await self._carry_out(self._world.step(self._view), dialled)
        finally:
            await connection.close()
            for each in dialled.values():
                await each.channel.close()

    async def _work(self, stop: asyncio.Event, workers: int) -> None:
        dialled = {member.name: dial(member.address, ADMIN_TOKEN) for member in self._cluster.admins}
        try:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._rng.expovariate(max(self.rate, 0.01) / workers)):
                        await stop.wait()
                if not stop.is_set() and self._view.groups:
                    await self._make(self._world.step(self._view), dialled)
        finally:
            for each in dialled.values():
                await each.channel.close()

    async def _make(self, step: Step, dialled: dict[str, Dialled]) -> None:
        ways = self._world.asks_about(step)
        self._asked.heat(ways)
        try:
            await self._carry_out(step, dialled)
            await asyncio.sleep(NEAR)
        finally:
            self._asked.cool(ways)

    async def _carry_out(self, step: Step, dialled: dict[str, Dialled]) -> None:
        request_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        if step.method:
            await self._call(step, request_id, dialled)
        else:
            await self._by_hand(step, request_id)

    # ------------------------------------------------------------------ through an admin

    async def _call(self, step: Step, request_id: str, dialled: dict[str, Dialled]) -> None:
        mode = self._rng.choices([mode for mode, _ in _WAITS], [often for _, often in _WAITS])[0]
        step.request.request_id = request_id
        step.request.wait.CopyFrom(revision_pb2.Wait(mode=mode, timeout=duration_pb2.Duration(seconds=2)))
        sure = True
        for _ in range(_TRIES):
            admin = self._rng.choice(sorted({*dialled} - self.spared) or sorted(dialled))
            stub: Any = admin_pb2_grpc.AdminServiceStub(dialled[admin].channel)
            begun = time.time()
            try:
                answer = await getattr(stub, step.method)(
                    step.request, metadata=dialled[admin].metadata, timeout=_DEADLINE
                )
            except grpc.aio.AioRpcError as error:
                refusal = read_error(error)
                said = str(refusal.reason or error.code().name)
                self.ledger.counts[f"answer {said}"] += 1
                if refusal.reason is not None and said not in _UNKNOWN:
                    if sure:
                        self.ledger.refused[request_id] = time.time()
                        self._settled(step, "refused")
                        return
                    if refusal.retry_delay is None:
                        break
                else:
                    sure = False
                await asyncio.sleep(_TRY_AGAIN)
            else:
                self._acknowledged(step, request_id, answer, begun, waited=mode != revision_pb2.WAIT_MODE_NONE)
                return
        self._settled(step, "unknown")

    def _acknowledged(self, step: Step, request_id: str, answer: Any, begun: float, *, waited: bool) -> None:
        now = time.time()
        visibility = answer.visibility
        token = Token(answer.token.revision, answer.token.chain)
        self.ledger.acks.append(Ack(now, token, request_id, waited, frozenset(visibility.lagging)))
        self._asked.tokens.append(token)
        if step.method == "CreateApiKey":
            hashed = self._world.know(answer.api_key.secret)
            self._asked.asks.extend(self._world.by_key[hashed])
        whole = visibility.visible_on == visibility.of == len(self._cluster.routers)
        if waited and whole:
            self.ledger.seconds.append(now - begun)
        self.ledger.counts["visible on all" if whole else "visible on some"] += waited
        self._settled(step, "acknowledged")

    # ------------------------------------------------------------------ by hand

    async def _by_hand(self, step: Step, request_id: str) -> None:
        outcome = "refused"
        try:
            connection = await psycopg.AsyncConnection.connect(self._cluster.dsn, connect_timeout=2, autocommit=True)
        except psycopg.OperationalError:
            self._settled(step, outcome)
            return
        try:
            async with connection.transaction():
                await connection.execute("SELECT set_config('trunkline.request_id', %s, true)", (request_id,))
                await connection.execute(step.sql.encode(), step.values)
                cursor = await connection.execute(
                    "SELECT revision, encode(chain, 'hex') FROM revisions WHERE request_id = %s", (request_id,)
                )
                row = await cursor.fetchone()
                outcome = "unknown"
            outcome = "acknowledged" if row is not None else "changed nothing"
            if row is not None:
                token = Token(*row)
                self.ledger.acks.append(Ack(time.time(), token, request_id, waited=False, lagging=frozenset()))
                self._asked.tokens.append(token)
        except psycopg.Error:
            if outcome == "refused":
                self.ledger.refused[request_id] = time.time()
        finally:
            await connection.close()
            self._settled(step, outcome)

    def _settled(self, step: Step, outcome: str) -> None:
        self.ledger.counts[outcome] += 1
        self.ledger.counts[f"{step.method or 'by hand'}: {outcome}"] += 1

    # ------------------------------------------------------------------ looking

    async def _look(self) -> None:
        """See what there is, again and again; while the database cannot be read, what was seen last must do."""
        while True:
            with contextlib.suppress(psycopg.Error):
                connection = await psycopg.AsyncConnection.connect(
                    self._cluster.dsn, connect_timeout=2, autocommit=True
                )
                try:
                    while True:
                        self._view = await _view(connection)
                        served = await (await connection.execute(_SERVED)).fetchall()
                        pairs = [self._world.by_pair[pair] for pair in served if pair in self._world.by_pair]
                        self._asked.served = dict(pairs)
                        await asyncio.sleep(_LOOK)
                finally:
                    connection.pgconn.finish()
            await asyncio.sleep(_LOOK)


async def _view(connection: psycopg.AsyncConnection[Any]) -> View:
    channels = await (await connection.execute(_VIEW_CHANNELS, (FRESH_GROUP,))).fetchall()
    keys = await (await connection.execute(_VIEW_KEYS)).fetchall()
    groups = await (await connection.execute("SELECT name FROM groups")).fetchall()
    return View(
        channels=[_channel(row) for row in channels],
        api_keys=[KeyView(*row) for row in keys],
        groups=frozenset(name for (name,) in groups),
    )


def _channel(row: Sequence[Any]) -> ChannelView:
    number, status, models, groups, keys = row
    return ChannelView(
        number, status, tuple(model for model, _ in models), tuple(groups), {key["id"]: key["status"] for key in keys}
    )
