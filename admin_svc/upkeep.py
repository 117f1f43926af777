"""Upkeep by the clock: forgets history past its time, and routers that are long gone.

The law: each admin does it, without asking the others: doing it twice does nothing more.
"""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Final

import psycopg

from admin_svc import metrics
from trunkline.database import Pool
from trunkline.telemetry import get_logger

log = get_logger()

_EVERY: Final = 3_600.0
_FIRST: Final = 30.0
_STATEMENT: Final = "60s"
_ROUTERS_KEPT: Final = timedelta(days=1)


class Upkeep:
    """The clockwork."""

    def __init__(self, pool: Pool, history_kept: float) -> None:
        """Take how long history is kept, in seconds."""
        self._pool = pool
        self._history_kept = timedelta(seconds=history_kept)

    async def run(self) -> None:
        """Work now and then until cancelled."""
        pause = _FIRST
        while True:
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - so that admins take turns
            pause = _EVERY
            try:
                await self.once()
            except psycopg.Error as error:
                log.warning("[Async] history was not pruned", fault=type(error).__name__, sqlstate=error.sqlstate)

    async def once(self) -> None:
        """Forget what is past its time. Raises psycopg.Error."""
        async with self._pool.connection() as connection:
            await connection.execute("SELECT set_config('statement_timeout', %s, true)", (_STATEMENT,))
            cursor = await connection.execute("SELECT * FROM prune_history(%s)", (self._history_kept,))
            revisions, tombstones = await cursor.fetchone() or (0, 0)
            gone = await connection.execute(
                "DELETE FROM routers WHERE expire_time < now() - %s::interval", (_ROUTERS_KEPT,)
            )
        for kind, count in (("revision", revisions), ("tombstone", tombstones), ("router", gone.rowcount)):
            metrics.HISTORY_PRUNED.labels(kind).inc(count)
        if revisions or tombstones or gone.rowcount:
            log.info("[Async] history pruned", revisions=revisions, tombstones=tombstones, routers=gone.rowcount)
