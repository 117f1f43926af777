"""Checks that head, stamps and tombstones are what the rows are, and mends what is not.

Law: only what stands still is mended. A fault that two checks found alike, while every catalog table has its triggers, comes
from a hand or from a write past the triggers; one that moves, or comes while triggers are off, may be a restore that has not
ended, and is only told. Each admin checks; one of them mends, in one transaction that looks again first.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable
from typing import Any, Final

import psycopg

from admin_svc import metrics
from trunkline.database import Pool
from trunkline.telemetry import get_logger

log = get_logger()

_EVERY: Final = 25.0
"""Seconds between two checks: two of them come within a minute."""
_SHARE: Final = 0.05  # of the time, at most, is spent on checking
_STATEMENT: Final = "60s"
_MOST: Final = 1_000  # faults that are looked at
_LOCK: Final = 0x7472_756E_6B73  # whoever holds it for a transaction mends
_CHECK: Final = f"SELECT kind, id, fault, stored, actual FROM catalog_digest_check() LIMIT {_MOST}"  # noqa: S608 - a number
_NUMBERS: Final = frozenset({"digest", "channel_count", "api_key_count", "group_count"})

Fault = tuple[str, str, str, str]
"""Kind, id, what is wrong, and by how much."""


def faults_of(rows: Iterable[tuple[Any, ...]]) -> frozenset[Fault]:
    """What is wrong, by how much: ordinary changes move a sum and what it should be together, and leave that alike."""
    return frozenset(
        (kind, key, fault, _amount(stored, actual) if fault in _NUMBERS else f"{stored} {actual}")
        for kind, key, fault, stored, actual in rows
    )


def _amount(stored: str | None, actual: str | None) -> str:
    """By how much a sum is off; where one is no number, both as they stand."""
    try:
        return str(int(stored or "") - int(actual or ""))
    except ValueError:
        return f"{stored} {actual}"


class Soundness:
    """Checks now and then."""

    def __init__(self, pool: Pool, every: float = _EVERY) -> None:
        """Take the seconds between two checks."""
        self._pool, self._every = pool, every
        self._seen: frozenset[Fault] = frozenset()

    async def run(self) -> None:
        """Check until cancelled."""
        pause = self._every
        while True:
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - so that admins take turns
            began = time.monotonic()
            try:
                await self.once()
            except psycopg.Error as error:
                log.warning("[Async] catalog not checked", fault=type(error).__name__, sqlstate=error.sqlstate)
            pause = max(self._every, (time.monotonic() - began) / _SHARE)

    async def once(self) -> int | None:
        """Check, and mend what was found alike twice: the revision that this made, if any. Raises psycopg.Error."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT set_config('statement_timeout', %s, true)", (_STATEMENT,))
            found = await _faults(connection)
        metrics.CATALOG_FAULTS.set(len(found))
        lasting, self._seen = found & self._seen, found
        if found and not lasting:
            log.error(
                "[Async] catalog does not add up: mended if that lasts, or by SELECT catalog_repair()",
                faults=len(found),
                some=[" ".join(fault[:3]) for fault in sorted(found)[:5]],
            )
        return await self._mend() if lasting else None

    async def _mend(self) -> int | None:
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT set_config('statement_timeout', %s, true)", (_STATEMENT,))
            asked = await connection.execute("SELECT pg_try_advisory_xact_lock(%s), catalog_is_guarded()", (_LOCK,))
            if await asked.fetchone() != (True, True) or not await _faults(connection) & self._seen:
                return None
            await connection.execute(
                "SELECT set_config('trunkline.actor', 'trunkline', true), set_config('trunkline.action', 'repair', true)"
            )
            made = await (await connection.execute("SELECT catalog_repair()")).fetchone()
        self._seen = frozenset()
        metrics.CATALOG_REPAIRS.inc()
        revision = int(made[0]) if made is not None else None
        log.warning(
            "[Async] catalog mended: what had been written past the triggers is a revision now", revision=revision
        )
        return revision


async def _faults(connection: psycopg.AsyncConnection[Any]) -> frozenset[Fault]:
    return faults_of(await (await connection.execute(_CHECK)).fetchall())
